"""Runs a network over a picture tile by tile: tiles overlap, and are blended so that no seam shows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor

RIM = 0.25
"""Share of an overlap, on either side, that only the tile further from its own edge paints: near its edge a tile knows too little."""

Network = Callable[[Tensor], Tensor]
"""1 x C x h x w in, 1 x C x (h s) x (w s) out, for one whole s."""


def places(width: int, height: int, tile: int, overlap: int, grid: int = 1) -> list[tuple[int, int]]:
    """Left and top of each tile, in the order in which `strips` takes them."""
    return [(left, top) for top in starts(height, tile, overlap, grid) for left in starts(width, tile, overlap, grid)]


def starts(length: int, tile: int, overlap: int, grid: int = 1) -> list[int]:
    """Where tiles begin along one side so that they cover it, evenly, with at least `overlap` pixels shared by neighbours.

    On a `grid`, which length, tile and overlap are multiples of, they begin at multiples of it, and may share that much less.
    """
    if tile < 3 * overlap:
        raise ValueError("a tile must be three times its overlap, so that no more than two paint any pixel")
    if length <= tile:
        return [0]
    count = -(-(length - overlap) // (tile - overlap))
    return [round(place * (length - tile) / (count - 1) / grid) * grid for place in range(count)]


def ramps(begins: list[int], tile: int, length: int) -> list[Tensor]:
    """For each tile along one side a weight for each of its pixels, 0 to 1; over every pixel the weights of all tiles sum to 1."""
    ends = [min(place + tile, length) for place in begins]
    weights = [torch.ones(end - place) for place, end in zip(begins, ends, strict=True)]
    for number, (place, following) in enumerate(pairwise(begins)):
        shared = place + tile - following
        rim = RIM * shared
        rising = ((torch.arange(shared) + 0.5 - rim) / (shared - 2 * rim)).clamp(0, 1)
        weights[number][-shared:] *= 1 - rising
        weights[number + 1][:shared] *= rising
    return weights


def strips(picture: Tensor, network: Network, scale: int, tile: int, overlap: int, grid: int = 1) -> Iterator[Tensor]:
    """The whole result in strips from top to bottom, C x rows x (W s), float32 on the CPU.

    `picture`: C x H x W. No more than one row of tiles is ever held.
    """
    height, width = picture.shape[1:]
    rows, columns = starts(height, tile, overlap, grid), starts(width, tile, overlap, grid)
    falls = ramps([row * scale for row in rows], tile * scale, height * scale)
    slopes = ramps([column * scale for column in columns], tile * scale, width * scale)
    carried: Tensor | None = None
    for number, (top, fall) in enumerate(zip(rows, falls, strict=True)):
        bottom = min(top + tile, height)
        band = torch.zeros(picture.shape[0], (bottom - top) * scale, width * scale)
        for left, slope in zip(columns, slopes, strict=True):
            part = picture[:, top:bottom, left : left + tile]
            made = network(part[None])[0].float().cpu()
            band[:, :, left * scale : left * scale + made.shape[2]] += made * slope
        band *= fall[:, None]
        if carried is not None:
            band[:, : carried.shape[1]] += carried
        done = ((rows[number + 1] if number + 1 < len(rows) else height) - top) * scale
        yield band[:, :done]
        carried = band[:, done:].clone()


class Halving:
    """A network that takes a tile in smaller ones when the device has no memory for it, and remembers how small."""

    def __init__(self, network: Network, scale: int, overlap: int, freed: Callable[[], None], least: int = 64) -> None:
        self.network, self.scale, self.overlap, self.freed, self.least = network, scale, overlap, freed, least
        self.limit: int | None = None
        """Largest side that fitted since the memory ran out; None as long as everything did."""

    def __call__(self, tile: Tensor) -> Tensor:
        """Raises torch.OutOfMemoryError where not even the smallest tile fits."""
        while True:
            side = max(tile.shape[2:])
            if self.limit and side > self.limit:
                overlap = min(self.overlap, self.limit // 4)
                return torch.cat(list(strips(tile[0], self, self.scale, self.limit, overlap)), dim=1)[None]
            try:
                return self.network(tile)
            except torch.OutOfMemoryError:
                smaller = max(side // 2, self.least)
                if smaller >= side:
                    raise
                self.limit = smaller
                self.freed()
