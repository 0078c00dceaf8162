"""Reads maps from pictures: the edges, depths or poses that a control model follows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps

from backend import preprocessors
from backend.controlling import Control
from backend.errors import BadRequest
from backend.inference import masking
from backend.inference.cache import named
from backend.inference.memory import Device
from backend.inference.reading.fitting import at_resolution, brought, perfect_resolution, rgb
from backend.inference.reading.library import silence
from backend.inference.reading.look import Look
from backend.inference.reading.weights import only_weights, refuse_programs, refused_or_damaged
from backend.inference.starting import fitted
from backend.inputs import Inputs
from backend.painting import MaskInput
from backend.preprocessors import Preprocessor
from backend.types import Request

CACHE_BYTES = 128 * 2**20
"""Maps that are kept: some forty of 1024 x 1024."""

Size = tuple[int, int]


class Maps:
    """The maps that were read last."""

    def __init__(self, most: int = CACHE_BYTES) -> None:
        self._most, self._bytes = most, 0
        self._held: OrderedDict[Hashable, Image.Image] = OrderedDict()

    def get(self, key: Hashable) -> Image.Image | None:
        """A copy, so that nobody can change what is held."""
        held = self._held.get(key)
        if held is None:
            return None
        self._held.move_to_end(key)
        return held.copy()

    def put(self, key: Hashable, picture: Image.Image) -> None:
        if key in self._held:
            return
        self._held[key] = picture.copy()
        self._bytes += _bytes(picture)
        while self._bytes > self._most and self._held:
            self._bytes -= _bytes(self._held.popitem(last=False)[1])

    def clear(self) -> None:
        self._held.clear()
        self._bytes = 0

    def __len__(self) -> int:
        return len(self._held)


class Reader:
    """Reads maps, and holds the network that was used last and the maps that were read last."""

    def __init__(self, device: Device, inputs: Inputs, folders: tuple[Path, ...]) -> None:
        self._device, self._inputs, self._folders = device, inputs, folders
        self._network: tuple[Hashable, Any] | None = None
        self.maps = Maps()

    def map(self, control: Control, request: Request, width: int, height: int) -> Image.Image:
        """The map that a unit's picture gives, RGB, `width` x `height`; the request's own picture where the unit has none.

        Of several pictures, the first. Raises BadRequest with the unit's fields, BadPicture, DamagedModel.
        """
        row = preprocessors.find(control.preprocessor)
        preprocessors.check(control, self._folders, picture=request.image is not None, mask=request.mask is not None)
        key = self._key(row, control, request, (width, height))
        found = self.maps.get(key)
        if found is None:
            found = self._read(row, control, request, (width, height))
            self.maps.put(key, found)
        return found

    def mask(self, control: Control, request: Request, width: int, height: int) -> Image.Image | None:
        """The unit's mask, else the request's own, L, `width` x `height`, as it lies over the map; None where there is none."""
        size = (width, height)
        if control.mask:
            mask = self._inputs.open(control.mask).convert("L")
            own = self._inputs.size(control.pictures[0]) if control.pictures else size
            return brought(mask if mask.size == own else mask.resize(own), size, control.resize_mode, fill=0)
        if request.image is None or request.mask is None:
            return None
        _, mask = self._own(request, size)
        return mask

    def drop(self) -> None:
        """Give the memory of the network and of all maps back."""
        self._network = None
        self.maps.clear()
        self._device.free_caches()

    def _key(self, row: Preprocessor, control: Control, request: Request, size: Size) -> Hashable:
        """Everything that a map depends on."""
        own = None
        if not control.pictures or (row.needs_mask and not control.mask):
            own = (request.image and request.image.model_copy(update={"denoising_strength": 0.0}), request.mask)
        mask = control.mask if row.needs_mask else None
        settings = tuple(row.setting(number, given) for number, given in enumerate((control.threshold_a, control.threshold_b)))
        resolution = (0 if control.pixel_perfect else control.resolution) if row.at_resolution else None
        return row.name, control.pictures[:1], mask, settings, resolution, control.resize_mode, size, own, self._files(row)

    def _files(self, row: Preprocessor) -> Hashable:
        return tuple((path, path.stat().st_mtime) for path in preprocessors.installed(row, self._folders).values())

    def _read(self, row: Preprocessor, control: Control, request: Request, size: Size) -> Image.Image:
        if control.pictures:
            picture = rgb(self._inputs.open(control.pictures[0]))
        else:
            picture, _ = self._own(request, size)
        if row.at_resolution:
            perfect = perfect_resolution(picture.size, size, control.resize_mode)
            picture = at_resolution(picture, perfect if control.pixel_perfect else control.resolution)
        else:
            picture = brought(picture, size, control.resize_mode)
        mask = self.mask(control, request, *size) if row.needs_mask else None
        look = Look(
            picture=np.array(picture), a=row.setting(0, control.threshold_a), b=row.setting(1, control.threshold_b),
            mask=None if mask is None else np.array(mask), network=self._loaded(row) if row.load else None,
        )  # fmt: skip
        with silence(), torch.no_grad():
            made = Image.fromarray(np.ascontiguousarray(named(row.code)(look))).convert("RGB")
        return brought(made, size, control.resize_mode, lines=row.lines, flat=row.flat)

    def _own(self, request: Request, size: Size) -> tuple[Image.Image, Image.Image | None]:
        """The request's own picture and mask as the model is to see them: grown, cut to what is masked, and at `size`."""
        source, masked = request.image, request.mask
        if source is None:
            raise BadRequest({"pictures": "The control unit has no picture. Please choose one."})
        picture, border = rgb(self._inputs.open(source.picture)), None
        mask = self._own_mask(masked, picture.size) if masked else None
        if source.grow:
            picture, border = masking.grown(picture, source.grow)
            mask = masking.moved(mask, source.grow) if mask else None
        changes = masking.both(masking.blurred(mask, masked.blur) if mask and masked else None, border)
        shown = masking.both(mask, border)
        if masked and masked.area == "Only masked" and changes:
            box = masking.region(changes, masked.padding, size[0] / size[1])
            picture = picture.resize(size, Image.Resampling.LANCZOS, box)
            return picture, shown and shown.resize(size, Image.Resampling.BILINEAR, box)
        return fitted(picture, size, source.resize_mode), shown and fitted(shown, size, source.resize_mode)

    def _own_mask(self, masked: MaskInput, size: Size) -> Image.Image:
        mask = self._inputs.open(masked.picture).convert("L")
        if mask.size != size:
            mask = mask.resize(size, Image.Resampling.BILINEAR)
        return ImageOps.invert(mask) if masked.invert else mask

    def _loaded(self, row: Preprocessor) -> Any:
        """The row's network on the device: the one that is held, or loaded in its place. Raises DamagedModel."""
        key = (row.load, self._files(row))
        if self._network is None or self._network[0] != key:
            self._network = None
            self._device.free_caches()
            files = preprocessors.installed(row, self._folders)
            with refused_or_damaged(row.title), silence():
                refuse_programs(row.title, files)
                with only_weights():
                    self._network = key, named(row.load)(files, self._device.torch_device)
        assert self._network is not None
        return self._network[1]


def _bytes(picture: Image.Image) -> int:
    return picture.width * picture.height * len(picture.getbands())
