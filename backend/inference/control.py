"""From the control units of a request to what acts on one pass of the denoiser."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from backend import preprocessors
from backend.control_models import ControlModel
from backend.controlling import Control
from backend.errors import BadRequest
from backend.inference.cache import Loaded, named
from backend.inference.controlled import Done, Unit, controlled
from backend.inference.picture_prompts import PictureUnit, attended
from backend.inference.read_maps import map_of
from backend.inference.running import Run, Studio
from backend.inference.starting import Start, padded
from backend.types import Request

TO_PAINT = -1.0
"""What stands in a map where an inpainting ControlNet is to paint (ControlNet 1.1, "inpaint")."""


@dataclass(frozen=True)
class Controls:
    """What acts on one pass, and how: `on` is the family's own way, a context manager (denoiser, controls, guided, calls, done)."""

    on: str = ""
    units: tuple[Unit, ...] = ()
    pictures: tuple[PictureUnit, ...] = ()
    vae: Any = None
    """The model's own, for families whose networks look at latents."""

    @contextlib.contextmanager
    def acting(self, denoiser: Any, *, guided: bool, calls: int, done: Done) -> Iterator[None]:
        """While the block runs, which takes `calls` steps of which `done()` are done."""
        if not self.units and not self.pictures:
            yield
            return
        with named(self.on)(denoiser, self, guided=guided, calls=calls, done=done):
            yield


NO_CONTROLS = Controls()


@contextlib.contextmanager
def on_unet(unet: Any, controls: Controls, *, guided: bool, calls: int, done: Done) -> Iterator[None]:
    """The way of Stable Diffusion 1, 2 and XL. ControlNets read the prompt alone, so pictures are added behind them."""
    how: dict[str, Any] = {"guided": guided, "calls": calls, "done": done}
    with attended(unet, controls.pictures, **how), controlled(unet, controls.units, **how):
        yield


def ready(run: Run, studio: Studio, loaded: Loaded, request: Request, starts: Sequence[Start]) -> Controls:
    """The units of a pass at its size, with their networks loaded and their maps read. Raises AtelierError."""
    row = loaded.model.family
    units, pictures = [], []
    for number, control in enumerate(request.controls if row.control else ()):
        run.check()
        model = studio.library.controls.find(control.model)
        if not control.weight:
            continue
        if model.kind == "ip-adapter":
            pictures.append(_looked_at(studio, control, model, request))
        else:
            shown = _maps(studio, number, request, starts, row.size_step)
            group = control.type or preprocessors.find(control.preprocessor).group
            units.append(Unit(control, model.kind, studio.nets.get(model, row.wide), shown, group))
    return Controls(row.control, tuple(units), tuple(pictures), loaded.components["vae"])


def _looked_at(studio: Studio, control: Control, model: ControlModel, request: Request) -> PictureUnit:
    names = control.pictures or ((request.image.picture,) if request.image else ())
    if not names:
        raise BadRequest({"controls": "The IP-Adapter has no picture to look at. Please choose one."})
    return studio.prompts.unit(control, model, [(name, studio.inputs.open(name)) for name in names])


def _maps(studio: Studio, number: int, request: Request, starts: Sequence[Start], step: int) -> Tensor:
    """One map, or where several pictures are drawn over at once and the unit has none of its own, one for each."""
    if request.controls[number].pictures or len({start.source for start in starts}) < 2 or request.image is None:
        return _map(studio, number, request, step)
    alone = [request.model_copy(update={"image": request.image.model_copy(update={"picture": start.source})}) for start in starts]
    return torch.cat([_map(studio, number, one, step) for one in alone])


def _map(studio: Studio, number: int, request: Request, step: int) -> Tensor:
    """1 x 3 x H x W, 0 to 1, as large as the latents see the picture."""
    size = (request.width, request.height)
    pixels = as_tensor(padded(map_of(studio.reader, request, number, *size), step))
    control = request.controls[number]
    mask = studio.reader.mask(control, request, *size) if _paints(control) else None
    if mask is None:
        return pixels
    inside = torch.from_numpy(np.array(padded(mask, step))) >= 128
    return pixels.masked_fill(inside[None, None], TO_PAINT)


def _paints(control: Control) -> bool:
    return preprocessors.find(control.preprocessor).group == "Inpaint"


def as_tensor(picture: Image.Image) -> Tensor:
    """1 x 3 x H x W, 0 to 1."""
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None].float().div(255)


def tile_control(studio: Studio, loaded: Loaded, name: str, tile: Tensor) -> Controls:
    """A ControlNet that holds a tile to what it shows already. `tile`: 1 x 3 x H x W, 0 to 1."""
    row = loaded.model.family
    if not name or not row.control:
        return NO_CONTROLS
    model = studio.library.controls.find(name)
    unit = Unit(Control(model=name), model.kind, studio.nets.get(model, row.wide), tile, "Tile")
    return Controls(row.control, (unit,), vae=loaded.components["vae"])
