"""Makes a finished picture larger: with a network, or with a plain resize."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageOps
from PIL.Image import Resampling

from backend.enlarging import Upscale
from backend.errors import DamagedModel
from backend.inference.memory import Device
from backend.inference.tiling import Halving, places, strips
from backend.inference.weights import read
from backend.network_files import NetworkFile
from backend.restorers import Restorer
from backend.upscalers import Upscalers

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

TILE, OVERLAP = 384, 32
"""Pixels of the picture that go in. Networks of convolutions look some 20 to 40 pixels around; those with attention work in windows."""

PASSES_MAX = 3
"""A network goes over a picture again as long as it is too small, at most this often: 4x to 64x."""

_NOT_A_RESTORER = "restores no faces: it makes pictures larger. Move its file to models/upscale_models/, and choose it as the upscaler."
_NOT_AN_UPSCALER = "restores faces, and makes nothing larger. Move its file to models/GFPGAN/, and choose it as the face restorer."

Tell = Callable[[float], None]
"""Hears of every tile how much is done, 0 to 1; may raise Cancelled."""


@dataclass(frozen=True)
class Network:
    """A loaded upscaler or face restorer."""

    file: NetworkFile
    descriptor: ImageModelDescriptor

    @property
    def scale(self) -> int:
        return self.descriptor.scale


class Networks:
    """Holds the upscaler and the face restorer that were used last, so that a folder of pictures loads them once."""

    def __init__(self, device: Device) -> None:
        self._device = device
        self._held: dict[str, tuple[float, Network]] = {}
        """By kind, with the time at which the file was changed last."""

    def get(self, file: NetworkFile) -> Network:
        """Raises DamagedModel."""
        assert file.path
        try:
            changed = file.path.stat().st_mtime
        except OSError as error:
            raise DamagedModel(f"The {file.kind} “{file.name}” cannot be read ({error.strerror}).") from error
        held = self._held.get(file.kind)
        if held is None or held[1].file != file or held[0] != changed:
            self._held.pop(file.kind, None)
            self._held[file.kind] = held = changed, Network(file, load(file, self._device))
        return held[1]

    def drop(self) -> None:
        """Give its memory back."""
        self._held.clear()
        self.make_room()

    def make_room(self) -> None:
        self._device.free_caches()


def load(file: NetworkFile, device: Device) -> ImageModelDescriptor:
    """Any architecture that spandrel knows, on the device. Nothing in the file is executed. Raises DamagedModel."""
    import spandrel  # dozens of architectures, which most sessions never need

    assert file.path
    restores = isinstance(file, Restorer)
    state = spandrel.canonicalize_state_dict(read(file.path, f"The {file.kind} “{file.name}”"))
    try:
        descriptor = spandrel.ModelLoader().load_from_state_dict(state)
    except (spandrel.UnsupportedModelError, KeyError, RuntimeError, ValueError) as error:
        raise DamagedModel(f"The {file.kind} “{file.name}” cannot be used: it is no {file.kind} of a kind that is known here.") from error
    if not isinstance(descriptor, spandrel.ImageModelDescriptor) or descriptor.output_channels not in (1, 3):
        what = "restores faces" if restores else "makes pictures larger"
        raise DamagedModel(f"The {file.kind} “{file.name}” cannot be used: it is a model, but not one that {what}.")
    if restores != (descriptor.purpose == "FaceSR"):
        raise DamagedModel(f"“{file.name}” {_NOT_A_RESTORER if restores else _NOT_AN_UPSCALER}")
    if restores:
        return descriptor.eval().to(device.torch_device, torch.float32)
    half = device.dtype == torch.float16
    dtype = torch.float16 if half and descriptor.supports_half else torch.bfloat16 if half and descriptor.supports_bfloat16 else torch.float32
    return descriptor.eval().to(device.torch_device, dtype)


def enlarged(picture: Pillow.Image, how: Upscale, upscalers: Upscalers, networks: Networks, tell: Tell) -> Pillow.Image:
    """An RGB picture at the size that `how` asks for. Raises UnknownModel, DamagedModel, or what `tell` raises."""
    whole = how.filled(*picture.size)
    parts = 2 if how.mixes else 1
    made = _by(how.upscaler, picture, whole, upscalers, networks, lambda done: tell(done / parts))
    if how.mixes:
        second = _by(how.second, picture, whole, upscalers, networks, lambda done: tell((1 + done) / parts))
        made = Pillow.blend(made, second, how.second_visibility)
    target = how.size(*picture.size)
    return made if made.size == target else ImageOps.fit(made, target, Resampling.LANCZOS)


def _by(name: str, picture: Pillow.Image, size: tuple[int, int], upscalers: Upscalers, networks: Networks, tell: Tell) -> Pillow.Image:
    """The picture at `size` by one upscaler."""
    upscaler = upscalers.find(name)
    if upscaler.path:
        network = networks.get(upscaler)
        passes = passes_needed(network.scale, picture.size, size)
        for number in range(passes):
            picture = through(network, picture, networks.make_room, lambda done, before=number: tell((before + done) / passes))
    tell(1.0)
    return picture if picture.size == size else picture.resize(size, Resampling.NEAREST if name == "Nearest" else Resampling.LANCZOS)


def passes_needed(scale: int, size: tuple[int, int], target: tuple[int, int]) -> int:
    """How often a network of this scale goes over a picture of `size` until it is as large as `target`, 1 to PASSES_MAX."""
    factor = max(wanted / side for wanted, side in zip(target, size, strict=True))
    return 1 if scale == 1 else min(PASSES_MAX, max(1, math.ceil(math.log(factor) / math.log(scale) - 1e-9)))


@torch.inference_mode()
def through(network: Network, picture: Pillow.Image, freed: Callable[[], None], tell: Tell, tile: int = TILE, overlap: int = OVERLAP) -> Pillow.Image:
    """The RGB picture after one pass of the network, tile by tile, `network.scale` times as large."""
    descriptor = network.descriptor
    pixels = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).float().div(255)
    count, done = len(places(picture.width, picture.height, tile, overlap)), 0

    def counted(part: torch.Tensor) -> torch.Tensor:
        nonlocal done
        tell(done / count)
        done += 1
        return halving(part)

    halving = Halving(lambda part: run(descriptor, part), network.scale, overlap, freed)
    result = np.empty((picture.height * network.scale, picture.width * network.scale, 3), np.uint8)
    top = 0
    for strip in strips(pixels, counted, network.scale, tile, overlap):
        result[top : top + strip.shape[1]] = strip.clamp(0, 1).mul(255).round().byte().permute(1, 2, 0).numpy()
        top += strip.shape[1]
    return Pillow.fromarray(result)


def run(descriptor: ImageModelDescriptor, part: torch.Tensor) -> torch.Tensor:
    """One tile, 1 x 3 x h x w, 0 to 1. A network for grey pictures takes the three channels one after the other."""
    part = part.to(descriptor.device, descriptor.dtype)
    if descriptor.input_channels == 1:
        return torch.cat([descriptor(channel) for channel in part.split(1, dim=1)], dim=1)
    return descriptor(part)
