"""Pictures as prompts (IP-Adapter: H. Ye et al., 2023): what an image encoder sees in them is added to what a denoiser is told."""

from __future__ import annotations

import contextlib
import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow
from torch import Tensor

from backend.control_models import ControlModel
from backend.controlling import Control
from backend.errors import DamagedModel, UnknownModel
from backend.inference.control_nets import KEPT, Weights, weights
from backend.inference.controlled import Done, acts, during, each_call, replaced_forward
from backend.inference.image_encoders import Look, find_encoder, load_encoder, looked
from backend.inference.memory import Device

log = logging.getLogger(__name__)

REMEMBERED = 64
"""Pictures whose embeddings are kept: one takes 2 KB to 3 MB."""


@dataclass(frozen=True)
class PictureUnit:
    """One IP-Adapter with what its pictures say."""

    control: Control
    model: ControlModel
    weights: Weights
    embeddings: Tensor
    """1 x pictures x width, or 1 x pictures x tokens x width for those that read tokens."""
    without: Tensor
    """The same for no picture at all."""


@dataclass
class PicturePrompts:
    """Makes units, and remembers what it saw. The encoder is held only while it looks."""

    device: Device
    folders: tuple[Path, ...]
    _seen: OrderedDict[tuple[object, ...], tuple[Tensor, Tensor]] = field(default_factory=OrderedDict)
    _weights: OrderedDict[tuple[Path, float], Weights] = field(default_factory=OrderedDict)

    def unit(self, control: Control, model: ControlModel, named: Sequence[tuple[str, Pillow.Image]]) -> PictureUnit:
        """From pictures, each with the name it is remembered by. Raises DamagedModel, or UnknownModel without an encoder."""
        state = self._adapter(model)
        look = _reads(state)
        encoder = find_encoder(self.folders, look)
        if encoder is None:
            raise UnknownModel(f"{model.name} looks at pictures through {look.title}, which is not here. Put it into models/clip_vision.")
        keys = [(name, encoder, look) for name, _ in named]
        if any(key not in self._seen for key in keys):
            self._look(encoder, named, look)
        shown, without = zip(*(self._seen[key] for key in keys), strict=True)
        return PictureUnit(control, model, state, torch.stack(shown, 1), torch.stack(without, 1))

    def _adapter(self, model: ControlModel) -> Weights:
        try:
            key = (model.path, model.path.stat().st_mtime)
        except OSError as error:
            raise DamagedModel(f"The control model “{model.name}” cannot be read ({error.strerror}).") from error
        if key not in self._weights:
            self._weights[key] = weights(model)
        self._weights.move_to_end(key)
        while len(self._weights) > KEPT:
            self._weights.popitem(last=False)
        return self._weights[key]

    @torch.inference_mode()
    def _look(self, found: Path, named: Sequence[tuple[str, Pillow.Image]], look: Look) -> None:
        encoder = load_encoder(found).eval().requires_grad_(False)
        encoder.to(device=self.device.torch_device, dtype=self.device.dtype)
        for name, picture in named:
            key = (name, found, look)
            self._seen[key] = looked(encoder, picture, look)
            self._seen.move_to_end(key)  # what is asked for now must outlive what was asked for before
        while len(self._seen) > max(REMEMBERED, len(named)):
            self._seen.popitem(last=False)
        del encoder
        self.device.free_caches()

    def drop(self) -> None:
        """Give the memory back."""
        self._seen.clear()
        self._weights.clear()


READING = {
    "image_proj.proj.weight": False, "ip_adapter_proj_model.proj.weight": False, "image_proj.proj_in.weight": True, "image_proj.proj.0.weight": True,
}  # fmt: skip
"""The layers that read pictures, by their names in files, and whether they read one vector for each token."""


def _reads(state: Weights) -> Look:
    """What an adapter has pictures looked at for. Those that are told the time are Stable Diffusion 3's, which read SigLIP."""
    by = "SigLIP" if "image_proj.time_embedding.linear_1.weight" in state else "CLIP"
    for name, by_token in READING.items():
        if name in state:
            return Look(state[name].shape[1], by_token, by)
    raise DamagedModel("The IP-Adapter has no layer that reads pictures, so it cannot be used. Copy its file again.")


@contextlib.contextmanager
def attended(unet: Any, units: Sequence[PictureUnit], *, guided: bool, calls: int, done: Done | None = None) -> Iterator[None]:
    """While the block runs, the UNet attends to the units' pictures too, each within its range of steps.

    Arguments as those of `controlled`.
    """
    if not units:
        yield
        return
    processors, projection, plain = dict(unet.attn_processors), unet.encoder_hid_proj, unet.forward
    unet._load_ip_adapter_weights([parts_of(unit.weights) for unit in units])
    taken = done or each_call()

    def forward(sample: Tensor, timestep: Any, encoder_hidden_states: Tensor, **more: Any) -> Any:
        moment = during(taken(), calls)
        scales = [unit.control.weight if acts(unit.control, *moment) else 0.0 for unit in units]
        for processor in unet.attn_processors.values():
            if hasattr(processor, "to_k_ip"):
                processor.scale = scales
        told = {**(more.get("added_cond_kwargs") or {}), "image_embeds": [batch_of(unit, sample, guided) for unit in units]}
        return plain(sample, timestep, encoder_hidden_states, **{**more, "added_cond_kwargs": told})

    try:
        with replaced_forward(unet, forward):
            yield
    finally:
        unet.encoder_hid_proj = projection
        unet.config.encoder_hid_dim_type = None
        unet.set_attn_processor(processors)


def batch_of(unit: PictureUnit, sample: Tensor, guided: bool) -> Tensor:
    """The unit's embeddings for every row of a batch."""
    shown, without = unit.embeddings.to(sample), unit.without.to(sample)
    rows = len(sample) // 2 if guided else len(sample)
    halves = (without, shown) if guided else (shown,)
    return torch.cat([half.expand(rows, *half.shape[1:]) for half in halves])


PARTS = {"image_proj": "image_proj", "ip_adapter_proj_model": "image_proj", "ip_adapter": "ip_adapter", "double_blocks": "ip_adapter"}
"""How names of tensors begin, also in XLabs' layout for Flux.1, to the two parts that diffusers asks for."""

XLABS = {"processor.": "", "ip_adapter_double_stream_k_proj": "to_k_ip", "ip_adapter_double_stream_v_proj": "to_v_ip"}


def parts_of(state: Weights) -> dict[str, Weights]:
    """Tensors by the two parts, named as diffusers names them."""
    parts: dict[str, Weights] = {"image_proj": {}, "ip_adapter": {}}
    for name, value in state.items():
        first, _, rest = name.partition(".")
        for theirs, ours in XLABS.items():
            rest = rest.replace(theirs, ours)
        if first in PARTS:
            parts[PARTS[first]][rest] = value
    return parts
