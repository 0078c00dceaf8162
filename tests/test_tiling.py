"""Tiles: every pixel is painted once, no seam shows, memory that runs out is got round, and a stop is heard."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from backend.errors import Cancelled
from backend.inference import tiling
from backend.inference.upscale import Network, passes_needed, through
from backend.upscalers import Upscaler
from tests.test_upscale import compact, drawing


@pytest.mark.parametrize(("length", "tile", "overlap"), [(100, 96, 32), (96, 96, 32), (97, 96, 32), (181, 96, 32), (1000, 96, 32), (385, 384, 32)])
def test_every_pixel_is_painted_once_in_all(length: int, tile: int, overlap: int) -> None:
    places = tiling.starts(length, tile, overlap)
    assert places[0] == 0 and places[-1] == max(0, length - tile)
    total = torch.zeros(length)
    for place, weights in zip(places, tiling.ramps(places, tile, length), strict=True):
        total[place : place + len(weights)] += weights
        assert weights.min() >= 0
    assert torch.allclose(total, torch.ones(length), atol=1e-6)


@pytest.mark.parametrize("size", [(200, 150), (97, 300), (40, 30)])
def test_tile_by_tile_equals_the_whole(size: tuple[int, int]) -> None:
    network = Network(Upscaler("x"), compact())
    picture = drawing(*size)
    whole = through(network, picture, lambda: None, lambda _: None, tile=1024, overlap=32)
    tiled = through(network, picture, lambda: None, lambda _: None, tile=96, overlap=32)
    assert whole.size == tiled.size == (4 * size[0], 4 * size[1])
    assert np.abs(np.asarray(whole, np.int16) - np.asarray(tiled, np.int16)).max() <= 2


def test_a_tile_that_does_not_fit_is_halved_and_the_work_goes_on_from_there() -> None:
    descriptor, sizes, freed = compact(2), list[int](), list[bool]()

    def small_card(tile: Tensor) -> Tensor:
        sizes.append(tile.shape[-1])
        if len(sizes) > 2 and tile.shape[-1] > 64:
            raise torch.OutOfMemoryError("injected")
        return descriptor(tile)

    pixels = torch.rand(3, 120, 400)
    halving = tiling.Halving(small_card, 2, 32, lambda: freed.append(True))
    with torch.inference_mode():
        made = torch.cat(list(tiling.strips(pixels, halving, 2, 128, 32)), dim=1)
        whole = descriptor(pixels[None])[0]
    assert (made - whole).abs().max() < 2 / 255
    assert freed == [True], "the device was asked to make room once"
    assert sizes[:3] == [128, 128, 128] and set(sizes[3:]) == {64}, "what was done stays done, and smaller tiles are remembered"


def test_where_not_even_a_small_tile_fits_the_reason_is_handed_on() -> None:
    def no_card(_: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("injected")

    with pytest.raises(torch.OutOfMemoryError):
        list(tiling.strips(torch.rand(3, 100, 100), tiling.Halving(no_card, 2, 32, lambda: None), 2, 96, 32))


def test_a_stop_is_heard_before_the_next_tile() -> None:
    heard = []

    def tell(done: float) -> None:
        heard.append(done)
        if len(heard) == 3:
            raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        through(Network(Upscaler("x"), compact()), drawing(400, 400), lambda: None, tell, tile=96)
    assert len(heard) == 3 and heard == sorted(heard) and heard[-1] < 0.2


def test_a_network_goes_over_a_picture_as_often_as_it_takes() -> None:
    assert passes_needed(4, (100, 100), (400, 400)) == 1
    assert passes_needed(2, (100, 100), (400, 400)) == 2
    assert passes_needed(2, (100, 100), (401, 300)) == 3
    assert passes_needed(4, (100, 100), (50, 50)) == 1
    assert passes_needed(1, (100, 100), (400, 400)) == 1
