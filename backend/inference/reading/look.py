"""What a preprocessor gets to see."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Look:
    """One picture at the size at which it is read. A preprocessor answers with a map of the same height and width."""

    picture: Pixels
    """height x width x 3, RGB, 0 to 255."""
    a: float = 0.0
    """The value of the row's first slider."""
    b: float = 0.0
    mask: Pixels | None = None
    """height x width, 255 where it counts, for rows that need one."""
    network: Any = None
    """What the row's `load` gave, for rows that have one."""
