"""Pictures as prompts for transformers: Flux.1 (XLabs' IP-Adapters), Stable Diffusion 3 and 3.5 (InstantX's)."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from backend.errors import BadRequest, DamagedModel
from backend.inference.controlled import Done, acts, during, replaced_forward
from backend.inference.picture_prompts import PictureUnit, batch_of, parts_of

Told = Mapping[str, Any]
"""Arguments of the transformer's call, by name."""

Said = Callable[[Told, list[float]], dict[str, Any]]
"""From the call and each unit's weight at it: what is added to the arguments of attention."""


@contextlib.contextmanager
def attended_flux(transformer: Any, units: Sequence[PictureUnit], *, calls: int, done: Done) -> Iterator[None]:
    """While the block runs, Flux.1 attends to the units' pictures too, each within its range of steps. It has no part without the prompt."""

    def said(told: Told, scales: list[float]) -> dict[str, Any]:
        _set_scale(transformer, scales)
        return {"ip_adapter_image_embeds": [batch_of(unit, told["hidden_states"], guided=False) for unit in units]}

    with _attended(transformer, units, "encoder_hid_proj", [parts_of(unit.weights) for unit in units], said, calls, done):
        yield


@contextlib.contextmanager
def attended_sd3(transformer: Any, units: Sequence[PictureUnit], *, guided: bool, calls: int, done: Done) -> Iterator[None]:
    """While the block runs, Stable Diffusion 3 attends to the unit's pictures too. Raises BadRequest where there are several units."""
    if len(units) > 1:
        raise BadRequest({"controls": "Stable Diffusion 3 and 3.5 take one IP-Adapter at a time. Give all pictures to one unit."})

    def said(told: Told, scales: list[float]) -> dict[str, Any]:
        _set_scale(transformer, scales[0])
        if not scales[0]:
            return {}
        pictures = batch_of(units[0], told["hidden_states"], guided).unbind(1)
        seen, times = zip(*(transformer.image_proj(picture, told["timestep"]) for picture in pictures), strict=True)
        return {"ip_hidden_states": torch.cat(seen, 1), "temb": times[0]}

    with _attended(transformer, units, "image_proj", parts_of(units[0].weights) if units else {}, said, calls, done):
        yield


def _set_scale(transformer: Any, scale: Any) -> None:
    for processor in transformer.attn_processors.values():
        if hasattr(processor, "to_k_ip"):
            processor.scale = scale


@contextlib.contextmanager
def _attended(transformer: Any, units: Sequence[PictureUnit], place: str, parts: Any, said: Said, calls: int, done: Done) -> Iterator[None]:
    """`place`: the transformer's name for what reads pictures."""
    if not units:
        yield
        return
    plain, names = transformer.forward, list(inspect.signature(type(transformer).forward).parameters)[1:]

    def forward(*values: Any, **named_values: Any) -> Any:
        told = {**dict(zip(names, values, strict=False)), **named_values}
        moment = during(done(), calls)
        more = said(told, [unit.control.weight if acts(unit.control, *moment) else 0.0 for unit in units])
        return plain(**{**told, "joint_attention_kwargs": {**(told.get("joint_attention_kwargs") or {}), **more}})

    with _lent(transformer, units, place, parts), replaced_forward(transformer, forward):
        yield


@contextlib.contextmanager
def _lent(transformer: Any, units: Sequence[PictureUnit], place: str, parts: Any) -> Iterator[None]:
    """While the block runs, the transformer has the adapters' layers. Raises DamagedModel."""
    processors = dict(transformer.attn_processors)
    try:
        _load(transformer, units, parts)
        yield
    finally:
        if hasattr(transformer, place):  # first, as what reads pictures has processors of its own
            delattr(transformer, place)
        transformer.set_attn_processor(processors)
        vars(transformer.config).pop("encoder_hid_dim_type", None)


def _load(transformer: Any, units: Sequence[PictureUnit], parts: Any) -> None:
    try:
        transformer._load_ip_adapter_weights(parts)
    except (KeyError, RuntimeError, ValueError, AttributeError) as error:
        name = " and ".join(unit.model.name for unit in units)
        raise DamagedModel(f"The IP-Adapter {name} could not be loaded: its weights do not fit the model. Copy it again.") from error
