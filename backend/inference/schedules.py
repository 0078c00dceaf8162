"""Schedules that begin in the middle, and the noise that belongs to a place in one."""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import Tensor

_NOISE_LEVELS = ("sigmas", "sigmas_interpol", "sigmas_up", "sigmas_down")


def beginning_at(code: type[Any], step: int) -> type[Any]:
    """The scheduler class, with every schedule that it makes cut off before `step` (counted from 0).

    A pipeline that is given latents noised to that step's level then draws on from there. It multiplies latents by
    `init_noise_sigma`, which is right for pure noise only, so here that is 1.
    """
    original = code.set_timesteps

    @functools.wraps(original)  # pipelines read the signature to learn what it takes
    def set_timesteps(self: Any, *values: Any, **named_values: Any) -> None:
        original(self, *values, **named_values)
        first, count = step * self.order, len(self.timesteps)
        for name in _NOISE_LEVELS:
            levels = getattr(self, name, None)
            if isinstance(levels, Tensor) and levels.ndim == 1 and len(levels) >= count:
                setattr(self, name, levels[first:])
        self.timesteps = self.timesteps[first:]
        if code.__name__.startswith(("LCM", "TCD")):  # they add noise after every step but the last, which they count off
            self.num_inference_steps = len(self.timesteps)

    return type(f"Late{code.__name__}", (code,), {"set_timesteps": set_timesteps, "init_noise_sigma": 1.0})


def noised(scheduler: Any, clean: Tensor, noise: Tensor, place: int) -> Tensor:
    """Clean latents with the noise of a place in the scheduler's schedule, which has been set; at its end they stay clean."""
    if place >= len(scheduler.timesteps):
        return clean
    if hasattr(scheduler, "_sigma_to_alpha_sigma_t"):
        signal, level = (part.to(clean) for part in scheduler._sigma_to_alpha_sigma_t(scheduler.sigmas[place]))
        return signal * clean + level * noise
    if hasattr(scheduler, "sigmas"):
        return clean + scheduler.sigmas[place].to(clean) * noise
    moment = torch.as_tensor(scheduler.timesteps[place]).reshape(1)
    return scheduler.add_noise(clean, noise, moment)
