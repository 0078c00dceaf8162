"""Rows of the sampler table become diffusers schedulers."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from backend.inference import flows
from backend.inference.cache import named
from backend.inference.schedules import beginning_at
from backend.samplers import Sampler, find_sampler, resolve_schedule
from backend.types import Request

_SPACING_FLAGS = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas", "use_flow_sigmas")


def build(request: Request, model_scheduler: Any, seeds: list[int], begin: int = 0, *, flow: bool = False) -> Any:
    """A fresh scheduler for one batch: the model's own noise settings, the sampler's class, the schedule's spacing.

    With `begin`, its schedules leave out that many steps at their start.
    `seeds` are the images' seeds, for the one class that draws its noise from seeds and not from generators.
    `flow` is for models that learned by flow matching.
    """
    sampler = find_sampler(request.sampler)
    schedule = resolve_schedule(sampler, request.scheduler, flow=flow)
    if flow:
        solver = named(sampler.flow)
        made = flows.on_levels(solver, flows.Levels(model_scheduler, schedule.options))
        made = beginning_at(made, begin) if begin else made
        return flows.tell_shifting(made(**flows.settings(solver, model_scheduler, sampler.flow_options)), model_scheduler)
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
    taken: int = 0
    """Steps that the scheduler has taken."""


@contextlib.contextmanager
def watched(scheduler: Any, sampler: Sampler, generators: list[torch.Generator]) -> Iterator[CleanEstimate]:
    """While the block runs, note the denoised latents that every step implies, from the scheduler's own numbers.

    With signal share a: x0 = (x - sqrt(1 - a) e) / sqrt(a), and for v-prediction sqrt(a) x - sqrt(1 - a) v (Salimans
    and Ho 2022). In sigma space x is larger by 1 / sqrt(a), which is sqrt(1 + sigma^2). Noise that a step adds comes from
    `generators`, also where the pipeline forgets to say so, as those of flow matching do.
    """
    estimate, step = CleanEstimate(), scheduler.step
    draws = "generator" in inspect.signature(step).parameters
    clean = _clean_on_flow if getattr(scheduler, "flow", False) else functools.partial(_clean, sampler=sampler)

    @functools.wraps(step)  # pipelines read the signature to learn whether it takes a generator
    def noting(model_output: Tensor, timestep: Any, sample: Tensor, *rest: Any, **named_rest: Any) -> Any:
        estimate.latents = clean(scheduler, model_output.float(), float(timestep), sample.float())
        estimate.taken += 1
        if draws and named_rest.get("generator") is None:
            named_rest["generator"] = generators
        return step(model_output, timestep, sample, *rest, **named_rest)

    scheduler.step = noting
    try:
        yield estimate
    finally:
        del scheduler.step


def _clean(scheduler: Any, out: Tensor, timestep: float, sample: Tensor, *, sampler: Sampler) -> Tensor:
    shares = scheduler.alphas_cumprod
    share = shares[min(max(round(timestep), 0), len(shares) - 1)].to(device=sample.device, dtype=torch.float32)
    x = sample * (share.sqrt() if sampler.sample_space == "sigma" else 1.0)
    kind = scheduler.config.get("prediction_type", "epsilon")
    if kind == "sample":
        return out
    if kind == "v_prediction":
        return share.sqrt() * x - (1 - share).sqrt() * out
    return (x - (1 - share).sqrt() * out) / share.sqrt()


def _clean_on_flow(scheduler: Any, out: Tensor, timestep: float, sample: Tensor) -> Tensor:
    """x0 = x - s * v, with s the noise level; timesteps are levels times the number of training steps."""
    return sample - timestep / scheduler.config.num_train_timesteps * out
