"""Lets ControlNets speak to a transformer at every step, while it is run by any pipeline.

What each family's networks are shown and asked is what diffusers' own pipelines for them show and ask. Their maps are latents,
the likeliest ones, where some of those pipelines draw them by chance.
"""

from __future__ import annotations

import contextlib
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.errors import BadRequest
from backend.inference.control import Controls
from backend.inference.controlled import FADING, Done, Unit, acts, during, replaced_forward, together
from backend.inference.encode import likeliest
from backend.inference.latents import Packed, scaled
from backend.inference.picture_prompts_transformers import attended_flux, attended_sd3

FLUX_TYPES = {
    "Canny": 0, "Lineart": 0, "MLSD": 0, "SoftEdge": 0, "Scribble": 0, "Tile": 1, "Depth": 2, "Blur": 3, "OpenPose": 4, "Recolor": 5,
}  # fmt: skip
"""Group of a preprocessor to the number that Flux.1's union ControlNets know that kind of map by (InstantX, Shakker Labs, 2024).
They learned edges of one kind alone."""

DEV_GUIDANCE = 3.5
"""What networks that were made for Flux.1 dev are told where the model knows no guidance: dev's own default."""

Told = Mapping[str, Any]
"""Arguments of the transformer's call, by name."""

Placed = dict[tuple[str, int], Tensor]
"""What is added after each block: by the argument of the transformer's call that it goes into, and by the block's number."""


@dataclass(frozen=True)
class Way:
    """How the networks of one family are asked."""

    shown: Callable[[Unit, Any], Tensor]
    """From a unit and the VAE: the map as its network takes it."""
    asked: Callable[[Unit, Tensor, Told, Any], Sequence[Tensor]]
    """From a unit, its map for each row of the batch, the call and the transformer: what each layer of the network says."""
    placed: Callable[[Any, Sequence[Tensor], Any], Placed]
    """From a network, what its layers say, and the transformer."""
    unprompted: int | None = None
    """Which half of a guided batch is without the prompt, 0 or 1; None where that is a call of its own, the second of a step."""
    by_block: bool = False
    """Whether the transformer takes a dictionary by block; otherwise a list with all of them."""


class _Speaking:
    """Knows the step, and keeps what is the same throughout it."""

    def __init__(self, transformer: Any, controls: Controls, way: Way, guided: bool, calls: int, done: Done) -> None:
        self._transformer, self._way, self._guided, self._calls, self._done = transformer, way, guided, calls, done
        self._maps = [(unit, way.shown(unit, controls.vae)) for unit in controls.units]
        self._step, self._said = -1, list[tuple[Unit, Placed]]()

    def at_next_call(self, told: Told) -> dict[str, Any]:
        """Further arguments of the transformer's call. What was said at a step's first call holds for its second one."""
        step = self._done()
        second = step == self._step
        if not second:
            moment = during(step, self._calls)
            self._step, self._said = step, [(unit, self._of(unit, shown, told)) for unit, shown in self._maps if acts(unit.control, *moment)]
        heard = [said for unit, said in self._said if not (second and _against_prompt(unit))]
        return _arguments(summed(heard), by_block=self._way.by_block)

    def _of(self, unit: Unit, shown: Tensor, told: Told) -> Placed:
        batch = next(iter(told.values()))
        every = shown.to(batch[0]).repeat(len(batch) // len(shown), *[1] * (shown.dim() - 1))
        parts = self._way.asked(unit, every, told, self._transformer)
        if unit.control.mode != "Balanced":
            parts = [part * FADING ** (len(parts) - 1 - number) for number, part in enumerate(parts)]
        if self._guided and self._way.unprompted is not None and _against_prompt(unit):
            parts = [_silenced(part, self._way.unprompted) for part in parts]
        return self._way.placed(unit.network, parts, self._transformer)


def _against_prompt(unit: Unit) -> bool:
    """Whether nothing is said without the prompt, so that guidance leads towards the map, too."""
    return unit.control.mode == "ControlNet is more important"


def _silenced(part: Tensor, half: int) -> Tensor:
    halves = list(part.chunk(2))
    halves[half] = torch.zeros_like(halves[half])
    return torch.cat(halves)


def summed(said: Sequence[Placed]) -> Placed:
    """What several networks say together. One layer may speak after many blocks; its sum is made once."""
    made: dict[tuple[int, ...], Tensor] = {}
    places: Placed = {}
    for place in dict.fromkeys(itertools.chain(*said)):
        parts = [one[place] for one in said if place in one]
        key = tuple(id(part) for part in parts)
        if key not in made:
            made[key] = together(parts)
        places[place] = made[key]
    return places


def _arguments(said: Placed, *, by_block: bool) -> dict[str, Any]:
    blocks: dict[str, dict[int, Tensor]] = {}
    for (name, block), part in said.items():
        blocks.setdefault(name, {})[block] = part
    return {name: parts if by_block else list(parts.values()) for name, parts in blocks.items()}


@contextlib.contextmanager
def _acting(way: Way, transformer: Any, controls: Controls, *, guided: bool, calls: int, done: Done) -> Iterator[None]:
    """While the block runs, every unit acts on the transformer within its range of steps."""
    if not controls.units:
        yield
        return
    plain, names = transformer.forward, list(inspect.signature(type(transformer).forward).parameters)[1:]
    speaking = _Speaking(transformer, controls, way, guided, calls, done)

    def forward(*values: Any, **named_values: Any) -> Any:
        told = {**dict(zip(names, values, strict=False)), **named_values}
        return plain(**told, **speaking.at_next_call(told))

    with replaced_forward(transformer, forward):
        yield


def _pixels(unit: Unit) -> Tensor:
    """The map in -1 to 1."""
    return unit.map * 2 - 1


def _encoded(unit: Unit, vae: Any) -> Tensor:
    """The map's latents, N x C x h x w, as the transformer has its own."""
    return scaled(vae, likeliest(vae, _pixels(unit)))


def _evenly(argument: str, parts: Sequence[Tensor], blocks: int) -> Placed:
    """Each layer of a network speaks after as many blocks as the next one."""
    run = math.ceil(blocks / len(parts)) if parts else 0
    return {(argument, block): parts[block // run] for block in range(blocks)} if parts else {}


# Flux.1


def _flux_shown(unit: Unit, vae: Any) -> Tensor:
    """Latents as tokens; networks of XLabs' kind look at the pixels themselves."""
    return _pixels(unit) if unit.network.input_hint_block is not None else Packed.given(_encoded(unit, vae))


def _flux_asked(unit: Unit, shown: Tensor, told: Told, _transformer: Any) -> list[Tensor]:
    net, rows, device, guidance = unit.network, len(shown), shown.device, None
    if net.config["guidance_embeds"]:
        given = told.get("guidance")
        guidance = torch.full((rows,), DEV_GUIDANCE, device=device) if given is None else given
    names = ("hidden_states", "encoder_hidden_states", "pooled_projections", "timestep", "img_ids", "txt_ids")
    mode = torch.full((rows, 1), _flux_type(unit), device=device) if net.union else None
    said = net(
        **{name: told[name] for name in names}, controlnet_cond=shown, controlnet_mode=mode, conditioning_scale=unit.control.weight,
        guidance=guidance, return_dict=False,
    )  # fmt: skip
    return [part for stream in said for part in stream or ()]


def _flux_type(unit: Unit) -> int:
    if unit.group in FLUX_TYPES:
        return FLUX_TYPES[unit.group]
    raise BadRequest({"controls": f"{unit.control.model} has to know what kind of map it is shown. Choose a type: {', '.join(FLUX_TYPES)}."})


def _flux_placed(net: Any, parts: Sequence[Tensor], transformer: Any) -> Placed:
    doubles, singles = parts[: len(net.controlnet_blocks)], parts[len(net.controlnet_blocks) :]
    blocks = len(transformer.transformer_blocks)
    first = _evenly("controlnet_block_samples", doubles, blocks)
    if net.input_hint_block is not None:  # XLabs' few layers take turns
        first = {("controlnet_block_samples", block): doubles[block % len(doubles)] for block in range(blocks)}
    return {**first, **_evenly("controlnet_single_block_samples", singles, len(transformer.single_transformer_blocks))}


# Stable Diffusion 3 and 3.5


def _sd3_shown(unit: Unit, vae: Any) -> Tensor:
    net, pixels = unit.network, _pixels(unit)
    if net.context_embedder is None and unit.group == "Canny":
        pixels = unit.map * 255 * 0.5 + 0.5  # so Stability's ControlNet for edges learned it (sd3.5, sd3_infer.py)
    if net.config["force_zeros_for_pooled_projection"]:  # InstantX's learned without the shift
        return likeliest(vae, pixels) * vae.config.scaling_factor
    return scaled(vae, likeliest(vae, pixels))


def _sd3_asked(unit: Unit, shown: Tensor, told: Told, transformer: Any) -> list[Tensor]:
    net, sample, pooled = unit.network, told["hidden_states"], told["pooled_projections"]
    return net(
        # Stability's own leave out what the model has already: where things are, and the prompt.
        hidden_states=sample if net.pos_embed is not None else transformer.pos_embed(sample),
        encoder_hidden_states=told["encoder_hidden_states"] if net.context_embedder is not None else None,
        pooled_projections=torch.zeros_like(pooled) if net.config["force_zeros_for_pooled_projection"] else pooled,
        timestep=told["timestep"], controlnet_cond=shown, conditioning_scale=unit.control.weight, return_dict=False,
    )[0]  # fmt: skip


def _sd3_placed(_net: Any, parts: Sequence[Tensor], transformer: Any) -> Placed:
    blocks = len(transformer.transformer_blocks)
    return {("block_controlnet_hidden_states", block): parts[int(block / (blocks / len(parts)))] for block in range(blocks)}


# Qwen-Image


def _qwen_shown(unit: Unit, vae: Any) -> Tensor:
    return Packed.given(_encoded(unit, vae))


def _qwen_asked(unit: Unit, shown: Tensor, told: Told, _transformer: Any) -> list[Tensor]:
    names = ("hidden_states", "encoder_hidden_states", "encoder_hidden_states_mask", "timestep", "img_shapes")
    return unit.network(**{name: told[name] for name in names}, controlnet_cond=shown, conditioning_scale=unit.control.weight, return_dict=False)


def _qwen_placed(_net: Any, parts: Sequence[Tensor], transformer: Any) -> Placed:
    return _evenly("controlnet_block_samples", parts, len(transformer.transformer_blocks))


# Z-Image

BORROWED = (
    "t_scale", "t_embedder", "all_x_embedder", "cap_embedder", "rope_embedder", "noise_refiner", "context_refiner", "x_pad_token", "cap_pad_token",
)  # fmt: skip
"""What Z-Image's ControlNets have no layers of their own for, as `ZImageControlNetModel.from_transformer` lends it to them."""


@contextlib.contextmanager
def _lent(net: Any, transformer: Any) -> Iterator[None]:
    """While the block runs, the network has the transformer's own layers before its blocks; afterwards it holds on to none."""
    net.from_transformer(net, transformer)
    try:
        yield
    finally:
        for name in BORROWED:
            setattr(net, name, None)


def _z_image_shown(unit: Unit, vae: Any) -> Tensor:
    """One frame, N x C x 1 x h x w; those of the second version have further channels, for what is to be painted."""
    latents = _encoded(unit, vae).unsqueeze(2)
    more = unit.network.config["control_in_dim"] - latents.shape[1]
    return torch.cat([latents, latents.new_zeros(len(latents), more, *latents.shape[2:])], dim=1)


def _z_image_asked(unit: Unit, shown: Tensor, told: Told, _transformer: Any) -> list[Tensor]:
    said = unit.network(told["x"], told["t"], told["cap_feats"], shown, conditioning_scale=unit.control.weight)
    return list(said.values())


def _z_image_placed(net: Any, parts: Sequence[Tensor], _transformer: Any) -> Placed:
    return {("controlnet_block_samples", block): part for block, part in zip(net.config["control_layers_places"], parts, strict=True)}


# The ways


@contextlib.contextmanager
def on_flux(transformer: Any, controls: Controls, *, guided: bool, calls: int, done: Done) -> Iterator[None]:
    """The way of Flux.1, which is told of guidance and has no part without the prompt."""
    way = Way(_flux_shown, _flux_asked, _flux_placed)
    with (
        attended_flux(transformer, controls.pictures, calls=calls, done=done),
        _acting(way, transformer, controls, guided=guided, calls=calls, done=done),
    ):
        yield


@contextlib.contextmanager
def on_sd3(transformer: Any, controls: Controls, *, guided: bool, calls: int, done: Done) -> Iterator[None]:
    """The way of Stable Diffusion 3 and 3.5."""
    way = Way(_sd3_shown, _sd3_asked, _sd3_placed, unprompted=0)
    with (
        attended_sd3(transformer, controls.pictures, guided=guided, calls=calls, done=done),
        _acting(way, transformer, controls, guided=guided, calls=calls, done=done),
    ):
        yield


@contextlib.contextmanager
def on_qwen(transformer: Any, controls: Controls, *, guided: bool, calls: int, done: Done) -> Iterator[None]:
    """The way of Qwen-Image, which is called twice a step: with the prompt, then without."""
    with _acting(Way(_qwen_shown, _qwen_asked, _qwen_placed), transformer, controls, guided=guided, calls=calls, done=done):
        yield


@contextlib.contextmanager
def on_z_image(transformer: Any, controls: Controls, *, guided: bool, calls: int, done: Done) -> Iterator[None]:
    """The way of Z-Image."""
    way = Way(_z_image_shown, _z_image_asked, _z_image_placed, unprompted=1, by_block=True)
    with contextlib.ExitStack() as lending:
        for net in {id(unit.network): unit.network for unit in controls.units}.values():
            lending.enter_context(_lent(net, transformer))
        with _acting(way, transformer, controls, guided=guided, calls=calls, done=done):
            yield
