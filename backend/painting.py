"""The parts of a request that say which pictures go in: one to start from, a mask over it, and a second, larger pass."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

InputId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
"""Names a picture that was handed in, by its pixels; see backend/inputs.py."""

ResizeMode = Literal["Just resize", "Crop and resize", "Resize and fill", "Just resize (latent upscale)"]
MaskedContent = Literal["fill", "original", "latent noise", "latent nothing"]
InpaintArea = Literal["Whole picture", "Only masked"]

RESIZE_MODES: tuple[ResizeMode, ...] = ("Just resize", "Crop and resize", "Resize and fill", "Just resize (latent upscale)")
MASKED_CONTENTS: tuple[MaskedContent, ...] = ("fill", "original", "latent noise", "latent nothing")
INPAINT_AREAS: tuple[InpaintArea, ...] = ("Whole picture", "Only masked")
"""A1111's names, in its order: its API counts resize modes and masked contents from 0."""

LATENT_UPSCALERS: dict[str, tuple[str, bool]] = {
    "Latent": ("bilinear", False),
    "Latent (antialiased)": ("bilinear", True),
    "Latent (bicubic)": ("bicubic", False),
    "Latent (bicubic antialiased)": ("bicubic", True),
    "Latent (nearest)": ("nearest", False),
    "Latent (nearest-exact)": ("nearest-exact", False),
}
"""A1111's name to torch's interpolation mode, and whether it smooths first."""

GROW_MAX = 1024
NOISE_MAX = 1.5
MASK_BLUR_MAX = 64
PADDING_MAX = 256
HIRES_SCALE_MIN, HIRES_SCALE_MAX = 1.0, 4.0


def _strength(value: float) -> float:
    if not (math.isfinite(value) and 0 <= value <= 1):
        raise ValueError(f"Denoising strength goes from 0 to 1; {value:g} is outside.")
    return value


Strength = Annotated[float, AfterValidator(_strength)]


def _noise(value: float) -> float:
    if not (math.isfinite(value) and 0 <= value <= NOISE_MAX):
        raise ValueError(f"The noise multiplier goes from 0 to {NOISE_MAX:g}; {value:g} is outside.")
    return value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Borders(_Part):
    """Pixels that are added on each side of the picture and painted anew (outpainting)."""

    left: int = Field(default=0, ge=0, le=GROW_MAX)
    top: int = Field(default=0, ge=0, le=GROW_MAX)
    right: int = Field(default=0, ge=0, le=GROW_MAX)
    bottom: int = Field(default=0, ge=0, le=GROW_MAX)

    def __bool__(self) -> bool:
        return any((self.left, self.top, self.right, self.bottom))


class ImageInput(_Part):
    """A picture to start from."""

    picture: InputId
    denoising_strength: Strength = 0.75
    """0 returns the picture, 1 forgets it."""
    resize_mode: ResizeMode = "Just resize"
    """How the picture comes to the request's width and height."""
    grow: Borders = Borders()
    """Added first, before any resizing."""
    noise_multiplier: Annotated[float, AfterValidator(_noise)] = 1.0
    """Makes the noise that drawing begins with weaker or stronger, 0 to 1.5 (A1111's initial noise multiplier)."""
    more: tuple[InputId, ...] = ()
    """Further pictures: the images of a batch start from one each, in turn."""

    @property
    def pictures(self) -> tuple[InputId, ...]:
        """All pictures to start from, in the order of a batch's images."""
        return (self.picture, *self.more)


class MaskInput(_Part):
    """Where the picture may change: white may, black may not. New borders always may, and are blurred over the old picture alike."""

    picture: InputId | None = None
    """None where nothing but new borders may change."""
    blur: int = Field(default=4, ge=0, le=MASK_BLUR_MAX)
    """Standard deviation of the mask's soft edge, in pixels of the picture."""
    blur_y: int | None = Field(default=None, ge=0, le=MASK_BLUR_MAX)
    """From top to bottom, where that is another than from side to side."""
    invert: bool = False
    """Paint what is not masked."""
    content: MaskedContent = "original"
    """What stands under the mask before painting begins. New borders have no original: there the colours beside them are filled in."""
    area: InpaintArea = "Whole picture"
    """"Only masked" works on the mask's surroundings at the request's size and pastes them back; the picture keeps its own size."""
    padding: int = Field(default=32, ge=0, le=PADDING_MAX)
    """Pixels around the mask that "Only masked" sees too."""
    soft: bool = False
    """Soft inpainting: greys of the mask are strengths (E. Levin and O. Fried, "Differential Diffusion", 2023)."""

    @property
    def blurs(self) -> tuple[int, int]:
        """From side to side, and from top to bottom."""
        return self.blur, self.blur if self.blur_y is None else self.blur_y


class Hires(_Part):
    """A second pass over the finished picture, made larger."""

    upscaler: str = "Latent"
    """One of LATENT_UPSCALERS, or the name of any upscaler in the library."""
    scale: float = Field(default=2.0, ge=HIRES_SCALE_MIN, le=HIRES_SCALE_MAX)
    width: int = Field(default=0, ge=0)
    """Pixels; 0 takes the scale. With only one of both given, the other follows from the ratio."""
    height: int = Field(default=0, ge=0)
    steps: int = Field(default=0, ge=0, le=150)
    """0: as many as the first pass."""
    denoising_strength: Strength = 0.7
    sampler: str = ""
    """"": the first pass's sampler and schedule type."""
    scheduler: str = ""
    model: str = ""
    """Another model for this pass; "": the first pass's."""
    prompt: str = ""
    """"": the first pass's."""
    negative_prompt: str = ""
    keep_first: bool = False
    """Save the picture of the first pass too."""

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Pixels of the second pass after a first one of `width` x `height`, to the nearest multiples of 8."""
        across, down = self.width, self.height
        if not across and not down:
            across, down = width * self.scale, height * self.scale
        elif not across or not down:
            across, down = (across or down * width / height), (down or across * height / width)
        return max(8, round(across / 8) * 8), max(8, round(down / 8) * 8)


class Refiner(_Part):
    """Another model that takes over near the end, such as SDXL's refiner."""

    model: str
    switch_at: float = Field(default=0.8, gt=0, le=1)
    """After this share of the last pass's steps; 1 never switches."""
