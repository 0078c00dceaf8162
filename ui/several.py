"""Several pictures at once: those beside the one on the canvas, each for a job of its own."""

from __future__ import annotations

import re
from typing import Any

import gradio as gr

from ui.style import asset

SEVERAL_MAX = 100
"""As many as the queue has room for."""

_ID = re.compile(r"[0-9a-f]{64}")


class FurtherPictures(gr.HTML):
    """A strip of pictures under a canvas, which also takes what is chosen or dropped there beyond the first one.

    The script lives in assets/several.js. A handler receives the names of the kept pictures where its event's `js=` is
    `gathered(...)`; nothing is ever returned to it.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__(
            value=None,
            elem_id=f"{prefix}_several",
            html_template=asset("several.html"),
            js_on_load=f"atelier.openSeveral(element, '{prefix}', {SEVERAL_MAX});",
            apply_default_css=False,
        )

    def preprocess(self, payload: object) -> list[str]:  # type: ignore[override]
        """Raises gr.Error where the page sent what it never should."""
        names = [] if payload is None else payload
        if not isinstance(names, list) or not all(isinstance(name, str) and _ID.fullmatch(name) for name in names):
            raise gr.Error("The pictures cannot be read. Please reload the page and choose them again.", print_exception=False)
        return names[:SEVERAL_MAX]

    def postprocess(self, value: Any) -> Any:
        return value

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}


def gathered(prefix: str, place: int) -> str:
    """The `js=` of an event whose input number `place` is the strip."""
    return f"(...values) => atelier.gathered('{prefix}', {place}, values)"
