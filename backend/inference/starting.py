"""What a request starts from: the picture as the model is to see it, its latents and mask, and the way back to a whole picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageOps
from torch import Tensor, nn

from backend.inference import masking
from backend.inference.encode import encode
from backend.inference.masking import Box
from backend.inputs import Inputs
from backend.painting import ImageInput, MaskInput, ResizeMode
from backend.types import Request

LANCZOS = Image.Resampling.LANCZOS


@dataclass(frozen=True, kw_only=True)
class Start:
    """Made once for all images that begin with the same picture."""

    source: str
    """Name of that picture."""

    known: Tensor
    """Latents to start from, 1 x C x h x w."""

    mask: Tensor | None
    """How much each latent may change, 1 x 1 x h x w, 0 to 1; None where all may change freely."""

    picture: Image.Image
    """RGB, in the size of the result: what comes out where nothing is changed."""

    box: Box
    """The part of `picture` that the model works on."""

    size: tuple[int, int]
    """Width and height at which it works on it. Latents go a little further, to the model's step."""

    blend: Image.Image | None
    """L, over `picture`: how much of what was drawn shows; None for all of it."""

    border: Image.Image | None
    """L, over `picture`: what was added to it, which is fitted in colour to what lies beside it."""

    notes: tuple[str, ...]

    def finished(self, drawn: Image.Image) -> Image.Image:
        """The whole picture from what the model drew. Where `blend` is 0 it is `picture` to the bit."""
        part = drawn.crop((0, 0, *self.size))
        across, down = self.box[2] - self.box[0], self.box[3] - self.box[1]
        if part.size != (across, down):
            part = part.resize((across, down), LANCZOS)
        if self.blend is None:
            return part
        if self.border:
            part = masking.fitted_to(part, self.picture.crop(self.box), self.blend.crop(self.box))
        whole = self.picture.copy()
        whole.paste(part, self.box)
        return Image.composite(whole, self.picture, self.blend)


def prepare(request: Request, inputs: Inputs, vae: Any, step: int) -> list[Start]:
    """Read, fit and encode the request's pictures. `step` is what the model's sizes are multiples of. Raises AtelierError."""
    assert request.image is not None
    return [_prepared(request, inputs, picture, vae, step) for picture in request.image.pictures]


@dataclass(frozen=True, kw_only=True)
class Framed:
    """A picture as a request frames it."""

    own: Image.Image
    """RGB, with its new borders."""

    picture: Image.Image
    """The same in the size of the result."""

    mask: Image.Image | None
    border: Image.Image | None
    changes: Image.Image | None
    """L, over `picture`: the mask, the new border, and both with their soft edges."""

    box: Box
    """The part of `picture` that the model works on."""

    notes: tuple[str, ...]

    @property
    def masked(self) -> Image.Image | None:
        """Mask and border together, with hard edges."""
        return masking.both(self.mask, self.border)


def framed(request: Request, inputs: Inputs, which: str) -> Framed:
    """One of the pictures that the request starts from. Raises AtelierError."""
    source, masked, size = request.image, request.mask, (request.width, request.height)
    assert source is not None
    own, mask, border, notes = _opened(inputs, source.model_copy(update={"picture": which}), masked)
    only_masked = masked is not None and masked.area == "Only masked"
    picture = own if only_masked else fitted(own, size, source.resize_mode)
    if not only_masked:
        mask, border = (one and fitted(one, size, source.resize_mode) for one in (mask, border))
    if masked:
        changes = masking.both(mask and masking.blurred(mask, masked.blurs), border and masking.spread(border, masked.blurs))
    else:
        changes = border
    box: Box = (0, 0, *picture.size)
    if only_masked and masked and changes:
        box = masking.region(changes, masked.padding, size[0] / size[1])
    return Framed(own=own, picture=picture, mask=mask, border=border, changes=changes, box=box, notes=notes)


def _prepared(request: Request, inputs: Inputs, which: str, vae: Any, step: int) -> Start:
    source, masked, size = request.image, request.mask, (request.width, request.height)
    assert source is not None
    frame = framed(request, inputs, which)
    box, changes = frame.box, frame.changes
    under = masking.both(frame.mask if masked and masked.content == "fill" else None, frame.border)
    seen = masking.filled(frame.picture, under) if under else frame.picture
    only_masked = masked is not None and masked.area == "Only masked"
    if source.resize_mode == "Just resize (latent upscale)" and not only_masked:
        known = _stretched(encode(vae, padded(frame.own, step)), frame.own.size, size, step)
    else:
        known = encode(vae, padded(at(seen.crop(box), size), step))
    soft = masked is not None and masked.soft
    room = masking.latent_mask(padded(at(changes.crop(box), size), step), known.shape[-2:], soft=soft).to(known) if changes else None
    blend = masking.shown_where_soft(changes) if changes and soft else changes
    return Start(
        source=which, known=known, mask=room, picture=frame.picture, box=box, size=size, blend=blend, border=frame.border, notes=frame.notes,
    )  # fmt: skip


def _opened(
    inputs: Inputs, source: ImageInput, masked: MaskInput | None
) -> tuple[Image.Image, Image.Image | None, Image.Image | None, tuple[str, ...]]:
    """Picture, mask and new border in one size, with a note where the mask had to be fitted."""
    picture, mask, border, notes = inputs.open(source.picture).convert("RGB"), None, None, ()
    if masked and masked.picture:
        mask = inputs.open(masked.picture).convert("L")
        if mask.size != picture.size:
            notes = (f"The mask was fitted from {mask.width} x {mask.height} to the picture's {picture.width} x {picture.height} pixels.",)
            mask = mask.resize(picture.size, Image.Resampling.BILINEAR)
        if masked.invert:
            mask = ImageOps.invert(mask)
    if source.grow:
        picture, border = masking.grown(picture, source.grow)
        mask = masking.moved(mask, source.grow) if mask else None
    return picture, mask, border, notes


def fitted(picture: Image.Image, size: tuple[int, int], mode: ResizeMode) -> Image.Image:
    """The picture at `size` (width, height), as A1111's resize modes have it. At that size already, it stays as it is."""
    if picture.size == size:
        return picture
    if mode == "Crop and resize":
        return ImageOps.fit(picture, size, LANCZOS)
    if mode == "Resize and fill":
        inside = ImageOps.contain(picture, size, LANCZOS)
        across, down = size[0] - inside.width, size[1] - inside.height
        pads = ((down // 2, down - down // 2), (across // 2, across - across // 2), (0, 0))
        return Image.fromarray(np.pad(np.asarray(inside), pads[: np.asarray(inside).ndim], mode="edge"))
    return picture.resize(size, LANCZOS)


def at(part: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture or mask at `size` (width, height)."""
    return part if part.size == size else part.resize(size, LANCZOS if part.mode == "RGB" else Image.Resampling.BILINEAR)


def padded(picture: Image.Image, step: int) -> Image.Image:
    """The picture with its last column and row repeated until both sides are multiples of `step`."""
    across, down = -picture.width % step, -picture.height % step
    if not across and not down:
        return picture
    pixels = np.asarray(picture)
    return Image.fromarray(np.pad(pixels, ((0, down), (0, across), (0, 0))[: pixels.ndim], mode="edge"))


def _stretched(latents: Tensor, own: tuple[int, int], size: tuple[int, int], step: int) -> Tensor:
    """Latents of a picture of `own` size, as many as one of `size` has."""
    rows, columns = (
        count * -(-wanted // step) // -(-had // step) for count, had, wanted in zip(latents.shape[-2:], own[::-1], size[::-1], strict=True)
    )
    return nn.functional.interpolate(latents, size=(rows, columns), mode="bilinear")
