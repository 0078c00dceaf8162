"""The ControlNet units of a tab: what else a picture follows, as many units as wanted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from backend.controlling import (
    CONTROL_MODES,
    CONTROL_RESIZES,
    CONTROLS_MAX,
    NO_PREPROCESSOR,
    PICTURES_MAX,
    RESOLUTION_MAX,
    RESOLUTION_MIN,
    WEIGHT_MAX,
    Control,
)
from backend.families import FAMILIES
from ui.canvas import MaskCanvas
from ui.parts import QUIET, Parts
from ui.style import asset

UNREADABLE = "The ControlNet units sent something that cannot be read. Please reload the page and try again."
FOLDER = "models/ControlNet"
CHOICES = {"mode": CONTROL_MODES, "resize_mode": CONTROL_RESIZES}

Unit = dict[str, Any]
"""The fields of a Control, and "enabled": one that is off stays in the form and out of the request."""


class ControlUnits(gr.HTML):
    """Its value is a list of `Unit`; handlers may also return controls, which come in enabled.

    The scripts live in assets/units*.js. They ask for preprocessors and models when the units are looked at first.
    """

    def __init__(self, prefix: str, *, source: MaskCanvas | None = None, pinned: bool = False, value: Sequence[Unit] = (), **options: Any) -> None:
        """`source`: whose picture a unit without one of its own takes. `pinned`: always unfolded, without a heading."""
        settings = {
            "id": f"{prefix}_controls", "prefix": prefix, "source": source.elem_id if source else None, "pinned": pinned, "folder": FOLDER,
            "none": NO_PREPROCESSOR, "unit": new_unit(), "most": CONTROLS_MAX, "pictures": PICTURES_MAX,
            "weight": WEIGHT_MAX, "resolution": [RESOLUTION_MIN, RESOLUTION_MAX], "choices": CHOICES,
            "families": {family.id: family.title for family in FAMILIES},
        }  # fmt: skip
        canvas = asset("canvas.html").replace("the mask", "the drawing")
        template = asset("units.html").replace("{canvas}", canvas).replace("{settings}", escape(json.dumps(settings)))
        super().__init__(
            value=list(value),
            elem_id=f"{prefix}_controls",
            elem_classes="control-units",
            label="ControlNet",
            html_template=template,
            js_on_load="atelier.openUnits(element, props, watch);",
            apply_default_css=False,
            **options,
        )

    def preprocess(self, payload: object) -> list[Unit]:  # type: ignore[override]
        """Raises gr.Error where the page sent what it never should. What a unit's fields hold is checked by the Request."""
        units = payload or []
        if not isinstance(units, list) or not all(isinstance(unit, dict) and unit.keys() <= new_unit().keys() for unit in units):
            raise gr.Error(UNREADABLE, print_exception=False)
        return units

    def postprocess(self, value: Sequence[Unit | Control] | None) -> list[Unit]:  # type: ignore[override]
        return [unit_of(unit) if isinstance(unit, Control) else unit for unit in value or ()]

    def api_info(self) -> dict[str, Any]:
        return {"type": "array"}


def units_block(parts: Parts, prefix: str, *, source: MaskCanvas | None = None, pinned: bool = False) -> ControlUnits:
    """The component with its event; a tab that is about units begins with an empty one."""
    units = ControlUnits(prefix, source=source, pinned=pinned, value=[new_unit()] if pinned else ())
    parts.refreshed.then(None, None, [], js="() => { atelier.controls.again(); return []; }", **QUIET)
    return units


def new_unit(**fields: Any) -> Unit:
    """A unit as it is when it was just added."""
    return unit_of(Control(**fields))


def unit_of(control: Control) -> Unit:
    return {"enabled": True, **control.model_dump(mode="json")}


def asked_of(units: Sequence[Unit]) -> list[dict[str, Any]]:
    """What goes into the request: the fields of those that are on."""
    return [{name: value for name, value in unit.items() if name != "enabled"} for unit in units if unit.get("enabled")]


def with_picture(units: Sequence[Unit], picture: str) -> list[Unit]:
    """The units with this picture in the first one that has none, else in the first."""
    if not units:
        return [new_unit(pictures=(picture,))]
    place = next((number for number, unit in enumerate(units) if not unit.get("pictures")), 0)
    return [{**unit, "pictures": [picture], "enabled": True} if number == place else unit for number, unit in enumerate(units)]
