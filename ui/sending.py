"""Sending a picture that was made in one tab to another, with the settings that made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.errors import BadPicture
from ui.canvas import shown
from ui.drawing import PictureTab, checked_request, kept_picture
from ui.form import SIDES, Changes, merged
from ui.parts import TELLING, Parts
from ui.sizes import usable

CARRIED = ("prompt", "negative_prompt", "seed", "steps", "guidance", "sampler")


def connect(parts: Parts, selected: gr.Tabs, tabs: Sequence[PictureTab]) -> None:
    """From every view to every tab with a canvas. A view's event says which tab, which kept picture and which request."""
    targets = {tab.id: tab for tab in tabs if tab.canvas}
    outputs = [selected, *dict.fromkeys(component for tab in targets.values() for component in tab.outputs)]

    def sent(event: gr.EventData) -> dict[Component, Any]:
        tab = targets.get(event.tab)
        if tab is None or tab.canvas is None:
            raise gr.Error("There is no such tab.", print_exception=False)
        request = checked_request(event.request)
        try:
            picture = kept_picture(parts, str(event.picture))
        except BadPicture as error:
            raise gr.Error(error.sentence, print_exception=False) from error
        width, height = usable(picture.width, picture.height)
        values: Changes = {name: {"value": getattr(request, name)} for name in CARRIED} if request.draws else {}
        sized: Changes = {"width": {"value": width}, "height": {"value": height}}
        still: Changes = {f"image.grow.{side}": {"value": 0} for side in SIDES}
        changes = merged(values, sized, still, tab.form.schedules(request.sampler, request.scheduler) if request.draws else {})
        here = {name: change for name, change in changes.items() if name in tab.form.widgets}
        return {selected: gr.Tabs(selected=tab.id), **tab.form.updates(here), tab.canvas: shown(picture)}  # type: ignore[dict-item]

    for tab in tabs:
        tab.view.send(sent, None, outputs, **TELLING)
