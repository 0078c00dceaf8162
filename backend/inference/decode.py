"""Latents become pictures, and never black ones."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from backend.errors import NotFinite

log = logging.getLogger(__name__)


@torch.inference_mode()
def decode(vae: Any, latents: Tensor) -> Image.Image:
    """One RGB picture from latents 1 x C x h x w. Raises NotFinite where the latents or the picture hold no numbers.

    A VAE that says `force_upcast` (SDXL's overflows at 16 bit) runs at 32 bit; any other is tried as it is, and once
    more at 32 bit where the result is not finite.
    """
    if not torch.isfinite(latents).all():
        raise NotFinite(
            "The model produced values that are not numbers, so there is no picture. Try another sampler, fewer steps or a lower CFG scale."
        )
    narrow = vae.dtype != torch.float32
    if not (narrow and vae.config.get("force_upcast")):
        pixels = _pixels(vae, latents)
        if torch.isfinite(pixels).all():
            return _picture(pixels)
        if not narrow:
            raise NotFinite("The model's image decoder produced values that are not numbers. Try another model or VAE.")
        log.warning("the VAE overflowed at 16 bit; decoding again at 32 bit")
    with widened(vae):
        pixels = _pixels(vae, latents)
    if not torch.isfinite(pixels).all():
        raise NotFinite("The model's image decoder produced values that are not numbers. Try another model or VAE.")
    return _picture(pixels)


def _pixels(vae: Any, latents: Tensor) -> Tensor:
    """3 x H x W, 0 to 1 where finite."""
    scaled = latents.to(vae.dtype) / vae.config.scaling_factor
    return vae.decode(scaled).sample[0].float().add(1).div(2)


def _picture(pixels: Tensor) -> Image.Image:
    return Image.fromarray(pixels.clamp(0, 1).mul(255).round().permute(1, 2, 0).to("cpu", torch.uint8).numpy())


@contextlib.contextmanager
def widened(vae: Any) -> Iterator[None]:
    """The VAE at 32 bit while the block runs."""
    narrow = vae.dtype
    vae.to(torch.float32)
    try:
        yield
    finally:
        vae.to(narrow)
