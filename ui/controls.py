"""The settings that tabs share: size, batch, sampling, seed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from backend import types as limits
from backend.families import Defaults
from backend.library import Model
from backend.samplers import SCHEDULES
from ui import facts
from ui.form import ChoiceDropdown, NumberSlider
from ui.style import asset


@dataclass(frozen=True)
class Slider:
    """Makes sliders whose elem_ids begin with `prefix`."""

    prefix: str

    def __call__(self, label: str, low: float, high: float, step: float, value: float, name: str, **options: Any) -> NumberSlider:
        options = {"buttons": [], **options}
        return NumberSlider(minimum=low, maximum=high, step=step, value=value, label=label, elem_id=f"{self.prefix}_{name}", **options)


def settings_cards(prefix: str, model: Model | None) -> tuple[dict[str, Component], gr.HTML]:
    """Size, batch, sampling and seed, with elem_ids that begin with `prefix`: widgets by field, and the ratio buttons."""
    start = model.defaults if model else Defaults()
    slider = Slider(prefix)
    with gr.Column(elem_classes="card", min_width=0):
        with gr.Row(elem_classes="pair size"):
            width = slider("Width", limits.SIZE_MIN, limits.SIZE_MAX, limits.SIZE_STEP, start.width, "width")
            height = slider("Height", limits.SIZE_MIN, limits.SIZE_MAX, limits.SIZE_STEP, start.height, "height")
        ratios = gr.HTML(facts.ratios(model), elem_id=f"{prefix}_ratios", apply_default_css=False)
        with gr.Row(elem_classes="pair"):
            batch_count = slider("Batch count", 1, limits.BATCH_COUNT_MAX, 1, 1, "batch_count")
            batch_size = slider("Batch size", 1, limits.BATCH_SIZE_MAX, 1, 1, "batch_size")
    with gr.Column(elem_classes="card", min_width=0):
        with gr.Row(elem_classes="pair"):
            sampler, scheduler = _sampling(prefix, start, model)
        with gr.Row(elem_classes="pair"):
            steps = slider("Sampling steps", 1, limits.STEPS_MAX, 1, start.steps, "steps")
            guidance = slider("CFG Scale", 1, limits.GUIDANCE_MAX, 0.5, start.guidance, "guidance")
    with gr.Column(elem_classes="card", min_width=0), gr.Row(elem_classes="pair seed"):
        seed = gr.Number(limits.RANDOM_SEED, label="Seed", precision=None, step=1, elem_id=f"{prefix}_seed", elem_classes="seed-number")
        gr.HTML(asset("seed_buttons.html").replace("{prefix}", prefix), elem_id=f"{prefix}_seed_buttons", apply_default_css=False)
        one_by_one = gr.Checkbox(
            False, label="Draw a batch one by one", info="Slower; each picture is the same to the bit as alone.",
            elem_id=f"{prefix}_one_by_one", elem_classes="one-by-one",
        )  # fmt: skip
    widgets: dict[str, Component] = {
        "width": width, "height": height, "batch_count": batch_count, "batch_size": batch_size, "sampler": sampler, "scheduler": scheduler,
        "steps": steps, "guidance": guidance, "seed": seed, "one_by_one": one_by_one,
    }  # fmt: skip
    return widgets, ratios


def _sampling(prefix: str, start: Defaults, model: Model | None) -> tuple[Component, Component]:
    samplers = list(model.family.samplers) if model else [start.sampler]
    options: dict[str, Any] = {"interactive": True, "filterable": False, "elem_classes": "choice"}
    sampler = ChoiceDropdown(samplers, value=start.sampler, label="Sampling method", elem_id=f"{prefix}_sampler", **options)
    schedules = [schedule.name for schedule in SCHEDULES]
    scheduler = ChoiceDropdown(schedules, value=start.scheduler, label="Schedule type", elem_id=f"{prefix}_scheduler", **options)
    return sampler, scheduler
