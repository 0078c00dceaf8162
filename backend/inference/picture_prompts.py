"""Pictures as prompts (IP-Adapter: H. Ye et al., 2023): what an image encoder sees in them is added to what a UNet is told."""

from __future__ import annotations

import contextlib
import json
import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image as Pillow
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from backend.control_models import ControlModel
from backend.controlling import Control
from backend.errors import DamagedModel, UnknownModel
from backend.headers import Damage, check_safetensors
from backend.inference.control_nets import Weights, weights
from backend.inference.controlled import Done, acts, during, each_call, replaced_forward
from backend.inference.memory import Device

log = logging.getLogger(__name__)

ENCODER_FOLDERS = ("clip_vision", "CLIPVision", "image_encoder", "ipadapter", "ip-adapter", "IP-Adapter", "ControlNet", "controlnet")
"""Sub-folders of a models folder in which image encoders lie, by A1111's and ComfyUI's names."""

HEAD_WIDTH = {1280: 80, 1664: 104}
"""Width of an encoder to that of one of its heads: ViT-H/14 and ViT-bigG/14 (OpenCLIP); all others have 64."""

REMEMBERED = 64
"""Pictures whose embeddings are kept: one takes 2 to 700 KB."""


@dataclass(frozen=True)
class PictureUnit:
    """One IP-Adapter with what its pictures say."""

    control: Control
    model: ControlModel
    weights: Weights
    embeddings: Tensor
    """1 x pictures x width, or 1 x pictures x tokens x width for the plus variants."""
    without: Tensor
    """The same for no picture at all."""


@dataclass
class PicturePrompts:
    """Makes units, and remembers what it saw. The encoder is held only while it looks."""

    device: Device
    folders: tuple[Path, ...]
    _seen: OrderedDict[tuple[object, ...], tuple[Tensor, Tensor]] = field(default_factory=OrderedDict)
    _weights: tuple[tuple[Path, float], Weights] | None = None

    def unit(self, control: Control, model: ControlModel, named: Sequence[tuple[str, Pillow.Image]]) -> PictureUnit:
        """From pictures, each with the name it is remembered by. Raises DamagedModel, or UnknownModel without an encoder."""
        state = self._adapter(model)
        width, by_token = _reads(state)
        encoder = find_encoder(self.folders, width, by_token=by_token)
        if encoder is None:
            raise UnknownModel(
                f"{model.name} looks at pictures through {_needed(width, by_token)}, which is not here. Put it into models/clip_vision."
            )
        keys = [(name, encoder, by_token) for name, _ in named]
        if any(key not in self._seen for key in keys):
            self._look(encoder, named, by_token=by_token)
        shown, without = zip(*(self._seen[key] for key in keys), strict=True)
        return PictureUnit(control, model, state, torch.stack(shown, 1), torch.stack(without, 1))

    def _adapter(self, model: ControlModel) -> Weights:
        try:
            key = (model.path, model.path.stat().st_mtime)
        except OSError as error:
            raise DamagedModel(f"The control model “{model.name}” cannot be read ({error.strerror}).") from error
        if self._weights is None or self._weights[0] != key:
            self._weights = key, weights(model)
        return self._weights[1]

    @torch.inference_mode()
    def _look(self, folder: Path, named: Sequence[tuple[str, Pillow.Image]], *, by_token: bool) -> None:
        encoder: Any = load_encoder(folder).eval().requires_grad_(False)
        encoder.to(device=self.device.torch_device, dtype=self.device.dtype)
        side = encoder.config.image_size
        ready = CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
        for name, picture in named:
            pixels = ready(picture.convert("RGB"), return_tensors="pt").pixel_values.to(encoder.device, encoder.dtype)
            if by_token:
                shown, without = (encoder(part, output_hidden_states=True).hidden_states[-2] for part in (pixels, torch.zeros_like(pixels)))
            else:
                shown = encoder(pixels).image_embeds
                without = torch.zeros_like(shown)
            self._seen[(name, folder, by_token)] = (shown, without)
        while len(self._seen) > max(REMEMBERED, len(named)):
            self._seen.popitem(last=False)
        del encoder
        self.device.free_caches()

    def drop(self) -> None:
        """Give the memory back."""
        self._seen.clear()
        self._weights = None


def _reads(state: Weights) -> tuple[int, bool]:
    """The width of what an adapter reads, and whether it reads one vector for each token of the picture."""
    for name, by_token in (("image_proj.proj.weight", False), ("image_proj.proj_in.weight", True), ("image_proj.proj.0.weight", True)):
        if name in state:
            return state[name].shape[1], by_token
    raise DamagedModel("The IP-Adapter has no layer that reads pictures, so it cannot be used. Copy its file again.")


def _needed(width: int, by_token: bool) -> str:
    known = {(1024, False): "ViT-H", (1280, True): "ViT-H", (1280, False): "ViT-bigG", (1664, True): "ViT-bigG"}
    size = {"ViT-H": "1.3 GB", "ViT-bigG": "3.7 GB"}
    name = known.get((width, by_token))
    return f"the image encoder CLIP {name} ({size[name]})" if name else f"an image encoder of width {width}"


def find_encoder(folders: tuple[Path, ...], width: int, *, by_token: bool) -> Path | None:
    """The first folder or file with an image encoder whose output (`by_token`: whose inside) has this width."""
    for place in (folder / name for folder in folders for name in ENCODER_FOLDERS):
        for path in sorted(place.rglob("*")) if place.is_dir() else ():
            found = path.parent if path.name == "config.json" else path if path.suffix == ".safetensors" else None
            if found is None or (found == path and (path.parent / "config.json").exists()):
                continue
            config = _config(found)
            if config and width == (config.hidden_size if by_token else config.projection_dim):
                return found
    return None


def _config(found: Path) -> CLIPVisionConfig | None:
    """The shape of an image encoder, from its folder's config or from its file's header; None where it is none."""
    if found.is_dir():
        try:
            value = json.loads((found / "config.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None
        return CLIPVisionConfig(**value) if "CLIPVisionModelWithProjection" in (value.get("architectures") or ()) else None
    try:
        header = check_safetensors(found)
        width = header["vision_model.embeddings.class_embedding"]["shape"][0]
        patch = header["vision_model.embeddings.patch_embedding.weight"]["shape"][-1]
        tokens = header["vision_model.embeddings.position_embedding.weight"]["shape"][0]
        inside = header["vision_model.encoder.layers.0.mlp.fc1.weight"]["shape"][0]
        projected = header["visual_projection.weight"]["shape"][0]
    except (Damage, KeyError, IndexError, TypeError):
        return None
    layers = sum(name.endswith("mlp.fc1.weight") for name in header)
    return CLIPVisionConfig(
        hidden_size=width, patch_size=patch, image_size=round((tokens - 1) ** 0.5) * patch, intermediate_size=inside, projection_dim=projected,
        num_hidden_layers=layers, num_attention_heads=width // HEAD_WIDTH.get(width, 64), hidden_act="gelu" if width in HEAD_WIDTH else "quick_gelu",
    )  # fmt: skip


def load_encoder(found: Path) -> CLIPVisionModelWithProjection:
    """Raises DamagedModel."""
    try:
        if found.is_dir():
            return CLIPVisionModelWithProjection.from_pretrained(found, use_safetensors=True, local_files_only=True)
        encoder = CLIPVisionModelWithProjection(_config(found))  # type: ignore[arg-type]
        encoder.load_state_dict(load_file(found), strict=False)
        return encoder
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise DamagedModel(f"The image encoder in {found.name} could not be loaded. Copy it again.") from error


@contextlib.contextmanager
def attended(unet: Any, units: Sequence[PictureUnit], *, guided: bool, calls: int, done: Done | None = None) -> Iterator[None]:
    """While the block runs, the UNet attends to the units' pictures too, each within its range of steps.

    Arguments as those of `controlled`.
    """
    if not units:
        yield
        return
    processors, projection, plain = dict(unet.attn_processors), unet.encoder_hid_proj, unet.forward
    unet._load_ip_adapter_weights([_parts(unit.weights) for unit in units])
    taken = done or each_call()

    def forward(sample: Tensor, timestep: Any, encoder_hidden_states: Tensor, **more: Any) -> Any:
        moment = during(taken(), calls)
        scales = [unit.control.weight if acts(unit.control, *moment) else 0.0 for unit in units]
        for processor in unet.attn_processors.values():
            if hasattr(processor, "to_k_ip"):
                processor.scale = scales
        told = {**(more.get("added_cond_kwargs") or {}), "image_embeds": [_batch(unit, sample, guided) for unit in units]}
        return plain(sample, timestep, encoder_hidden_states, **{**more, "added_cond_kwargs": told})

    try:
        with replaced_forward(unet, forward):
            yield
    finally:
        unet.encoder_hid_proj = projection
        unet.config.encoder_hid_dim_type = None
        unet.set_attn_processor(processors)


def _batch(unit: PictureUnit, sample: Tensor, guided: bool) -> Tensor:
    """The unit's embeddings for every row of a batch."""
    shown, without = unit.embeddings.to(sample), unit.without.to(sample)
    rows = len(sample) // 2 if guided else len(sample)
    halves = (without, shown) if guided else (shown,)
    return torch.cat([half.expand(rows, *half.shape[1:]) for half in halves])


def _parts(state: Weights) -> dict[str, Weights]:
    """Tensors by the two parts that diffusers asks for."""
    return {
        part: {name.removeprefix(f"{part}."): value for name, value in state.items() if name.startswith(f"{part}.")}
        for part in ("image_proj", "ip_adapter")
    }
