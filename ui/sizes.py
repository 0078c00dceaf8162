"""How the size to draw at follows the picture that goes in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.errors import BadPicture
from backend.painting import Borders
from backend.types import SIZE_MAX, SIZE_MIN
from ui.canvas import Painted
from ui.drawing import DrawingTab
from ui.form import SIDES
from ui.parts import QUIET, Parts

BY_MIN, BY_MAX, BY_STEP = 0.05, 4.0, 0.05


def usable(width: int, height: int) -> tuple[int, int]:
    """The size nearest to this one that a request can have, in the same ratio as far as that goes."""
    scale = max(min(1.0, SIZE_MAX / max(width, height)), SIZE_MIN / min(width, height))
    return tuple(min(SIZE_MAX, max(SIZE_MIN, round(side * scale))) for side in (width, height))  # type: ignore[return-value]


def grown(size: tuple[int, int], borders: Borders) -> tuple[int, int]:
    """The size of a picture with its borders."""
    return size[0] + borders.left + borders.right, size[1] + borders.top + borders.bottom


def picture_size(parts: Parts, painted: Painted) -> tuple[int, int] | None:
    """Pixels of what is on the canvas, borders included; None where there is nothing."""
    try:
        return grown(parts.engine.inputs.size(painted.image), painted.grow) if painted.image else None
    except BadPicture:
        return None


def follow_picture(parts: Parts, tab: DrawingTab, afresh: Mapping[Component, float]) -> None:
    """Width and height take the size of a picture that is chosen; `afresh` says with what other widgets begin again."""
    assert tab.canvas
    width, height = tab.form.widgets["width"], tab.form.widgets["height"]

    def taken(painted: Painted) -> dict[Component, Any]:
        size = picture_size(parts, painted)
        if size is None:
            return {width: gr.skip()}
        across, down = usable(*size)
        return {width: across, height: down, **afresh}

    tab.canvas.picture(taken, tab.canvas, [width, height, *afresh], **QUIET)  # type: ignore[attr-defined]


def follow_factor(parts: Parts, tab: DrawingTab, factor: Component) -> None:
    """Width and height become the picture's size times the factor."""
    assert tab.canvas
    sides = [tab.form.widgets["width"], tab.form.widgets["height"]]

    def resized(by: float | None, painted: Painted) -> Any:
        size = picture_size(parts, painted)
        if size is None or not by:
            return gr.skip(), gr.skip()
        return round(size[0] * by), round(size[1] * by)

    factor.input(resized, [factor, tab.canvas], sides, trigger_mode="always_last", **QUIET)  # type: ignore[attr-defined]


def follow_growth(parts: Parts, tab: DrawingTab) -> None:
    """The pixels on each side are those of the canvas's handles, and width and height take in what is added."""
    assert tab.canvas
    sides = [tab.form.widgets[f"image.grow.{side}"] for side in SIDES]
    size = [tab.form.widgets["width"], tab.form.widgets["height"]]

    def resized(painted: Painted, *pixels: int | None) -> Any:
        try:
            borders = Borders.model_validate(dict(zip(SIDES, pixels, strict=True)))
        except ValueError:
            return gr.skip(), gr.skip()  # said when the request is made
        whole = picture_size(parts, Painted(painted.image, None, borders))
        return usable(*whole) if whole else (gr.skip(), gr.skip())

    options: dict[str, Any] = {**QUIET, "trigger_mode": "always_last"}
    told = [tab.canvas, *sides]
    dragged = f"(value) => [value, {', '.join(f'value.grow.{side}' for side in SIDES)}]"
    tab.canvas.grow(lambda painted, *pixels: (*pixels, *resized(painted, *pixels)), told, [*sides, *size], js=dragged, **options)  # type: ignore[attr-defined]
    typed = f"(value, ...pixels) => {{ atelier.grow('{tab.canvas.elem_id}', pixels); return [value, ...pixels]; }}"
    gr.on([side.input for side in sides], resized, told, size, js=typed, **options)  # type: ignore[attr-defined]


def tell_sizes(parts: Parts, tab: DrawingTab, place: gr.HTML) -> None:
    """Say beside the factor what becomes of the picture's size."""
    assert tab.canvas
    width, height = tab.form.widgets["width"], tab.form.widgets["height"]
    told = [width, height, tab.canvas]

    def sizes(width: Any, height: Any, painted: Painted) -> str:
        size = picture_size(parts, painted)
        if size is None or not width or not height:
            return ""
        return f'<span class="from-to">from {size[0]} × {size[1]} to {width:g} × {height:g}</span>'

    options: dict[str, Any] = {**QUIET, "trigger_mode": "always_last"}
    gr.on([component.change for component in told], sizes, told, place, **options)  # type: ignore[attr-defined]
    tab.canvas.picture(sizes, told, place, **options)  # type: ignore[attr-defined]
