"""Solvers for models that learned by flow matching, each on the model's own noise levels.

Such a model goes from noise to picture on a straight line: at level s, samples are (1 - s) * x0 + s * noise (rectified flow,
Liu et al. 2022). Its pipeline says where the levels lie, and diffusers' solvers would each place them in another way.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from torch import Tensor

NEVER_ALL_NOISE = 1e-6
"""What a first level of 1 is lowered by, as in diffusers' UniPC: multistep solvers take the logarithm of 1 - s."""


@dataclass(frozen=True)
class Levels:
    """Where the noise levels of a model's schedule lie."""

    model_scheduler: Any
    """As the model's folder has it."""

    options: Mapping[str, object]
    """Of a schedule type; none for the model's own way."""

    def of(self, steps: int, sigmas: Any, mu: float | None) -> tuple[Tensor, Tensor]:
        """The levels of all steps, falling, without the 0 at the end, and the timesteps that the model is told for them.

        `sigmas` and `mu` (the shift for this size) come from the pipeline.
        """
        config = self.model_scheduler.config
        if not self.options and sigmas is None and "flow_shift" in config:
            return self._solvers_own(steps)
        dynamic = bool(config.get("use_dynamic_shifting")) and mu is not None
        known = inspect.signature(FlowMatchEulerDiscreteScheduler.__init__).parameters
        settings = {name: value for name, value in config.items() if name in known and not name.endswith("_sigmas")}
        shift = config.get("flow_shift") or config.get("shift") or 1.0
        marks = {name: value for name, value in self.options.items() if name in known}
        scheduler: Any = FlowMatchEulerDiscreteScheduler(**{**settings, "shift": shift, "use_dynamic_shifting": dynamic, **marks})
        if "timestep_spacing" in self.options:
            last = 1 / steps if self.options["timestep_spacing"] == "trailing" else 1 / scheduler.config["num_train_timesteps"]
            sigmas = np.linspace(1.0, last, steps)
        scheduler.set_timesteps(steps, sigmas=sigmas, mu=mu if dynamic else None)
        return scheduler.sigmas[:-1], scheduler.timesteps

    def _solvers_own(self, steps: int) -> tuple[Tensor, Tensor]:
        """As a model has them whose scheduler is one of the multistep solvers."""
        scheduler = type(self.model_scheduler).from_config(self.model_scheduler.config)
        scheduler.set_timesteps(steps)
        return scheduler.sigmas[:-1], scheduler.timesteps.float()


def on_levels(code: type[Any], levels: Levels) -> type[Any]:
    """The scheduler class for flow matching, taking its schedule from `levels` whichever way a pipeline asks for it."""
    heun, multistep = hasattr(code, "state_in_first_order"), hasattr(code, "multistep_uni_p_bh_update")

    def set_timesteps(
        self: Any, num_inference_steps: int | None = None, device: Any = None, sigmas: Any = None, mu: float | None = None, **_: Any
    ) -> None:
        self.num_inference_steps = len(sigmas) if num_inference_steps is None else num_inference_steps
        these, timesteps = levels.of(self.num_inference_steps, sigmas, mu)
        if heun:  # two calls of the model for each step but the last
            these = torch.cat([these[:1], these[1:].repeat_interleave(2)])
            timesteps = torch.cat([timesteps[:1], timesteps[1:].repeat_interleave(2)])
            self.dt = self.prev_derivative = None
        if multistep:
            these = these.clamp(max=1 - NEVER_ALL_NOISE)
        self.sigmas = torch.cat([these, torch.zeros(1)])
        self.timesteps = timesteps.to(device)
        self._step_index = self._begin_index = None

    def shares(_: Any, sigma: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - sigma, sigma

    made = {"set_timesteps": set_timesteps, "_sigma_to_alpha_sigma_t": shares, "flow": True}
    return type(f"Flowing{code.__name__}", (code,), made)


def settings(code: type[Any], model_scheduler: Any, options: Mapping[str, object]) -> dict[str, object]:
    """What a scheduler of this class is made with: the solver's options, and no noise settings, as its levels are not its own."""
    steps = {"num_train_timesteps": model_scheduler.config.get("num_train_timesteps", 1000)}
    known = inspect.signature(code.__init__).parameters
    return {name: value for name, value in {**steps, **options}.items() if name in known}


def tell_shifting(scheduler: Any, model_scheduler: Any) -> Any:
    """The scheduler, saying of its shift what the model's does: pipelines read there whether and how the size matters."""
    named = ("use_dynamic_shifting", "base_image_seq_len", "max_image_seq_len", "base_shift", "max_shift", "shift")
    scheduler.register_to_config(**{name: model_scheduler.config[name] for name in named if name in model_scheduler.config})
    return scheduler


class _Rehearsed(Exception):
    """The pipeline has made its schedule."""


def rehearse(scheduler: Any, pipe: Any, **call: Any) -> None:
    """Give the scheduler the schedule that the pipeline will draw on, without drawing: only the pipeline knows the size's shift."""
    original = scheduler.set_timesteps

    @functools.wraps(original)  # pipelines read the signature to learn what it takes
    def once(*values: Any, **named_values: Any) -> None:
        original(*values, **named_values)
        raise _Rehearsed

    scheduler.set_timesteps = once
    try:
        pipe(**call)
    except _Rehearsed:
        pass
    finally:
        del scheduler.set_timesteps
