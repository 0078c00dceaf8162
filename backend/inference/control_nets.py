"""The control networks in memory: loaded from any layout, and kept while they are in use."""

from __future__ import annotations

import json
import logging
from collections import OrderedDict
from pathlib import Path
from typing import Any

import diffusers
import torch
from diffusers.loaders.single_file_utils import convert_controlnet_checkpoint
from torch import Tensor, nn

from backend.control_models import ControlModel
from backend.errors import DamagedModel
from backend.inference.memory import Device
from backend.inference.weights import UNREADABLE, read
from backend.settings import ROOT

log = logging.getLogger(__name__)

KEPT = 3
"""Networks that stay loaded: as many as one picture usually follows."""

CONFIGS = ROOT / "configs" / "controlnet"
"""The shapes of ControlNets whose files do not tell them, by family."""

Weights = dict[str, Tensor]


class ControlNets:
    """Holds the networks that were used last."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._held: OrderedDict[tuple[Path, float, torch.dtype], nn.Module] = OrderedDict()

    def get(self, model: ControlModel, wide: bool = False) -> nn.Module:
        """A ControlNet or T2I-Adapter on the device, in the precision of a model that is `wide` or not. Raises DamagedModel."""
        key = (model.path, _changed(model), self._device.precision(wide))
        if key not in self._held:
            while len(self._held) >= KEPT:
                self._held.popitem(last=False)
            self._device.free_caches()
            network = loaded(model)
            self._held[key] = network.to(self._device.torch_device, key[2]).eval().requires_grad_(False)
            log.info("loaded %s", model.name)
        self._held.move_to_end(key)
        return self._held[key]

    def drop(self) -> None:
        """Give their memory back."""
        self._held.clear()
        self._device.free_caches()


def _changed(model: ControlModel) -> float:
    try:
        return model.path.stat().st_mtime
    except OSError as error:
        raise DamagedModel(f"The control model “{model.name}” cannot be read ({error.strerror}).") from error


def loaded(model: ControlModel) -> nn.Module:
    """The network, from a diffusers folder or a single file. Nothing in a file is executed. Raises DamagedModel."""
    try:
        if model.path.is_dir():
            code = getattr(diffusers, json.loads((model.path / "config.json").read_text("utf-8"))["_class_name"])
            return code.from_pretrained(model.path, use_safetensors=True, local_files_only=True)
        state = weights(model)
        if model.kind == "t2i-adapter":
            return _adapter(state)
        code = diffusers.ControlNetUnionModel if model.kind == "controlnet-union" else diffusers.ControlNetModel
        return _controlnet(code, state, _shape(model))
    except UNREADABLE as error:
        log.exception("loading %s", model.name)
        raise DamagedModel(f"The control model “{model.name}” could not be loaded: its weights are not those of a {model.title}.") from error


def weights(model: ControlModel) -> Weights:
    """The tensors of a single file, flat. Raises DamagedModel."""
    held = read(model.path, f"The control model “{model.name}”")
    held = held.get("state_dict", held)
    flat = {name: value for name, value in held.items() if isinstance(value, Tensor)}
    for part, inner in held.items():
        if isinstance(inner, dict):
            flat |= {f"{part}.{name}": value for name, value in inner.items() if isinstance(value, Tensor)}
    return flat


def _shape(model: ControlModel) -> dict[str, Any]:
    return json.loads((CONFIGS / f"{model.families[0]}.json").read_text("utf-8"))


def _controlnet(code: Any, state: Weights, config: dict[str, Any]) -> nn.Module:
    """From the original layout, with or without its prefix, or from diffusers' own."""
    bare = {name.removeprefix("control_model."): value for name, value in state.items()}
    converted = convert_controlnet_checkpoint(bare, {"layers_per_block": 2, **config})
    first = converted["controlnet_cond_embedding.conv_in.weight"]
    return _filled(code, {**config, "conditioning_channels": first.shape[1]}, converted)


def _adapter(state: Weights) -> nn.Module:
    """A T2I-Adapter; its original layout counts blocks where diffusers counts levels of two blocks each."""
    bare = {name.removeprefix("adapter."): value for name, value in state.items()}
    if not any(".resnets." in name for name in bare):
        bare = {_renamed(name): value for name, value in bare.items()}
    width, seen = bare["conv_in.weight"].shape[:2]
    large = seen in (256, 768)
    config = {
        "in_channels": 3 if seen in (192, 768) else 1, "channels": [width, 2 * width, 4 * width, 4 * width], "num_res_blocks": 2,
        "downscale_factor": 16 if large else 8, "adapter_type": "full_adapter_xl" if large else "full_adapter",
    }  # fmt: skip
    return _filled(diffusers.T2IAdapter, config, {f"adapter.{name}": value for name, value in bare.items()})


def _renamed(name: str) -> str:
    body, _, rest = name.partition(".")
    if body != "body":
        return name
    block, _, rest = rest.partition(".")
    level, number = divmod(int(block), 2)
    return f"body.{level}.{rest}" if rest.startswith("in_conv.") else f"body.{level}.resnets.{number}.{rest}"


def _filled(code: Any, config: dict[str, Any], state: Weights) -> nn.Module:
    """The class at these sizes, holding the tensors themselves: they are neither copied nor drawn at random first."""
    with torch.device("meta"):
        network = code.from_config(config)
    network.load_state_dict(state, strict=True, assign=True)
    return network
