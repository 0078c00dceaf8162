"""What is done to masks, and to pictures along their edges. Masks are L pictures: 255 may change, 0 may not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image, ImageChops, ImageFilter
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

from backend.painting import Borders

Box = tuple[int, int, int, int]

SOFT_SHARE = 0.25
"""In soft inpainting the drawn picture shows in full from this strength on; below, it fades into the old one."""

FIT_REACHES = (12.0, 4.0, 1.5)
"""How far into a new border its colours are drawn towards the old picture's, broad differences first: Gaussian deviations in pixels."""


def blurred(mask: Image.Image, deviations: tuple[int, int]) -> Image.Image:
    """With a soft edge: Gaussian deviations in pixels, from side to side and from top to bottom."""
    return mask.filter(ImageFilter.GaussianBlur(deviations)) if any(deviations) else mask


def spread(border: Image.Image, deviations: tuple[int, int]) -> Image.Image:
    """A new border, all of it, and a soft edge that fades out over the old picture beside it."""
    return blurred(border, deviations).point([min(255, 2 * value) for value in range(256)])


def grown(picture: Image.Image, borders: Borders) -> tuple[Image.Image, Image.Image]:
    """The picture with its outermost pixels drawn out over the borders, and a mask of those borders."""
    pads = ((borders.top, borders.bottom), (borders.left, borders.right))
    wide = Image.fromarray(np.pad(np.asarray(picture), (*pads, (0, 0)), mode="edge"))
    new = np.pad(np.zeros((picture.height, picture.width), np.uint8), pads, constant_values=255)
    return wide, Image.fromarray(new)


def moved(mask: Image.Image, borders: Borders) -> Image.Image:
    """A mask of a picture that has grown borders."""
    pads = ((borders.top, borders.bottom), (borders.left, borders.right))
    return Image.fromarray(np.pad(np.asarray(mask), pads))


def both(one: Image.Image | None, other: Image.Image | None) -> Image.Image | None:
    """What either of two masks holds."""
    return ImageChops.lighter(one, other) if one and other else one or other


def region(mask: Image.Image, padding: int, ratio: float) -> Box:
    """The smallest box of this ratio (width over height) about everything masked and `padding` more, within the picture.

    Where the picture is too small for that ratio, the box is as near to it as the picture allows.
    """
    found = mask.getbbox() or (0, 0, *mask.size)
    left, top, right, bottom = found[0] - padding, found[1] - padding, found[2] + padding, found[3] + padding
    left, top, right, bottom = max(left, 0), max(top, 0), min(right, mask.width), min(bottom, mask.height)
    width, height = right - left, bottom - top
    if width / height < ratio:
        left, right = _widened(left, right, round(height * ratio), mask.width)
    else:
        top, bottom = _widened(top, bottom, round(width / ratio), mask.height)
    return left, top, right, bottom


def _widened(low: int, high: int, length: int, most: int) -> tuple[int, int]:
    """The stretch low..high made `length` long about its middle, moved and cut to lie within 0..most."""
    length = min(max(length, high - low), most)
    start = min(max(0, (low + high - length) // 2), most - length)
    return start, start + length


def filled(picture: Image.Image, mask: Image.Image) -> Image.Image:
    """The picture with what is masked filled by the colours around it, ever smoother inwards.

    Push and pull over a pyramid (S. Gortler et al., "The Lumigraph", 1996, section 3.4).
    """
    known = torch.from_numpy((np.asarray(mask) < 128).astype(np.float32))[None, None]
    colours = torch.from_numpy(np.asarray(picture).astype(np.float32)).permute(2, 0, 1)[None]
    done = _pulled(colours * known, known) if known.any() else colours
    inside = Image.fromarray(done[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy())
    return Image.composite(inside, picture, mask.point([0] * 128 + [255] * 128))


def _pulled(weighted: Tensor, weights: Tensor) -> Tensor:
    """Colours everywhere, from colours times weights, 1 x 3 x H x W, and weights, 1 x 1 x H x W, of which some are 0."""
    colours = weighted / weights.clamp(min=1e-6)
    if weights.all() or min(weights.shape[-2:]) < 2:
        return torch.where(weights > 0, colours, weighted.sum((2, 3), keepdim=True) / weights.sum().clamp(min=1e-6))
    smaller = [nn.functional.avg_pool2d(part, 2, ceil_mode=True, count_include_pad=False) for part in (weighted, weights)]
    below = _pulled(*smaller)
    coarse = nn.functional.interpolate(below, size=weights.shape[-2:], mode="bilinear", align_corners=False)
    return torch.where(weights > 0, colours, coarse)


def latent_mask(mask: Image.Image, size: Sequence[int], *, soft: bool) -> Tensor:
    """How much each latent may change, 1 x 1 x h x w, 0 to 1, for latents of `size` (h, w) under the whole mask.

    Hard masks take in every latent whose pixels are masked by half anywhere, or a little where none is masked by half;
    soft ones the strongest of each latent's pixels.
    """
    shares = torch.from_numpy(np.asarray(mask).astype(np.float32))[None, None] / 255
    strongest = nn.functional.adaptive_max_pool2d(shares, tuple(size))
    if soft:
        return strongest
    return (strongest >= min(0.5, float(strongest.max()))).float()


def may_change(mask: Tensor, part: float, *, soft: bool) -> Tensor:
    """Where latents may change when `part` (0 to 1) of the steps is done, 0 or 1 each.

    Under a soft mask a strength of 0.3 is set free for the last 0.3 of the steps ("Differential Diffusion", algorithm 1).
    """
    return ((mask > 0) & (1 - mask <= part)).to(mask) if soft else mask


def shown_where_soft(mask: Image.Image) -> Image.Image:
    return mask.point([min(255, round(value / SOFT_SHARE)) for value in range(256)])


def fitted_to(drawn: Image.Image, old: Image.Image, mask: Image.Image) -> Image.Image:
    """The drawn picture with its colours bent, close to unmasked parts, towards those of the old picture there.

    What the autoencoder gets wrong about the old pixels it gets wrong beside them too; that error is spread into the
    masked part and fades out, so that no edge shows although the old pixels stay as they are.
    """
    known = torch.from_numpy((np.asarray(mask) == 0).astype(np.float32))[None, None]
    bent, aim = (torch.from_numpy(np.asarray(part).astype(np.float32)).permute(2, 0, 1)[None] for part in (drawn, old))
    for reach in FIT_REACHES:
        kernel = 2 * round(3 * reach) + 1
        if min(known.shape[-2:]) <= kernel // 2:
            continue
        error, near = (gaussian_blur(part, [kernel, kernel], [reach, reach]) for part in ((aim - bent) * known, known))
        bent = bent + error / near.clamp(min=1e-3) * (2 * near).clamp(max=1)
    return Image.fromarray(bent[0].permute(1, 2, 0).round().clamp(0, 255).to(torch.uint8).numpy())
