"""Faces: found with nothing downloaded, restored by real networks, and everything around them left as it is."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from safetensors.torch import save_file
from skimage import data
from spandrel import ImageModelDescriptor
from spandrel.architectures.Compact import Compact
from spandrel.architectures.GFPGAN import GFPGAN, GFPGANArch
from spandrel.architectures.RestoreFormer import RestoreFormer

from backend.api.extras import router
from backend.engine import Engine
from backend.enlarging import Upscale
from backend.errors import BadRequest, DamagedModel
from backend.images import read_metadata
from backend.inference import faces, restoring
from backend.inference.upscale import Network
from backend.library import Library
from backend.restorers import Restorer, Restorers
from backend.types import Result, make_request
from tests import onnx_files
from tests.conftest import Server, settings_in, starter_request
from tests.test_painting import png, run

FACE = (175, 69, 96)
"""Left, top and side of the astronaut's face, from the forehead to the chin."""


def astronaut() -> Image.Image:
    return Image.fromarray(data.astronaut())


def painter(file: Path, colour: tuple[float, float, float]) -> None:
    """A RestoreFormer, small and real, that turns every face into one colour: its weights are 0 but for the last bias, -1 to 1."""
    network = RestoreFormer(n_embed=4, embed_dim=32, ch=32, ch_mult=(1,) * 6, num_res_blocks=1, z_channels=32)
    weights = {name: torch.zeros_like(value).contiguous() for name, value in network.state_dict().items()}
    weights["decoder.conv_out.bias"] = torch.tensor(colour)
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file(weights, file)


def gfpgan(file: Path, colour: tuple[float, float, float]) -> None:
    """The same of GFPGAN, which spandrel knows at its full size only: in the file all weights share a single 0."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in GFPGAN().state_dict().items()}
    weights = {name: torch.zeros(1).expand(shape) for name, shape in shapes.items()}
    weights["stylegan_decoder.to_rgb1.bias"] = torch.tensor(colour).reshape(1, 3, 1, 1)
    file.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"params_ema": weights}, file)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    painter(folder / "facerestore_models" / "RestoreFormer.safetensors", (1.0, -1.0, -1.0))
    gfpgan(folder / "GFPGAN" / "GFPGANv1.4.pth", (-1.0, -1.0, 1.0))
    painter(folder / "ESRGAN" / "astray.safetensors", (0.0, 0.0, 0.0))
    save_file({name: value.contiguous() for name, value in Compact(num_feat=16, num_conv=2, upscale=2).state_dict().items()},
              folder / "GFPGAN" / "2x_astray.safetensors")  # fmt: skip
    for name in ("detection_Resnet50_Final.pth", "parsing_parsenet.pth", "codeformer.pth"):
        (folder / "GFPGAN" / name).write_bytes(b"of others")
    return folder


@pytest.fixture(scope="module")
def studio(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    settings = settings_in(tmp_path_factory.mktemp("studio"), models=(models,))
    running = Engine(settings, Library(settings.folders.models))
    running.start()
    yield running
    running.stop()


def better(engine: Engine, picture: Image.Image, **how: Any) -> tuple[np.ndarray, Result]:
    request = make_request(image={"picture": engine.inputs.take(png(picture)).id}, upscale={"upscaler": "None", "scale": 1, **how})
    result = run(engine, request)
    assert isinstance(result, Result), result
    assert result.images[0].path
    return np.asarray(Image.open(result.images[0].path).convert("RGB")).astype(int), result


# Finding


@pytest.mark.parametrize("side", [160, 512, 900])
def test_the_face_is_found_whatever_the_size_and_nothing_else_is_taken_for_one(side: int) -> None:
    (place,) = faces.find(astronaut().resize((side, side), Image.Resampling.LANCZOS), None)
    middle, scale = (FACE[0] + FACE[2] / 2, FACE[1] + 0.55 * FACE[2]), 512 / side
    x, y, _ = place @ np.array([256, 280, 1]) * scale
    assert np.hypot(x - middle[0], y - middle[1]) < 15
    assert 120 < 512 * faces.scale_of(place) * scale < 190


def test_a_face_away_from_the_middle_and_one_beside_it() -> None:
    two = Image.new("RGB", (900, 400), "grey")
    head = astronaut().crop((110, 0, 310, 230))
    two.paste(head, (40, 100))
    two.paste(head.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (640, 60))
    middles = sorted(float((place @ np.array([256, 256, 1]))[0]) for place in faces.find(two, None))
    assert len(middles) == 2 and abs(middles[0] - 153) < 20 and abs(middles[1] - 728) < 20


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_pictures_without_a_face(name: str) -> None:
    assert faces.find(Image.fromarray(getattr(data, name)()).convert("RGB"), None) == []


def test_tiny_pictures_have_no_faces() -> None:
    assert faces.find(Image.new("RGB", (9, 2000)), None) == [] == faces.find(Image.new("RGB", (20, 20)), None)


def test_landmarks_turn_a_face_upright() -> None:
    turn, shift = np.array([(0.0, -2.0), (2.0, 0.0)]), np.array([40.0, 7.0])  # a quarter turn, twice as large
    place = faces.upright(faces.LANDMARKS @ turn.T + shift)
    assert np.allclose(place, [(0, -2, 40), (2, 0, 7), (0, 0, 1)], atol=1e-6)
    assert faces.scale_of(place) == pytest.approx(2)


def test_yunet_is_used_where_it_lies_with_the_eyes_it_finds(tmp_path: Path) -> None:
    """A network of YuNet's inputs and outputs that tells of one face, always at the same place and lying on its side."""
    (tmp_path / "opencv").mkdir()
    file = onnx_files.yunet(tmp_path / "opencv" / "face_detection_yunet_2023mar.onnx", cell=(20, 30), size=96.0)
    (tmp_path / "opencv" / "face_detection_yunet_2023mar_int8.onnx").write_bytes(b"not this one")
    assert Restorers((tmp_path,)).detector == file
    (place,) = faces.find(Image.new("RGB", (1280, 640)), file)
    assert np.allclose(faces.LANDMARKS @ place[:2, :2].T + place[:2, 2], onnx_files.points((20, 30)) * 2, atol=8)
    (tmp_path / "bad.onnx").write_bytes(b"This is a text.")
    with pytest.raises(DamagedModel, match=r"face detector bad\.onnx cannot be used"):
        faces.find(Image.new("RGB", (64, 64)), tmp_path / "bad.onnx")


# Cutting out and blending back


@pytest.mark.parametrize(("scale", "angle"), [(0.3, 0.0), (0.8, 0.4), (2.5, -0.3)])
def test_a_face_that_is_not_changed_comes_back_to_where_it_was(scale: float, angle: float) -> None:
    side = round(800 * max(scale, 0.5))
    ys, xs = np.mgrid[0:side, 0:side]
    waves = 127 + 60 * np.stack([np.sin(xs / (9 * max(scale, 1)) + phase) * np.cos(ys / (11 * max(scale, 1))) for phase in range(3)], axis=-1)
    before = waves.astype(np.uint8)
    turn = scale * np.array([(np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))])
    place = np.eye(3)
    place[:2, :2], place[:2, 2] = turn, np.array([side / 2, side / 2]) - turn @ np.array([256, 256])
    after = before.copy()
    restoring.blend(after, place, restoring.cut(before, place), 1.0)
    error = np.abs(after.astype(int) - before)
    assert error.mean() < 1.5 and error.max() < 25


def test_a_face_at_the_edge_of_the_picture_is_blended_as_far_as_the_picture_goes() -> None:
    pixels = np.zeros((60, 60, 3), np.uint8)
    place = np.array([(0.2, 0.0, -50.0), (0.0, 0.2, -50.0), (0.0, 0.0, 1.0)])
    assert restoring.cut(pixels, place).shape == (512, 512, 3)
    restoring.blend(pixels, place, np.full((512, 512, 3), 200, np.uint8), 1.0)
    assert pixels[0, 0, 0] == 200 and pixels[58, 58, 0] == 0


# Whole requests


def test_the_face_changes_and_what_is_around_it_stays_to_the_bit(studio: Engine) -> None:
    before = data.astronaut().astype(int)
    after, result = better(studio, astronaut(), faces="RestoreFormer")
    (place,) = faces.find(astronaut(), None)
    low, high = (place @ np.array([edge, edge, 1]) for edge in (0, 512))
    outside = np.ones((512, 512), bool)
    outside[int(low[1]) : int(high[1]) + 2, int(low[0]) : int(high[0]) + 2] = False
    assert outside.mean() > 0.8 and (after[outside] == before[outside]).all()
    assert (after[125, 225] == (255, 0, 0)).all(), "the middle of the face is what the network painted"
    assert "faces" in result.seconds and result.notes == ()


def test_visibility_mixes_and_nothing_of_it_changes_nothing(studio: Engine) -> None:
    before = data.astronaut().astype(int)
    half, _ = better(studio, astronaut(), faces="RestoreFormer", faces_visibility=0.5)
    assert np.abs(half[125, 225] - (before[125, 225] + (255, 0, 0)) / 2).max() <= 1
    none, result = better(studio, astronaut(), faces="RestoreFormer", faces_visibility=0.0)
    assert (none == before).all() and "faces" not in result.seconds


def test_gfpgan_gets_and_gives_what_it_was_trained_on_and_its_file_says_so(studio: Engine) -> None:
    after, result = better(studio, astronaut().resize((256, 256)), faces="GFPGANv1.4", faces_visibility=0.75, upscaler="Lanczos", scale=2)
    assert after.shape == (512, 512, 3)
    assert after[125, 225, 2] > 180 and after[125, 225, 0] < 80
    assert result.images[0].path
    told = Image.open(result.images[0].path).info["postprocessing"]
    assert told == "Postprocess upscale by: 2, Postprocess upscaler: Lanczos, Face restoration: GFPGANv1.4, GFPGAN visibility: 0.75"
    kept = read_metadata(result.images[0].path)[1]
    assert kept and kept.upscale and kept.upscale.faces == "GFPGANv1.4"


def test_the_same_face_gives_the_same_pixels_and_its_values_are_minus_1_to_1() -> None:
    """GFPGAN draws new noise at every call unless it is told not to."""
    torch.manual_seed(0)
    network, seen = GFPGAN(narrow=0.0625, num_style_feat=16, num_mlp=1), list[torch.Tensor]()  # pyright: ignore[reportArgumentType]
    with torch.no_grad():
        for value in network.parameters():
            if value.shape == (1,):
                value += 0.3  # how much noise each layer takes in
    network.conv_body_first.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    small = ImageModelDescriptor(
        network, network.state_dict(), GFPGANArch(), "FaceSR", [], supports_half=False, supports_bfloat16=True, scale=1, input_channels=3,
        output_channels=3, call_fn=lambda model, image: model(image)[0],
    )  # fmt: skip
    loaded = Network(Restorer("GFPGAN"), small.eval())
    with torch.inference_mode():
        drawn = [small.model(torch.zeros(1, 3, 512, 512))[0] for _ in range(2)]
    assert not torch.equal(*drawn)
    seen.clear()
    face = np.zeros((512, 512, 3), np.uint8)
    face[:, 256:] = 255
    one, other = restoring.through(loaded, face), restoring.through(loaded, face)
    assert (one == other).all()
    assert (seen[0].min(), seen[0].max()) == (-1, 1)


def test_where_no_face_is_found_the_person_is_told_and_the_picture_stays(studio: Engine) -> None:
    cat = Image.fromarray(data.chelsea())
    after, result = better(studio, cat, faces="RestoreFormer")
    assert (after == np.asarray(cat)).all()
    assert result.notes == ("No face was found, so nothing was restored.",)


def test_faces_of_drawn_pictures_are_looked_for_too(studio: Engine) -> None:
    request = starter_request(steps=2, batch_count=2, upscale={"upscaler": "None", "scale": 1, "faces": "RestoreFormer"})
    result = run(studio, request)
    assert isinstance(result, Result)
    told = [note for note in result.notes if "face" in note]
    assert told == [f"No face was found in picture {number}, so nothing was restored." for number in (1, 2)]


def test_networks_for_faces_and_for_sizes_are_not_taken_for_one_another(studio: Engine, models: Path) -> None:
    library = Library((models,))
    assert [restorer.name for restorer in library.restorers.usable] == ["None", "2x_astray", "GFPGANv1.4", "RestoreFormer"]
    assert library.restorers.gfpgan and library.restorers.gfpgan.name == "GFPGANv1.4"
    assert "GFPGANv1.4" not in [upscaler.name for upscaler in library.upscalers.all]
    taken = studio.inputs.take(png(astronaut())).id

    def refused(**how: Any) -> str:
        ended = run(studio, make_request(image={"picture": taken}, upscale=how))
        assert not isinstance(ended, Result)
        return ended.sentence

    assert "restores faces, and makes nothing larger" in refused(upscaler="astray")
    assert "restores no faces: it makes pictures larger" in refused(upscaler="None", scale=1, faces="2x_astray")


@pytest.mark.parametrize(
    ("how", "field", "words"),
    [
        ({"faces": "Magic"}, "upscale.faces", "no face restorer named “Magic”. Face restorers here: 2x_astray, GFPGANv1.4, RestoreFormer"),
        ({"faces": "codeformer"}, "upscale.faces", "may not be used commercially"),
        ({"faces": "RestoreFormer", "faces_visibility": 1.5}, "upscale.faces_visibility", "from 0 to 1"),
    ],
)
def test_what_cannot_be_is_said_at_its_field(studio: Engine, how: dict[str, Any], field: str, words: str) -> None:
    with pytest.raises(BadRequest) as refused:
        studio.submit(make_request(image={"picture": studio.inputs.take(png(astronaut())).id}, upscale=how))
    assert words in refused.value.fields[field]


def test_upscale_says_what_it_does() -> None:
    assert not Upscale(upscaler="None", scale=1).enlarges and Upscale(upscaler="None", width=8).enlarges
    assert not Upscale().restores and not Upscale(faces="x", faces_visibility=0).restores and Upscale(faces="x").restores


# A1111's routes


def test_extras_restore_faces_by_gfpgan(studio: Engine, models: Path) -> None:
    app = FastAPI()
    app.include_router(router(studio, Library((models,))))
    client, body = TestClient(app), {"image": base64.b64encode(png(astronaut())).decode(), "gfpgan_visibility": 1.0}
    answer = client.post("/sdapi/v1/extra-single-image", json=body)
    assert answer.status_code == 200, answer.text
    after = Image.open(io.BytesIO(base64.b64decode(answer.json()["image"]))).convert("RGB")
    assert after.size == (512, 512) and after.getpixel((225, 125)) == (0, 0, 255)
    assert {"name": "GFPGANv1.4", "cmd_dir": str(models / "GFPGAN")} in client.get("/sdapi/v1/face-restorers").json()
    answer = client.post("/sdapi/v1/extra-single-image", json={**body, "codeformer_visibility": 0.5})
    assert answer.status_code == 422 and "commercially" in answer.json()["fields"]["codeformer_visibility"]


def test_extras_without_a_gfpgan_say_where_to_put_it(server: Server) -> None:
    body = {"image": base64.b64encode(png(astronaut())).decode(), "gfpgan_visibility": 1.0}
    status, answer = server.post("sdapi/v1/extra-single-image", body)
    assert status == 422 and "models/GFPGAN" in answer["fields"]["gfpgan_visibility"]
    assert server.get("sdapi/v1/face-restorers") == []
