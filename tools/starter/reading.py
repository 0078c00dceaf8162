"""A second task for the text encoder in training: to say what the caption says, so that its words mean something early."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tools.starter.facts import BODIES, COLOURS, LANDS, PLACES, SHAPES, SIDES, SIZES, THINGS, TIMES, Facts

FIELDS: dict[str, tuple[str, ...]] = {
    "colour": tuple(COLOURS), "shape": SHAPES, "ground": tuple(COLOURS), "size": tuple(SIZES), "place": tuple(PLACES),
    "land": LANDS, "time": TIMES, "body": BODIES, "body_side": SIDES, "thing": THINGS, "thing_colour": ("", *COLOURS), "thing_side": SIDES,
}  # fmt: skip
"""Field of a picture's facts to all the values that it may have."""

NOT_ASKED = -100
"""torch's own mark of a target that does not count."""


def answers(facts: list[Facts]) -> Tensor:
    """For N pictures the number of each field's value, N x fields; NOT_ASKED where a picture has no such field."""
    rows = [[values.index(getattr(one, name)) if hasattr(one, name) else NOT_ASKED for name, values in FIELDS.items()] for one in facts]
    return torch.tensor(rows)


class Reader(nn.Module):
    """Reads every field off the vector at a caption's end. It is left behind when training is done."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head = nn.Linear(width, sum(len(values) for values in FIELDS.values()))

    def forward(self, pooled: Tensor, wanted: Tensor) -> Tensor:
        """The sum of the fields' cross entropies. `pooled` is N x width, `wanted` as `answers` gives it."""
        guesses = self.head(pooled).float().split([len(values) for values in FIELDS.values()], dim=1)
        asked = [(guess, column) for guess, column in zip(guesses, wanted.T, strict=True) if (column != NOT_ASKED).any()]
        return torch.stack([nn.functional.cross_entropy(guess, column) for guess, column in asked]).sum()
