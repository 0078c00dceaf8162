"""Say what the sky of a landscape shows, from its pixels alone: the time of day, sun or moon."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from tools.starter.measuring import lab
from tools.starter.pictures import LIGHT, SKIES

SIDE = 128
"""Skies are looked at as this many pixels to each side, whatever the picture's size."""

HORIZON = 0.64
"""Share of the height at which a sky's colours end; drawn ones end between 0.60 and 0.72."""

OPEN_SKY = 0.3
"""Share of the height in which most of every row is sky, in every land."""

SKY_REACH = 20.0
"""Farthest mean CIELAB distance from the sky of a time of day; day and dawn are 19 apart, all others 40 or more."""

BODY_COLOURS: dict[str, tuple[tuple[int, int, int], ...]] = {"sun": ((255, 226, 110),), "moon": ((236, 238, 246), (204, 208, 222))}
"""sRGB of the disc, and of the moon's spots, as pictures.py draws them."""

BODY_REACH = {"sun": 14.0, "moon": 12.0}
"""Farthest CIELAB distance from these colours; a yellow balloon is some 20 from the sun."""

BODY_FLOOR = {"sun": 0.14, "moon": 0.36}
"""Least share of a disc to be seen, less the share of the ring around it that looks the same. Balloons and clouds may
cover the rest; the moon needs more, since at dawn clouds and snow look like it."""

RADII = (0.077, 0.085, 0.093)
BODY_TOP, BODY_BOTTOM, BODY_LEFT, BODY_RIGHT = 0.12, 0.30, 0.13, 0.87
"""Where the middle of sun or moon is looked for, as shares of height and width."""


@dataclass(frozen=True, kw_only=True)
class Sky:
    """What a sky shows: one of TIMES or "", one of BODIES, and the body's middle as a share of the width (0.5 where there is none)."""

    time: str
    body: str
    across: float


def measure_sky(picture: Image.Image) -> Sky:
    """The sky of a landscape, RGB, of any size."""
    colours = lab(np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)))
    time = _time(colours)
    scores = {body: _disc_score(_body_mask(colours, body, time)) for body in BODY_COLOURS}
    body = max(scores, key=lambda name: scores[name][0] / BODY_FLOOR[name])
    if scores[body][0] < BODY_FLOOR[body]:
        return Sky(time=time, body="", across=0.5)
    return Sky(time=time, body=body, across=scores[body][1])


def _time(colours: np.ndarray) -> str:
    """The time of day whose sky is nearest to the rows' median colours, or ""; sun, clouds and balloon are too narrow to count."""
    rows = np.median(colours[: int(SIDE * OPEN_SKY)], axis=1)
    mix = (np.arange(len(rows)) / (SIDE * HORIZON))[:, None]
    skies = {time: lab(np.array(top) * (1 - mix) + np.array(bottom) * mix) for time, (top, bottom) in SKIES.items()}
    distances = {time: float(np.linalg.norm(sky - rows, axis=-1).mean()) for time, sky in skies.items()}
    time = min(distances, key=lambda name: distances[name])
    return time if distances[time] <= SKY_REACH else ""


def _body_mask(colours: np.ndarray, body: str, time: str) -> np.ndarray:
    """Pixels with the body's colours, to which they are nearer than to their row's sky and to a cloud at that time."""

    def away(other: np.ndarray) -> np.ndarray:
        return np.linalg.norm(colours - other, axis=-1)

    own = np.min([away(lab(np.array(colour))) for colour in BODY_COLOURS[body]], axis=0)
    cloud = lab(np.array((255, 252, 250)) * (0.3 + 0.7 * np.array(LIGHT[time or "day"])))
    sky = np.median(colours, axis=1, keepdims=True)
    return (own < BODY_REACH[body]) & (own < away(cloud)) & (own < away(sky))


@cache
def _kernel(inner: float, outer: float) -> np.ndarray:
    """The Fourier transform of a ring of unit sum about the origin, radii in pixels."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    away = np.hypot(rows, columns)
    ring = ((away >= inner) & (away < outer)).astype(float)
    return np.fft.rfft2(np.fft.ifftshift(ring / ring.sum()))


def _disc_score(mask: np.ndarray) -> tuple[float, float]:
    """How much of the best disc the mask fills, less how much of the ring around it, -1 to 1; and where it is across the width, 0 to 1."""
    spectrum, best = np.fft.rfft2(mask), (-1.0, 0.5)
    rows, columns = slice(int(BODY_TOP * SIDE), int(BODY_BOTTOM * SIDE)), slice(int(BODY_LEFT * SIDE), int(BODY_RIGHT * SIDE))
    for radius in (share * SIDE for share in RADII):
        lead = _kernel(0, radius - 0.5) - _kernel(radius * 1.12 + 0.5, radius * 1.4 + 0.5)
        scores = np.fft.irfft2(spectrum * lead, s=mask.shape)[rows, columns]
        column = int(scores.max(axis=0).argmax())
        best = max(best, (float(scores.max()), (column + columns.start + 0.5) / SIDE))
    return best
