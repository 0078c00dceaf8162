"""The main flow: a request goes in, pictures come out. Read it from top to bottom."""

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

import torch
from PIL import ImageOps
from PIL.Image import Resampling
from torch import Tensor

from backend import images, infotext
from backend.errors import Cancelled, SaveFailed
from backend.hashes import Hashes
from backend.inference.cache import Loaded, ModelCache, named
from backend.inference.conditioning import Conditioning
from backend.inference.decode import decode
from backend.inference.denoising import Pass, denoise, first_pass, hires_request, refining, second_pass, until_refined, upscaled
from backend.inference.encode import encode
from backend.inference.memory import Device
from backend.inference.starting import Start, prepare
from backend.inputs import Inputs
from backend.library import Library, Model
from backend.painting import LATENT_UPSCALERS
from backend.settings import Settings
from backend.tokens import unknown_words
from backend.types import RANDOM_SEED, Image, Progress, Request, Result, Work
from backend.version import VERSION


@dataclass(frozen=True)
class Studio:
    """What drawing needs, built once by the worker."""

    settings: Settings
    device: Device
    library: Library
    cache: ModelCache
    hashes: Hashes
    inputs: Inputs


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
    drawn: int = 0
    """Images that are finished; `pictures` may also hold those of a first pass."""

    def __post_init__(self) -> None:
        asked = self.work.request
        self.request = asked.model_copy(update={"seed": secrets.randbelow(2**32)}) if asked.seed == RANDOM_SEED else asked

    def check(self) -> None:
        """Raises Cancelled once somebody asked to stop."""
        if self.cancelled():
            raise Cancelled("Stopped. Pictures that were finished before are kept.")

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


def generate(run: Run, studio: Studio) -> Result:
    """Draw every image of the request. Raises AtelierError; what was finished before stands in `run.pictures`."""
    request = run.request
    studio.device.reset_peak()
    model = studio.library.find(request.model)
    with run.stage("load"):
        run.say("load")
        model_hash = studio.hashes.of(model.denoiser_files, run.check)[:10]
    start, told = None, dict[str, Conditioning]()
    for seeds in batches(request):
        with held(run, studio, request.model) as loaded:
            vae = loaded.components["vae"]
            with run.stage("encode"):
                if request.image and start is None:
                    start = prepare(request, studio.inputs, vae, model.family.size_step)
                conditioning = conditioned(told, "first", loaded, request)
                later = conditioned(told, "hires", loaded, hires_request(request)) if request.hires else conditioning
            first = first_pass(request, start)
            last = first if request.hires else until_refined(first)
            latents = draw(run, studio, loaded, last, conditioning, seeds)
            if request.hires:
                if request.hires.keep_first:
                    finish(run, studio, vae, latents, seeds, model_hash, request.model_copy(update={"hires": None}))
                with run.stage("upscale"):
                    last = until_refined(second_pass(request, enlarged(latents, vae, request)))
                latents = draw(run, studio, loaded, last, later, seeds)
            if start and not last.runs:
                keep_all(run, studio, [start.picture] * len(seeds), seeds, model_hash, request)
            elif not last.stop:
                finish(run, studio, vae, latents, seeds, model_hash, request, start)
        if request.refiner and last.stop:
            with held(run, studio, request.refiner.model) as loaded:
                with run.stage("encode"):
                    finer = conditioned(told, "refiner", loaded, last.request)
                latents = draw(run, studio, loaded, refining(last, latents), finer, seeds)
                finish(run, studio, loaded.components["vae"], latents, seeds, model_hash, request, start)
        run.drawn += len(seeds)
    notes = (*told["first"].notes, *(start.notes if start else ()), *unseen(model, request))
    return Result(
        job=run.work.job, request=request, images=tuple(run.pictures), seconds={name: round(spent, 4) for name, spent in run.seconds.items()},
        peak_memory=studio.device.peak, model_hash=model_hash, versions=versions(), notes=notes,
    )  # fmt: skip


def batches(request: Request) -> Iterator[list[int]]:
    """The images' seeds, batch by batch."""
    size = 1 if request.one_by_one else request.batch_size
    seeds = list(range(request.seed, request.seed + request.image_count))
    for start in range(0, len(seeds), size):
        yield seeds[start : start + size]


@contextlib.contextmanager
def held(run: Run, studio: Studio, name: str) -> Iterator[Loaded]:
    """Load the model of that name, or get it from the cache, and hold it while the block runs."""
    with contextlib.ExitStack() as holding:
        with run.stage("load"):
            loaded = holding.enter_context(studio.cache.use(studio.library.find(name), run.check))
        run.say("encode")
        yield loaded


def conditioned(told: dict[str, Conditioning], which: str, loaded: Loaded, request: Request) -> Conditioning:
    """What the denoiser is told in one of a request's passes; encoded for the first batch, then taken from `told`."""
    if which not in told:
        row = loaded.model.family
        told[which] = named(row.conditioning)(loaded.pipeline(row.task), request)
    return told[which]


def draw(run: Run, studio: Studio, loaded: Loaded, this: Pass, conditioning: Conditioning, seeds: list[int]) -> Tensor:
    """Latents of one pass over one batch, N x C x h x w; progress is told, and a stop is heard, at every step."""
    begin, end = share_of_batch(run.request, this)

    def tell(*, step: int, steps: int, part: float, pace: float, preview: bytes | None) -> None:
        run.check()
        done = (run.drawn + (begin + part * (end - begin)) * len(seeds)) / run.request.image_count
        whole = pace / ((end - begin) * len(seeds)) * run.request.image_count
        run.say("denoise", step=step, steps=steps, fraction=done, eta_s=whole * (1 - done), preview=preview)

    with run.stage("denoise"):
        run.say("denoise", steps=this.runs, fraction=(run.drawn + begin * len(seeds)) / run.request.image_count)
        return denoise(this, loaded, conditioning, seeds, device=studio.device, settings=studio.settings.generation, tell=tell)


def share_of_batch(request: Request, this: Pass) -> tuple[float, float]:
    """Where in a batch's work this pass begins and ends, 0 to 1: steps times pixels, which is what they cost."""
    begin, end = 0.0, 1.0
    if request.hires:
        second = (request.hires.steps or request.steps) * math.prod(request.hires_size)
        first = request.steps * request.width * request.height
        split = first / (first + second)
        begin, end = (0.0, split) if this.request.hires else (split, 1.0)
    return begin + this.done(0.0) * (end - begin), begin + this.done(1.0) * (end - begin)


def enlarged(latents: Tensor, vae: Any, request: Request) -> Tensor:
    """Latents of the first pass in the size of the second, by way of pictures where the upscaler is one of those."""
    assert request.hires is not None
    width, height = request.hires_size
    scale = request.width / latents.shape[-1]
    if request.hires.upscaler in LATENT_UPSCALERS:
        return upscaled(latents, request.hires.upscaler, round(height / scale), round(width / scale))
    way = Resampling.NEAREST if request.hires.upscaler == "Nearest" else Resampling.LANCZOS
    return torch.cat([encode(vae, ImageOps.fit(decode(vae, latent[None]), (width, height), way)) for latent in latents])


def finish(
    run: Run, studio: Studio, vae: Any, latents: Tensor, seeds: list[int], model_hash: str, request: Request, start: Start | None = None
) -> None:
    """Decode each image of the batch, put it back where it came from, and keep it."""
    for latent, image_seed in zip(latents, seeds, strict=True):
        run.say("decode")
        with run.stage("decode"):
            drawn = decode(vae, latent[None])
            picture = start.finished(drawn) if start else drawn
        keep_all(run, studio, [picture], [image_seed], model_hash, request)


def keep_all(run: Run, studio: Studio, pictures: list[Any], seeds: list[int], model_hash: str, request: Request) -> None:
    """Save pictures with their metadata, or hold their bytes where the caller asked for those alone."""
    for picture, image_seed in zip(pictures, seeds, strict=True):
        with run.stage("save"):
            text = infotext.write(request, seed=image_seed, model_hash=model_hash, version=f"atelier {VERSION}", size=picture.size)
            keep(run, studio, picture, image_seed, text, request)


def keep(run: Run, studio: Studio, picture: Any, seed: int, text: str, request: Request) -> None:
    """Save one picture, as `keep_all` does."""
    # Inside the file stands the request that draws this very picture, alone.
    own = request.model_copy(update={"seed": seed, "batch_count": 1, "batch_size": 1})
    data = images.encode_png(picture, own, text, studio.settings.saving.png_compression)
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


def unseen(model: Model, request: Request) -> tuple[str, ...]:
    """A gentle note where a teaching model was asked for words that it never learned."""
    words = unknown_words(model, f"{request.prompt} {request.negative_prompt}")
    if not words:
        return ()
    named_words = ", ".join(f"“{word}”" for word in words[:8]) + (" and more" if len(words) > 8 else "")
    return (f"{model.name.capitalize()} never learned {named_words}. It did its best with the words it knows.",)


@cache
def versions() -> dict[str, str]:
    """Of everything that has a say in the pixels."""
    parts = {name: version(name) for name in ("torch", "diffusers", "transformers")}
    return {"atelier": VERSION, "python": platform.python_version(), **parts}
