"""The img2img tab: a picture becomes other pictures."""

from __future__ import annotations

import gradio as gr
from gradio.components import Component

from backend.painting import RESIZE_MODES, ImageInput
from ui import sizes
from ui.control_units import units_block
from ui.controls import Slider, settings_cards
from ui.drawing import DrawingTab, asking_block, source_block
from ui.folder import folder_card
from ui.follow import JobView
from ui.form import Form
from ui.parts import Parts
from ui.refining import refiner_card
from ui.upscaling import upscale_card

PREFIX = "i2i"


def build(parts: Parts) -> DrawingTab:
    """Fill the tab."""
    model = parts.model(parts.picker.value)
    with gr.Row(elem_id=f"{PREFIX}_work", elem_classes="work"):
        with gr.Column(elem_classes="left", min_width=0):
            canvas = source_block(PREFIX, "Picture to start from", masks=False)
            asking = asking_block(PREFIX, model, lines=2)
            with gr.Column(elem_classes="settings", min_width=0):
                resizing, factor, told = _resizing()
                settings, ratios = settings_cards(PREFIX, model)
                units = units_block(parts, PREFIX, source=canvas)
                refiner = refiner_card(parts, PREFIX)
                upscale = upscale_card(parts, PREFIX)
                folder = gr.Column(min_width=0)
        with gr.Column(elem_classes="right", min_width=0):
            view = JobView(prefix=PREFIX, task="img2img", targets=parts.targets)
    form = Form(PREFIX, {"model": parts.picker, "image": canvas, **asking.widgets, **resizing, "controls": units, **settings, **refiner, **upscale})
    tab = DrawingTab("img2img", form, view, canvas, asking, ratios)
    sizes.follow_picture(parts, tab, {factor: 1.0})
    sizes.follow_factor(parts, tab, factor)
    sizes.tell_sizes(parts, tab, told)
    with folder:
        folder_card(parts, tab)
    return tab


def _resizing() -> tuple[dict[str, Component], Component, gr.HTML]:
    """How much changes, and how the picture comes to the new size; the factor, and what it comes to, are the page's own."""
    slider = Slider(PREFIX)
    start = ImageInput(picture="0" * 64)
    with gr.Column(elem_classes="card", min_width=0):
        strength = slider("Denoising strength", 0, 1, 0.01, start.denoising_strength, "denoising_strength")
        mode = gr.Radio(list(RESIZE_MODES), value=start.resize_mode, label="Resize mode", elem_id=f"{PREFIX}_resize_mode", elem_classes="chips")
        factor = slider("Resize by", sizes.BY_MIN, sizes.BY_MAX, sizes.BY_STEP, 1.0, "resize_by")
        told = gr.HTML("", elem_id=f"{PREFIX}_sizes", elem_classes="sizes", apply_default_css=False)
    return {"image.denoising_strength": strength, "image.resize_mode": mode}, factor, told
