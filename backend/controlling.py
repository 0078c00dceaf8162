"""The part of a request that says what else the picture follows: edges, depth, poses, or other pictures."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

from backend.painting import InputId

NO_PREPROCESSOR = "none"
"""The picture is a map already."""

ControlMode = Literal["Balanced", "My prompt is more important", "ControlNet is more important"]
ControlResize = Literal["Just Resize", "Crop and Resize", "Resize and Fill"]

CONTROL_MODES: tuple[ControlMode, ...] = ("Balanced", "My prompt is more important", "ControlNet is more important")
CONTROL_RESIZES: tuple[ControlResize, ...] = ("Just Resize", "Crop and Resize", "Resize and Fill")
"""Names of A1111's ControlNet extension, in its order: its API counts them from 0."""

CONTROLS_MAX = 10
PICTURES_MAX = 16
WEIGHT_MAX = 2.0
RESOLUTION_MIN, RESOLUTION_MAX = 64, 2048


def _weight(value: float) -> float:
    if not (math.isfinite(value) and 0 <= value <= WEIGHT_MAX):
        raise ValueError(f"The control weight goes from 0 to {WEIGHT_MAX:g}; {value:g} is outside.")
    return value


def _share(value: float) -> float:
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"Starting and ending control steps go from 0 to 1; {value:g} is outside.")
    return value


def _resolution(pixels: int) -> int:
    if not RESOLUTION_MIN <= pixels <= RESOLUTION_MAX:
        raise ValueError(f"The preprocessor's resolution goes from {RESOLUTION_MIN} to {RESOLUTION_MAX} pixels; {pixels:,} is outside.")
    return pixels


def _threshold(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError("A threshold must be a number.")
    return value


class Control(BaseModel):
    """One unit: a picture, what is read from it, and the model that makes the result follow that."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    pictures: tuple[InputId, ...] = ()
    """One; none takes the picture that the request starts from; an IP-Adapter may have several."""
    mask: InputId | None = None
    """White where the map counts, for preprocessors that read a mask; none takes the request's own mask."""
    preprocessor: str = NO_PREPROCESSOR
    """Name of a row in backend/preprocessors.py."""
    type: str = ""
    """Control type, as backend/preprocessors.py lists them: tells a union ControlNet what kind of map it is shown.
    "" takes the preprocessor's own."""
    resolution: Annotated[int, AfterValidator(_resolution)] = 512
    """Pixels of the shorter side at which the preprocessor looks at the picture."""
    pixel_perfect: bool = True
    """Let the result's size decide on the resolution."""
    threshold_a: Annotated[float, AfterValidator(_threshold)] | None = None
    """The preprocessor's first setting; None for what its row says."""
    threshold_b: Annotated[float, AfterValidator(_threshold)] | None = None
    model: str = ""
    """Name of a control model in the library; "" where a map is only to be looked at."""
    weight: Annotated[float, AfterValidator(_weight)] = 1.0
    """0 to 2; 0 is without it."""
    start: Annotated[float, AfterValidator(_share)] = 0.0
    """The share of the steps after which it begins to act."""
    end: Annotated[float, AfterValidator(_share)] = Field(default=1.0, validate_default=True)
    """The share of the steps after which it acts no more."""
    mode: ControlMode = "Balanced"
    resize_mode: ControlResize = "Crop and Resize"
    """How a picture of another ratio comes to the result's size."""

    @field_validator("pictures")
    @classmethod
    def _few_pictures(cls, pictures: tuple[str, ...]) -> tuple[str, ...]:
        if len(pictures) > PICTURES_MAX:
            raise ValueError(f"A unit takes {PICTURES_MAX} pictures at most; {len(pictures)} are given.")
        return pictures

    @field_validator("end")
    @classmethod
    def _end_after_start(cls, end: float, others: ValidationInfo) -> float:
        start = others.data.get("start", 0.0)
        if end <= start:
            raise ValueError(f"The control ends at {end:g} of the steps but begins at {start:g}. Let it end later than it begins.")
        return end
