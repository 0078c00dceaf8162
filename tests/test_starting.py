"""What drawing begins with: several pictures, more or less noise, soft edges both ways, new borders, another model for hires fix."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageFilter

from backend.engine import Engine
from backend.errors import BadRequest
from backend.images import read_metadata
from backend.inference import masking
from backend.library import Library
from backend.types import Request, Result, make_request
from tests import tiny
from tests.conftest import Server, settings_in, starter_request
from tests.test_painting import disc, drawn, noise, png, run, tiny_request


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An engine with the starter model and tiny ones, of which sd1 and sd2 share their latents."""
    folder = tmp_path_factory.mktemp("starting")
    for name in ("sd1", "sd2", "sdxl"):
        getattr(tiny, name)(folder / "models" / name)
    settings = settings_in(folder, models=(folder / "models",))
    running = Engine(settings, Library(settings.folders.models))
    running.start()
    yield running
    running.stop()


def several(engine: Engine, pictures: list[Image.Image], **values: Any) -> Request:
    first, *more = (engine.inputs.take(png(picture)).id for picture in pictures)
    return tiny_request("sd1", engine, pictures[0], image={"picture": first, "more": more, **values.pop("image", {})}, **values)


# Several pictures


def test_each_image_of_a_batch_starts_from_its_own_picture_and_then_from_the_first_again(studio: Engine) -> None:
    pictures = [noise(), Image.new("RGB", (64, 64), "red"), Image.new("RGB", (80, 64), "blue")]
    made = drawn(studio, several(studio, pictures, batch_size=4, batch_count=2, image={"denoising_strength": 0.0}))
    fitted = [np.asarray(picture.resize((64, 64), Image.Resampling.LANCZOS)) for picture in pictures]
    assert [next(number for number, one in enumerate(fitted) if (one == after).all()) for after in made] == [0, 1, 2, 0, 0, 1, 2, 0]


def test_an_image_of_such_a_batch_is_the_same_as_alone_and_its_file_says_which_picture_it_had(studio: Engine) -> None:
    pictures = [noise(), Image.new("RGB", (64, 64), "red")]
    together = drawn(studio, several(studio, pictures, batch_size=2))
    (alone,) = drawn(studio, tiny_request("sd1", studio, pictures[1], seed=8))
    assert np.abs(together[1] - alone).max() <= 1 and np.abs(together[0] - alone).max() > 3
    singly = run(studio, several(studio, pictures, batch_size=2, one_by_one=True))
    assert isinstance(singly, Result) and singly.images[1].path
    kept = read_metadata(singly.images[1].path)[1]
    assert kept and kept.image and kept.image.picture == studio.inputs.take(png(pictures[1])).id and not kept.image.more
    assert np.array_equal(drawn(studio, kept)[0], alone)


def test_one_mask_over_several_pictures(studio: Engine) -> None:
    pictures, mask = [noise(), Image.new("RGB", (64, 64), "red")], disc()
    request = several(studio, pictures, batch_size=2, mask=mask, how={"blur": 0})
    outside = np.asarray(mask) == 0
    for picture, after in zip(pictures, drawn(studio, request), strict=True):
        assert (after[outside] == np.asarray(picture)[outside]).all() and (after[~outside] != np.asarray(picture)[~outside]).any()


def test_more_pictures_than_images_and_a_missing_one_are_refused(studio: Engine) -> None:
    with pytest.raises(BadRequest) as refused:
        several(studio, [noise(), noise(80, 80)])
    assert "2 pictures to start from need a batch size" in refused.value.fields["batch_size"]
    with pytest.raises(BadRequest) as refused:
        studio.submit(several(studio, [noise()], batch_size=2, image={"more": ["0" * 64]}))
    assert "choose it again" in refused.value.fields["image"]
    with pytest.raises(BadRequest, match="one by one"):
        make_request(image={"picture": "0" * 64, "more": ["1" * 64]}, batch_size=2, upscale={})


# Noise


def test_less_noise_at_the_start_leaves_less_in_the_picture(engine: Engine) -> None:
    """The starter model takes away as much noise as it was told of; with less there, the result is smoother. 1 is the default to the bit."""
    (before,) = drawn(engine, starter_request("green hills by day", seed=4))
    shared = {"prompt": "green hills by day", "seed": 5, "steps": 8}
    made = {
        much: drawn(engine, starter_request(image={"picture": engine.inputs.take(png(before)).id, "denoising_strength": 0.5, **how}, **shared))[0]
        for much, how in ((None, {}), (1.0, {"noise_multiplier": 1.0}), (0.5, {"noise_multiplier": 0.5}))
    }
    assert (made[None] == made[1.0]).all()
    rough = {much: np.abs(np.diff(picture, axis=1)).mean() for much, picture in made.items()}
    assert rough[0.5] < 0.9 * rough[1.0]


@pytest.mark.parametrize("value", [-0.1, 1.6, float("nan")])
def test_a_noise_multiplier_out_of_range_is_refused(value: float) -> None:
    with pytest.raises(BadRequest, match=r"from 0 to 1\.5"):
        make_request(model="x", image={"picture": "0" * 64, "noise_multiplier": value})


# Soft edges


def test_a_mask_can_be_softer_from_top_to_bottom_than_from_side_to_side(studio: Engine) -> None:
    picture, mask = noise(), Image.new("L", (64, 64))
    mask.paste(255, (24, 24, 40, 40))
    (after,) = drawn(studio, tiny_request("sd1", studio, picture, mask, how={"blur": 0, "blur_y": 6}, image={"denoising_strength": 1.0}))
    changed = (after != np.asarray(picture)).any(axis=-1)
    assert not changed[:, :24].any() and not changed[:, 40:].any()
    assert changed[14:24, 24:40].any() and changed[40:50, 24:40].any()
    spread = np.asarray(mask.filter(ImageFilter.GaussianBlur((0, 6))))
    assert not changed[spread == 0].any()


# New borders without a painted mask


def grown(engine: Engine, picture: Image.Image, blur: int, content: str = "original", **how: Any) -> np.ndarray:
    request = starter_request(
        "green hills by day", seed=5, steps=8, width=picture.width + 64, height=picture.height, mask={"blur": blur, "content": content, **how},
        image={"picture": engine.inputs.take(png(picture)).id, "denoising_strength": 0.9, "grow": {"right": 64}},
    )  # fmt: skip
    return drawn(engine, request)[0]


def test_a_new_border_fades_into_the_picture_as_far_as_its_blur_goes_and_no_further(engine: Engine) -> None:
    picture = noise(128, 128)
    before = np.asarray(picture).astype(int)
    hard, soft = grown(engine, picture, 0), grown(engine, picture, 6)
    assert (hard[:, :128] == before).all()
    changed = np.abs(soft[:, :128] - before).max(axis=(0, 2))
    edge = Image.new("L", (192, 128))
    edge.paste(255, (128, 0, 192, 128))
    reach = np.asarray(masking.spread(edge, (6, 6)))[64, :128]
    assert (reach == 0).sum() > 100
    assert changed[reach == 0].max() == 0 and changed[reach > 150].min() > 0
    assert changed[120:128].mean() > changed[112:120].mean(), "it fades out"


def test_the_masked_content_counts_for_new_borders_too(engine: Engine) -> None:
    picture = noise(128, 128)
    filled, empty = grown(engine, picture, 4, "fill"), grown(engine, picture, 4, "latent nothing")
    assert (filled[:, 140:] != empty[:, 140:]).any()
    assert (filled[:, :100] == np.asarray(picture)[:, :100]).all() and (empty[:, :100] == np.asarray(picture)[:, :100]).all()


def test_only_the_surroundings_of_a_new_border_are_worked_on_where_that_is_asked(engine: Engine) -> None:
    picture = noise(128, 128)
    request = starter_request(
        "green hills by day", seed=5, steps=4, mask={"blur": 0, "area": "Only masked", "padding": 32},
        image={"picture": engine.inputs.take(png(picture)).id, "denoising_strength": 0.9, "grow": {"right": 64}},
    )  # fmt: skip
    (after,) = drawn(engine, request)
    assert after.shape == (128, 192, 3) and (after[:, :128] == np.asarray(picture)).all() and after[:, 128:].std() > 5


@pytest.mark.parametrize(
    ("image", "mask", "words"),
    [({}, {}, "Nothing is masked"), ({"grow": {"left": 8}}, {"invert": True}, "no mask to turn round"), ({}, {"blur_y": 65}, "less than or equal")],
)
def test_masks_that_mean_nothing_are_refused(image: dict[str, Any], mask: dict[str, Any], words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        make_request(model="x", image={"picture": "0" * 64, **image}, mask=mask)


# Another model for the second pass


def test_hires_fix_goes_on_with_another_model_of_the_same_latents(studio: Engine) -> None:
    """What the first model drew, enlarged, is what the second one gets; so the whole equals its two halves."""
    hires = {"scale": 1.5, "denoising_strength": 0.5, "upscaler": "Latent (nearest-exact)"}
    shared = {"prompt": "a house", "model": "sd1", "width": 64, "height": 64, "steps": 4, "seed": 3, "guidance": 3.0}
    (same,) = drawn(studio, make_request(**shared, hires=hires))
    (named,) = drawn(studio, make_request(**shared, hires={**hires, "model": "sd1"}))
    result = run(studio, make_request(**shared, hires={**hires, "model": "sd2", "keep_first": True}, batch_count=2))
    assert isinstance(result, Result)
    pictures = [np.asarray(Image.open(image.path).convert("RGB")).astype(int) for image in result.images if image.path]
    assert [picture.shape for picture in pictures] == [(64, 64, 3), (96, 96, 3)] * 2
    assert (same == named).all() and np.abs(same - pictures[1]).max() > 3
    (first,) = drawn(studio, make_request(**shared))
    assert (first == pictures[0]).all(), "the first pass is the first model's"
    assert "Hires checkpoint: sd2" in result.images[1].infotext


@pytest.mark.parametrize(("model", "words"), [("sdxl", "cannot go on from pictures of Stable Diffusion 1.x"), ("gone", "no model named")])
def test_a_second_model_that_does_not_fit_is_refused_at_its_field(studio: Engine, model: str, words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        studio.submit(make_request(model="sd1", hires={"model": model}))
    assert words in refused.value.fields["hires.model"]


# A1111's bodies


def test_img2img_over_http_with_several_pictures_noise_and_two_blurs(server: Server) -> None:
    pictures = [base64.b64encode(png(picture)).decode() for picture in (noise(), Image.new("RGB", (64, 64), "red"))]
    mask = {"mask": base64.b64encode(png(disc())).decode(), "mask_blur_x": 2, "mask_blur_y": 6, "inpaint_full_res": False}
    body = {
        "prompt": "hills", "init_images": pictures, "steps": 3, "width": 64, "height": 64, "batch_size": 2, "denoising_strength": 0.4,
        "initial_noise_multiplier": 0.5, **mask,
    }  # fmt: skip
    status, answer = server.post("sdapi/v1/img2img", body)
    assert status == 200, answer
    assert len(answer["images"]) == 2
    text = json.loads(answer["info"])["infotexts"][0]
    assert "Noise multiplier: 0.5" in text and "Mask blur: 2, Mask blur y: 6" in text
    status, answer = server.post("sdapi/v1/img2img", {**body, "batch_size": 1})
    assert status == 422 and "batch size" in answer["fields"]["batch_size"]
    status, answer = server.post("sdapi/v1/img2img", {**body, "init_images": pictures * 5})
    assert status == 422 and "8 can be worked on" in answer["fields"]["init_images"]


def test_txt2img_over_http_with_a_hires_checkpoint(server: Server) -> None:
    body = {"prompt": "hills", "steps": 2, "width": 64, "height": 64, "enable_hr": True, "hr_scale": 1.5, "hr_checkpoint_name": "starter"}
    status, answer = server.post("sdapi/v1/txt2img", body)
    assert status == 200, answer
    assert "Hires checkpoint: starter" in json.loads(answer["info"])["infotexts"][0]
    status, answer = server.post("sdapi/v1/txt2img", {**body, "hr_checkpoint_name": "gone"})
    assert status == 422 and "no model named" in answer["fields"]["hires.model"]
