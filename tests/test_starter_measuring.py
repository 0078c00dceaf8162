"""The measure that scores the starter model recognises drawn pictures, and wrong ones."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageFilter

from tools.starter.facts import COLOURS, SHAPES, TIMES, SceneFacts, ShapeFacts
from tools.starter.measuring import lab, measure_shape, nearest_colour
from tools.starter.pictures import draw
from tools.starter.recognising import Recogniser
from tools.starter.scoring import MAIN, Prompt, held_out_prompts, judge, measure_on_drawn, tally
from tools.starter.sky import measure_sky


@pytest.fixture(scope="module")
def recogniser() -> Recogniser:
    return Recogniser(samples=500)


def drawn(facts: ShapeFacts | SceneFacts, seed: int = 1, width: int = 128, height: int = 128) -> Image.Image:
    return draw(facts, random.Random(seed), width, height)


def test_nearly_every_drawn_picture_is_recognised(recogniser: Recogniser) -> None:
    table = tally(measure_on_drawn(recogniser, 60))
    assert table["shapes"]["all"] == {"right": 24, "of": 24, "percent": 100.0}
    assert table["landscapes"]["right"]["right"] >= 35
    assert table["both"]["right"]["of"] == 60


@pytest.mark.parametrize(("width", "height"), [(128, 128), (160, 96), (96, 160), (256, 256)])
@pytest.mark.parametrize("shape", SHAPES)
def test_shapes_are_known_at_every_size_even_when_soft(shape: str, width: int, height: int) -> None:
    facts = ShapeFacts(colour="yellow", shape=shape, ground="blue", size="large", place="left")
    assert measure_shape(drawn(facts, width=width, height=height).filter(ImageFilter.GaussianBlur(1.2))) == facts


@pytest.mark.parametrize("wrong", [{"colour": "orange"}, {"shape": "square"}, {"ground": "purple"}, {"size": "large"}, {"place": "top"}])
def test_one_wrong_fact_of_a_shape_picture_is_found(recogniser: Recogniser, wrong: dict[str, str]) -> None:
    asked = ShapeFacts(colour="red", shape="circle", ground="blue", size="small", place="left")
    judged = judge(Prompt(0, asked, "a small red circle on the left on a blue background"), drawn(replace(asked, **wrong)), recogniser)
    assert list(judged.marks.values()).count(False) == 1
    assert judged.right is (next(iter(wrong)) in ("size", "place"))


@pytest.mark.parametrize(
    ("wrong", "missed"),
    [
        ({"time": "dawn"}, "time of day"),
        ({"land": "forest"}, "land"),
        ({"thing_colour": "blue"}, "thing and its colour"),
        ({"thing": "", "thing_colour": ""}, "thing and its colour"),
        ({"thing": "balloon"}, "thing and its colour"),
        ({"body": "moon"}, "sun or moon"),
        ({"body": ""}, "sun or moon"),
        ({"thing_side": "right"}, "side of the thing"),
    ],
)
def test_one_wrong_fact_of_a_landscape_is_found(recogniser: Recogniser, wrong: dict[str, str], missed: str) -> None:
    asked = SceneFacts(land="hills", time="sunset", body="sun", body_side="right", thing="house", thing_colour="red", thing_side="left")
    prompt = Prompt(0, asked, "a red house on the left by green hills at sunset with the sun on the right")
    assert all(judge(prompt, drawn(asked), recogniser).marks.values())
    judged = judge(prompt, drawn(replace(asked, **wrong)), recogniser)
    assert not judged.marks[missed]
    assert judged.right is (missed not in MAIN["landscapes"])


def test_a_side_counts_only_where_the_prompt_says_it(recogniser: Recogniser) -> None:
    facts = SceneFacts(land="sea", time="day", thing="sailboat", thing_colour="white", thing_side="left")
    assert "side of the thing" not in judge(Prompt(0, facts, "a white boat on the sea"), drawn(facts), recogniser).marks
    assert "side of the thing" in judge(Prompt(0, facts, "a white boat on the left on the sea"), drawn(facts), recogniser).marks


def test_pictures_of_nothing_known_have_no_names(recogniser: Recogniser) -> None:
    noise = Image.fromarray(np.random.default_rng(3).integers(0, 255, (16, 16, 3), np.uint8)).resize((128, 128), Image.Resampling.BICUBIC)
    assert measure_shape(noise).shape == ""
    assert recogniser.measure_scene(noise).land == ""
    plain = measure_shape(Image.new("RGB", (128, 128), COLOURS["teal"]))
    assert (plain.ground, plain.colour, plain.shape) == ("teal", "", "")


def test_two_shapes_are_not_one() -> None:
    picture = Image.new("RGB", (128, 128), COLOURS["white"])
    circle = drawn(ShapeFacts(colour="red", shape="circle", ground="white"), width=64, height=64)
    picture.paste(circle, (0, 32))
    picture.paste(circle, (64, 32))
    assert measure_shape(picture).shape == ""


@pytest.mark.parametrize("time", TIMES)
def test_time_of_day_is_read_from_the_sky(time: str) -> None:
    assert measure_sky(drawn(SceneFacts(land="sea", time=time))).time == time


def test_colours_are_compared_in_cielab() -> None:
    assert lab(np.array((255, 255, 255))) == pytest.approx((100, 0, 0), abs=0.02)
    assert lab(np.array((255, 0, 0))) == pytest.approx((53.24, 80.09, 67.20), abs=0.02)
    assert all(nearest_colour(lab(np.array(colour))) == name for name, colour in COLOURS.items())
    assert nearest_colour(lab(np.array((0, 255, 0)))) == ""


def test_prompts_are_the_same_every_time_and_two_in_five_are_shapes() -> None:
    prompts = held_out_prompts(300)
    assert prompts == held_out_prompts(300)
    assert sum(prompt.kind == "shapes" for prompt in prompts) == 120
