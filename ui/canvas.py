"""The canvas: a picture to start from, and a mask that is painted over it in the page."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from backend.api.inputs import told
from backend.inputs import Input
from backend.painting import Borders
from ui.style import asset

UNREADABLE = "The canvas sent something that cannot be read. Please reload the page and try again."
BLUR = 4
"""Pixels; what the preview of the soft edge starts with."""

_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Painted:
    """What is on the canvas. The names are those of backend/inputs.py."""

    image: str | None = None
    mask: str | None = None
    """None where nothing was painted."""

    grow: Borders = field(default_factory=Borders)


class MaskCanvas(gr.HTML):
    """A handler returns `shown(...)` to it and receives a `Painted` from it.

    The scripts live in assets/canvas*.js. Its event `picture` tells that another picture was chosen in the page, or
    that it was taken away; `grow` that its borders were drawn elsewhere. The mask is handed over only when
    `atelier.canvases[elem_id].ready()` is awaited in the page, which is what `js=` of the event that needs it is for.
    """

    def __init__(self, *, elem_id: str, label: str, masks: bool = True, several: bool = False, soft_edge: int = BLUR, **options: Any) -> None:
        """`masks`: with tools to paint a mask and to extend the picture; otherwise it takes a picture and shows it.
        `several`: more than one file may be chosen; those beyond the first are told by the page's event "morefiles".
        `soft_edge`: pixels of blur in the preview (not named `blur`, which is an event of Gradio's)."""
        super().__init__(
            value=None,
            elem_id=elem_id,
            label=label,
            html_template=asset("canvas.html").replace(
                'class="choose-picture"', 'class="choose-picture" multiple' if several else 'class="choose-picture"'
            ),
            js_on_load="atelier.openCanvas(element, props, watch, (name, data) => trigger(name, data)); /* 'picture', 'grow' */",
            apply_default_css=False,
            canvas=elem_id,
            spoken=label,
            masks=masks,
            blur=soft_edge,
            **options,
        )

    def preprocess(self, payload: object) -> Painted:  # type: ignore[override]
        """Raises gr.Error where the page sent what it never should, or could not hand the mask over."""
        if payload is None:
            return Painted()
        if not isinstance(payload, dict):
            raise gr.Error(UNREADABLE, print_exception=False)
        if isinstance(problem := payload.get("problem"), str):
            raise gr.Error(problem[:500], print_exception=False)
        try:
            grow = Borders.model_validate(payload.get("grow") or {})
        except ValueError as error:
            raise gr.Error(UNREADABLE, print_exception=False) from error
        image, mask = _name(payload.get("image")), _name(payload.get("mask"))
        return Painted(image, mask, grow) if image else Painted()

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:  # type: ignore[override]
        return value

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}


def shown(picture: Input | None, mask: Input | None = None, grow: Borders | None = None) -> dict[str, Any]:
    """Tell the canvas to show this picture with this mask, an empty one where it is None; without a picture, to be empty."""
    return {
        "image": told(picture) if picture else None,
        "mask": told(mask) if mask else None,
        "grow": (grow or Borders()).model_dump(),
        "at": time.time(),
    }


def _name(value: object) -> str | None:
    """The page names a kept picture, or gives back what `shown` told it as long as nobody has looked at the tab."""
    name = value.get("id") if isinstance(value, dict) else value
    if name is None:
        return None
    if not (isinstance(name, str) and _ID.fullmatch(name)):
        raise gr.Error(UNREADABLE, print_exception=False)
    return name
