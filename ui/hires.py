"""Hires fix: its card in the form, and what it says about the size."""

from __future__ import annotations

from html import escape
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.errors import BadRequest
from backend.library import Model
from backend.painting import HIRES_SCALE_MAX, HIRES_SCALE_MIN, LATENT_UPSCALERS, Hires
from backend.samplers import SCHEDULES, find_sampler
from backend.types import HIRES_SIZE_MAX, STEPS_MAX
from ui.controls import Slider
from ui.form import SAME_SAMPLER, ChoiceDropdown, Form
from ui.parts import QUIET, Parts

SAME_SCHEDULER = ("Use same scheduler", "")
SAME_CHECKPOINT = ("Use same checkpoint", "")
SIZE_FIELDS = ("hires", "width", "height", "hires.scale", "hires.width", "hires.height")


def hires_card(parts: Parts, prefix: str, model: Model | None) -> tuple[dict[str, Component], gr.HTML]:
    """A switch, all that it switches, and the place for the sizes. The style sheet hides the rest while the switch is off."""
    start = Hires()
    slider = Slider(f"{prefix}_hires")
    options: dict[str, Any] = {"interactive": True, "filterable": False, "elem_classes": "choice"}
    with gr.Column(elem_classes="card hires", min_width=0):
        with gr.Row(elem_classes="switch-line"):
            switch = gr.Checkbox(False, label="Hires fix", elem_id=f"{prefix}_hires", elem_classes="switch")
            sizes = gr.HTML("", elem_id=f"{prefix}_hires_sizes", elem_classes="sizes", apply_default_css=False)
        with gr.Column(elem_classes="switched", min_width=0):
            with gr.Row(elem_classes="pair"):
                upscaler = ChoiceDropdown(upscalers(parts), value=start.upscaler, label="Upscaler", elem_id=f"{prefix}_hires_upscaler", **options)
                steps = slider("Hires steps", 0, STEPS_MAX, 1, start.steps, "steps")
                strength = slider("Denoising strength", 0, 1, 0.01, start.denoising_strength, "denoising_strength")
                scale = slider("Upscale by", HIRES_SCALE_MIN, HIRES_SCALE_MAX, 0.05, start.scale, "scale")
                width = slider("Resize width to", 0, HIRES_SIZE_MAX, 8, start.width, "width")
                height = slider("Resize height to", 0, HIRES_SIZE_MAX, 8, start.height, "height")
                checkpoint = ChoiceDropdown(
                    checkpoints(parts), value=start.model, label="Hires checkpoint", elem_id=f"{prefix}_hires_model", **options,
                )  # fmt: skip
                samplers = [SAME_SAMPLER, *(model.family.samplers if model else ())]
                sampler = ChoiceDropdown(samplers, value=start.sampler, label="Hires sampling method", elem_id=f"{prefix}_hires_sampler", **options)
                schedules = [SAME_SCHEDULER, *(schedule.name for schedule in SCHEDULES)]
                scheduler = ChoiceDropdown(
                    schedules, value=start.scheduler, label="Hires schedule type", elem_id=f"{prefix}_hires_scheduler", **options,
                )  # fmt: skip
            with gr.Column(elem_classes="more-prompts", min_width=0):
                prompt = _prompt("Hires prompt", f"{prefix}_hires_prompt")
                negative = _prompt("Hires negative prompt", f"{prefix}_hires_negative")
                keep = gr.Checkbox(start.keep_first, label="Keep the first picture too", elem_id=f"{prefix}_hires_keep_first")
    parts.refreshed.then(lambda: gr.update(choices=upscalers(parts)), None, upscaler, **QUIET)
    parts.refreshed.then(lambda: gr.update(choices=checkpoints(parts)), None, checkpoint, **QUIET)
    widgets: dict[str, Component] = {
        "hires": switch, "hires.upscaler": upscaler, "hires.steps": steps, "hires.denoising_strength": strength, "hires.scale": scale,
        "hires.width": width, "hires.height": height, "hires.sampler": sampler, "hires.scheduler": scheduler, "hires.model": checkpoint,
        "hires.prompt": prompt, "hires.negative_prompt": negative, "hires.keep_first": keep,
    }  # fmt: skip
    return widgets, sizes


def upscalers(parts: Parts) -> list[str]:
    """The latent ones, and everything that makes pictures larger."""
    return [*LATENT_UPSCALERS, *(upscaler.name for upscaler in parts.library.upscalers.usable)]


def checkpoints(parts: Parts) -> list[Any]:
    """The first pass's model, and all others."""
    return [SAME_CHECKPOINT, *(model.name for model in parts.library.models if model.usable)]


def _prompt(label: str, name: str) -> gr.Textbox:
    return gr.Textbox("", label=label, lines=1, max_lines=6, placeholder="Empty: the same as above", elem_id=name)


def tell_sizes(form: Form, sizes: gr.HTML) -> None:
    """Keep the sizes beside the switch true to the form."""
    told = [form.widgets[name] for name in SIZE_FIELDS]
    gr.on([widget.change for widget in told], from_to, told, sizes, trigger_mode="always_last", **QUIET)  # type: ignore[attr-defined]


def follow_sampler(form: Form) -> None:
    """Offer the schedule types that the sampler of this pass can use."""
    samplers, scheduler = [form.widgets["sampler"], form.widgets["hires.sampler"]], form.widgets["hires.scheduler"]
    gr.on([widget.change for widget in samplers], offered, [*samplers, scheduler], scheduler, trigger_mode="always_last", **QUIET)  # type: ignore[attr-defined]


def offered(sampler: str, own: str, wanted: str) -> dict[str, Any]:
    """The schedule types for the hires pass's own sampler, or the first pass's; a wanted one that does not fit gives way."""
    try:
        usable = find_sampler(own or sampler).schedules
    except BadRequest:
        usable = ()
    return gr.update(choices=[SAME_SCHEDULER, *usable], value=wanted if wanted in usable else SAME_SCHEDULER[1])


def from_to(on: bool, width: Any, height: Any, scale: Any, across: Any, down: Any) -> str:
    """ "from 512 × 512 to 1024 × 1024"; empty where it is off, or where the numbers cannot be used."""
    if not on:
        return ""
    try:
        target = Hires.model_validate({"scale": scale, "width": across, "height": down}).size(int(width), int(height))
    except (TypeError, ValueError, OverflowError):
        return ""
    too_large = " too-large" if max(target) > HIRES_SIZE_MAX else ""
    return escape(f"from {int(width)} × {int(height)} to {target[0]} × {target[1]}").join((f'<span class="from-to{too_large}">', "</span>"))
