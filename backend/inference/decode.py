"""Latents become pictures, and never black ones."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from backend.errors import NotFinite
from backend.inference.latents import moving, unscaled

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
    return _picture(finite(vae, lambda: pixels(vae, latents)[0], "decoder"))


def finite(vae: Any, work: Callable[[], Tensor], part: str) -> Tensor:
    """What `work` makes with the VAE, done again at 32 bit where it is not finite at 16. Raises NotFinite, naming the part."""
    narrow = vae.dtype != torch.float32
    if not (narrow and vae.config.get("force_upcast")):
        made = work()
        if torch.isfinite(made).all():
            return made
        if narrow:
            log.warning("the VAE overflowed at 16 bit; working again at 32 bit")
    if narrow:
        with _widened(vae):
            made = work()
        if torch.isfinite(made).all():
            return made
    raise NotFinite(f"The model's image {part} produced values that are not numbers. Try another model or VAE.")


def pixels(vae: Any, latents: Tensor) -> Tensor:
    """N x 3 x H x W, 0 to 1 where finite."""
    decoded = vae.decode(unscaled(vae, latents.to(vae.dtype))).sample
    return (decoded[:, :, 0] if moving(vae) else decoded).float().add(1).div(2)


def _picture(colours: Tensor) -> Image.Image:
    return Image.fromarray(colours.clamp(0, 1).mul(255).round().permute(1, 2, 0).to("cpu", torch.uint8).numpy())


@contextlib.contextmanager
def _widened(vae: Any) -> Iterator[None]:
    """The VAE at 32 bit while the block runs."""
    narrow = vae.dtype
    vae.to(torch.float32)
    try:
        yield
    finally:
        vae.to(narrow)
