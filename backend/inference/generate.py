"""The main flow: a request goes in, pictures come out. Read it from top to bottom."""

from __future__ import annotations

import contextlib
import platform
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor

from backend import images, infotext
from backend.errors import Cancelled, SaveFailed
from backend.hashes import Hashes
from backend.inference import samplers
from backend.inference.cache import Loaded, ModelCache, named
from backend.inference.conditioning import Conditioning
from backend.inference.decode import decode
from backend.inference.memory import Device
from backend.inference.preview import Previewer
from backend.library import Library, Model
from backend.samplers import find_sampler
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

    def __post_init__(self) -> None:
        asked = self.work.request
        self.request = asked.model_copy(update={"seed": secrets.randbelow(2**32)}) if asked.seed == RANDOM_SEED else asked

    def check(self) -> None:
        """Raises Cancelled once somebody asked to stop."""
        if self.cancelled():
            raise Cancelled("Stopped. Pictures that were finished before are kept.")

    def say(self, stage: Any, **values: Any) -> None:
        done = len(self.pictures) / self.request.image_count
        told = {"image": len(self.pictures), "images": self.request.image_count, "fraction": done, **values}
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
    run.say("load")
    with contextlib.ExitStack() as holding:
        with run.stage("load"):
            model_hash = studio.hashes.of(model.denoiser_files, run.check)[:10]
            loaded = holding.enter_context(studio.cache.use(model, run.check))
        run.say("encode")
        with run.stage("encode"):
            conditioning: Conditioning = named(model.family.conditioning)(loaded.pipeline("txt2img"), request)
        for seeds in batches(request):
            with run.stage("denoise"):
                latents = denoise(run, studio, loaded, conditioning, seeds)
            for latent, image_seed in zip(latents, seeds, strict=True):
                run.say("decode")
                with run.stage("decode"):
                    picture = decode(loaded.components["vae"], latent[None])
                with run.stage("save"):
                    text = infotext.write(request, seed=image_seed, model_hash=model_hash, version=f"atelier {VERSION}")
                    keep(run, studio, picture, image_seed, text)
    return Result(
        job=run.work.job, request=request, images=tuple(run.pictures), seconds={name: round(spent, 4) for name, spent in run.seconds.items()},
        peak_memory=studio.device.peak, model_hash=model_hash, versions=versions(), notes=(*conditioning.notes, *unseen(model, request)),
    )  # fmt: skip


def batches(request: Request) -> Iterator[list[int]]:
    """The images' seeds, batch by batch."""
    size = 1 if request.one_by_one else request.batch_size
    seeds = list(range(request.seed, request.seed + request.image_count))
    for start in range(0, len(seeds), size):
        yield seeds[start : start + size]


@torch.inference_mode()
def denoise(run: Run, studio: Studio, loaded: Loaded, conditioning: Conditioning, seeds: list[int]) -> Tensor:
    """Latents of one batch, N x C x h x w. Noise is drawn on the CPU at 32 bit, so that every device starts alike."""
    request, row = run.request, loaded.model.family
    scheduler = samplers.build(request, loaded.components["scheduler"], seeds)
    pipe = loaded.pipeline("txt2img", scheduler=scheduler)
    pipe.set_progress_bar_config(disable=True)
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    shape = (
        1,
        loaded.components[row.denoiser].config["in_channels"],
        request.height // pipe.vae_scale_factor,
        request.width // pipe.vae_scale_factor,
    )
    noise = torch.cat([torch.randn(shape, generator=generator) for generator in generators])
    settings = studio.settings.generation
    previews = Previewer(row, loaded.components["vae"], settings.preview_every_seconds, settings.preview_pixels)
    begun = time.perf_counter()

    with samplers.watched(scheduler, find_sampler(request.sampler)) as estimate:

        def after_step(pipe: Any, index: int, _timestep: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            run.check()
            part = (index + 1) / max(pipe.num_timesteps, 1)
            done = (len(run.pictures) + part * len(seeds)) / request.image_count
            pace = (time.perf_counter() - begun) / (part * len(seeds))
            run.say(
                "denoise", step=min(round(part * request.steps), request.steps), steps=request.steps, fraction=done,
                eta_s=pace * (1 - done) * request.image_count, preview=previews.make(estimate.latents),
            )  # fmt: skip
            return tensors

        run.say("denoise", steps=request.steps)
        return pipe(
            latents=noise.to(studio.device.dtype), generator=generators, height=request.height, width=request.width,
            num_inference_steps=request.steps, guidance_scale=request.guidance, output_type="latent",
            callback_on_step_end=after_step, callback_on_step_end_tensor_inputs=["latents"], **conditioning.repeated(len(seeds)),
        ).images  # fmt: skip


def keep(run: Run, studio: Studio, picture: Any, seed: int, text: str) -> None:
    """Save a picture with its metadata, or hold its bytes where the caller asked for those alone."""
    # Inside the file stands the request that draws this very picture, alone.
    own = run.request.model_copy(update={"seed": seed, "batch_count": 1, "batch_size": 1})
    data = images.encode_png(picture, own, text, studio.settings.saving.png_compression)
    done = Image(seed=seed, width=picture.width, height=picture.height, infotext=text)
    if not run.work.save:
        run.pictures.append(done.model_copy(update={"data": data}))
        return
    try:
        path = images.save(data, run.request, seed=seed, outputs=studio.settings.folders.outputs, saving=studio.settings.saving)
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
