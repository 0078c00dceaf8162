"""A whole folder through the form of a tab: its card, and how it gets on."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.batches import Folders
from backend.errors import AtelierError, BadRequest
from backend.painting import Borders
from ui.canvas import Painted
from ui.drawing import PictureTab
from ui.parts import QUIET, Parts
from ui.style import asset

STAND_IN = "0" * 64
"""In the request of a batch, for the pictures of the folder."""

OWN_SIZE, FORM_SIZE = "Each picture's own", "Width and height above"
FIELDS = {"source": "Input folder", "target": "Output folder", "masks": "Mask folder"}
HINTS = {
    "source": "The pictures in it, not those in its sub-folders",
    "target": "What is there already is left alone and not drawn again",
    "masks": "One under each picture's name, or a single one for all",
}


class BatchView(gr.HTML):
    """How a batch gets on. What a handler returns to it is a message for assets/batch.js: {"batch": id} or {"problem": ...}."""

    def __init__(self, prefix: str) -> None:
        super().__init__(
            value=None,
            elem_id=f"{prefix}_batch_view",
            html_template=asset("batch.html"),
            js_on_load=f"atelier.openBatch(element, '{prefix}', props, watch);",
            apply_default_css=False,
        )

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:  # type: ignore[override]
        return value

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}


def folder_card(parts: Parts, tab: PictureTab, sizes: Sequence[str] = (OWN_SIZE, FORM_SIZE)) -> None:
    """Fill the card, and let its button start a batch. Tabs with masks also ask for a folder of those. `sizes`: what can be drawn at."""
    prefix, masks = tab.form.prefix, tab.form.masks
    names = list(FIELDS) if masks else ["source", "target"]
    with gr.Accordion("Batch: a folder of pictures", open=False, elem_id=f"{prefix}_batch", elem_classes="card batch"):
        boxes = {name: gr.Textbox("", label=FIELDS[name], info=HINTS[name], lines=1, elem_id=f"{prefix}_batch_{name}") for name in names}
        size = gr.Radio(
            list(sizes), value=OWN_SIZE if sizes else None, label="Size", elem_id=f"{prefix}_batch_size_from", elem_classes="chips",
            visible=bool(sizes),
        )  # fmt: skip
        button = gr.Button("Start the batch", elem_id=f"{prefix}_batch_start")
        view = BatchView(prefix)

    connect(parts, tab, boxes, size, button, view)


def connect(parts: Parts, tab: PictureTab, boxes: Mapping[str, Component], size: gr.Radio, button: gr.Button, view: BatchView) -> None:
    """The button starts a batch, and the view follows it."""

    def start(**values: Any) -> dict[str, Any]:
        paths = {name: str(values.pop(name) or "").strip() for name in boxes}
        scale = 1.0 if values.pop("size_from") == OWN_SIZE else None
        try:
            empty = {name: f"{FIELDS[name]} is empty. Please name a folder on this computer." for name, path in paths.items() if not path}
            if empty:
                raise BadRequest(empty)
            picture = Painted(STAND_IN, STAND_IN if tab.form.masks else None, Borders())
            request = tab.form.request(parts.library, {**values, "image": picture})
            folders = Folders(**{name: Path(path).expanduser() for name, path in paths.items()})
            batch = parts.batches.start(request, folders, scale)
        except AtelierError as error:
            return {"problem": problem(tab, boxes, error), "at": time.time()}
        return {"batch": batch.id, "at": time.time()}

    asked = {**tab.form.widgets, **boxes, "size_from": size}
    del asked["image"]
    button.click(start, outputs=view, inputs_kwargs=asked, **QUIET)


def problem(tab: PictureTab, boxes: Mapping[str, Component], error: AtelierError) -> dict[str, Any]:
    """As Form.problem, with the card's own fields."""
    fields = error.fields if isinstance(error, BadRequest) else {}
    own = {str(boxes[name].elem_id): sentence for name, sentence in fields.items() if name in boxes}
    if own:
        return {"fields": own, "sentence": ""}
    return tab.form.problem(error)
