"""Restores faces: each is cut out, goes through a network, and is blended back; the rest of the picture stays as it is."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import torch
from PIL import Image as Pillow

from backend.errors import DamagedModel
from backend.inference.faces import SIDE, scale_of
from backend.inference.upscale import Network

RIM = 0.2
"""Share of the square's side over which a restored face fades in from each edge."""

Region = tuple[slice, slice]


def restored(picture: Pillow.Image, places: list[np.ndarray], network: Network, visibility: float, tell: Callable[[float], None]) -> Pillow.Image:
    """An RGB picture with the faces at these places restored, as visible as asked for, 0 to 1. A stop is heard at every face."""
    pixels = np.array(picture)
    for number, place in enumerate(places):
        tell(number / len(places))
        blend(pixels, place, through(network, cut(pixels, place)), visibility)
    tell(1.0)
    return Pillow.fromarray(pixels)


@torch.inference_mode()
def through(network: Network, face: np.ndarray) -> np.ndarray:
    """A face, SIDE x SIDE x 3, restored. Raises DamagedModel."""
    descriptor = network.descriptor
    part = torch.from_numpy(face).permute(2, 0, 1)[None].to(descriptor.device, descriptor.dtype) / 255
    if descriptor.architecture.id == "GFPGAN":
        # It was trained on -1 to 1, which spandrel does not see to. With the noise in its file the same face gives the same pixels.
        made = descriptor.model(part * 2 - 1, return_rgb=False, randomize_noise=False)[0] / 2 + 0.5
    else:
        made = descriptor(part)
    if not torch.isfinite(made).all():
        raise DamagedModel(f"The face restorer “{network.file.name}” gives no picture. Its file may be damaged; copy it again.")
    return made[0].float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).cpu().numpy()


def cut(pixels: np.ndarray, place: np.ndarray) -> np.ndarray:
    """The square at a place of the picture, SIDE x SIDE x 3. What lies beyond the picture's edges is mirrored."""
    region, here = _region(pixels, place)
    part = pixels[region]
    if (scale := scale_of(place)) > 1:
        part, shrink = _smaller(part, scale)
        here = shrink @ here
    return cv2.warpAffine(part, here[:2], (SIDE, SIDE), flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REFLECT_101)


def blend(pixels: np.ndarray, place: np.ndarray, face: np.ndarray, visibility: float) -> None:
    """Put a restored face into the picture, fading out towards the square's edges. Beyond those nothing changes."""
    region, here = _region(pixels, place)
    old = pixels[region].astype(np.float32)
    size = (old.shape[1], old.shape[0])
    mask = cv2.warpAffine(_mask(), here[:2], size, flags=cv2.INTER_LINEAR)[..., None] * visibility
    if (scale := scale_of(place)) < 1:
        face, shrink = _smaller(face, 1 / scale)
        here = here @ np.linalg.inv(shrink)
    new = cv2.warpAffine(face, here[:2], size, flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE).astype(np.float32)
    pixels[region] = np.rint(old + (new - old) * mask).clip(0, 255).astype(np.uint8)


def _region(pixels: np.ndarray, place: np.ndarray) -> tuple[Region, np.ndarray]:
    """The part of the picture that the square lies on, and the square's place within it."""
    corners = (place @ np.array([(0, 0, 1), (SIDE, 0, 1), (0, SIDE, 1), (SIDE, SIDE, 1)]).T)[:2]
    low, high = np.floor(corners.min(axis=1)) - 2, np.ceil(corners.max(axis=1)) + 2
    (left, top), (right, bottom) = (end.clip(0, pixels.shape[1::-1]).astype(int) for end in (low, high))
    moved = np.array([(1.0, 0.0, -left), (0.0, 1.0, -top), (0.0, 0.0, 1.0)])
    return (slice(top, bottom), slice(left, right)), moved @ place


def _smaller(part: np.ndarray, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixels made smaller without moiré, and the matrix that takes their places to the new ones."""
    size = [max(1, round(side / factor)) for side in part.shape[1::-1]]
    across, down = (new / old for new, old in zip(size, part.shape[1::-1], strict=True))
    places = np.array([(across, 0.0, (across - 1) / 2), (0.0, down, (down - 1) / 2), (0.0, 0.0, 1.0)])
    return cv2.resize(part, size, interpolation=cv2.INTER_AREA), places


def _mask() -> np.ndarray:
    """How much of the square shows, SIDE x SIDE, 0 at the edges to 1 in the middle."""
    ramp = np.minimum(np.arange(SIDE), np.arange(SIDE)[::-1]) / (RIM * SIDE)
    smooth = np.clip(ramp, 0, 1) ** 2 * (3 - 2 * np.clip(ramp, 0, 1))
    return np.outer(smooth, smooth).astype(np.float32)
