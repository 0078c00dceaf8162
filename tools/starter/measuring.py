"""Say what a picture of one flat shape shows, from its pixels alone."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tools.starter.facts import COLOURS, PLACES, SHAPES, SIZES, ShapeFacts
from tools.starter.pictures import shape_outline

OUTLINE_FLOOR = 0.75
"""Least intersection over union with a shape's outline, 0 to 1, for the mask to count as that shape."""

FLATTEST = 1.3
"""A shape whose proportions are off by more than this factor is none of the known ones."""

COLOUR_REACH = 30.0
"""Farthest CIELAB distance at which a colour still has a name; blue and purple are 27 apart, all others 34 or more."""

LEAST_CONTRAST = 12.0
"""CIELAB distance from the ground below which there is no shape to be seen."""

_TO_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
_WHITE = np.array([0.95047, 1.0, 1.08883])


def lab(pixels: np.ndarray) -> np.ndarray:
    """sRGB (..., 3), 0 to 255, to CIELAB under D65: L from 0 to 100, a and b about -110 to 110 (IEC 61966-2-1, CIE 15)."""
    share = np.asarray(pixels, np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    x, y, z = np.moveaxis(linear @ _TO_XYZ.T / _WHITE, -1, 0)
    fx, fy, fz = (np.where(part > 216 / 24389, np.cbrt(part), (24389 / 27 * part + 16) / 116) for part in (x, y, z))
    return np.stack([116 * fy - 16, 500 * (fx - fy), 200 * (fy - fz)], axis=-1)


def nearest_colour(colour: np.ndarray) -> str:
    """The name in COLOURS that is nearest to a CIELAB colour (3,), or "" where none is within COLOUR_REACH."""
    distances = np.linalg.norm(lab(np.array(list(COLOURS.values()))) - colour, axis=-1)
    return list(COLOURS)[int(distances.argmin())] if distances.min() <= COLOUR_REACH else ""


def _border_colour(colours: np.ndarray) -> np.ndarray:
    """The median of the outermost 3 % of a CIELAB picture, H x W x 3, which is the ground even where a shape touches one side."""
    rim = max(2, round(min(colours.shape[:2]) * 0.03))
    inside = np.zeros(colours.shape[:2], bool)
    inside[rim:-rim, rim:-rim] = True
    return np.median(colours[~inside], axis=0)


def _filtered(mask: np.ndarray, what: ImageFilter.Filter | type[ImageFilter.Filter]) -> np.ndarray:
    return np.asarray(Image.fromarray(mask.astype(np.uint8) * 255).filter(what)) > 127  # type: ignore[arg-type]


def _foreground(colours: np.ndarray, ground: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mask, H x W, of what differs from the ground, cut half-way up its soft edges, and its colour in CIELAB."""
    away = np.linalg.norm(colours - ground, axis=-1)
    rough = away > max(LEAST_CONTRAST, 0.5 * float(np.percentile(away, 99)))
    if not rough.any():
        return rough, ground
    core = _eroded(rough)
    colour = np.median(colours[core], axis=0)
    axis = colour - ground
    rise = (colours - ground) @ axis / max(float(axis @ axis), 1.0)
    mask = (rise > 0.5) | (away > max(LEAST_CONTRAST, 0.75 * float(np.linalg.norm(axis))))
    return _without_specks(_filtered(mask, ImageFilter.MedianFilter(3))), colour


def _without_specks(mask: np.ndarray) -> np.ndarray:
    """The mask without those of its parts in which no square of 5 x 5 pixels fits."""
    kept = _filtered(mask, ImageFilter.MinFilter(5))
    while (grown := _filtered(kept, ImageFilter.MaxFilter(5)) & mask).sum() > kept.sum():
        kept = grown
    return kept


def _eroded(mask: np.ndarray) -> np.ndarray:
    """The mask without its rim, as far in as leaves something."""
    for side in (5, 3):
        if (core := _filtered(mask, ImageFilter.MinFilter(side))).sum() >= 12:
            return core
    return mask


def _box(mask: np.ndarray) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of the mask in pixels, right and bottom exclusive."""
    columns, rows = (np.flatnonzero(mask.sum(axis=axis) >= 1) for axis in (0, 1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _template(shape: str, width: int, height: int) -> np.ndarray:
    """The shape's mask stretched to fill `width` x `height` pixels."""
    outlines = shape_outline(shape, 0.0, 0.0, 1.0)
    points = np.array(outlines[0])
    low, high = points.min(axis=0), points.max(axis=0)
    image = Image.new("L", (width * 4, height * 4), 0)
    pen = ImageDraw.Draw(image)
    for outline, fill in zip(outlines, (255, 0), strict=False):
        pen.polygon([tuple(point) for point in (np.array(outline) - low) / (high - low) * (width * 4, height * 4)], fill=fill)
    return np.asarray(image.reduce(4)) > 127


def outline_fits(mask: np.ndarray) -> dict[str, float]:
    """For every shape, how well its outline fits the mask, H x W: intersection over union, 0 to 1."""
    left, top, right, bottom = _box(mask)
    part, fits = mask[top:bottom, left:right], {}
    for shape in SHAPES:
        span = np.ptp(np.array(shape_outline(shape, 0.0, 0.0, 1.0)[0]), axis=0)
        flat = (part.shape[1] / span[0]) / (part.shape[0] / span[1])
        template = _template(shape, part.shape[1], part.shape[0])
        fits[shape] = float((part & template).sum() / (part | template).sum()) if 1 / FLATTEST < flat < FLATTEST else 0.0
    return fits


def _size_and_place(mask: np.ndarray, shape: str) -> tuple[str, str]:
    """The words for size and place; a large shape cannot go far from the middle, so places are where it would fit."""
    height, width = mask.shape
    left, top, right, bottom = _box(mask)
    outline = np.array(shape_outline(shape, 0.0, 0.0, 1.0)[0])
    half = float(np.mean([(right - left), (bottom - top)] / np.ptp(outline, axis=0)))
    middle = np.array([left + right, top + bottom]) / 2 - half * (outline.min(axis=0) + outline.max(axis=0)) / 2
    share = half / min(width, height)
    size = min(SIZES, key=lambda word: max(SIZES[word][0] - share, share - SIZES[word][1]))
    room = min(0.5, 1.05 * half / width), min(0.5, 1.05 * half / height)
    spots = {word: np.clip(spot, room, 1 - np.array(room)) for word, spot in PLACES.items()}
    place = min(spots, key=lambda word: float(np.linalg.norm(spots[word] - middle / (width, height))))
    return size, place


def measure_shape(picture: Image.Image) -> ShapeFacts:
    """What an RGB picture shows: colours, shape, size and place as words. "" for a colour or shape that is none of the known ones."""
    colours = lab(np.asarray(picture.convert("RGB")))
    ground = _border_colour(colours)
    mask, colour = _foreground(colours, ground)
    if mask.sum() < 20:
        return ShapeFacts(colour="", shape="", ground=nearest_colour(ground))
    fits = outline_fits(mask)
    best = max(fits, key=lambda shape: fits[shape])
    size, place = _size_and_place(mask, best)
    shape = best if fits[best] >= OUTLINE_FLOOR else ""
    return ShapeFacts(colour=nearest_colour(colour), shape=shape, ground=nearest_colour(ground), size=size, place=place)
