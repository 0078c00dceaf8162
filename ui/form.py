"""Between widgets and Request, by name: the only place that maps the two."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.errors import AtelierError, BadRequest, DamagedModel, UnknownModel
from backend.families import Family
from backend.library import Library, Model
from backend.samplers import AUTOMATIC, find_sampler
from backend.types import Request, make_request
from ui.control_units import FOLDER, asked_of
from ui.naming import nested, reached, without

SWITCHED = {"negative_prompt": "", "guidance": Request.model_fields["guidance"].default}
"""Fields that some families do not have, and what stands in the request then."""

PARTS = ("hires", "upscale.detail", "upscale")
"""Parts of a request that some forms have a switch for, under the part's own name; inner ones first."""

SAME_SAMPLER = ("Use same sampler", "")
NO_PICTURE = "Please choose a picture to start from."
NO_CONTROL_PICTURE = "Please choose a picture for this unit, or switch the unit off."
NO_CONTROL_MODEL = "Please choose a model for this unit, or switch the unit off."
NO_CONTROL_MODELS = f"There are no control models here yet. Put one into {FOLDER} and look for models again, or switch this unit off."
NOTHING_PAINTED = "Paint over what should change, or extend the picture."
SIDES = ("left", "top", "right", "bottom")

Changes = dict[str, dict[str, Any]]
"""Name of a Request's field to the properties of its widget that change."""


class NumberSlider(gr.Slider):
    """A slider that hands on any number that was typed; the Request says what is wrong with it, at the field."""

    def get_block_name(self) -> str:
        return "slider"

    def preprocess(self, payload: float | None) -> float | None:  # type: ignore[override]
        return payload


class ChoiceDropdown(gr.Dropdown):
    """A dropdown that hands on a remembered value, even one that is not among its choices any more."""

    def get_block_name(self) -> str:
        return "dropdown"

    def preprocess(self, payload: str | None) -> str | None:  # type: ignore[override]
        return payload


class Form:
    """The widgets of one tab, each under the name of the Request's field that it fills; see naming.py for parts.

    The widget "image" holds the picture and its mask together; a widget under the name of one of PARTS switches that on.
    """

    def __init__(self, prefix: str, widgets: Mapping[str, Component]) -> None:
        self.prefix = prefix
        """With which the elem_ids begin, and under which the browser remembers the values."""
        self.widgets = dict(widgets)

    @property
    def names_json(self) -> str:
        """The fields' names in the order of the widgets, for scripts."""
        return json.dumps(list(self.widgets))

    def request(self, library: Library, values: Mapping[str, Any]) -> Request:
        """What the widgets ask for. Raises BadRequest, UnknownModel or DamagedModel.

        Fields that the model does not have are switched off on the page; what still stands in them is left out.
        """
        asked = self._controls(self._pictures(self._switched(values)), library)
        if not asked.get("refiner.model"):
            asked = without(asked, "refiner")
        empty = [name for name, value in asked.items() if value is None and name != "model"]
        if empty:
            raise BadRequest({name: f"{_label(self.widgets[name])} is empty. Please enter a number." for name in empty})
        model = library.find(str(asked["model"])) if asked.get("model") else None
        off = {} if model is None else {name: value for name, value in SWITCHED.items() if name not in model.family.supports}
        return make_request(**nested({**asked, "model": asked.get("model") or "", **off}))

    def _switched(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values without the switches, and without the parts that are off."""
        kept = dict(values)
        for part in PARTS:
            if part in self.widgets:
                kept = {name: value for name, value in kept.items() if name != part} if kept.get(part) else without(kept, part)
        return kept

    def _pictures(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The picture and its mask under the Request's names. Raises BadRequest where there is nothing to work on."""
        if "image" not in self.widgets:
            return dict(values)
        painted = values["image"]
        if painted is None or not painted.image:
            raise BadRequest({"image": NO_PICTURE})
        asked = {**{name: value for name, value in values.items() if name != "image"}, "image.picture": painted.image}
        if not self.masks:
            return asked
        if painted.mask:
            return {**asked, "mask.picture": painted.mask}
        if any(values[f"image.grow.{side}"] for side in SIDES):
            return asked
        raise BadRequest({"image": NOTHING_PAINTED})

    def _controls(self, values: Mapping[str, Any], library: Library) -> dict[str, Any]:
        """The units that are on. Raises BadRequest where one of them lacks a picture or a model."""
        if "controls" not in self.widgets:
            return dict(values)
        units = asked_of(values["controls"])
        lacking: dict[str, str] = {}
        for number, unit in enumerate(units):
            if not unit.get("pictures") and "image" not in self.widgets:
                lacking[f"controls.{number}.pictures"] = NO_CONTROL_PICTURE
            if not unit.get("model"):
                lacking[f"controls.{number}.model"] = NO_CONTROL_MODEL if library.controls.usable else NO_CONTROL_MODELS
        if lacking:
            raise BadRequest(lacking)
        return {**values, "controls": units}

    @property
    def masks(self) -> bool:
        """Whether this form is about a mask over the picture."""
        return any(name.startswith("mask.") for name in self.widgets)

    def filled(self, request: Request) -> Changes:
        """Every widget as this request has it, except the picture, which must be looked up; what it does not have stays as it is."""
        found = {name: reached(request, name) for name in self.widgets if name not in ("image", *PARTS)}
        values: Changes = {name: {"value": value} for name, value in found.items() if value is not None}
        if "refiner.model" in self.widgets and request.refiner is None:
            values["refiner.model"] = {"value": ""}
        for part in PARTS:
            if part in self.widgets:
                values[part] = {"value": reached(request, part) is not None}
        return merged(values, self.schedules(request.sampler, request.scheduler) if "scheduler" in self.widgets else {})

    def defaults(self, model: Model) -> Changes:
        """The values that a model has a say in, as it likes them. Where a picture goes in, the size is the picture's."""
        names = ("steps", "guidance", "sampler") if "image" in self.widgets else ("width", "height", "steps", "guidance", "sampler")
        values: Changes = {name: {"value": getattr(model.defaults, name)} for name in names}
        return merged(values, self.schedules(model.defaults.sampler, model.defaults.scheduler))

    def switches(self, family: Family) -> Changes:
        """The choices that the family has; what it does not support is switched off, with the reason. Changes no value."""
        changes: Changes = {"sampler": {"choices": list(family.samplers)}}
        if "hires.sampler" in self.widgets:
            changes["hires.sampler"] = {"choices": [SAME_SAMPLER, *family.samplers]}
        for name in SWITCHED:
            on = name in family.supports
            why = "" if on else family.why_not.get(name, f"{family.title} models do not use this.")
            changes[name] = {"interactive": on, "info": why}
        return changes

    def schedules(self, sampler: str | None, wanted: str | None) -> Changes:
        """What schedule types the sampler can use; a wanted one that does not fit becomes Automatic."""
        try:
            choices = find_sampler(sampler or "").schedules
        except BadRequest:
            choices = (AUTOMATIC,)
        return {"scheduler": {"choices": list(choices), "value": wanted if wanted in choices else AUTOMATIC}}

    def updates(self, *changes: Changes) -> dict[Component, Any]:
        """Changes as Gradio takes them from a handler; later ones win."""
        return {self.widgets[name]: gr.update(**properties) for name, properties in merged(*changes).items()}

    def problem(self, error: AtelierError) -> dict[str, Any]:
        """An error for the page: sentences by elem_id where they belong to a field, the others for the stage."""
        fields = error.fields if isinstance(error, BadRequest) else {}
        if isinstance(error, (UnknownModel, DamagedModel)):
            fields = {"model": error.sentence}
        here: dict[str, str] = {}
        rest: list[str] = []
        for name, sentence in fields.items():
            place = self._place(name)
            if place is None:
                rest.append(sentence)
            else:
                here[place] = f"{here[place]} {sentence}" if place in here else sentence
        return {"fields": here, "sentence": " ".join(rest) if fields else error.sentence}

    def _place(self, name: str) -> str | None:
        """The elem_id of the widget that an error of this name is about: the field's own, or its part's. Units name their fields within."""
        if name.startswith("controls.") and "controls" in self.widgets:
            return f"{self.widgets['controls'].elem_id}{name.removeprefix('controls')}"
        while name not in self.widgets and "." in name:
            name = name.rpartition(".")[0]
        widget = self.widgets.get("image" if name == "mask" else name)
        return widget.elem_id if widget else None


def _label(widget: Component) -> str:
    return str(getattr(widget, "label", None) or "This field")


def merged(*changes: Changes) -> Changes:
    """All of them together; later ones win."""
    together: Changes = {}
    for change in changes:
        for name, properties in change.items():
            together[name] = {**together.get(name, {}), **properties}
    return together
