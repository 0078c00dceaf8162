"""The inpaint tab: a painted part of a picture changes, or the picture grows."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.components import Component

from backend.painting import GROW_MAX, INPAINT_AREAS, MASK_BLUR_MAX, MASKED_CONTENTS, PADDING_MAX, ImageInput, MaskInput
from ui import sizes
from ui.control_units import units_block
from ui.controls import Slider, settings_cards
from ui.drawing import DrawingTab, asking_block, source_block
from ui.folder import folder_card
from ui.follow import JobView
from ui.form import SIDES, Form
from ui.parts import QUIET, Parts
from ui.refining import refiner_card
from ui.upscaling import upscale_card

PREFIX = "inp"
MASK_MODES = [("Inpaint masked", False), ("Inpaint not masked", True)]
ONLY_MASKED = "Only masked"
WHY_NO_PADDING = "Used where the inpaint area is “Only masked”."


def build(parts: Parts) -> DrawingTab:
    """Fill the tab."""
    model = parts.model(parts.picker.value)
    with gr.Row(elem_id=f"{PREFIX}_work", elem_classes="work wide"):
        with gr.Column(elem_classes="left", min_width=0):
            canvas = source_block(PREFIX, "Picture to paint over", masks=True)
            asking = asking_block(PREFIX, model, lines=2)
            with gr.Column(elem_classes="settings", min_width=0):
                masking = _masking()
                growth = _growth()
                settings, ratios = settings_cards(PREFIX, model)
                units = units_block(parts, PREFIX, source=canvas)
                refiner = refiner_card(parts, PREFIX)
                upscale = upscale_card(parts, PREFIX)
                folder = gr.Column(min_width=0)
        with gr.Column(elem_classes="right", min_width=0):
            view = JobView(prefix=PREFIX, task="inpaint", targets=parts.targets)
    widgets = {**asking.widgets, **masking, **growth, "controls": units, **settings, **refiner, **upscale}
    form = Form(PREFIX, {"model": parts.picker, "image": canvas, **widgets})
    tab = DrawingTab("inpaint", form, view, canvas, asking, ratios)
    sizes.follow_picture(parts, tab, dict.fromkeys(growth.values(), 0))
    sizes.follow_growth(parts, tab)
    with folder:
        folder_card(parts, tab)
    masking["mask.area"].change(_padding, masking["mask.area"], masking["mask.padding"], **QUIET)  # type: ignore[attr-defined]
    soften = f"(pixels) => {{ atelier.canvases['{canvas.elem_id}']?.setBlur(pixels); return []; }}"
    masking["mask.blur"].change(None, masking["mask.blur"], [], js=soften, **QUIET)  # type: ignore[attr-defined]
    return tab


def _masking() -> dict[str, Component]:
    """What the mask means."""
    slider = Slider(PREFIX)
    image, mask = ImageInput(picture="0" * 64), MaskInput(picture="0" * 64)

    def choice(label: str, choices: list[Any], value: Any, name: str) -> gr.Radio:
        return gr.Radio(choices, value=value, label=label, elem_id=f"{PREFIX}_{name}", elem_classes="chips")

    with gr.Column(elem_classes="card", min_width=0):
        with gr.Row(elem_classes="pair"):
            strength = slider("Denoising strength", 0, 1, 0.01, image.denoising_strength, "denoising_strength")
            blur = slider("Mask blur", 0, MASK_BLUR_MAX, 1, mask.blur, "mask_blur")
        with gr.Row(elem_classes="pair"):
            invert = choice("Mask mode", MASK_MODES, mask.invert, "mask_mode")
            content = choice("Masked content", list(MASKED_CONTENTS), mask.content, "masked_content")
            area = choice("Inpaint area", list(INPAINT_AREAS), mask.area, "inpaint_area")
            padding = slider("Only masked padding, pixels", 0, PADDING_MAX, 4, mask.padding, "padding", interactive=False, info=WHY_NO_PADDING)
        soft = gr.Checkbox(mask.soft, label="Soft inpainting", info="Greys of the mask are strengths.", elem_id=f"{PREFIX}_soft")
    return {
        "image.denoising_strength": strength, "mask.blur": blur, "mask.invert": invert, "mask.content": content, "mask.area": area,
        "mask.padding": padding, "mask.soft": soft,
    }  # fmt: skip


def _padding(area: str) -> dict[str, Any]:
    """The padding is off unless it is used, and says why."""
    return gr.update(interactive=area == ONLY_MASKED, info="" if area == ONLY_MASKED else WHY_NO_PADDING)


def _growth() -> dict[str, Component]:
    """Pixels that are added on each side."""
    slider = Slider(PREFIX)
    with gr.Accordion("Outpaint: extend the picture", open=False, elem_id=f"{PREFIX}_outpaint", elem_classes="card"), gr.Row(elem_classes="pair"):
        return {f"image.grow.{side}": slider(side.capitalize(), 0, GROW_MAX, 8, 0, f"grow_{side}") for side in SIDES}
