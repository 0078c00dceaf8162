"""Making pictures larger: tiles that show no seam, upscaler files of many kinds, requests, and A1111's extras routes."""

from __future__ import annotations

import base64
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import save_file
from spandrel import ImageModelDescriptor, ModelLoader
from spandrel.architectures.Compact import Compact
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.SPAN import SPAN
from spandrel.architectures.SwinIR import SwinIR

from backend.engine import Engine
from backend.enlarging import Upscale
from backend.errors import BadRequest, DamagedModel
from backend.images import read_metadata
from backend.inference import memory, tiling
from backend.inference.upscale import Networks, load, through
from backend.types import make_request
from backend.upscalers import Upscaler, Upscalers
from tests.conftest import Server, wait_until
from tools.starter.upscaling import FILE_NAME

STARTER = Upscaler(Path(FILE_NAME).stem, Path(__file__).parent.parent / "models" / "starter" / "upscaler" / FILE_NAME)


def drawing(width: int = 96, height: int = 80) -> Image.Image:
    """Colours and edges everywhere."""
    ys, xs = np.mgrid[0:height, 0:width]
    parts = (xs * 255 // width, ys * 255 // height, ((xs // 7 + ys // 5) % 2) * 200)
    return Image.fromarray(np.stack(parts, axis=-1).astype(np.uint8))


def compact(scale: int = 4) -> ImageModelDescriptor:
    torch.manual_seed(0)
    descriptor = ModelLoader().load_from_state_dict(Compact(num_feat=16, num_conv=6, upscale=scale).state_dict())
    assert isinstance(descriptor, ImageModelDescriptor)
    return descriptor.eval()


def png(picture: Image.Image, **texts: str) -> bytes:
    buffer, chunks = io.BytesIO(), PngInfo()
    for key, text in texts.items():
        chunks.add_text(key, text)
    picture.save(buffer, "PNG", pnginfo=chunks)
    return buffer.getvalue()


# Files

ARCHITECTURES: dict[str, tuple[Callable[[], torch.nn.Module], int]] = {
    "2x_Compact": (lambda: Compact(num_feat=16, num_conv=2, upscale=2), 2),
    "4x_ESRGAN": (lambda: ESRGAN(num_filters=16, num_blocks=1, scale=4), 4),
    "2x_SPAN": (lambda: SPAN(num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=2), 2),
    "SwinIR_2x": (
        lambda: SwinIR(
            img_size=16, window_size=8, depths=(2,), embed_dim=12, num_heads=(2,), mlp_ratio=2, upscale=2, upsampler="pixelshuffledirect",
        ), 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_upscalers_of_many_kinds_are_found_and_used(name: str, ending: str, tmp_path: Path) -> None:
    build, scale = ARCHITECTURES[name]
    torch.manual_seed(1)
    weights = {key: value.contiguous() for key, value in build().state_dict().items()}
    folder = tmp_path / ("ESRGAN" if ending == "pth" else "upscale_models") / "deeper"
    folder.mkdir(parents=True)
    if ending == "pth":
        torch.save({"params_ema": weights}, folder / f"{name}.pth")
    else:
        save_file(weights, folder / f"{name}.safetensors")
    found = Upscalers((tmp_path,)).find(name)
    assert found.scale == scale
    network = Networks(memory.choose("cpu")).get(found)
    assert network.scale == scale
    assert through(network, drawing(40, 30), lambda: None, lambda _: None).size == (40 * scale, 30 * scale)


class Harmful:
    """Unpickling it would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_files_that_are_no_upscalers_are_refused_by_name_and_nothing_in_them_runs(tmp_path: Path) -> None:
    folder, trace = tmp_path / "ESRGAN", tmp_path / "trace"
    folder.mkdir()
    (folder / "harmful.pth").write_bytes(pickle.dumps({"params": Harmful(trace)}))
    torch.save({"params": Harmful(trace)}, folder / "harmful too.pth")
    (folder / "text.pth").write_text("hello")
    (folder / "empty.safetensors").write_bytes(b"")
    (folder / "cut.safetensors").write_bytes(b"\xff" * 100)
    (folder / "script.pt").write_bytes(b"PK")
    save_file({"something.weight": torch.zeros(3)}, folder / "another.safetensors")
    upscalers, device = Upscalers((tmp_path,)), memory.choose("cpu")
    for name in ("harmful", "harmful too", "text", "empty", "cut", "another"):
        with pytest.raises(DamagedModel, match=f"“{name}”"):
            load(upscalers.find(name), device)
    with pytest.raises(DamagedModel, match="could run code"):
        load(upscalers.find("harmful too"), device)
    with pytest.raises(DamagedModel, match="TorchScript"):
        upscalers.find("script")
    assert not trace.exists()
    assert [upscaler.name for upscaler in upscalers.usable][:3] == ["None", "Lanczos", "Nearest"]


def test_the_starter_upscaler_beats_bicubic_by_three_decibels_on_pictures_it_never_saw() -> None:
    import random

    from tools.starter.pictures import draw
    from tools.starter.scoring import held_out_prompts
    from tools.starter.upscaling import LARGE, psnr, small

    assert STARTER.path and STARTER.path.stat().st_size < 1_000_000
    network = Networks(memory.choose("cpu")).get(STARTER)
    leads = []
    for prompt in held_out_prompts(10, "test of the upscaler"):
        wanted = draw(prompt.facts, random.Random(prompt.number), LARGE, LARGE)
        given = small(wanted)
        bicubic = given.resize(wanted.size, Image.Resampling.BICUBIC)
        leads.append(psnr(through(network, given, lambda: None, lambda _: None), wanted) - psnr(bicubic, wanted))
    assert np.mean(leads) > 3


# Requests


@pytest.mark.parametrize(
    ("how", "size", "target"),
    [
        ({}, (100, 50), (400, 200)),
        ({"scale": 1.5}, (101, 50), (152, 75)),
        ({"width": 300}, (100, 50), (300, 150)),
        ({"height": 300}, (100, 50), (600, 300)),
        ({"width": 300, "height": 300}, (100, 50), (300, 300)),
        ({"width": 300, "height": 300, "crop": False}, (100, 50), (300, 150)),
    ],
)
def test_sizes(how: dict[str, Any], size: tuple[int, int], target: tuple[int, int]) -> None:
    assert Upscale(**how).size(*size) == target


@pytest.mark.parametrize(
    ("how", "field", "words"),
    [
        ({"width": 100_000}, "upscale.width", "16,384"),
        ({"width": 16_000, "height": 16_000}, "upscale", "134 million"),
        ({"scale": 9}, "upscale.scale", "from 1 to 8"),
        ({"scale": float("nan")}, "upscale.scale", "from 1 to 8"),
        ({"second_visibility": 2}, "upscale.second_visibility", "from 0 to 1"),
    ],
)
def test_what_cannot_be_is_said_at_its_field(how: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        make_request(image={"picture": "0" * 64}, upscale=how)
    assert words in refused.value.fields[field]


def test_without_a_model_there_must_be_a_picture_to_make_larger() -> None:
    with pytest.raises(BadRequest, match="No model"):
        make_request(upscale={})
    assert not make_request(image={"picture": "0" * 64}, upscale={}).draws


def enlarge(engine: Engine, picture: Image.Image, how: dict[str, Any], **texts: str) -> tuple[Image.Image, Path]:
    taken = engine.inputs.take(png(picture, **texts))
    job = engine.submit(make_request(image={"picture": taken.id}, upscale=how))
    assert job.wait(120)
    ended = job.snapshot()
    assert ended.failed is None, ended.failed
    (made,) = ended.images
    assert made.path
    return Image.open(made.path), made.path


def test_a_picture_becomes_larger_and_keeps_what_is_known_of_it(engine: Engine) -> None:
    parent = "a red house\nSteps: 20, Sampler: Euler, Seed: 7, Size: 96x80"
    picture = drawing()
    made, path = enlarge(engine, picture, {"upscaler": "Starter 4x", "scale": 4}, parameters=parent)
    assert made.size == (384, 320) and path.parent.parent.name == "extras-images"
    text, request = read_metadata(path)
    assert text == parent
    assert request and request.upscale and request.upscale.upscaler == "Starter 4x"
    assert made.info["postprocessing"] == "Postprocess upscale by: 4, Postprocess upscaler: Starter 4x"
    back = np.asarray(made.convert("RGB").reduce(4), np.int16)
    assert np.abs(back - np.asarray(picture, np.int16)).mean() < 4, "it is the same picture"


def test_plain_upscalers_sizes_and_mixtures(engine: Engine) -> None:
    picture = drawing()
    nearest, _ = enlarge(engine, picture, {"upscaler": "Nearest", "scale": 2})
    assert np.array_equal(np.asarray(nearest.convert("RGB")), np.asarray(picture).repeat(2, axis=0).repeat(2, axis=1))
    lanczos, _ = enlarge(engine, picture, {"upscaler": "Lanczos", "scale": 2})
    mixed, _ = enlarge(engine, picture, {"upscaler": "Nearest", "scale": 2, "second": "Lanczos", "second_visibility": 0.5})
    middle = (np.asarray(nearest, np.int16) + np.asarray(lanczos, np.int16)) / 2
    assert np.abs(np.asarray(mixed, np.float32) - middle).max() <= 1
    square, _ = enlarge(engine, picture, {"upscaler": "Starter 4x", "width": 160, "height": 160})
    assert square.size == (160, 160)


def test_a_drawn_picture_can_be_made_larger_at_once(engine: Engine) -> None:
    from tests.conftest import starter_request

    job = engine.submit(starter_request(upscale={"upscaler": "Starter 4x", "scale": 2}))
    assert job.wait(120)
    (made,) = job.snapshot().images
    assert (made.width, made.height) == (256, 256)
    assert "Postprocess upscaler: Starter 4x" in made.infotext and "Size: 128x128" in made.infotext
    middle = Image.open(made.path or "").getpixel((128, 128))
    assert isinstance(middle, tuple) and middle[0] > middle[2] + 60, "the circle is red"


# Details drawn anew


def detail_request(strength: float, **values: Any) -> Any:
    from tests.conftest import starter_request

    how = {"upscaler": "Starter 4x", "scale": 3, "detail": {"denoising_strength": strength}}
    return starter_request("green hills by day with the sun on the left", steps=8, upscale=how, **values)


def pixels(engine: Engine, request: Any) -> np.ndarray:
    job = engine.submit(request)
    assert job.wait(170)
    ended = job.snapshot()
    assert ended.failed is None, ended.failed
    (made,) = ended.images
    assert made.path
    return np.asarray(Image.open(made.path).convert("RGB"), np.int16)


def test_details_are_drawn_anew_and_the_picture_stays_the_same(engine: Engine) -> None:
    plain = pixels(engine, detail_request(0.0))
    anew = pixels(engine, detail_request(0.4))
    assert plain.shape == anew.shape == (384, 384, 3)
    assert np.abs(plain - anew).mean() > 1, "something was drawn"
    coarse = [np.asarray(Image.fromarray(one.astype(np.uint8)).resize((16, 16), Image.Resampling.BOX), float).ravel() for one in (plain, anew)]
    assert np.corrcoef(coarse)[0, 1] > 0.95, "and it is the same picture"
    assert np.array_equal(anew, pixels(engine, detail_request(0.4))), "the same request, the same pixels"


def test_no_seams_between_tiles(engine: Engine) -> None:
    """Where one tile's own area ends, the picture changes from pixel to pixel no more than elsewhere."""
    anew = pixels(engine, detail_request(0.4)).astype(float)
    across, down = np.abs(np.diff(anew, axis=1)).mean(axis=(0, 2)), np.abs(np.diff(anew, axis=0)).mean(axis=(1, 2))
    for jumps, begins in ((across, tiling.starts(384, 128, 32, 8)), (down, tiling.starts(384, 128, 32, 8))):
        edges = [edge for begin in begins for edge in (begin - 1, begin + 127) if 0 <= edge < 383]
        assert np.mean([jumps[edge] for edge in edges]) < 2 * np.mean(jumps) + 0.5


def test_details_can_be_stopped_and_need_a_model(engine: Engine) -> None:
    job = engine.submit(detail_request(0.9))
    wait_until(lambda: job.ended or ((at := job.snapshot().progress) and at.stage == "upscale" and at.steps > 1))
    engine.cancel(job.id)
    assert job.wait(60) and job.state == "cancelled"
    with pytest.raises(BadRequest, match="Details are drawn by a model"):
        make_request(image={"picture": "0" * 64}, upscale={"detail": {}})
    with pytest.raises(BadRequest, match="Tiles go from 64 to 2048"):
        make_request(model="starter", upscale={"detail": {"tile": 5}})


def test_hires_fix_by_way_of_a_network(engine: Engine) -> None:
    from tests.conftest import starter_request

    job = engine.submit(starter_request(hires={"upscaler": "Starter 4x", "scale": 1.5, "denoising_strength": 0.3}))
    assert job.wait(120)
    (made,) = job.snapshot().images
    assert (made.width, made.height) == (192, 192)


def test_an_unknown_upscaler_and_a_result_too_large_are_refused_at_once(engine: Engine) -> None:
    taken = engine.inputs.take(png(drawing()))
    with pytest.raises(BadRequest, match=r"no upscaler named “Magic”\. Upscalers here: Lanczos, Nearest, Starter 4x"):
        engine.submit(make_request(image={"picture": taken.id}, upscale={"upscaler": "Magic"}))
    with pytest.raises(BadRequest, match="16,384 is the most"):
        engine.submit(make_request(image={"picture": engine.inputs.take(png(Image.new("RGB", (4000, 16)))).id}, upscale={"scale": 8}))


# A1111's routes


def test_extras_for_one_and_for_several(server: Server) -> None:
    data = base64.b64encode(png(drawing())).decode()
    status, answer = server.post("sdapi/v1/extra-single-image", {"image": data, "upscaler_1": "Starter 4x", "upscaling_resize": 3})
    assert status == 200, answer
    assert Image.open(io.BytesIO(base64.b64decode(answer["image"]))).size == (288, 240)
    status, answer = server.post("sdapi/v1/extra-single-image", {"image": data, "upscaling_resize": 3})
    assert Image.open(io.BytesIO(base64.b64decode(answer["image"]))).size == (96, 80), "with no upscaler it stays as it is"
    sized = {"resize_mode": 1, "upscaling_resize_w": 200, "upscaling_resize_h": 100, "upscaler_1": "Lanczos"}
    files = [{"data": data, "name": "a.png"}, {"data": f"data:image/png;base64,{data}", "name": "b.png"}]
    status, answer = server.post("sdapi/v1/extra-batch-images", {**sized, "imageList": files})
    assert [Image.open(io.BytesIO(base64.b64decode(one))).size for one in answer["images"]] == [(200, 100)] * 2
    names = [upscaler["name"] for upscaler in server.get("sdapi/v1/upscalers")]
    assert names[:3] == ["None", "Lanczos", "Nearest"] and "Starter 4x" in names


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"image": "rubbish!"}, "not base64"),
        ({"image": ""}, "empty"),
        ({"upscaler_1": "Magic"}, "no upscaler named"),
        ({"upscaler_1": "Lanczos", "upscaling_resize": 100}, "from 1 to 8"),
        ({"upscaler_1": "Lanczos", "resize_mode": 1, "upscaling_resize_w": 100_000}, "16,384"),
        ({"gfpgan_visibility": 1}, "no GFPGAN here"),
        ({"resize_mode": 7}, "resize_mode is 7"),
    ],
)
def test_extras_say_what_is_wrong(server: Server, body: dict[str, Any], words: str) -> None:
    data = base64.b64encode(png(drawing())).decode()
    status, answer = server.post("sdapi/v1/extra-single-image", {"image": data, **body})
    assert status == 422 and words in answer["detail"]


def test_one_bad_picture_of_several_is_named(server: Server) -> None:
    files = [{"data": base64.b64encode(png(drawing())).decode(), "name": "good.png"}, {"data": "AAAA", "name": "bad.png"}]
    status, answer = server.post("sdapi/v1/extra-batch-images", {"imageList": files, "upscaler_1": "Lanczos"})
    assert status == 422 and "bad.png" in answer["detail"]
