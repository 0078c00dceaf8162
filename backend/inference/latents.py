"""The shapes and scales that latents have: as a VAE gives them, as the flow holds them, as a pipeline takes them.

The flow holds N x C x h x w, scaled as the denoiser wants them. Noise is drawn in that shape, whatever a pipeline takes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def moving(vae: Any) -> bool:
    """Whether it is a VAE for moving pictures, which takes and gives N x C x frames x h x w: Qwen-Image's."""
    return hasattr(vae, "temperal_downsample")  # diffusers spells it so


def scaled(vae: Any, latents: Tensor) -> Tensor:
    """Latents as the VAE gave them, as the denoiser wants them."""
    if hasattr(vae, "bn"):
        mean, deviation = _batch_norm(vae, latents)
        return (folded(latents) - mean) / deviation
    if moving(vae):
        mean, deviation = _channels(vae, latents)
        return ((latents - mean) * (1.0 / deviation))[:, :, 0]
    shift = vae.config.get("shift_factor")
    return (latents if shift is None else latents - shift) * vae.config.scaling_factor


def unscaled(vae: Any, latents: Tensor) -> Tensor:
    """Latents as the denoiser has them, as the VAE wants them."""
    if hasattr(vae, "bn"):
        mean, deviation = _batch_norm(vae, latents)
        return unfolded(latents * deviation + mean)
    if moving(vae):
        mean, deviation = _channels(vae, latents)
        return latents.unsqueeze(2) / (1.0 / deviation) + mean
    shift = vae.config.get("shift_factor")
    plain = latents / vae.config.scaling_factor
    return plain if shift is None else plain + shift


def _channels(vae: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each channel, 1 x C x 1 x 1 x 1: Qwen-Image's VAE."""
    mean, deviation = (torch.tensor(values).view(1, -1, 1, 1, 1).to(like) for values in (vae.config.latents_mean, vae.config.latents_std))
    return mean, deviation


def _batch_norm(vae: Any, like: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and deviation of each folded channel, 1 x 4C x 1 x 1: Flux.2's VAE keeps them as running statistics."""
    mean = vae.bn.running_mean.view(1, -1, 1, 1).to(like)
    return mean, torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps).to(like)


def folded(latents: Tensor) -> Tensor:
    """N x C x h x w to N x 4C x h/2 x w/2: each square of four becomes channels."""
    return torch.pixel_unshuffle(latents, 2)


def unfolded(latents: Tensor) -> Tensor:
    """The way back."""
    return torch.pixel_shuffle(latents, 2)


class Plain:
    """A pipeline that takes latents as they are."""

    channels = 1
    """How many times a latent's channels its denoiser's `in_channels` are."""
    pixels = 1
    """How many times its own `vae_scale_factor` a latent's side is."""

    @staticmethod
    def given(latents: Tensor) -> Tensor:
        """As its argument `latents` wants them."""
        return latents

    @staticmethod
    def inside(latents: Tensor) -> Tensor:
        """As its loop has them, and shows them after each step."""
        return latents

    @staticmethod
    def outside(latents: Tensor, _rows: int, _columns: int) -> Tensor:
        """From its loop's to N x C x rows x columns."""
        return latents


class Packed(Plain):
    """One that takes tokens, N x (h/2 * w/2) x 4C, each a square of four latents: Flux.1, Chroma, Qwen-Image."""

    channels = 4

    @staticmethod
    def given(latents: Tensor) -> Tensor:
        return folded(latents).flatten(2).transpose(1, 2).contiguous()

    inside = given

    @staticmethod
    def outside(latents: Tensor, rows: int, columns: int) -> Tensor:
        return unfolded(latents.transpose(1, 2).unflatten(2, (rows // 2, columns // 2)))


class Rows(Plain):
    """One that takes latents as they are, and has each as a token in its loop, N x (h * w) x C: Flux.2, which folds before."""

    pixels = 2

    @staticmethod
    def inside(latents: Tensor) -> Tensor:
        return latents.flatten(2).transpose(1, 2)

    @staticmethod
    def outside(latents: Tensor, rows: int, columns: int) -> Tensor:
        return latents.transpose(1, 2).unflatten(2, (rows, columns))


def shape(layout: type[Plain], pipe: Any, denoiser: Any, height: int, width: int) -> tuple[int, int, int, int]:
    """Of one image's latents, for sides in pixels: 1 x C x h x w."""
    side = pipe.vae_scale_factor * layout.pixels
    return 1, denoiser.config["in_channels"] // layout.channels, height // side, width // side
