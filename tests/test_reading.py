"""Maps read through the queue: before anything is drawn, refused at once where they cannot be, told of in the infotext."""

from __future__ import annotations

import io
import json
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from backend import infotext
from backend.controlling import Control
from backend.engine import Engine
from backend.errors import BadRequest
from tests.conftest import starter_request, wait_until
from tests.test_preprocessors import drawn, png, reading


def test_maps_are_read_before_anything_is_drawn(engine: Engine) -> None:
    picture = engine.inputs.take(png(drawn())).id
    wait_until(lambda: engine.worker.state == "ready")
    long = engine.submit(starter_request(steps=150, batch_count=20), save=False)
    wait_until(lambda: long.state == "running")
    waiting = engine.submit(starter_request(steps=2), save=False)
    maps = [
        engine.submit(reading(Control(pictures=(picture,), preprocessor=name), width=192, height=128), save=False) for name in ("canny", "invert")
    ]
    assert [engine.position(job) for job in (*maps, waiting)] == [1, 2, 3]
    engine.cancel(long.id)
    for job in (*maps, waiting):
        assert job.wait(120)
    first, second, last = (job.snapshot().ended or 0 for job in (*maps, waiting))
    assert first <= second <= last
    (image,) = maps[0].snapshot().images
    assert image.data and np.array_equal(np.asarray(Image.open(io.BytesIO(image.data)))[:, :, 0], cv2.Canny(np.asarray(drawn()), 100, 200))


def test_one_map_for_each_unit_is_saved_with_what_it_is(engine: Engine) -> None:
    picture = engine.inputs.take(png(drawn())).id
    units = [Control(pictures=(picture,), preprocessor=name) for name in ("canny", "tile_colorfix")]
    job = engine.submit(reading(*units))
    assert job.wait(120)
    done = job.snapshot()
    assert done.result and len(done.images) == 2 and "not brought back" in done.result.notes[0]
    path = done.images[0].path
    assert path
    with Image.open(path) as saved:
        assert saved.info["postprocessing"].startswith('ControlNet 0: "Module: canny, Model: None, Weight: 1,')


@pytest.mark.parametrize("model", ["", "starter"])
@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"preprocessor": "nonsense"}, "controls.1.preprocessor", "no preprocessor named"),
        ({"preprocessor": "depth_midas"}, "controls.1.preprocessor", "470 MB of weights"),
        ({"pictures": ()}, "controls.1.pictures", "has no picture"),
        ({"pictures": ("0" * 64,)}, "controls.1.pictures", "not kept here any more"),
        ({"mask": "0" * 64}, "controls.1.mask", "not kept here any more"),
        ({"preprocessor": "inpaint_only"}, "controls.1.mask", "reads a mask"),
        ({"preprocessor": "canny", "threshold_a": 300}, "controls.1.threshold_a", "goes from 1 to 255"),
    ],
)
def test_what_cannot_be_read_is_refused_at_once(engine: Engine, model: str, values: dict[str, Any], field: str, words: str) -> None:
    picture = engine.inputs.take(png(drawn())).id
    good = Control(pictures=(picture,))
    with pytest.raises(BadRequest) as caught:
        engine.submit(reading(good, Control(**{"pictures": (picture,), **values}), model=model))
    assert words in caught.value.fields[field]


def test_infotext_is_the_extensions() -> None:
    control = Control(pictures=("0" * 64,), preprocessor="canny", model="control_v11p_sd15_canny")
    text = infotext.write(starter_request(controls=(control,)), seed=1, model_hash="", version="x")
    wanted = (
        "Module: canny, Model: control_v11p_sd15_canny, Weight: 1, Resize Mode: Crop and Resize, Processor Res: 512, Threshold A: 100, "
        "Threshold B: 200, Guidance Start: 0, Guidance End: 1, Pixel Perfect: True, Control Mode: Balanced"
    )
    assert f"ControlNet 0: {json.dumps(wanted)}" in text
    assert infotext.read(text).values["ControlNet 0"] == wanted
