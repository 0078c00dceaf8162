"""Pictures become latents."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backend.inference.decode import finite
from backend.inference.latents import moving, scaled


@torch.inference_mode()
def encode(vae: Any, picture: Image.Image) -> Tensor:
    """Latents 1 x C x h x w of an RGB picture, scaled as the denoiser wants them; the likeliest ones, not drawn by chance.

    Raises NotFinite. Precision is raised as in `decode`.
    """
    pixels = torch.from_numpy(np.asarray(picture.convert("RGB")).copy()).permute(2, 0, 1)[None].float().div(127.5).sub(1)
    return scaled(vae, likeliest(vae, pixels))


@torch.inference_mode()
def likeliest(vae: Any, pixels: Tensor) -> Tensor:
    """The likeliest latents of N x 3 x H x W, -1 to 1, as the VAE gives them. Raises NotFinite."""
    given = pixels.to(next(vae.parameters()).device)
    return finite(vae, lambda: _encoded(vae, given), "encoder")


def _encoded(vae: Any, pixels: Tensor) -> Tensor:
    narrow = pixels.to(vae.dtype)
    encoded = vae.encode(narrow.unsqueeze(2) if moving(vae) else narrow)
    return encoded.latent_dist.mode() if hasattr(encoded, "latent_dist") else encoded[0]
