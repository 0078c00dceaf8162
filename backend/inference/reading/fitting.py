"""How pictures and maps come from one size to another."""

from __future__ import annotations

import numpy as np
from PIL import Image
from PIL.Image import Resampling

from backend.controlling import ControlResize
from backend.errors import BadPicture
from backend.inference.reading.look import Pixels

LONGEST = 8192
"""Pixels of the longer side at which a picture is still looked at."""


def rgb(picture: Image.Image) -> Image.Image:
    """Any picture as RGB; what is transparent lies on white."""
    if "A" in picture.getbands() or "transparency" in picture.info:
        over = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
    return picture.convert("RGB")


def perfect_resolution(own: tuple[int, int], result: tuple[int, int], mode: ControlResize) -> int:
    """Pixels of a picture's shorter side at which its map needs no more resizing, as A1111's "Pixel Perfect" has it."""
    across, down = result[0] / own[0], result[1] / own[1]
    scale = min(across, down) if mode == "Resize and Fill" else max(across, down)
    return max(1, round(scale * min(own)))


def at_resolution(picture: Image.Image, resolution: int) -> Image.Image:
    """The picture with a shorter side of `resolution` pixels. Raises BadPicture where that makes the longer one too long."""
    scale = resolution / min(picture.size)
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if max(size) > LONGEST:
        raise BadPicture(
            f"The picture has {picture.width} x {picture.height} pixels, which is too long and narrow for a map to be read from it at "
            f"{resolution} pixels. Please crop it, or choose a smaller resolution."
        )
    return picture if picture.size == size else picture.resize(size, Resampling.LANCZOS)


def brought(
    picture: Image.Image, size: tuple[int, int], mode: ControlResize, *, lines: bool = False, flat: bool = False, fill: int | None = None
) -> Image.Image:
    """An RGB or L picture at `size` (width, height), as the resize modes of A1111's ControlNet extension have it.

    `lines` keeps lines of one pixel that, `flat` mixes no colours. What "Resize and Fill" adds has the median colour of the
    picture's border, or `fill`.
    """
    if picture.size == size:
        return picture
    own = picture.size
    if mode == "Just Resize":
        return _resized(picture, size, (0, 0, *own), lines, flat)
    scales = (size[0] / own[0], size[1] / own[1])
    if mode == "Crop and Resize":
        across, down = (wanted / max(scales) for wanted in size)
        left, top = (own[0] - across) / 2, (own[1] - down) / 2
        box = (max(0.0, left), max(0.0, top), min(float(own[0]), left + across), min(float(own[1]), top + down))
        return _resized(picture, size, box, lines, flat)
    within = (max(1, min(size[0], round(own[0] * min(scales)))), max(1, min(size[1], round(own[1] * min(scales)))))
    inside = _resized(picture, within, (0, 0, *own), lines, flat)
    whole = Image.new(picture.mode, size, _border_colour(inside) if fill is None else fill)
    whole.paste(inside, ((size[0] - within[0]) // 2, (size[1] - within[1]) // 2))
    return whole


def _resized(picture: Image.Image, size: tuple[int, int], box: tuple[float, float, float, float], lines: bool, flat: bool) -> Image.Image:
    if flat:
        return picture.resize(size, Resampling.NEAREST, box)
    if not lines or size[0] < box[2] - box[0] or size[1] < box[3] - box[1]:
        return picture.resize(size, Resampling.LANCZOS, box)
    from skimage.morphology import skeletonize

    thick = np.asarray(picture.convert("L").resize(size, Resampling.BICUBIC, box)) > 127
    return Image.fromarray((skeletonize(thick) * 255).astype(np.uint8)).convert(picture.mode)


def _border_colour(picture: Image.Image) -> int | tuple[int, ...]:
    pixels = np.asarray(picture)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    median = np.median(border, axis=0)
    return int(median) if median.ndim == 0 else tuple(int(value) for value in median)


def padded(pixels: Pixels, step: int) -> Pixels:
    """The picture with its last row and column repeated until both sides are multiples of `step`."""
    height, width = pixels.shape[:2]
    return np.pad(pixels, ((0, -height % step), (0, -width % step), (0, 0)), mode="edge")
