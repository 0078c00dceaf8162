"""Pictures in, pictures out: image to image, inpainting, outpainting and hires fix, with real models of several families."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline, StableDiffusionPipeline
from PIL import Image, ImageDraw, ImageFilter

from backend import images
from backend.engine import Engine
from backend.errors import BadRequest
from backend.inference import samplers
from backend.inference.denoising import hires_request
from backend.inference.schedules import noised
from backend.library import Library
from backend.painting import Refiner
from backend.samplers import SAMPLERS
from backend.types import Failed, Request, Result, make_request
from tests import tiny, tiny_transformers
from tests.conftest import settings_in, starter_request, wait_until

LANDSCAPE = "snowy mountains by day with the sun on the right"
FAMILIES = (
    "starter",
    "sd1",
    "sd2",
    "sdxl",
    "hunyuan_dit",
    "sd3",
    "flux_dev",
    "pixart_alpha",
    "hidream",
    "qwen_image",
    "z_image",
    "sana",
    "flux2_dev",
)
"""For Hunyuan-DiT, PixArt, HiDream, Sana and Flux.2 diffusers has no image-to-image pipeline."""


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with the starter model and a tiny one of each other family."""
    folder = tmp_path_factory.mktemp("families")
    for name in (*FAMILIES[1:], "sdxl_refiner"):
        build = getattr(tiny, name, None) or getattr(tiny_transformers, name)
        build(folder / "models" / name)
    settings = settings_in(folder, models=(folder / "models",))
    running = Engine(settings, Library(settings.folders.models))
    running.start()
    yield running
    running.stop()


def run(engine: Engine, request: Request) -> Result | Failed:
    job = engine.submit(request)
    wait_until(lambda: job.ended)
    done = job.snapshot()
    ended = done.result or done.failed
    assert ended
    return ended


def drawn(engine: Engine, request: Request) -> list[np.ndarray]:
    """Every picture of the job, H x W x 3."""
    result = run(engine, request)
    assert isinstance(result, Result), result
    return [np.asarray(Image.open(image.path).convert("RGB")).astype(int) for image in result.images if image.path]


def png(picture: Image.Image | np.ndarray) -> bytes:
    buffer = io.BytesIO()
    (picture if isinstance(picture, Image.Image) else Image.fromarray(picture.astype(np.uint8))).save(buffer, "PNG")
    return buffer.getvalue()


def noise(width: int = 64, height: int = 64) -> Image.Image:
    """A picture in which every pixel is another, so that the least change shows."""
    rng = np.random.default_rng(0)
    small = Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)
    return Image.fromarray((np.asarray(small) // 2 + rng.integers(0, 128, (height, width, 3))).astype(np.uint8))


def disc(width: int = 64, height: int = 64, *, soft: bool = False) -> Image.Image:
    mask = Image.new("L", (width, height))
    ImageDraw.Draw(mask).ellipse((width * 0.35, height * 0.3, width * 0.75, height * 0.7), fill=255)
    return mask.filter(ImageFilter.GaussianBlur(6)) if soft else mask


def tiny_request(model: str, engine: Engine, picture: Image.Image, mask: Image.Image | None = None, **values: Any) -> Request:
    """Image to image, or inpainting, at the picture's own size, quickly."""
    image = {"picture": engine.inputs.take(png(picture)).id, **values.pop("image", {})}
    masked = {"mask": {"picture": engine.inputs.take_mask(png(mask)).id, **values.pop("how", {})}} if mask else {}
    given = {"prompt": "a house", "model": model, "width": picture.width, "height": picture.height, "steps": 4, "seed": 7, "guidance": 3.0}
    return make_request(**{**given, "image": image, **masked, **values})


MASKED = (
    ((64, 64), {}),
    ((150, 130), {"area": "Only masked", "padding": 8}),
    ((64, 64), {"content": "latent noise", "blur": 0}),
    ((72, 104), {"content": "fill", "invert": True}),
    ((101, 93), {"content": "latent nothing"}),
    ((96, 64), {"soft": True, "blur": 0}),
)


@pytest.mark.parametrize(
    ("model", "size", "how"),
    [*(("starter", *case) for case in MASKED), *((model, *case) for model in FAMILIES[1:] for case in MASKED[:2])],
)
def test_outside_the_blurred_mask_every_pixel_stays_and_inside_they_change(
    studio: Engine, model: str, size: tuple[int, int], how: dict[str, Any]
) -> None:
    picture, mask = noise(*size), disc(*size, soft=bool(how.get("soft")))
    work = {"width": 64, "height": 64} if how.get("area") else {}
    (after,) = drawn(studio, tiny_request(model, studio, picture, mask, how=how, **work))
    before = np.asarray(picture).astype(int)
    assert after.shape == before.shape
    changed = np.abs(after - before).max(axis=-1)
    spread = np.asarray(mask.filter(ImageFilter.GaussianBlur(how.get("blur", 4))) if how.get("blur", 4) else mask)
    if how.get("invert"):
        inverted = Image.eval(mask, lambda value: 255 - value)
        spread = np.asarray(inverted.filter(ImageFilter.GaussianBlur(4)))
    assert (spread == 0).any()
    assert changed[spread == 0].max() == 0
    assert changed[spread > 200].mean() > 3


@pytest.mark.parametrize("model", FAMILIES)
def test_the_change_grows_with_the_strength_from_nothing_to_forgetting(studio: Engine, model: str) -> None:
    picture = noise()
    before = np.asarray(picture).astype(int)
    changes = []
    for strength in (0.0, 0.25, 0.75):
        (after,) = drawn(studio, tiny_request(model, studio, picture, image={"denoising_strength": strength}, steps=8))
        changes.append(np.abs(after - before).mean())
    assert changes[0] == 0
    forgotten, again = (
        drawn(studio, tiny_request(model, studio, source, image={"denoising_strength": 1.0}))[0]
        for source in (picture, Image.new("RGB", (64, 64), "red"))
    )
    assert changes[1] > 0
    assert (forgotten == again).all()


def test_a_pass_from_the_middle_equals_diffusers_own_pipelines(tmp_path: Path) -> None:
    """To the bit: generic image to image against Stable Diffusion's own.

    Two samplers are left out. DPM++ SDE draws its noise for the span of the schedule, which is shorter here; LMS in
    diffusers' own pipeline counts on steps before the first one, which were never taken.
    """
    folder = tiny.sd1(tmp_path / "sd1")
    own = StableDiffusionImg2ImgPipeline.from_pretrained(folder, safety_checker=None)
    own.set_progress_bar_config(disable=True)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(3))
    model_scheduler = own.scheduler
    for row in SAMPLERS:
        if row.name in ("DPM++ SDE", "LMS"):
            continue
        request = make_request(model="x", prompt="a house", steps=6, sampler=row.name, width=64, height=64)
        own.scheduler = samplers.build(request, model_scheduler, [5])
        shared: dict[str, Any] = {"prompt": "a house", "num_inference_steps": 6, "output_type": "latent"}
        expected: Any = own(image=latents, strength=0.5, generator=[torch.Generator().manual_seed(5)], **shared)
        generator = torch.Generator().manual_seed(5)
        drawn_noise = torch.randn(latents.shape, generator=generator)
        late = samplers.build(request, model_scheduler, [5], begin=3)
        late.set_timesteps(6)
        pipe = StableDiffusionPipeline(**{**own.components, "scheduler": late}, requires_safety_checker=False)
        pipe.set_progress_bar_config(disable=True)
        start = noised(late, latents, drawn_noise, 0)
        got: Any = pipe(latents=start, height=64, width=64, generator=[generator], **shared)
        assert torch.equal(got.images, expected.images), row.name


def test_paint_over_the_sun_and_get_a_moon(engine: Engine) -> None:
    """Outside the mask nothing changes; inside, the yellow goes."""
    (before,) = drawn(engine, starter_request(LANDSCAPE, seed=11, steps=20))
    mask = Image.new("L", (128, 128))
    ImageDraw.Draw(mask).rectangle((64, 4, 124, 60), fill=255)
    request = starter_request(
        "snowy mountains at night with the moon on the right", seed=12, steps=20,
        image={"picture": engine.inputs.take(png(before)).id, "denoising_strength": 0.95}, mask={"picture": engine.inputs.take_mask(png(mask)).id},
    )  # fmt: skip
    (after,) = drawn(engine, request)
    outside = np.asarray(mask.filter(ImageFilter.GaussianBlur(4))) == 0
    assert (after[outside] == before[outside]).all()
    inside = (slice(16, 48), slice(76, 112))
    assert np.abs(after[inside] - before[inside]).mean() > 25


def test_outpainting_keeps_the_old_pixels_and_shows_no_seam(engine: Engine) -> None:
    (before,) = drawn(engine, starter_request("green hills by day", seed=4, steps=20))
    request = starter_request(
        "green hills by day", seed=5, steps=20, width=192,
        image={"picture": engine.inputs.take(png(before)).id, "denoising_strength": 0.9, "grow": {"right": 64}},
    )  # fmt: skip
    (after,) = drawn(engine, request)
    assert after.shape == (128, 192, 3)
    assert (after[:, :128] == before).all()
    assert after[:, 136:].std() > 15
    across = np.abs(np.diff(after, axis=1)).mean(axis=(0, 2))
    assert across[127] < 2 * across[100:155].mean() + 2


@pytest.mark.parametrize("upscaler", ["Latent", "Latent (bicubic antialiased)", "Lanczos"])
def test_hires_fix_makes_the_same_picture_larger(engine: Engine, upscaler: str) -> None:
    request = starter_request(
        "dunes at sunset", seed=6, steps=12, hires={"upscaler": upscaler, "scale": 1.5, "denoising_strength": 0.3, "keep_first": True}
    )
    first, second = drawn(engine, request)
    assert (first.shape, second.shape) == ((128, 128, 3), (192, 192, 3))
    one, other = (np.asarray(Image.fromarray(one.astype(np.uint8)).resize((16, 16), Image.Resampling.BOX)).ravel() for one in (first, second))
    assert np.corrcoef(one, other)[0, 1] > 0.9


@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DDIM", "Euler a"])
def test_a_refiner_of_the_same_weights_continues_to_the_same_picture(studio: Engine, sampler: str) -> None:
    """For solvers that look at one step alone; noise that is added at each step is other noise then."""
    request = make_request(prompt="a house", model="sdxl", width=64, height=64, steps=6, seed=3, guidance=3.0, sampler=sampler)
    (plain,) = drawn(studio, request)
    (refined,) = drawn(studio, request.model_copy(update={"refiner": Refiner(model="sdxl", switch_at=0.5)}))
    assert ((plain == refined).all()) == (sampler != "Euler a")


def test_sdxls_refiner_finishes_what_sdxl_began_and_says_so(studio: Engine) -> None:
    request = make_request(
        prompt="a house", model="sdxl", width=64, height=64, steps=10, seed=3, guidance=3.0, sampler="Euler", refiner={"model": "sdxl_refiner"}
    )
    (ours,) = drawn(studio, request)
    (plain,) = drawn(studio, request.model_copy(update={"refiner": None}))
    assert np.abs(ours - plain).max() > 3
    text = run(studio, request)
    assert isinstance(text, Result)
    assert "Refiner: sdxl_refiner, Refiner switch at: 0.8" in text.images[0].infotext


def test_a_refiner_goes_on_under_a_mask_and_after_hires_fix(studio: Engine) -> None:
    picture, mask = noise(), disc()
    (after,) = drawn(studio, tiny_request("sdxl", studio, picture, mask, steps=6, refiner={"model": "sdxl_refiner", "switch_at": 0.5}))
    outside = np.asarray(mask.filter(ImageFilter.GaussianBlur(4))) == 0
    assert (after[outside] == np.asarray(picture)[outside]).all()
    hires = {"scale": 1.5, "denoising_strength": 0.5}
    large = make_request(prompt="a house", model="sdxl", width=64, height=64, steps=4, hires=hires, refiner={"model": "sdxl_refiner"})
    assert drawn(studio, large)[0].shape == (96, 96, 3)


def test_refiners_and_models_that_do_not_fit_are_refused(studio: Engine) -> None:
    with pytest.raises(BadRequest) as refused:
        studio.submit(make_request(model="sd1", refiner={"model": "sdxl_refiner"}))
    assert "cannot finish pictures of Stable Diffusion 1.x" in refused.value.fields["refiner.model"]
    with pytest.raises(BadRequest) as refused:
        studio.submit(make_request(model="sdxl_refiner"))
    assert "only finish" in refused.value.fields["model"]


def test_a_schedule_type_of_its_own_counts_where_hires_fix_uses_the_same_sampler() -> None:
    first = make_request(model="x", sampler="Euler", scheduler="Karras", hires={"scheduler": "Beta"})
    assert (hires_request(first).sampler, hires_request(first).scheduler) == ("Euler", "Beta")
    same = make_request(model="x", sampler="Euler", scheduler="Karras", hires={})
    assert (hires_request(same).sampler, hires_request(same).scheduler) == ("Euler", "Karras")


def test_every_image_of_a_batch_starts_from_the_same_picture_with_its_own_noise(studio: Engine) -> None:
    picture = noise()
    one, other = drawn(studio, tiny_request("sd1", studio, picture, batch_size=2))
    assert (one != other).any()
    (alone,) = drawn(studio, tiny_request("sd1", studio, picture, seed=8))
    assert np.abs(alone - other).max() <= 1


def test_a_mask_of_another_size_is_fitted_and_said_so_and_of_another_shape_refused(studio: Engine) -> None:
    picture = noise()
    result = run(studio, tiny_request("sd1", studio, picture, disc(32, 32)))
    assert isinstance(result, Result)
    assert any("fitted from 32 x 32 to the picture's 64 x 64" in note for note in result.notes)
    with pytest.raises(BadRequest) as refused:
        studio.submit(tiny_request("sd1", studio, picture, disc(64, 32)))
    assert "another shape" in refused.value.fields["mask"]


def test_an_empty_mask_is_refused_and_a_full_one_changes_everything(studio: Engine) -> None:
    with pytest.raises(BadRequest) as refused:
        studio.submit(tiny_request("sd1", studio, noise(), Image.new("L", (64, 64))))
    assert "nothing is masked" in refused.value.fields["mask"]
    (after,) = drawn(studio, tiny_request("sd1", studio, noise(), Image.new("L", (64, 64), 255)))
    assert (np.abs(after - np.asarray(noise()).astype(int)).max(axis=-1) > 0).mean() > 0.9


def test_a_picture_that_was_deleted_is_missed_with_a_sentence(studio: Engine) -> None:
    request = tiny_request("sd1", studio, noise(80, 80))
    assert request.image
    studio.inputs.path(request.image.picture).unlink()
    with pytest.raises(BadRequest) as refused:
        studio.submit(request)
    assert "choose it again" in refused.value.fields["image"]


@pytest.mark.parametrize("mode", ["Just resize", "Crop and resize", "Resize and fill", "Just resize (latent upscale)"])
def test_resize_modes_give_the_size_asked_for(studio: Engine, mode: str) -> None:
    """With no strength, what comes out is the fitted picture itself."""
    wide = Image.new("RGB", (96, 64), "red")
    ImageDraw.Draw(wide).rectangle((0, 0, 15, 63), fill="blue")
    (after,) = drawn(studio, tiny_request("sd1", studio, wide, width=64, height=64, image={"resize_mode": mode, "denoising_strength": 0.0}))
    assert after.shape == (64, 64, 3)
    blue = (after[32, :, 2] > 128).sum()
    assert blue == {"Just resize": 11, "Crop and resize": 0, "Resize and fill": 11, "Just resize (latent upscale)": 11}[mode]


def test_the_same_request_from_its_own_file_gives_the_same_picture_again(studio: Engine) -> None:
    request = tiny_request("sd1", studio, noise(), disc())
    result = run(studio, request)
    assert isinstance(result, Result) and result.images[0].path
    text, kept = images.read_metadata(result.images[0].path)
    assert "Denoising strength: 0.75, Mask blur: 4" in text
    assert kept
    again = run(studio, kept)
    assert isinstance(again, Result) and again.images[0].path
    assert np.array_equal(np.asarray(Image.open(again.images[0].path)), np.asarray(Image.open(result.images[0].path)))
