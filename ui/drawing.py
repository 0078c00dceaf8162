"""What all tabs that draw have in common: the prompts, and the way from the form to a job and back."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.errors import AtelierError, BadPicture, BadRequest
from backend.inputs import Input
from backend.library import Model
from backend.types import Request, make_request
from ui import facts
from ui.canvas import MaskCanvas, shown
from ui.follow import JobView, accepted, followed, refused
from ui.form import Changes, Form
from ui.parts import QUIET, TELLING, Parts
from ui.picker import listed


@dataclass(frozen=True)
class Asking:
    """The block with the prompts and the Generate button."""

    prompt: gr.Textbox
    negative: gr.Textbox
    hint: gr.HTML
    generate: gr.Button

    @property
    def widgets(self) -> dict[str, Component]:
        return {"prompt": self.prompt, "negative_prompt": self.negative}


@dataclass(frozen=True)
class PictureTab:
    """The parts of a tab with pictures that the events write to."""

    id: str
    form: Form
    view: JobView
    canvas: MaskCanvas | None

    @property
    def outputs(self) -> list[Component]:
        return [*self.form.widgets.values(), self.view]


@dataclass(frozen=True)
class DrawingTab(PictureTab):
    """A tab that draws: it has prompts, and its form follows the model."""

    asking: Asking
    ratios: gr.HTML

    @property
    def outputs(self) -> list[Component]:
        return [*super().outputs, self.asking.hint, self.ratios]

    def updates(self, model: Model | None, *changes: Changes) -> dict[Component, Any]:
        """Changes of the form, together with what stands on the page about the model."""
        example: Changes = {"prompt": {"placeholder": facts.placeholder(model)}}
        return {**self.form.updates(example, *changes), self.asking.hint: facts.words(model), self.ratios: facts.ratios(model)}


def asking_block(prefix: str, model: Model | None, lines: int = 3) -> Asking:
    """Prompts, words of the model, Generate and Stop. `lines`: how high the empty prompt is."""
    with gr.Column(elem_classes="ask", min_width=0):
        prompt = gr.Textbox(
            "", label="Prompt", lines=lines, max_lines=8, placeholder=facts.placeholder(model), elem_id=f"{prefix}_prompt", elem_classes="prompt",
        )  # fmt: skip
        hint = gr.HTML(facts.words(model), elem_id=f"{prefix}_hint", elem_classes="words", apply_default_css=False)
        negative = gr.Textbox(
            "", label="Negative prompt", lines=1, max_lines=6, placeholder="What to keep out of the picture", elem_id=f"{prefix}_negative",
            elem_classes="prompt negative",
        )  # fmt: skip
        with gr.Row(elem_classes="go"):
            generate = gr.Button("Generate", variant="primary", elem_id=f"{prefix}_generate", elem_classes="generate")
            gr.Button("Stop", elem_id=f"{prefix}_stop", elem_classes="stop")
    return Asking(prompt, negative, hint, generate)


def source_block(prefix: str, label: str, *, masks: bool, several: bool = False) -> MaskCanvas:
    """Where the picture comes in."""
    with gr.Column(elem_classes="source", min_width=0):
        canvas = MaskCanvas(elem_id=f"{prefix}_image", label=label, masks=masks, several=several)
    # Gradio drops a component's own properties when an event has it among its outputs before its tab was opened.
    canvas.js_on_load = f"props = atelier.withFixed(props, {json.dumps(canvas.props)}); {canvas.js_on_load}"
    return canvas


def connect(parts: Parts, tabs: Sequence[DrawingTab]) -> None:
    """Give the tabs their events, once all of them are built."""
    _recall(parts, tabs)
    _follow_model(parts, tabs)
    for tab in tabs:
        _remember(tab)
        _follow_sampler(tab)
        _generate(parts, tab)
        _reuse(parts, tab)


def _recall(parts: Parts, tabs: Sequence[DrawingTab]) -> None:
    """When the page opens, the forms are as they were; then they are fitted to the library as it is now."""
    kept: dict[str, Component] = {"model": parts.picker}
    for tab in tabs:
        kept |= {f"{tab.form.prefix}:{name}": widget for name, widget in tab.form.widgets.items() if name != "model"}
    widgets = list(kept.values())
    recall = f"(...values) => atelier.recall({json.dumps(list(kept))}, values)"
    opened = parts.page.load(None, widgets, widgets, js=recall, **QUIET)

    def fitted(name: str | None, *sampling: str) -> dict[Component, Any]:
        picker = listed(parts.library, parts.settings, name)
        model = parts.model(picker["value"])
        changes: dict[Component, Any] = {}
        for tab, sampler, scheduler in zip(tabs, sampling[::2], sampling[1::2], strict=True):
            switches = tab.form.switches(model.family) if model else {}
            changes |= tab.updates(model, {"model": picker}, tab.form.schedules(sampler, scheduler), switches)
            if model is None:
                changes[tab.view] = _refusal(parts, tab, picker["value"])
        return changes

    samplings = [tab.form.widgets[name] for tab in tabs for name in ("sampler", "scheduler")]
    for event in (opened, parts.refreshed):
        event.then(fitted, [parts.picker, *samplings], _outputs(tabs), **TELLING)


def _follow_model(parts: Parts, tabs: Sequence[DrawingTab]) -> None:
    """Fit the forms to a model that is chosen."""

    def chosen(name: str | None) -> dict[Component, Any]:
        model = parts.model(name)
        if model is None:
            return {tab.view: _refusal(parts, tab, name or "") for tab in tabs}
        changes: dict[Component, Any] = {}
        for tab in tabs:
            changes |= {**tab.updates(model, tab.form.defaults(model), tab.form.switches(model.family)), tab.view: accepted()}
        return changes

    parts.picker.select(chosen, parts.picker, _outputs(tabs), **QUIET)


def _outputs(tabs: Sequence[DrawingTab]) -> list[Component]:
    """Everything that is written to, each once: the tabs share the model picker."""
    return list(dict.fromkeys(component for tab in tabs for component in tab.outputs))


def _refusal(parts: Parts, tab: DrawingTab, name: str) -> dict[str, Any] | None:
    """What is wrong with a model, as the view shows it; None where nothing is."""
    try:
        parts.library.find(name)
    except AtelierError as error:
        return refused(tab.form.problem(error))
    return None


def _remember(tab: DrawingTab) -> None:
    """The browser keeps what stands in the form."""
    widgets = list(tab.form.widgets.values())
    remember = f"(...values) => {{ atelier.remember('{tab.form.prefix}', {tab.form.names_json}, values); return []; }}"
    gr.on([widget.change for widget in widgets], None, widgets, [], js=remember, **QUIET)  # type: ignore[attr-defined]


def _follow_sampler(tab: DrawingTab) -> None:
    """Offer the schedule types that the chosen sampler can use."""
    sampler, scheduler = tab.form.widgets["sampler"], tab.form.widgets["scheduler"]

    def sampler_chosen(sampler: str, scheduler: str) -> dict[Component, Any]:
        changes = tab.form.schedules(sampler, scheduler)
        if changes["scheduler"]["value"] != scheduler:
            gr.Info(f"{sampler} cannot use the schedule type {scheduler}, so it is Automatic now.", duration=5)
        return tab.form.updates(changes)

    sampler.select(sampler_chosen, [sampler, scheduler], scheduler, **TELLING)  # type: ignore[attr-defined]


def _generate(parts: Parts, tab: DrawingTab) -> None:
    """Generate puts a job into the queue, and the view follows it."""

    def generate(**values: Any) -> dict[str, Any]:
        try:
            return followed(parts.engine.submit(tab.form.request(parts.library, values)))
        except AtelierError as error:
            return refused(tab.form.problem(error))

    # The mask leaves the browser now, not at every stroke.
    names = list(tab.form.widgets)
    js = f"(...values) => atelier.painted('{tab.canvas.elem_id}', {names.index('image')}, values)" if tab.canvas else None
    tab.asking.generate.click(generate, outputs=tab.view, inputs_kwargs=dict(tab.form.widgets), js=js, trigger_mode="multiple", **QUIET)


def _reuse(parts: Parts, tab: DrawingTab) -> None:
    """A picture's settings go back into the form."""

    def reuse(event: gr.EventData) -> dict[Component, Any]:
        request = checked_request(event.request)
        model = parts.model(request.model)
        changes = tab.form.filled(request)
        pictures = {tab.canvas: pictures_of(parts, request)} if tab.canvas else {}
        if model is None:
            del changes["model"]
            gr.Warning(f"The model “{request.model}” is not here any more. Everything else was filled in.")
            return {**tab.form.updates(changes), **pictures}
        return {**tab.updates(model, changes, tab.form.switches(model.family)), **pictures}

    tab.view.reuse(reuse, None, tab.outputs, **TELLING)


def pictures_of(parts: Parts, request: Request) -> Any:
    """The picture and the mask of a request, as the canvas takes them. What is not kept any more is said."""
    if request.image is None:
        return gr.skip()
    try:
        image = kept_picture(parts, request.image.picture)
    except BadPicture:
        gr.Warning("The picture that this one was made from is not kept any more. Everything else was filled in.")
        return gr.skip()
    mask = None
    try:
        mask = kept_picture(parts, request.mask.picture) if request.mask and request.mask.picture else None
    except BadPicture:
        gr.Warning("The mask is not kept any more. Everything else was filled in.")
    return shown(image, mask, request.image.grow)


def kept_picture(parts: Parts, identifier: str) -> Input:
    """Raises BadPicture where it is not kept any more."""
    return Input(identifier, *parts.engine.inputs.size(identifier))


def checked_request(values: Any) -> Request:
    """The request that the browser gives back. It is checked like any other."""
    try:
        return make_request(**values)
    except (BadRequest, TypeError) as error:
        raise gr.Error("These settings cannot be read.", print_exception=False) from error
