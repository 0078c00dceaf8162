"""Draws a large picture anew tile by tile (tiled diffusion): details at any size, in the memory that one tile takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image as Pillow
from torch import Tensor

from backend.enlarging import Detail
from backend.inference.cache import Loaded, named
from backend.inference.conditioning import Conditioning
from backend.inference.control import tile_control
from backend.inference.decode import decode
from backend.inference.denoising import Pass, denoise
from backend.inference.encode import encode
from backend.inference.latents import shape
from backend.inference.running import Run, Studio
from backend.inference.starting import padded
from backend.inference.tiling import places, strips

OVERLAP = 4
"""Neighbours share one part in this many of a tile."""


def detailed(run: Run, studio: Studio, loaded: Loaded, conditioning: Conditioning, picture: Pillow.Image, how: Detail, seed: int) -> Pillow.Image:
    """An RGB picture of any size with its details drawn by the model; its own size. A stop is heard at every step."""
    request, row, vae = run.request, loaded.model.family, loaded.components["vae"]
    steps = min(int(request.steps * how.denoising_strength), request.steps)
    if not steps:
        return picture
    pipe, layout = loaded.pipeline(row.task), named(row.layout)
    scale = pipe.vae_scale_factor * layout.pixels
    grid = max(row.size_step, scale)
    tile = -(-(how.tile or loaded.model.defaults.width) // (OVERLAP * grid)) * OVERLAP * grid
    whole = padded(picture, grid)
    pixels = torch.from_numpy(np.array(whole)).permute(2, 0, 1).float().div(255)
    spots = places(whole.width, whole.height, tile, tile // OVERLAP, grid)
    noise = _noise(shape(layout, pipe, loaded.components[row.denoiser], whole.height, whole.width), seed)
    done = 0

    def redrawn(part: Tensor) -> Tensor:
        nonlocal done
        (left, top), (height, width) = spots[done], part.shape[2:]
        given = Pillow.fromarray(part[0].mul(255).round().byte().permute(1, 2, 0).numpy())
        here = noise[..., top // scale : (top + height) // scale, left // scale : (left + width) // scale]
        this = Pass(
            request=request.model_copy(update={"width": width, "height": height, "hires": None}), steps=request.steps,
            begin=request.steps - steps, known=encode(vae, given), noise=here,
        )  # fmt: skip
        latents = denoise(
            this, loaded, conditioning, [seed], device=studio.device, settings=studio.settings.generation, tell=tell,
            controls=tile_control(studio, loaded, how.control, part),
        )  # fmt: skip
        done += 1
        return torch.from_numpy(np.array(decode(vae, latents))).permute(2, 0, 1).float().div(255)[None]

    def tell(*, part: float, **_: Any) -> None:
        run.check()
        begin, end = 1 - run.detail_share, 1.0
        batch = begin + (done + part) / len(spots) * (end - begin)
        run.say("upscale", step=done, steps=len(spots), fraction=(run.drawn + batch) / request.image_count)

    with run.stage("detail"):
        made = torch.cat(list(strips(pixels, redrawn, 1, tile, tile // OVERLAP, grid)), dim=1)
    large = Pillow.fromarray(made.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy())
    return large.crop((0, 0, *picture.size))


def _noise(size: tuple[int, int, int, int], seed: int) -> Tensor:
    """For the whole picture at once, so that neighbouring tiles have the same noise where they overlap."""
    return torch.randn(size, generator=torch.Generator("cpu").manual_seed(seed))
