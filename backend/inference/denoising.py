"""One run of the denoiser over a batch: from noise or from a picture, freely or under a mask."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from backend.families import Family
from backend.inference import latents as layouts
from backend.inference import samplers
from backend.inference.cache import Loaded, named
from backend.inference.calling import guided, hearing
from backend.inference.conditioning import Conditioning
from backend.inference.control import NO_CONTROLS, Controls
from backend.inference.flows import rehearse
from backend.inference.masking import may_change
from backend.inference.memory import Device
from backend.inference.preview import Previewer
from backend.inference.schedules import noised
from backend.inference.starting import Start
from backend.painting import LATENT_UPSCALERS, MaskedContent
from backend.samplers import find_sampler
from backend.settings import Generation
from backend.types import Request

NOISED_ALREADY = 1e-6
"""A `denoising_start` that tells image-to-image pipelines to take the latents as they are and run all steps of the schedule."""

OTHER_NOISE = 2**54
"""Added to seeds, beyond all that can be asked for."""

Told = Callable[..., None]
"""Hears step, steps, part (of this pass, 0 to 1), pace (seconds for all of it) and preview after every step; may raise Cancelled."""


@dataclass(frozen=True, kw_only=True)
class Pass:
    """What one run of the denoiser draws."""

    request: Request
    """Prompt, size, sampler and guidance as this pass has them."""

    steps: int
    """Of the whole schedule."""

    begin: int = 0
    """The first step that is run, from 0; `steps` for none."""

    known: Tensor | None = None
    """Latents to start from, N or 1 x C x h x w; None for noise alone."""

    mask: Tensor | None = None
    """How much each latent may change, N or 1 x 1 x h x w, 0 to 1."""

    origin: int | None = None
    """The step at which the pass before this one began, where this one continues it."""

    noisy: Tensor | None = None
    """Latents that another pass left at `begin`, N x C x h x w, with the noise of that place in them."""

    noise: Tensor | None = None
    """Noise to begin with, N x C x h x w, where it is not drawn from the seeds, as for a part of a larger picture."""

    stop: int = 0
    """The step before which it ends, for another model to go on; 0 for the schedule's end."""

    noise_multiplier: float = 1.0
    """What the noise to begin with is multiplied by."""

    soft: bool = False
    """Whether the mask's greys are strengths."""

    content: MaskedContent = "original"
    """What stands under the mask at the start; "fill" is in the picture already."""

    @property
    def runs(self) -> int:
        """Steps that are run."""
        return (self.stop or self.steps) - self.begin

    def done(self, part: float) -> float:
        """Share of all steps, with those of the pass that this one continues, when `part` of its own are done."""
        origin = self.begin if self.origin is None else self.origin
        return (self.begin - origin + part * self.runs) / max(self.steps - origin, 1)


def first_pass(request: Request, starts: Sequence[Start]) -> Pass:
    """The pass that the request asks for first, from a start for each image. Its strength says which steps are run, as in diffusers."""
    if not starts or request.image is None:
        return Pass(request=request, steps=request.steps)
    run = min(int(request.steps * request.image.denoising_strength), request.steps)
    painted = {"soft": request.mask.soft, "content": request.mask.content} if request.mask else {}
    known, masks = torch.cat([start.known for start in starts]), [start.mask for start in starts if start.mask is not None]
    return Pass(
        request=request, steps=request.steps, begin=request.steps - run, known=known, mask=torch.cat(masks) if masks else None,
        noise_multiplier=request.image.noise_multiplier, **painted,
    )  # fmt: skip


def hires_request(request: Request) -> Request:
    """The request as its second pass has it."""
    hires = request.hires
    assert hires is not None
    width, height = request.hires_size
    sampling = {"sampler": hires.sampler or request.sampler, "scheduler": hires.scheduler or request.scheduler}
    prompts = {"prompt": hires.prompt or request.prompt, "negative_prompt": hires.negative_prompt or request.negative_prompt}
    return request.model_copy(update={"width": width, "height": height, "hires": None, **sampling, **prompts})


def second_pass(request: Request, known: Tensor) -> Pass:
    """The hires pass over upscaled latents. As in A1111 it runs all the steps asked for, at the end of a longer schedule."""
    hires = request.hires
    assert hires is not None
    run = hires.steps or request.steps
    total = math.ceil(run / hires.denoising_strength - 1e-9) if hires.denoising_strength else run
    return Pass(request=hires_request(request), steps=total, begin=total - run if hires.denoising_strength else total, known=known)


def until_refined(this: Pass) -> Pass:
    """The pass, ending where the request's refiner takes over; the pass itself where there is none, or it takes over too late."""
    refiner = this.request.refiner
    stop = this.begin + max(1, round(this.runs * refiner.switch_at)) if refiner else this.steps
    return this if stop >= this.steps else replace(this, stop=stop)


def refining(this: Pass, latents: Tensor) -> Pass:
    """The refiner's part of a pass that was stopped: the steps that are left, from the latents that it left."""
    return replace(this, begin=this.stop, origin=this.begin, stop=0, noisy=latents)


def upscaled(latents: Tensor, upscaler: str, rows: int, columns: int) -> Tensor:
    """Latents N x C x h x w stretched to `rows` x `columns` in the manner of one of LATENT_UPSCALERS, cut where ratios differ."""
    mode, smooth = LATENT_UPSCALERS[upscaler]
    scale = max(rows / latents.shape[-2], columns / latents.shape[-1])
    size = (max(rows, round(latents.shape[-2] * scale)), max(columns, round(latents.shape[-1] * scale)))
    large = nn.functional.interpolate(latents.float(), size=size, mode=mode, antialias=smooth).to(latents)
    top, left = (size[0] - rows) // 2, (size[1] - columns) // 2
    return large[..., top : top + rows, left : left + columns]


def drawn_size(request: Request, row: Family) -> tuple[int, int]:
    """Height and width in pixels that are drawn: the request's, rounded up to the family's step."""
    height, width = (-(-side // row.size_step) * row.size_step for side in (request.height, request.width))
    return height, width


class _Reached(Exception):
    """The step at which this pass ends for another model to go on. An exception, as not every pipeline heeds `_interrupt`."""


def beneath(this: Pass, known: Tensor, noise: Tensor) -> Tensor:
    """The latents to start from, with what was asked for under the mask."""
    if this.mask is None or this.content not in ("latent noise", "latent nothing"):
        return known
    change = this.mask.to(known)
    return (1 - change) * known + change * (noise if this.content == "latent noise" else 0)


@torch.inference_mode()
def denoise(
    this: Pass, loaded: Loaded, conditioning: Conditioning, seeds: list[int], *, device: Device, settings: Generation, tell: Told,
    controls: Controls = NO_CONTROLS,
) -> Tensor:  # fmt: skip
    """Latents of one batch, N x C x h x w. Noise is drawn on the CPU at 32 bit, so that every device starts alike."""
    request, row = this.request, loaded.model.family
    if this.known is not None and not this.runs:
        return this.known.expand(len(seeds), -1, -1, -1)
    scheduler = samplers.build(request, loaded.components["scheduler"], seeds, this.begin, flow=row.flow)
    pipe, layout = loaded.pipeline(row.task, scheduler=scheduler), named(row.layout)
    pipe.set_progress_bar_config(disable=True)
    height, width = drawn_size(request, row)
    if row.fit:
        named(row.fit)(pipe, height, width)
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    denoiser = loaded.components[row.denoiser]
    shape = layouts.shape(layout, pipe, denoiser, height, width)
    drawn = torch.cat([torch.randn(shape, generator=generator) for generator in generators]) if this.noise is None else this.noise
    drawn = drawn.to(device.torch_device, denoiser.dtype)
    noise = drawn * this.noise_multiplier
    known = None if this.known is None else this.known.to(noise).expand_as(noise)
    call = {"num_inference_steps": this.steps, "output_type": "latent", **guided(row, request), **conditioning.repeated(len(seeds)), **row.call}
    if row.task == "txt2img":
        call |= {"height": height, "width": width}
    if row.flow:
        rehearse(scheduler, pipe, **call, latents=layout.given(noise))
    else:
        scheduler.set_timesteps(this.steps, device=device.torch_device)
    start = noised(scheduler, beneath(this, known, drawn), noise, 0) if known is not None and this.begin else noise
    if this.noisy is not None:
        start = this.noisy.to(noise)
        # Noise that samplers add must not be that of the steps before.
        generators = [torch.Generator("cpu").manual_seed(seed + OTHER_NOISE) for seed in seeds]
    last = (this.stop - this.begin) * scheduler.order if this.stop else len(scheduler.timesteps)
    previews = Previewer(row, loaded.components["vae"], settings.preview_every_seconds, settings.preview_pixels)
    begun, latest = time.perf_counter(), start

    with (
        samplers.watched(scheduler, find_sampler(request.sampler), generators) as estimate,
        controls.acting(denoiser, guided=request.guidance > 1, calls=len(scheduler.timesteps), done=lambda: estimate.taken),
    ):

        def after_step(inside: Tensor) -> Tensor:
            nonlocal latest
            latest, part = layout.outside(inside, *shape[2:]), estimate.taken / last
            if known is not None and this.mask is not None:
                old = noised(scheduler, known, noise, estimate.taken)
                change = may_change(this.mask.to(noise), this.done(part), soft=this.soft)
                latest = change * latest + (1 - change) * old
            clean = None if estimate.latents is None else layout.outside(estimate.latents, *shape[2:])
            tell(
                step=min(round(part * this.runs), this.runs), steps=this.runs, part=part,
                pace=(time.perf_counter() - begun) / part, preview=previews.make(clean),
            )  # fmt: skip
            if this.stop and estimate.taken >= last:
                raise _Reached
            return layout.inside(latest)

        where = {"latents": layout.given(start)} if row.task == "txt2img" else {"image": start, "denoising_start": NOISED_ALREADY}
        with contextlib.suppress(_Reached):
            pipe(**where, generator=generators, **hearing(row, after_step), **call)
    return latest
