"""The txt2img tab: a prompt becomes pictures."""

from __future__ import annotations

import gradio as gr

from ui import hires
from ui.control_units import units_block
from ui.controls import settings_cards
from ui.drawing import DrawingTab, asking_block
from ui.follow import JobView
from ui.form import Form
from ui.parts import Parts
from ui.refining import refiner_card
from ui.upscaling import upscale_card

PREFIX = "t2i"


def build(parts: Parts) -> DrawingTab:
    """Fill the tab."""
    model = parts.model(parts.picker.value)
    with gr.Row(elem_id=f"{PREFIX}_work", elem_classes="work"):
        with gr.Column(elem_classes="left", min_width=0):
            asking = asking_block(PREFIX, model)
            with gr.Column(elem_classes="settings", min_width=0):
                settings, ratios = settings_cards(PREFIX, model)
                units = units_block(parts, PREFIX)
                second, sizes = hires.hires_card(parts, PREFIX, model)
                refiner = refiner_card(parts, PREFIX)
                upscale = upscale_card(parts, PREFIX)
        with gr.Column(elem_classes="right", min_width=0):
            view = JobView(prefix=PREFIX, task="txt2img", targets=parts.targets)
    form = Form(PREFIX, {"model": parts.picker, **asking.widgets, "controls": units, **settings, **second, **refiner, **upscale})
    hires.tell_sizes(form, sizes)
    hires.follow_sampler(form)
    return DrawingTab("txt2img", form, view, None, asking, ratios)
