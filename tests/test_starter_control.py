"""The starter ControlNet makes pictures follow edges: through the queue, by weight and range, alone and together."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from backend.engine import Engine
from backend.errors import BadRequest
from tests.conftest import starter_request
from tools.starter.control import HIGH, LOW, NAME, agreement
from tools.starter.facts import SceneFacts, ShapeFacts
from tools.starter.measuring import measure_shape
from tools.starter.pictures import draw

SCENE = SceneFacts(land="mountains", time="sunset", thing="house", thing_colour="red", thing_side="right", body="sun", body_side="left")
PROMPT = "a red house by mountains at sunset with the sun"

Drawn = Callable[..., np.ndarray]


def edges(picture: np.ndarray) -> np.ndarray:
    return cv2.Canny(picture, LOW, HIGH)


@pytest.fixture(scope="module")
def scene() -> np.ndarray:
    return np.asarray(draw(SCENE, random.Random(4), 128, 128))


@pytest.fixture
def drawn(engine: Engine) -> Drawn:
    def through_the_queue(*units: dict[str, Any], **values: Any) -> np.ndarray:
        job = engine.submit(starter_request(**{"prompt": PROMPT, "controls": units, **values}), save=False)
        assert job.wait(120)
        done = job.snapshot()
        assert done.failed is None, done.failed
        return np.asarray(Image.open(io.BytesIO(done.images[0].data or b"")))

    return through_the_queue


def unit(engine: Engine, picture: np.ndarray, **values: Any) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return {"pictures": [engine.inputs.take(buffer.getvalue(), keep=False).id], "preprocessor": "canny", "model": NAME, **values}


def test_the_result_keeps_to_the_edges_and_less_with_less_weight(engine: Engine, drawn: Drawn, scene: np.ndarray) -> None:
    wanted = edges(scene)
    kept = {
        weight: np.mean([agreement(wanted, edges(drawn(unit(engine, scene, weight=weight), seed=seed))) for seed in (1, 2, 3)])
        for weight in (0.0, 0.4, 1.0)
    }
    assert kept[1.0] > 0.7
    assert kept[1.0] > kept[0.4] > kept[0.0]
    assert kept[1.0] > kept[0.0] + 0.25


def test_colours_come_from_the_prompt_and_the_outline_from_the_map(engine: Engine, drawn: Drawn) -> None:
    outline = np.asarray(draw(ShapeFacts(shape="star", colour="red", ground="blue", size="large"), random.Random(1), 128, 128))
    seen = measure_shape(Image.fromarray(drawn(unit(engine, outline), prompt="a green star on a white background")))
    assert (seen.colour, seen.ground) == ("green", "white")
    assert agreement(edges(outline), edges(drawn(unit(engine, outline), prompt="a green star on a white background"))) > 0.7


def test_a_map_drawn_by_hand_is_taken_as_it_is(engine: Engine, drawn: Drawn, scene: np.ndarray) -> None:
    lines = edges(scene)
    read, given = drawn(unit(engine, scene)), drawn(unit(engine, np.stack([lines] * 3, -1), preprocessor="none"))
    assert (read == given).all()


def test_the_range_of_steps_acts(engine: Engine, drawn: Drawn, scene: np.ndarray) -> None:
    wanted = edges(scene)
    early, late = (agreement(wanted, edges(drawn(unit(engine, scene, start=start, end=end)))) for start, end in ((0, 0.6), (0.9, 1)))
    assert early > late, "outlines are decided early"


def test_two_units_act_together(engine: Engine, drawn: Drawn, scene: np.ndarray) -> None:
    left, right = scene.copy(), scene.copy()
    left[:, 64:], right[:, :64] = scene[0, 0], scene[0, 0]
    wanted = edges(scene)
    halves = [agreement(wanted, edges(drawn(unit(engine, half)))) for half in (left, right)]
    both = agreement(wanted, edges(drawn(unit(engine, left), unit(engine, right))))
    assert both > max(halves)


def test_units_that_cannot_act_are_refused_before_the_job(engine: Engine, scene: np.ndarray) -> None:
    for values, field, words in (
        ({"model": "no such thing"}, "controls.0.model", NAME),
        ({"preprocessor": "nonsense"}, "controls.0.preprocessor", "nonsense"),
        ({"preprocessor": "depth_midas"}, "controls.0.preprocessor", "needs"),
        ({"pictures": []}, "controls.0.pictures", "picture"),
    ):
        with pytest.raises(BadRequest) as refused:
            engine.submit(starter_request(controls=[unit(engine, scene, **values)]), save=False)
        assert words in refused.value.fields[field]
