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

SWITCHED = {"negative_prompt": "", "guidance": Request.model_fields["guidance"].default}
"""Fields that some families do not have, and what stands in the request then."""

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
    """The widgets of one tab, each under the name of the Request's field that it fills."""

    def __init__(self, name: str, widgets: Mapping[str, Component]) -> None:
        self.name = name
        """Under which the browser remembers the values."""
        self.widgets = dict(widgets)

    @property
    def names_json(self) -> str:
        """The fields' names in the order of the widgets, for scripts."""
        return json.dumps(list(self.widgets))

    def request(self, library: Library, values: Mapping[str, Any]) -> Request:
        """What the widgets ask for. Raises BadRequest, UnknownModel or DamagedModel.

        Fields that the model does not have are switched off on the page; what still stands in them is left out.
        """
        values = {name: value for name, value in values.items() if value is not None or name == "model"}
        missing = {name: f"{_label(self.widgets[name])} is empty. Please enter a number." for name in self.widgets.keys() - values.keys()}
        if missing:
            raise BadRequest(missing)
        model = library.find(str(values["model"])) if values.get("model") else None
        off = {} if model is None else {name: value for name, value in SWITCHED.items() if name not in model.family.supports}
        return make_request(**{**values, "model": values.get("model") or "", **off})

    def filled(self, request: Request) -> Changes:
        """Every widget as this request has it."""
        values: Changes = {name: {"value": getattr(request, name)} for name in self.widgets}
        return merged(values, self.schedules(request.sampler, request.scheduler))

    def defaults(self, model: Model) -> Changes:
        """The values that a model has a say in, as it likes them."""
        names = ("width", "height", "steps", "guidance", "sampler")
        values: Changes = {name: {"value": getattr(model.defaults, name)} for name in names}
        return merged(values, self.schedules(model.defaults.sampler, model.defaults.scheduler))

    def switches(self, family: Family) -> Changes:
        """The choices that the family has; what it does not support is switched off, with the reason. Changes no value."""
        changes: Changes = {"sampler": {"choices": list(family.samplers)}}
        for name in SWITCHED:
            on = name in family.supports
            why = None if on else family.why_not.get(name, f"{family.title} models do not use this.")
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
        here = {self.widgets[name].elem_id: sentence for name, sentence in fields.items() if name in self.widgets}
        rest = [sentence for name, sentence in fields.items() if name not in self.widgets]
        return {"fields": here, "sentence": " ".join(rest) if fields else error.sentence}


def _label(widget: Component) -> str:
    return str(getattr(widget, "label", None) or "This field")


def merged(*changes: Changes) -> Changes:
    """All of them together; later ones win."""
    together: Changes = {}
    for change in changes:
        for name, properties in change.items():
            together[name] = {**together.get(name, {}), **properties}
    return together
