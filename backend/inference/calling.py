"""How a family's pipeline is called: the names of its arguments, and how it tells of its steps."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor

from backend.families import Family
from backend.types import Request

AfterStep = Callable[[Tensor], Tensor]
"""Gets the latents as the pipeline's loop has them after a step; the loop goes on with what it returns."""


def guided(row: Family, request: Request) -> dict[str, float]:
    """The request's CFG scale under the pipeline's own name, in its own count."""
    return {row.guidance_name: request.guidance - row.guidance_offset}


def hearing(row: Family, after_step: AfterStep) -> dict[str, Any]:
    """Arguments that make the pipeline call `after_step`."""
    if row.old_callback:  # it gives the very tensor that it goes on with, and takes nothing back
        return {"callback": lambda _index, _timestep, latents: latents.copy_(after_step(latents)), "callback_steps": 1}

    def on_step_end(_pipe: Any, _index: int, _timestep: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        return {**tensors, "latents": after_step(tensors["latents"])}

    return {"callback_on_step_end": on_step_end, "callback_on_step_end_tensor_inputs": ["latents"]}


def keep_size(pipe: Any, height: int, width: int) -> None:
    """HiDream's pipeline draws as many pixels as its default size has, whatever is asked for: so this becomes its default."""
    pipe.default_sample_size = math.sqrt(height * width) / pipe.vae_scale_factor + 1e-6  # above, as it rounds down
