"""Small JPEGs of the picture in the making."""

from __future__ import annotations

import io
import time
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from backend.families import Family
from backend.inference.decode import pixels

JPEG_QUALITY = 80


class Previewer:
    """Makes a preview now and then, never so often that drawing waits for it."""

    SHARE = 0.08
    """At most this part of a job's time goes into previews."""

    def __init__(self, row: Family, vae: Any, every_s: float, pixels: int) -> None:
        self._row, self._vae, self._every_s, self._pixels = row, vae, every_s, pixels
        self._last = 0.0
        self._cost = 0.0

    def make(self, latents: Tensor | None) -> bytes | None:
        """A JPEG of the first image of the batch (latents: N x C x h x w), or None where it is too early for another."""
        now = time.monotonic()
        if latents is None or now - self._last < max(self._every_s, self._cost / self.SHARE):
            return None
        picture = self._cheap(latents[:1]) if self._row.preview_factors else self._decoded(latents[:1])
        picture.thumbnail((self._pixels, self._pixels))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=JPEG_QUALITY)
        self._last = time.monotonic()
        self._cost = self._last - now
        return buffer.getvalue()

    def _cheap(self, latents: Tensor) -> Image.Image:
        factors = torch.tensor(self._row.preview_factors, device=latents.device, dtype=torch.float32)
        colours = torch.einsum("chw,cr->hwr", latents[0].float(), factors[:-1]) + factors[-1]
        return _picture(colours.add(1).div(2)).resize((latents.shape[-1] * 8, latents.shape[-2] * 8), Image.Resampling.BILINEAR)

    def _decoded(self, latents: Tensor) -> Image.Image:
        return _picture(pixels(self._vae, latents)[0].permute(1, 2, 0))


def _picture(colours: Tensor) -> Image.Image:
    """h x w x 3, 0 to 1, to a picture; what is not finite becomes grey."""
    safe = torch.nan_to_num(colours, nan=0.5).clamp(0, 1)
    return Image.fromarray(safe.mul(255).round().to("cpu", torch.uint8).numpy())
