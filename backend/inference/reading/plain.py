"""The preprocessors that need no weights. Each takes a Look and gives the map, height x width or height x width x 3."""

from __future__ import annotations

import cv2
import numpy as np

from backend.inference.reading.library import detector, seeded
from backend.inference.reading.look import Look, Pixels

GRID = 64
"""Pixels for each colour of the grid that T2I-Adapters were trained on."""


def same(look: Look) -> Pixels:
    """The picture is the map."""
    return look.picture


def invert(look: Look) -> Pixels:
    return 255 - look.picture


def threshold(look: Look) -> Pixels:
    """White where a pixel is lighter than `a`."""
    return np.where(cv2.cvtColor(look.picture, cv2.COLOR_RGB2GRAY) > look.a, 255, 0).astype(np.uint8)


def canny(look: Look) -> Pixels:
    """Edges after J. Canny, "A computational approach to edge detection", 1986."""
    return np.asarray(cv2.Canny(look.picture, look.a, look.b), np.uint8)


def xdog(look: Look) -> Pixels:
    """Dark lines and hatching as scribbles, from a difference of Gaussians.

    After H. Winnemöller et al., "XDoG", 2012, with the deviations 0.5 and 5 that scribble models were trained with.
    """
    pixels = look.picture.astype(np.float32)
    narrow, wide = (cv2.GaussianBlur(pixels, (0, 0), deviation) for deviation in (0.5, 5.0))
    darker = np.min(wide - narrow, axis=2)
    return np.where(2 * darker.clip(0, 255) > look.a, 255, 0).astype(np.uint8)


def lineart_standard(look: Look) -> Pixels:
    """Dark lines on a light ground become light lines on black."""
    return detector("lineart_standard", "LineartStandardDetector")()(look.picture, detect_resolution=min(look.picture.shape[:2]), output_type="np")


def blur(look: Look) -> Pixels:
    return np.asarray(cv2.GaussianBlur(look.picture, (0, 0), look.a), np.uint8)


def shuffle(look: Look) -> Pixels:
    """The picture's colours swirled about, the same way each time: with the map as with the request, like gives like."""
    side = min(look.picture.shape[:2])
    with seeded(0):
        return detector("shuffle", "ContentShuffleDetector")()(look.picture, detect_resolution=side, image_resolution=side, output_type="np")


def color_grid(look: Look) -> Pixels:
    """One colour for each square of GRID pixels."""
    height, width = look.picture.shape[:2]
    small = cv2.resize(look.picture, (max(1, round(width / GRID)), max(1, round(height / GRID))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)


def coarser(look: Look) -> Pixels:
    """The picture as it looks when it is made `a` times smaller and larger again."""
    height, width = look.picture.shape[:2]
    if look.a <= 1:
        return look.picture
    small = cv2.resize(look.picture, (max(1, round(width / look.a)), max(1, round(height / look.a))), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def luminance(look: Look) -> Pixels:
    """L of CIE Lab, with gamma `a`."""
    return _gamma(cv2.cvtColor(look.picture, cv2.COLOR_RGB2LAB)[:, :, 0], look.a)


def intensity(look: Look) -> Pixels:
    """V of HSV, with gamma `a`."""
    return _gamma(cv2.cvtColor(look.picture, cv2.COLOR_RGB2HSV)[:, :, 2], look.a)


def _gamma(channel: np.ndarray, gamma: float) -> Pixels:
    return np.asarray(((channel / 255.0) ** gamma * 255).round().clip(0, 255), np.uint8)


def masked(look: Look) -> Pixels:
    """The picture with what is masked in black."""
    assert look.mask is not None
    return np.where(look.mask[:, :, None] > 127, np.uint8(0), look.picture)
