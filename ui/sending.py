"""Sending a picture that was made in one tab to another, with the settings that made it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.errors import BadPicture
from backend.inputs import Input
from backend.types import SIZE_STEP, Request
from ui.canvas import shown
from ui.control_units import Unit, with_picture
from ui.drawing import PictureTab, checked_request, kept_picture
from ui.form import SIDES, Changes, merged
from ui.parts import TELLING, Parts
from ui.sizes import usable

CARRIED = ("prompt", "negative_prompt", "seed", "steps", "guidance", "sampler")


def connect(parts: Parts, selected: gr.Tabs, tabs: Sequence[PictureTab], takers: Sequence[str]) -> None:
    """From every view to the tabs that take pictures, by id. A view's event says which tab, which kept picture and which request.

    The picture goes onto the tab's canvas; without one, into one of its units.
    """
    targets = {tab.id: tab for tab in tabs if tab.id in takers}
    units = {tab.id: tab.form.widgets["controls"] for tab in targets.values() if tab.canvas is None}
    outputs = [selected, *dict.fromkeys(component for tab in targets.values() for component in tab.outputs)]

    def sent(event: gr.EventData, *values: list[Unit]) -> dict[Component, Any]:
        tab = targets.get(event.tab)
        if tab is None:
            raise gr.Error("There is no such tab.", print_exception=False)
        request = checked_request(event.request)
        try:
            picture = kept_picture(parts, str(event.picture))
        except BadPicture as error:
            raise gr.Error(error.sentence, print_exception=False) from error
        before = dict(zip(units, values, strict=True))
        changes = merged(_carried(tab, request), _sized(picture) if tab.canvas else _fitted(request))
        here = {name: change for name, change in changes.items() if name in tab.form.widgets}
        place = {tab.canvas: shown(picture)} if tab.canvas else {units[tab.id]: with_picture(before[tab.id], picture.id)}
        return {selected: gr.Tabs(selected=tab.id), **tab.form.updates(here), **place}  # type: ignore[dict-item]

    for tab in tabs:
        tab.view.send(sent, list(units.values()), outputs, **TELLING)


def _carried(tab: PictureTab, request: Request) -> Changes:
    """The settings that made the picture, where it was drawn."""
    if not request.draws:
        return {}
    return merged({name: {"value": getattr(request, name)} for name in CARRIED}, tab.form.schedules(request.sampler, request.scheduler))


def _sized(picture: Input) -> Changes:
    """Where the picture is what is started from: its own size, with nothing added."""
    width, height = usable(picture.width, picture.height)
    return {"width": {"value": width}, "height": {"value": height}, **{f"image.grow.{side}": {"value": 0} for side in SIDES}}


def _fitted(request: Request) -> Changes:
    """Where the picture is only followed: the size that it was drawn at."""
    sides = {"width": request.width, "height": request.height} if request.draws else {}
    return {name: {"value": round(pixels / SIZE_STEP) * SIZE_STEP} for name, pixels in sides.items()}
