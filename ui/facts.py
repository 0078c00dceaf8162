"""What the page says about a model beside the prompt and the size: small pieces of HTML."""

from __future__ import annotations

from html import escape

from backend.families import Defaults
from backend.library import Model

SQUARE = ((1, 1),)
OUTLINE_AREA = 170


def placeholder(model: Model | None) -> str:
    """An example for the empty prompt; for a teaching model one that it can draw."""
    return "For example: a red house by snowy mountains at sunset" if model and model.words else "What should the picture show?"


def words(model: Model | None) -> str:
    """The words that a teaching model knows, folded away, and a place for the ones it does not know."""
    known = ""
    if model and model.words:
        buttons = "".join(f'<button type="button" data-word="{escape(word)}">{escape(word)}</button>' for word in model.words)
        known = f"<details><summary>Words this model knows</summary><p>{buttons}</p></details>"
    return f'<div class="hint"><p class="unknown" role="status"></p>{known}</div>'


def ratios(model: Model | None) -> str:
    """Buttons for the ratios of the model's family, and one that swaps width and height.

    The script keeps the area that the model was trained for, in `data-area` (pixels), and its `data-step`; units read `data-family`.
    """
    start = model.defaults if model else Defaults()
    step = model.family.size_step if model else 8
    offered = model.family.ratios if model else SQUARE
    buttons = "".join(
        f'<button type="button" data-ratio="{width}:{height}" aria-pressed="false">{_outline(width, height)}{width}:{height}</button>'
        for width, height in offered
    )
    family = model.family_id if model else ""
    swap = '<button type="button" data-action="swap" class="icon swap" title="Swap width and height" aria-label="Swap width and height"></button>'
    known = f'data-area="{start.width * start.height}" data-step="{step}" data-family="{family}"'
    return f'<div class="ratios" role="group" aria-label="Ratio" {known}>{buttons}{swap}</div>'


def _outline(width: int, height: int) -> str:
    """A small frame of that ratio; all have about the same area, in pixels."""
    scale = (OUTLINE_AREA / (width * height)) ** 0.5
    return f'<i style="width:{width * scale:.0f}px;height:{height * scale:.0f}px"></i>'
