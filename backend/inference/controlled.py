"""Lets control networks speak to a UNet at every step, while it is run by any pipeline."""

from __future__ import annotations

import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from backend.control_models import ControlKind
from backend.controlling import Control

FADING = 0.825
"""Where prompt or control is to win, each level's word counts this much of the next one's: the last of all in full.
From ControlNet 1.0's guess mode (L. Zhang, "Adding Conditional Control to Text-to-Image Diffusion Models", 2023, code)."""

UNION_TYPES = {
    "OpenPose": 0, "Depth": 1, "SoftEdge": 2, "Scribble": 2, "Canny": 3, "Lineart": 3, "MLSD": 3, "NormalMap": 4, "Segmentation": 5, "Tile": 6,
    "Blur": 6, "Inpaint": 7,
}  # fmt: skip
"""Group of a preprocessor to the number that union ControlNets know that kind of map by (ControlNet++, xinsir, 2024)."""

Done = Callable[[], int]
"""Says how many steps are done."""

Residuals = tuple[list[Tensor], Tensor]
"""What a ControlNet adds to the UNet's skip connections, and to its middle."""


@dataclass(frozen=True)
class Unit:
    """One control, ready to act."""

    control: Control
    kind: ControlKind
    network: Any
    """Of diffusers' class for its kind."""
    map: Tensor
    """1 x 3 x H x W, or one for each picture of the batch, 0 to 1, at the size of the picture; -1 where an inpainting ControlNet is to paint."""
    group: str = ""
    """Of its preprocessor: says a union ControlNet what it is shown."""


@contextlib.contextmanager
def controlled(unet: nn.Module, units: Sequence[Unit], *, guided: bool, calls: int, done: Done | None = None) -> Iterator[None]:
    """While the block runs, every unit acts on the UNet within its range of steps.

    `guided`: batches come as two halves, without and with the prompt. `calls`: of how many steps; `done` says how many are
    done, or each call is one. The sums are those of diffusers' StableDiffusionControlNetPipeline and StableDiffusionAdapterPipeline.
    """
    if not units:
        yield
        return
    plain, speaking = unet.forward, _Speaking(units, guided, calls, done or each_call())

    def forward(sample: Tensor, timestep: Any, encoder_hidden_states: Tensor, **more: Any) -> Any:
        said = speaking.at_next_step(sample, timestep, encoder_hidden_states, more.get("added_cond_kwargs"))
        return plain(sample, timestep, encoder_hidden_states, **{**more, **said})

    with replaced_forward(unet, forward):
        yield


@contextlib.contextmanager
def replaced_forward(module: nn.Module, forward: Callable[..., Any]) -> Iterator[None]:
    """While the block runs, whoever calls the module calls `forward`. Blocks may stand in one another."""
    before = module.__dict__.get("forward")
    module.forward = forward
    try:
        yield
    finally:
        if before is None:
            del module.forward
        else:
            module.forward = before


def each_call() -> Done:
    """For a denoiser that is called once a step: how many steps are done at each call."""
    return itertools.count().__next__


def during(done: int, steps: int) -> tuple[float, float]:
    """The shares of all steps at which a step begins and ends."""
    return done / steps, (done + 1) / steps


def acts(control: Control, begun: float, ended: float) -> bool:
    """Whether a control acts in a step that goes from one share of all steps to another, as in diffusers."""
    return bool(control.weight) and begun >= control.start and ended <= control.end


class _Speaking:
    """Knows the step, and keeps what is the same at each of them."""

    def __init__(self, units: Sequence[Unit], guided: bool, calls: int, done: Done) -> None:
        self._units, self._guided, self._calls, self._done = units, guided, calls, done
        self._features: dict[int, list[Tensor]] = {}

    def at_next_step(self, sample: Tensor, timestep: Any, prompts: Tensor, added: dict[str, Tensor] | None) -> dict[str, Any]:
        """Further arguments of the UNet's call."""
        begun, ended = during(self._done(), self._calls)
        acting = [unit for unit in self._units if acts(unit.control, begun, ended)]
        said: dict[str, Any] = {}
        nets = [unit for unit in acting if unit.kind in ("controlnet", "controlnet-union")]
        if nets:
            down, middle = _sum([self._residuals(unit, sample, timestep, prompts, added) for unit in nets])
            said |= {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
        adapters = [unit for unit in acting if unit.kind == "t2i-adapter"]
        if adapters:
            levels = zip(*(self._adapted(unit, sample) for unit in adapters), strict=True)
            said["down_intrablock_additional_residuals"] = [together(level) for level in levels]
        return said

    def _residuals(self, unit: Unit, sample: Tensor, timestep: Any, prompts: Tensor, added: dict[str, Tensor] | None) -> Residuals:
        """Of one unit for the whole batch."""
        only_prompted = self._guided and unit.control.mode == "ControlNet is more important"
        if only_prompted:  # nothing is said to the half without the prompt, so guidance leads towards the map, too
            sample, prompts = sample.chunk(2)[1], prompts.chunk(2)[1]
            added = {name: value.chunk(2)[1] for name, value in added.items()} if added else added
        shown = unit.map.to(sample).repeat(len(sample) // len(unit.map), 1, 1, 1)
        down, middle = self._asked(unit, sample, timestep, prompts, shown, added)
        if unit.control.mode != "Balanced":
            shares = [FADING ** (len(down) - place) for place in range(len(down))]
            down = [part * share for part, share in zip(down, shares, strict=True)]
        if only_prompted:
            down = [torch.cat([torch.zeros_like(part), part]) for part in down]
            middle = torch.cat([torch.zeros_like(middle), middle])
        return down, middle

    @staticmethod
    def _asked(unit: Unit, sample: Tensor, timestep: Any, prompts: Tensor, shown: Tensor, added: dict[str, Tensor] | None) -> Residuals:
        weight = unit.control.weight
        if unit.kind == "controlnet":
            return unit.network(
                sample, timestep, encoder_hidden_states=prompts, controlnet_cond=shown, conditioning_scale=weight, added_cond_kwargs=added,
                return_dict=False,
            )  # fmt: skip
        number, kinds = UNION_TYPES.get(unit.group, 0), unit.network.config["num_control_type"]
        flags = torch.zeros(len(sample), kinds, device=sample.device, dtype=sample.dtype)
        flags[:, number] = 1
        return unit.network(
            sample, timestep, encoder_hidden_states=prompts, controlnet_cond=[shown], control_type=flags, control_type_idx=[number],
            conditioning_scale=[weight], added_cond_kwargs=added, return_dict=False,
        )  # fmt: skip

    def _adapted(self, unit: Unit, sample: Tensor) -> list[Tensor]:
        """A T2I-Adapter's features, times the unit's weight, one for each level. It looks at the map alone, so once is enough."""
        if id(unit) not in self._features:
            colours = unit.network.config["in_channels"]
            shown = unit.map.mean(1, keepdim=True) if colours == 1 else unit.map
            self._features[id(unit)] = [level * unit.control.weight for level in unit.network(shown.to(sample))]
        return [level.expand(len(sample), -1, -1, -1) for level in self._features[id(unit)]]


def _sum(parts: list[Residuals]) -> Residuals:
    """What several networks say together."""
    downs, middles = zip(*parts, strict=True)
    return [together(level) for level in zip(*downs, strict=True)], together(middles)


def together(parts: Sequence[Tensor]) -> Tensor:
    """From the first on, in their order, as floating-point sums depend on it."""
    return functools.reduce(torch.add, parts)
