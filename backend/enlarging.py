"""The part of a request that makes a finished picture larger, and its faces better."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, model_validator

from backend.painting import Strength

NONE = "None"
PLAIN_UPSCALERS = (NONE, "Lanczos", "Nearest")
"""What needs no model. "None" leaves the picture as it is until it is brought to its size, by Lanczos."""

SCALE_MIN, SCALE_MAX = 1.0, 8.0
TILE_MIN, TILE_MAX = 64, 2048
SIDE_MAX = 16_384
PIXELS_MAX = 2**27
"""134 million: 16,384 x 8,192, or 11,585 to each side."""


def _share(value: float) -> float:
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"Visibility goes from 0 to 1; {value:g} is outside.")
    return value


def _tile(pixels: int) -> int:
    if pixels and not TILE_MIN <= pixels <= TILE_MAX:
        raise ValueError(f"Tiles go from {TILE_MIN} to {TILE_MAX} pixels, or 0 for the model's own size; {pixels:,} is outside.")
    return pixels


def _factor(value: float) -> float:
    if not SCALE_MIN <= value <= SCALE_MAX:
        raise ValueError(f"The factor goes from {SCALE_MIN:g} to {SCALE_MAX:g}; {value:g} is outside.")
    return value


def _side(pixels: int) -> int:
    if not 0 <= pixels <= SIDE_MAX:
        raise ValueError(f"{SIDE_MAX:,} pixels is the most for a side; {pixels:,} is outside.")
    return pixels


Side = Annotated[int, AfterValidator(_side)]


class Detail(BaseModel):
    """Draw the enlarged picture anew, tile by tile, with the request's model, prompt and sampling."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    denoising_strength: Strength = 0.3
    """0 leaves it as it is; above 0.5 every tile begins to tell a story of its own."""
    tile: Annotated[int, AfterValidator(_tile)] = 0
    """Pixels to each side of a tile; 0 takes what the model was made for."""
    control: str = ""
    """Name of a tile ControlNet in the library, which holds every tile to what it shows; "" for none."""


class Upscale(BaseModel):
    """By how much, and with what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    upscaler: str = "Lanczos"
    """Name of an upscaler in the library, or one of PLAIN_UPSCALERS."""
    scale: Annotated[float, AfterValidator(_factor)] = 4.0
    """1 to 8. Not looked at where a size is given."""
    width: Side = 0
    """Pixels; 0 takes the scale. With only one of both given, the other follows from the ratio."""
    height: Side = 0
    crop: bool = True
    """Where both are given and the ratio is another: cut off what is outside; otherwise the picture fits inside."""
    second: str = NONE
    """Another upscaler, mixed in."""
    second_visibility: Annotated[float, AfterValidator(_share)] = 0.0
    """Its share of the mix, 0 to 1."""
    detail: Detail | None = None
    """Tiled diffusion over the result."""
    faces: str = NONE
    """Name of a face restorer in the library, which comes last; NONE leaves faces as they are."""
    faces_visibility: Annotated[float, AfterValidator(_share)] = 1.0
    """How much of the restored faces shows, 0 to 1."""

    @model_validator(mode="after")
    def _both_or_one(self) -> Upscale:
        if self.width * self.height > PIXELS_MAX:
            raise ValueError(_too_many(self.width, self.height))
        return self

    @property
    def mixes(self) -> bool:
        return self.second != NONE and self.second_visibility > 0

    @property
    def restores(self) -> bool:
        return self.faces != NONE and self.faces_visibility > 0

    @property
    def enlarges(self) -> bool:
        return self.upscaler != NONE or self.scale != 1 or bool(self.width or self.height)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Pixels of the result for a picture of `width` x `height`. Raises ValueError where that is too large."""
        across, down = self.filled(width, height)
        if self.width and self.height:
            across, down = (self.width, self.height) if self.crop else (min(across, self.width), min(down, self.height))
        if max(across, down) > SIDE_MAX or across * down > PIXELS_MAX:
            raise ValueError(_too_many(across, down))
        return across, down

    def filled(self, width: int, height: int) -> tuple[int, int]:
        """The whole picture at its new scale, before anything is cut off."""
        if not self.width and not self.height:
            factor = self.scale
        elif not (self.width and self.height):
            factor = self.width / width if self.width else self.height / height
        else:
            factors = (self.width / width, self.height / height)
            factor = max(factors) if self.crop else min(factors)
        return max(1, round(width * factor)), max(1, round(height * factor))


def _too_many(width: int, height: int) -> str:
    return (
        f"It would become {width:,} x {height:,} pixels; {SIDE_MAX:,} is the most for a side, and {PIXELS_MAX // 10**6} million in all."
        " Please choose a smaller factor or size."
    )
