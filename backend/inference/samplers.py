"""Rows of the sampler table become diffusers schedulers."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from backend.inference.cache import named
from backend.inference.schedules import beginning_at
from backend.samplers import Sampler, find_sampler, resolve_schedule
from backend.types import Request

_SPACING_FLAGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas")


def build(request: Request, model_scheduler: Any, seeds: list[int], begin: int = 0) -> Any:
    """A fresh scheduler for one batch: the model's own noise settings, the sampler's class, the schedule's spacing.

    With `begin`, its schedules leave out that many steps at their start.
    `seeds` are the images' seeds, for the one class that draws its noise from seeds and not from generators.
    """
    sampler = find_sampler(request.sampler)
    schedule = resolve_schedule(sampler, request.scheduler)
    code = beginning_at(named(sampler.code), begin) if begin else named(sampler.code)
    config = {name: value for name, value in model_scheduler.config.items() if name not in _SPACING_FLAGS and not name.startswith("_")}
    scheduler = code.from_config(_known_to(code, {**config, **sampler.options, **schedule.options}))
    if hasattr(scheduler, "noise_sampler_seed"):
        scheduler.noise_sampler_seed = seeds if len(seeds) > 1 else seeds[0]
    return scheduler


def _known_to(code: Any, config: dict[str, Any]) -> dict[str, Any]:
    """Only what the class takes: diffusers would warn of the rest, and one class's solver settings are not another's."""
    names = inspect.signature(code.__init__).parameters
    return {name: value for name, value in config.items() if name in names}


class CleanEstimate:
    """The picture as the model sees it at this step: the latents with all noise taken out."""

    latents: Tensor | None = None


@contextlib.contextmanager
def watched(scheduler: Any, sampler: Sampler) -> Iterator[CleanEstimate]:
    """While the block runs, note the denoised latents that every step implies, from the scheduler's own numbers.

    With signal share a: x0 = (x - sqrt(1 - a) e) / sqrt(a), and for v-prediction sqrt(a) x - sqrt(1 - a) v (Salimans
    and Ho 2022). In sigma space x is larger by 1 / sqrt(a), which is sqrt(1 + sigma^2).
    """
    estimate, step = CleanEstimate(), scheduler.step
    shares = scheduler.alphas_cumprod

    @functools.wraps(step)  # pipelines read the signature to learn whether it takes a generator
    def noting(model_output: Tensor, timestep: Any, sample: Tensor, *rest: Any, **named_rest: Any) -> Any:
        moment = min(max(round(float(timestep)), 0), len(shares) - 1)
        share = shares[moment].to(device=sample.device, dtype=torch.float32)
        x = sample.float() * (share.sqrt() if sampler.sample_space == "sigma" else 1.0)
        out = model_output.float()
        kind = scheduler.config.get("prediction_type", "epsilon")
        if kind == "v_prediction":
            estimate.latents = share.sqrt() * x - (1 - share).sqrt() * out
        elif kind == "sample":
            estimate.latents = out
        else:
            estimate.latents = (x - (1 - share).sqrt() * out) / share.sqrt()
        return step(model_output, timestep, sample, *rest, **named_rest)

    scheduler.step = noting
    try:
        yield estimate
    finally:
        del scheduler.step
