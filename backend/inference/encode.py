"""Pictures become latents."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backend.errors import NotFinite
from backend.inference.decode import widened


@torch.inference_mode()
def encode(vae: Any, picture: Image.Image) -> Tensor:
    """Latents 1 x C x h x w of an RGB picture, scaled as the denoiser wants them; the likeliest ones, not drawn by chance.

    Raises NotFinite. Precision is raised as in `decode`.
    """
    device = next(vae.parameters()).device
    pixels = torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).permute(2, 0, 1)[None].float().div(127.5).sub(1).to(device)
    narrow = vae.dtype != torch.float32
    if not (narrow and vae.config.get("force_upcast")):
        latents = _latents(vae, pixels)
        if torch.isfinite(latents).all():
            return latents
    with widened(vae):
        latents = _latents(vae, pixels)
    if not torch.isfinite(latents).all():
        raise NotFinite("The model's image encoder produced values that are not numbers. Try another model or VAE.")
    return latents


def _latents(vae: Any, pixels: Tensor) -> Tensor:
    encoded = vae.encode(pixels.to(vae.dtype))
    latents = encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded.latents
    return latents * vae.config.scaling_factor
