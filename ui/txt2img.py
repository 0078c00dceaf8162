"""The txt2img tab: a prompt becomes pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.errors import AtelierError, BadRequest
from backend.library import Model
from backend.types import Request, make_request
from ui import facts
from ui.controls import settings_cards
from ui.follow import JobView, accepted, followed, refused
from ui.form import Changes, Form
from ui.parts import Parts
from ui.picker import listed

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Short events: at once, with no overlay, not part of the public API."""
TELLING = {**QUIET, "queue": True}
"""The same for events that may show a notice, which Gradio sends through its queue only."""


@dataclass(frozen=True)
class Tab:
    """The parts of this tab that its events write to."""

    form: Form
    view: JobView
    hint: gr.HTML
    ratios: gr.HTML

    @property
    def outputs(self) -> list[Component]:
        return [*self.form.widgets.values(), self.view, self.hint, self.ratios]

    def updates(self, model: Model | None, *changes: Changes) -> dict[Component, Any]:
        """Changes of the form, together with what stands on the page about the model."""
        example: Changes = {"prompt": {"placeholder": facts.placeholder(model)}}
        return {**self.form.updates(example, *changes), self.hint: facts.words(model), self.ratios: facts.ratios(model)}


def build(parts: Parts) -> None:
    """Fill the tab."""
    model = parts.model(parts.picker.value)
    with gr.Row(elem_id="t2i_work", elem_classes="work"):
        with gr.Column(elem_classes="left", min_width=0):
            with gr.Column(elem_classes="ask", min_width=0):
                prompts, hint, generate = _prompts(model)
            with gr.Column(elem_classes="settings", min_width=0):
                settings, ratios = settings_cards("t2i", model)
        with gr.Column(elem_classes="right", min_width=0):
            view = JobView(elem_id="t2i_view")
    tab = Tab(Form("txt2img", {"model": parts.picker, **prompts, **settings}), view, hint, ratios)
    _follow_model(parts, tab)
    _generate(parts, tab, generate)
    _reuse(parts, tab)


def _prompts(model: Model | None) -> tuple[dict[str, Component], gr.HTML, gr.Button]:
    prompt = gr.Textbox(label="Prompt", lines=3, max_lines=8, placeholder=facts.placeholder(model), elem_id="t2i_prompt")
    hint = gr.HTML(facts.words(model), elem_id="t2i_hint", apply_default_css=False)
    negative = gr.Textbox(label="Negative prompt", lines=1, max_lines=6, placeholder="What to keep out of the picture", elem_id="t2i_negative")
    with gr.Row(elem_classes="go"):
        generate = gr.Button("Generate", variant="primary", elem_id="t2i_generate", elem_classes="generate")
        gr.Button("Stop", elem_id="t2i_stop", elem_classes="stop")
    return {"prompt": prompt, "negative_prompt": negative}, hint, generate


def _follow_model(parts: Parts, tab: Tab) -> None:
    """Fit the form to the model when the page opens and when another model is chosen."""
    form, view = tab.form, tab.view
    sampler, scheduler = form.widgets["sampler"], form.widgets["scheduler"]

    def fitted(name: str | None, sampler: str, scheduler: str) -> dict[Component, Any]:
        picker = listed(parts.library, parts.settings, name)
        model = parts.model(picker["value"])
        switches = form.switches(model.family) if model else {}
        fitting = tab.updates(model, {"model": picker}, form.schedules(sampler, scheduler), switches)
        return fitting if model else {**fitting, view: refusal(picker["value"])}

    def refusal(name: str) -> dict[str, Any] | None:
        """What is wrong with a model, as the view shows it; None where nothing is."""
        try:
            parts.library.find(name)
        except AtelierError as error:
            return refused(form.problem(error))
        return None

    def chosen(name: str | None) -> dict[Component, Any]:
        model = parts.model(name)
        if model is None:
            return {view: refusal(name or "")}
        return {**tab.updates(model, form.defaults(model), form.switches(model.family)), view: accepted()}

    def sampler_chosen(sampler: str, scheduler: str) -> dict[Component, Any]:
        changes = form.schedules(sampler, scheduler)
        if changes["scheduler"]["value"] != scheduler:
            gr.Info(f"{sampler} cannot use the schedule type {scheduler}, so it is Automatic now.", duration=5)
        return form.updates(changes)

    widgets = list(form.widgets.values())
    recall = f"(...values) => atelier.recall('{form.name}', {form.names_json}, values)"
    opened = parts.page.load(None, widgets, widgets, js=recall, **QUIET)
    for event in (opened, parts.refreshed):
        event.then(fitted, [parts.picker, sampler, scheduler], tab.outputs, **TELLING)
    parts.picker.select(chosen, parts.picker, tab.outputs, **QUIET)
    sampler.select(sampler_chosen, [sampler, scheduler], scheduler, **TELLING)  # type: ignore[attr-defined]
    remember = f"(...values) => {{ atelier.remember('{form.name}', {form.names_json}, values); return []; }}"
    gr.on([widget.change for widget in widgets], None, widgets, [], js=remember, **QUIET)  # type: ignore[attr-defined]


def _generate(parts: Parts, tab: Tab, button: gr.Button) -> None:
    """Generate puts a job into the queue, and the view follows it."""

    def generate(**values: Any) -> dict[str, Any]:
        try:
            return followed(parts.engine.submit(tab.form.request(parts.library, values)))
        except AtelierError as error:
            return refused(tab.form.problem(error))

    button.click(generate, outputs=tab.view, inputs_kwargs=dict(tab.form.widgets), trigger_mode="multiple", **QUIET)


def _reuse(parts: Parts, tab: Tab) -> None:
    """A picture's settings go back into the form."""

    def reuse(event: gr.EventData) -> dict[Component, Any]:
        request = _request(event.request)
        model = parts.model(request.model)
        changes = tab.form.filled(request)
        if model is None:
            del changes["model"]
            gr.Warning(f"The model “{request.model}” is not here any more. Everything else was filled in.")
            return tab.form.updates(changes)
        return tab.updates(model, changes, tab.form.switches(model.family))

    tab.view.reuse(reuse, None, tab.outputs, **TELLING)


def _request(values: Any) -> Request:
    """The request that the browser gives back. It is checked like any other."""
    try:
        return make_request(**values)
    except (BadRequest, TypeError) as error:
        raise gr.Error("These settings cannot be read.", print_exception=False) from error
