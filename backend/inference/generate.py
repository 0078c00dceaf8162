"""The main flow: a request goes in, pictures come out. Read it from top to bottom."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from backend import infotext
from backend.enlarging import Upscale
from backend.inference.cache import Loaded, named
from backend.inference.conditioning import Conditioning
from backend.inference.control import NO_CONTROLS, ready
from backend.inference.decode import decode
from backend.inference.denoising import Pass, denoise, first_pass, hires_request, refining, second_pass, until_refined, upscaled
from backend.inference.detail import detailed
from backend.inference.encode import encode
from backend.inference.postprocess import better_faces, enlarge, larger
from backend.inference.read_maps import read_maps
from backend.inference.running import Run, Studio, keep
from backend.inference.starting import Start, prepare
from backend.inference.upscale import enlarged
from backend.library import Model
from backend.painting import LATENT_UPSCALERS
from backend.tokens import unknown_words
from backend.types import Request, Result
from backend.version import VERSION


def generate(run: Run, studio: Studio) -> Result:
    """Draw every image of the request. Raises AtelierError; what was finished before stands in `run.pictures`."""
    request = run.request
    studio.device.reset_peak()
    if request.reads:
        return read_maps(run, studio)
    if not request.draws:
        return enlarge(run, studio)
    model = studio.library.find(request.model)
    with run.stage("load"):
        run.say("load")
        model_hash = studio.hashes.of(model.denoiser_files, run.check)[:10]
    starts, told = list[Start](), dict[str, Conditioning]()
    for seeds in batches(request):
        with held(run, studio, request.model) as loaded:
            vae = loaded.components["vae"]
            with run.stage("encode"):
                if request.image and not starts:
                    starts = prepare(request, studio.inputs, vae, model.family.size_step)
                conditioning = conditioned(told, "first", loaded, request)
            begun = [starts[request.picture_for(seed - request.seed)] for seed in seeds] if starts else []
            first = first_pass(request, begun)
            last = first if request.hires else until_refined(first)
            latents = draw(run, studio, loaded, last, conditioning, seeds, begun)
            if request.hires and request.hires.keep_first:
                finish(run, studio, vae, latents, seeds, model_hash, request.model_copy(update={"hires": None}))
            if begun and not last.runs:
                keep_all(run, studio, [start.picture for start in begun], seeds, model_hash, request)
            elif not request.hires and not last.stop:
                finish(run, studio, vae, latents, seeds, model_hash, request, begun)
        if request.hires:
            with held(run, studio, request.hires.model or request.model) as loaded:
                with run.stage("encode"):
                    later = conditioned(told, "hires", loaded, hires_request(request))
                with run.stage("upscale"):
                    last = until_refined(second_pass(request, resized(run, studio, latents, loaded.components["vae"])))
                latents = draw(run, studio, loaded, last, later, seeds)
                if not last.stop:
                    finish(run, studio, loaded.components["vae"], latents, seeds, model_hash, request)
        if request.refiner and last.stop:
            with held(run, studio, request.refiner.model) as loaded:
                with run.stage("encode"):
                    finer = conditioned(told, "refiner", loaded, last.request)
                latents = draw(run, studio, loaded, refining(last, latents), finer, seeds)
                finish(run, studio, loaded.components["vae"], latents, seeds, model_hash, request, begun)
        run.drawn += len(seeds)
    notes = (*told["first"].notes, *(note for start in starts for note in start.notes), *unseen(model, request))
    return run.result(studio, model_hash=model_hash, notes=notes)


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


def draw(run: Run, studio: Studio, loaded: Loaded, this: Pass, conditioning: Conditioning, seeds: list[int], starts: Sequence[Start] = ()) -> Tensor:
    """Latents of one pass over one batch, N x C x h x w; progress is told, and a stop is heard, at every step."""
    begin, end = (part * (1 - run.detail_share) for part in share_of_batch(run.request, this))

    def tell(*, step: int, steps: int, part: float, pace: float, preview: bytes | None) -> None:
        run.check()
        done = (run.drawn + (begin + part * (end - begin)) * len(seeds)) / run.request.image_count
        whole = pace / ((end - begin) * len(seeds)) * run.request.image_count
        run.say("denoise", step=step, steps=steps, fraction=done, eta_s=whole * (1 - done), preview=preview)

    controls = NO_CONTROLS
    if this.request.controls:
        with run.stage("control"):
            run.say("control", fraction=(run.drawn + begin * len(seeds)) / run.request.image_count)
            controls = ready(run, studio, loaded, this.request, starts)
    with run.stage("denoise"):
        run.say("denoise", steps=this.runs, fraction=(run.drawn + begin * len(seeds)) / run.request.image_count)
        settings = studio.settings.generation
        return denoise(this, loaded, conditioning, seeds, device=studio.device, settings=settings, tell=tell, controls=controls)


def share_of_batch(request: Request, this: Pass) -> tuple[float, float]:
    """Where in a batch's work this pass begins and ends, 0 to 1: steps times pixels, which is what they cost."""
    begin, end = 0.0, 1.0
    if request.hires:
        second = (request.hires.steps or request.steps) * math.prod(request.hires_size)
        first = request.steps * request.width * request.height
        split = first / (first + second)
        begin, end = (0.0, split) if this.request.hires else (split, 1.0)
    return begin + this.done(0.0) * (end - begin), begin + this.done(1.0) * (end - begin)


def resized(run: Run, studio: Studio, latents: Tensor, vae: Any) -> Tensor:
    """Latents of the first pass in the size of the second, by way of pictures where the upscaler is one of those."""
    request, hires = run.request, run.request.hires
    assert hires is not None
    width, height = request.hires_size
    scale = request.width / latents.shape[-1]
    if hires.upscaler in LATENT_UPSCALERS:
        return upscaled(latents, hires.upscaler, round(height / scale), round(width / scale))
    how, done = Upscale(upscaler=hires.upscaler, width=width, height=height), run.drawn / request.image_count

    def tell(_: float) -> None:
        run.check()
        run.say("upscale", fraction=done)

    pictures = (enlarged(decode(vae, latent[None]), how, studio.library.upscalers, studio.networks, tell) for latent in latents)
    return torch.cat([encode(vae, picture) for picture in pictures])


def finish(
    run: Run, studio: Studio, vae: Any, latents: Tensor, seeds: list[int], model_hash: str, request: Request, begun: Sequence[Start] = ()
) -> None:
    """Decode each image of the batch, put it back where it came from, and keep it."""
    for number, (latent, image_seed) in enumerate(zip(latents, seeds, strict=True)):
        run.say("decode")
        with run.stage("decode"):
            drawn = decode(vae, latent[None])
            picture = begun[number].finished(drawn) if begun else drawn
        keep_all(run, studio, [picture], [image_seed], model_hash, request)


def keep_all(run: Run, studio: Studio, pictures: list[Any], seeds: list[int], model_hash: str, request: Request) -> None:
    """Make pictures larger where that is asked for, and keep them with their metadata."""
    for picture, image_seed in zip(pictures, seeds, strict=True):
        final = picture
        if request.upscale:
            final = larger(run, studio, picture, request.upscale)
            if request.upscale.detail:
                final = with_details(run, studio, final, image_seed)
            final = better_faces(run, studio, final, request.upscale)
        with run.stage("save"):
            flow = studio.library.find(request.model).family.flow
            text = infotext.write(request, seed=image_seed, model_hash=model_hash, version=f"atelier {VERSION}", size=picture.size, flow=flow)
            keep(run, studio, final, image_seed, text, request)


def with_details(run: Run, studio: Studio, picture: Any, seed: int) -> Any:
    """The enlarged picture, drawn anew tile by tile by the request's model."""
    request = run.request
    assert request.upscale and request.upscale.detail
    with held(run, studio, request.model) as loaded:
        with run.stage("encode"):
            conditioning = conditioned({}, "detail", loaded, request)
        return detailed(run, studio, loaded, conditioning, picture, request.upscale.detail, seed)


def unseen(model: Model, request: Request) -> tuple[str, ...]:
    """A gentle note where a teaching model was asked for words that it never learned."""
    words = unknown_words(model, f"{request.prompt} {request.negative_prompt}")
    if not words:
        return ()
    named_words = ", ".join(f"“{word}”" for word in words[:8]) + (" and more" if len(words) > 8 else "")
    return (f"{model.name.capitalize()} never learned {named_words}. It did its best with the words it knows.",)
