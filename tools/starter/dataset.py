"""The training set: pictures drawn once from a seed into memory-mapped files, captions drawn anew at every look."""

from __future__ import annotations

import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tools.starter.facts import Facts, draw_facts, is_held_out
from tools.starter.pictures import draw

BUCKETS = ((128, 128, 0.76), (160, 96, 0.12), (96, 160, 0.12))
"""Width, height and share of the pictures. All sides are multiples of 32, so that the UNet halves evenly."""

CHUNK = 500


@dataclass(frozen=True)
class Bucket:
    """Pictures of one size."""

    pictures: np.ndarray
    """uint8, N x height x width x 3."""

    seeds: tuple[str, ...]
    """One per picture; `training_facts(seed)` says what it shows."""


def training_facts(seed: str) -> tuple[Facts, random.Random]:
    """The facts of the picture with this seed, never a held-out combination, and the generator to draw it with."""
    rng = random.Random(seed)
    while is_held_out(facts := draw_facts(rng)):
        pass
    return facts, rng


def _draw_chunk(seeds: tuple[str, ...], width: int, height: int) -> np.ndarray:
    pictures = np.empty((len(seeds), height, width, 3), np.uint8)
    for index, seed in enumerate(seeds):
        facts, rng = training_facts(seed)
        pictures[index] = np.asarray(draw(facts, rng, width, height))
    return pictures


def load_or_draw(folder: Path, seed: int, count: int) -> list[Bucket]:
    """Every bucket of `count` pictures in all, drawn with all cores where `folder` does not hold them yet."""
    folder.mkdir(parents=True, exist_ok=True)
    return [_bucket(folder, seed, width, height, int(count * share)) for width, height, share in BUCKETS]


def _bucket(folder: Path, seed: int, width: int, height: int, count: int) -> Bucket:
    seeds = tuple(f"{seed}-{width}x{height}-{index}" for index in range(count))
    path = folder / f"pictures-{seed}-{width}x{height}-{count}.npy"
    if not path.exists():
        pictures = np.lib.format.open_memmap(path.with_suffix(".part"), "w+", np.uint8, (count, height, width, 3))
        chunks = [seeds[start : start + CHUNK] for start in range(0, count, CHUNK)]
        with ProcessPoolExecutor() as pool:
            done = pool.map(_draw_chunk, chunks, [width] * len(chunks), [height] * len(chunks))
            for number, chunk in enumerate(tqdm(done, total=len(chunks), desc=f"drawing {width}x{height}")):
                pictures[number * CHUNK : number * CHUNK + len(chunk)] = chunk
        pictures.flush()
        path.with_suffix(".part").rename(path)
    return Bucket(np.load(path, mmap_mode="r"), seeds)
