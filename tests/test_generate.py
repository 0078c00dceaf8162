"""What is in the picture, and that it is the same picture again."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend.engine import Engine
from backend.library import Library
from backend.samplers import SAMPLERS, Sampler
from backend.types import Request, Result
from tests.conftest import settings_in, starter_request
from tools.starter.facts import COLOURS

STOCHASTIC = ("DPM++ 2M", "DPM++ SDE", "DPM++ 2M SDE", "Euler a", "DPM2 a", "LCM", "DDPM")


def draw(engine: Engine, request: Request) -> Result:
    """Pictures as bytes, nothing on the disk."""
    job = engine.submit(request, save=False)
    assert job.wait(300)
    done = job.snapshot()
    assert done.result, done.failed
    return done.result


def pixels(result: Result, number: int = 0) -> np.ndarray:
    data = result.images[number].data
    assert data
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


def nearest(colour: np.ndarray) -> str:
    return min(COLOURS, key=lambda name: float(np.abs(colour - np.array(COLOURS[name])).sum()))


def middle(picture: np.ndarray) -> str:
    return nearest(np.median(picture[56:72, 56:72].reshape(-1, 3), axis=0))


def corner(picture: np.ndarray) -> str:
    return nearest(np.median(picture[:10, :10].reshape(-1, 3), axis=0))


@pytest.mark.parametrize(
    ("colour", "shape", "ground"),
    [
        ("red", "circle", "blue"),
        ("yellow", "square", "purple"),
        ("green", "diamond", "white"),
        ("black", "heart", "orange"),
        ("white", "star", "red"),
        ("blue", "cross", "yellow"),
    ],
)
def test_the_middle_and_the_corner_have_the_colours_asked_for(engine: Engine, colour: str, shape: str, ground: str) -> None:
    picture = pixels(draw(engine, starter_request(f"a {colour} {shape} on a {ground} background", steps=20)))
    assert picture.shape == (128, 128, 3)
    assert (middle(picture), corner(picture)) == (colour, ground)


def test_night_is_darker_than_day(engine: Engine) -> None:
    night, day = (pixels(draw(engine, starter_request(f"mountains {time}"))) for time in ("at night", "by day"))
    assert night[:40].mean() + 60 < day[:40].mean()


def test_the_negative_prompt_and_guidance_matter(engine: Engine) -> None:
    plain = pixels(draw(engine, starter_request("a circle on a blue background")))
    without_red = pixels(draw(engine, starter_request("a circle on a blue background", negative_prompt="a red circle")))
    weaker = pixels(draw(engine, starter_request("a circle on a blue background", guidance=1.0)))
    assert np.abs(plain - without_red).max() > 30
    assert np.abs(plain - weaker).max() > 30


def test_the_same_request_gives_the_same_bytes_in_another_process(engine: Engine, tmp_path: Path) -> None:
    """With solvers that draw noise at every step too, one of them through seeds and not generators."""
    requests = [starter_request("a green triangle on a pink background", sampler=name, batch_size=2, steps=6) for name in STOCHASTIC]
    settings = settings_in(tmp_path)
    other = Engine(settings, Library(settings.folders.models))
    other.start()
    try:
        pairs = [(draw(engine, request), draw(other, request)) for request in requests]
    finally:
        other.stop()
    for name, (first, second) in zip(STOCHASTIC, pairs, strict=True):
        assert [image.data for image in first.images] == [image.data for image in second.images], name


def test_a_random_seed_is_told_and_repeats_the_picture(engine: Engine) -> None:
    first = draw(engine, starter_request(seed=-1, steps=6))
    assert first.request.seed >= 0
    again = draw(engine, first.request)
    assert first.images[0].data == again.images[0].data
    assert f"Seed: {first.request.seed}," in first.images[0].infotext


def test_image_three_of_a_batch_is_the_same_seeds_picture(engine: Engine) -> None:
    alone = pixels(draw(engine, starter_request(seed=12, steps=8)))
    together = draw(engine, starter_request(seed=10, steps=8, batch_size=3))
    singly = draw(engine, starter_request(seed=10, steps=8, batch_size=3, one_by_one=True))
    in_turn = draw(engine, starter_request(seed=10, steps=8, batch_count=3))
    assert [image.seed for image in together.images] == [10, 11, 12]
    assert np.array_equal(alone, pixels(singly, 2))
    assert np.array_equal(alone, pixels(in_turn, 2))
    assert np.abs(alone - pixels(together, 2)).max() <= 2
    assert not np.array_equal(alone, pixels(together, 1))


@pytest.mark.parametrize("row", SAMPLERS, ids=lambda row: row.name)
def test_every_sampler_and_schedule_draws(engine: Engine, row: Sampler) -> None:
    """With its own schedule every solver's middle and corner are right; with each other one it draws something."""
    if row.name != "LCM":  # made for distilled models; others it only has to survive
        picture = pixels(draw(engine, starter_request(sampler=row.name, steps=50 if row.name == "DDPM" else 24)))
        assert (middle(picture), corner(picture)) == ("red", "blue")
    for schedule in row.schedules[1:] or ("Automatic",):
        assert pixels(draw(engine, starter_request(sampler=row.name, scheduler=schedule, steps=6))).std() > 5


@pytest.mark.parametrize(("width", "height"), [(160, 96), (96, 160), (136, 72)])
def test_other_sizes(engine: Engine, width: int, height: int) -> None:
    assert pixels(draw(engine, starter_request(width=width, height=height, steps=6))).shape == (height, width, 3)


def test_the_result_tells_what_was_run(engine: Engine) -> None:
    result = draw(engine, starter_request(steps=4))
    assert len(result.model_hash) == 10
    assert set(result.versions) == {"atelier", "python", "torch", "diffusers", "transformers"}
    assert {"load", "encode", "denoise", "decode", "save"} == set(result.seconds)
    assert result.peak_memory > 10**7


def test_a_prompt_longer_than_the_model_reads_is_said(engine: Engine) -> None:
    result = draw(engine, starter_request("red " * 90, steps=2))
    assert result.notes == ("The prompt has 90 tokens and this model reads the first 75; the rest had no effect.",)


def test_words_it_never_learned_are_named(engine: Engine) -> None:
    result = draw(engine, starter_request("a red zebra on a blue background", steps=2))
    assert result.notes == ("Starter never learned “zebra”. It did its best with the words it knows.",)
