"""One job under way in the worker: what it may use, what it has so far, and how it reports, stops and saves."""

from __future__ import annotations

import contextlib
import math
import platform
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any

from PIL import Image as Pillow

from backend import images
from backend.errors import Cancelled, SaveFailed
from backend.hashes import Hashes
from backend.inference.cache import ModelCache
from backend.inference.control_nets import ControlNets
from backend.inference.memory import Device
from backend.inference.picture_prompts import PicturePrompts
from backend.inference.preprocess import Reader
from backend.inference.upscale import Networks
from backend.inputs import Inputs
from backend.library import Library
from backend.settings import Settings
from backend.types import RANDOM_SEED, Image, Progress, Request, Result, Work
from backend.version import VERSION


@dataclass(frozen=True)
class Studio:
    """What drawing needs, built once by the worker."""

    settings: Settings
    device: Device
    library: Library
    cache: ModelCache
    networks: Networks
    hashes: Hashes
    inputs: Inputs
    reader: Reader = field(init=False)
    nets: ControlNets = field(init=False)
    prompts: PicturePrompts = field(init=False)

    def __post_init__(self) -> None:
        folders = self.settings.folders.models
        object.__setattr__(self, "reader", Reader(self.device, self.inputs, folders))
        object.__setattr__(self, "nets", ControlNets(self.device))
        object.__setattr__(self, "prompts", PicturePrompts(self.device, folders))

    def drop(self) -> None:
        """Give back all memory that models and maps take."""
        for held in (self.cache, self.networks, self.reader, self.nets, self.prompts):
            held.drop()


@dataclass
class Run:
    """One job under way: what it has so far, and how it reports and is stopped.

    It outlives whatever goes wrong in `generate`, so that pictures which were finished before are never lost.
    """

    work: Work
    report: Callable[[Progress], None]
    cancelled: Callable[[], bool]
    request: Request = field(init=False)
    """As it is run: with its seed resolved."""
    seconds: dict[str, float] = field(default_factory=dict)
    pictures: list[Image] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What the person should know, beside what `result` is given."""
    drawn: int = 0
    """Images that are finished; `pictures` may also hold those of a first pass."""

    def __post_init__(self) -> None:
        asked = self.work.request
        self.request = asked.model_copy(update={"seed": secrets.randbelow(2**32)}) if asked.seed == RANDOM_SEED else asked

    @property
    def detail_share(self) -> float:
        """The part of an image's work that goes into details drawn at the end, 0 to 1: steps times pixels."""
        request = self.request
        if not request.upscale or not request.upscale.detail:
            return 0.0
        drawn = request.steps * request.width * request.height
        detail = request.steps * request.upscale.detail.denoising_strength * math.prod(request.upscale.size(*request.hires_size))
        return detail / (detail + drawn)

    def check(self) -> None:
        """Raises Cancelled once somebody asked to stop."""
        if self.cancelled():
            raise Cancelled("Stopped. Pictures that were finished before are kept.")

    def result(self, studio: Studio, *, model_hash: str = "", notes: tuple[str, ...] = ()) -> Result:
        """The job's end, with everything that was made."""
        return Result(
            job=self.work.job, request=self.request, images=tuple(self.pictures),
            seconds={name: round(spent, 4) for name, spent in self.seconds.items()},
            peak_memory=studio.device.peak, model_hash=model_hash, versions=versions(), notes=(*notes, *self.notes),
        )  # fmt: skip

    def say(self, stage: Any, **values: Any) -> None:
        told = {"image": self.drawn, "images": self.request.image_count, "fraction": self.drawn / self.request.image_count, **values}
        self.report(Progress(job=self.work.job, stage=stage, **told))

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the block's seconds towards a stage."""
        self.check()
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begun


def keep(run: Run, studio: Studio, picture: Pillow.Image, seed: int, text: str, request: Request, postprocessing: str = "") -> None:
    """Save one picture with its metadata, or hold its bytes where the caller asked for those alone. Raises SaveFailed."""
    # Inside the file stands the request that draws this very picture, alone.
    data = images.encode_png(picture, request.alone(seed), text, studio.settings.saving.png_compression, postprocessing)
    done = Image(seed=seed, width=picture.width, height=picture.height, infotext=text)
    if not run.work.save:
        run.pictures.append(done.model_copy(update={"data": data}))
        return
    try:
        path = images.save(data, request, seed=seed, outputs=studio.settings.folders.outputs, saving=studio.settings.saving)
    except SaveFailed:
        run.pictures.append(done.model_copy(update={"data": data}))
        raise
    run.pictures.append(done.model_copy(update={"path": path}))


@cache
def versions() -> dict[str, str]:
    """Of everything that has a say in the pixels."""
    parts = {name: version(name) for name in ("torch", "diffusers", "transformers")}
    return {"atelier": VERSION, "python": platform.python_version(), **parts}
