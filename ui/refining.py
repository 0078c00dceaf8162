"""The refiner's card in the form: another model for the last steps."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component

from ui.controls import Slider
from ui.form import ChoiceDropdown
from ui.parts import QUIET, Parts

NONE = ("None", "")


def refiner_card(parts: Parts, prefix: str) -> dict[str, Component]:
    """Which model, and where it takes over."""
    with gr.Column(elem_classes="card", min_width=0), gr.Row(elem_classes="pair"):
        model = ChoiceDropdown(
            _choices(parts), value="", label="Refiner", elem_id=f"{prefix}_refiner", interactive=True, filterable=False, elem_classes="choice",
        )  # fmt: skip
        switch = Slider(prefix)("Switch at", 0.01, 1, 0.01, 0.8, "refiner_switch_at")
    parts.refreshed.then(lambda: gr.update(choices=_choices(parts)), None, model, **QUIET)
    return {"refiner.model": model, "refiner.switch_at": switch}


def _choices(parts: Parts) -> list[Any]:
    return [NONE, *(model.name for model in parts.library.models if model.usable)]
