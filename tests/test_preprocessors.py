"""Preprocessors: the table, what each reads from a picture, weights that are absent or dangerous, and reading through the queue."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFilter

from backend import preprocessors
from backend.controlling import Control
from backend.errors import BadPicture, BadRequest, DamagedModel
from backend.inference import memory
from backend.inference.cache import named
from backend.inference.preprocess import Maps, Reader
from backend.inference.reading.fitting import at_resolution, brought, perfect_resolution, rgb
from backend.inference.reading.library import detector
from backend.inputs import Inputs
from backend.preprocessors import FOLDERS, ROWS, TYPES, find, why_not
from backend.types import Request, make_request

SIZE = (192, 128)
WEIGHT_FREE = [row.name for row in ROWS if not row.weights and not row.packages]


def png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def drawn() -> Image.Image:
    """A red disc and a black frame on white."""
    picture = Image.new("RGB", SIZE, "white")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((60, 30, 130, 100), fill="red")
    pen.rectangle((10, 10, 180, 118), outline="black", width=2)
    return picture


def disc() -> Image.Image:
    mask = Image.new("L", SIZE)
    ImageDraw.Draw(mask).ellipse((60, 30, 130, 100), fill=255)
    return mask


class Desk:
    """A reader over folders of its own."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self.inputs = Inputs(folder / "inputs")
        self.reader = Reader(memory.choose("cpu"), self.inputs, (self.models,))
        self.picture = self.inputs.take(png(drawn())).id
        self.mask = self.inputs.take_mask(png(disc())).id

    def map(self, preprocessor: str, size: tuple[int, int] = SIZE, **values: Any) -> np.ndarray:
        control = Control(**{"pictures": (self.picture,), "mask": self.mask, "preprocessor": preprocessor, **values})
        made = self.reader.map(control, reading(Control(preprocessor=preprocessor)), *size)
        assert (made.mode, made.size) == ("RGB", size)
        return np.asarray(made)

    def put(self, name: str, weights: object) -> Path:
        path = self.models / FOLDERS[0] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.save(weights, path)
        return path


def reading(*controls: Control, **values: Any) -> Request:
    return make_request(controls=controls, **values)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


# The table


def test_each_row_has_a_name_of_its_own_a_group_and_code_that_is_there() -> None:
    names = [name.lower() for row in ROWS for name in {row.name, *row.aliases}]
    assert len(names) == len(set(names))
    known = {kind.name for kind in TYPES}
    for row in ROWS:
        assert {row.group, *row.also_in} <= known, row.name
        assert callable(named(row.code))
        assert bool(row.load) == bool(row.weights) and (not row.load or callable(named(row.load)))
        assert all(slider.low <= slider.value <= slider.high for slider in row.sliders) and len(row.sliders) <= 2
    assert all(kind.default == find(kind.default).name for kind in TYPES)
    assert not {name for row in ROWS for name in (row.name, *row.aliases)} & preprocessors.NOT_HERE.keys()


@pytest.mark.parametrize(
    ("name", "row"),
    [("depth", "depth_midas"), ("HED", "softedge_hed"), ("invert (from white bg & black line)", "invert"), ("color", "t2ia_color_grid"),
     ("inpaint", "inpaint_global_harmonious"), ("dwpose", "dw_openpose_full"), ("", "none"), ("None", "none")],
)  # fmt: skip
def test_rows_are_found_by_the_names_of_a1111_and_of_controlnet_aux(name: str, row: str) -> None:
    assert find(name).name == row


@pytest.mark.parametrize(("name", "words"), [("nonsense", "no preprocessor named"), ("seg_ofade20k", "OneFormer) is not available in this version")])
def test_unknown_names_are_refused(name: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words.replace(")", r"\)")):
        find(name)


# What needs no weights


@pytest.mark.parametrize("name", WEIGHT_FREE)
def test_what_needs_no_weights_works_at_once_and_the_same_each_time(desk: Desk, name: str) -> None:
    made = desk.map(name, resolution=128, pixel_perfect=False)
    desk.reader.drop()
    assert np.array_equal(made, desk.map(name, resolution=128, pixel_perfect=False))


def test_canny_is_opencvs_at_that_setting(desk: Desk) -> None:
    assert np.array_equal(desk.map("canny")[:, :, 0], cv2.Canny(np.asarray(drawn()), 100, 200))
    soft = drawn().filter(ImageFilter.GaussianBlur(3))
    picture = desk.inputs.take(png(soft)).id
    low = desk.map("canny", pictures=(picture,), threshold_a=10, threshold_b=20)
    assert np.array_equal(low[:, :, 0], cv2.Canny(np.asarray(soft), 10, 20))
    assert low.mean() > desk.map("canny", pictures=(picture,)).mean()


def test_lines_stay_thin_when_a_map_is_made_larger(desk: Desk) -> None:
    small = desk.map("canny", resolution=128, pixel_perfect=False)
    large = desk.map("canny", (384, 256), resolution=128, pixel_perfect=False)
    assert set(np.unique(large)) == {0, 255}
    assert large.mean() < 0.75 * small.mean(), "twice the size: twice the pixels of line on four times the pixels"


def at(made: np.ndarray, x: int, y: int) -> tuple[int, ...]:
    return tuple(int(value) for value in made[y, x])


def test_invert_and_threshold(desk: Desk) -> None:
    assert at(desk.map("invert"), 95, 65) == (0, 255, 255)
    assert at(desk.map("threshold"), 95, 65) == (0, 0, 0)
    assert at(desk.map("threshold", threshold_a=60), 95, 65) == (255, 255, 255), "red is as light as 76"


def test_dark_lines_become_light_ones(desk: Desk) -> None:
    for name in ("lineart_standard", "scribble_xdog"):
        made = desk.map(name)
        assert made[60, 9:13].max() > 100, name
        assert made[60, 30:50].max() < 30, name


def test_blur_and_tile_take_detail_away_and_keep_the_colours(desk: Desk) -> None:
    sharp = desk.map("none").astype(float)
    for name, setting in (("blur_gaussian", 5), ("tile_resample", 4)):
        made = desk.map(name, threshold_a=setting).astype(float)
        assert np.abs(np.diff(made, axis=1)).max() < 0.75 * np.abs(np.diff(sharp, axis=1)).max(), name
        assert np.abs(made.mean((0, 1)) - sharp.mean((0, 1))).max() < 3, name
    assert np.array_equal(desk.map("tile_resample"), sharp), "at the rate 1 it is the picture"


def test_the_colour_grid_has_one_colour_for_64_pixels(desk: Desk) -> None:
    made = desk.map("t2ia_color_grid")
    assert (made[:64, :64] == made[0, 0]).all() and (made[64:, 64:128] == made[64, 64]).all()
    assert at(made, 95, 60)[0] > at(made, 95, 60)[1] + 80, "the middle is red"


def test_shuffle_moves_what_is_there(desk: Desk) -> None:
    made, before = desk.map("shuffle"), desk.map("none")
    assert (made != before).mean() > 0.1
    assert ((made[:, :, 0] > 200) & (made[:, :, 1] < 60)).any(), "there is still red in it"


def test_recolour_takes_the_colours_away(desk: Desk) -> None:
    for name, red in (("recolor_luminance", 136), ("recolor_intensity", 255)):
        made = desk.map(name)
        assert (made == made[:, :, :1]).all()
        assert abs(at(made, 95, 65)[0] - red) <= 1
    assert at(desk.map("recolor_luminance", threshold_a=2.0), 95, 65)[0] < 80


def test_inpaint_shows_the_mask_in_black_and_gives_it_alone(desk: Desk) -> None:
    made = desk.map("inpaint_only")
    assert at(made, 95, 65) == (0, 0, 0) and at(made, 30, 65) == (255, 255, 255)
    control = Control(pictures=(desk.picture,), mask=desk.mask, preprocessor="inpaint_only")
    mask = desk.reader.mask(control, reading(control), *SIZE)
    assert mask and np.array_equal(np.asarray(mask), np.asarray(disc()))
    with pytest.raises(BadRequest, match="reads a mask"):
        desk.map("inpaint_only", mask=None)


# Sizes


def test_resize_modes() -> None:
    halves = Image.new("RGB", (200, 100), "blue")
    halves.paste("red", (0, 0, 50, 100))
    stretched, cut, filled = (np.asarray(brought(halves, (100, 100), mode)) for mode in ("Just Resize", "Crop and Resize", "Resize and Fill"))
    assert at(stretched, 10, 50) == (255, 0, 0) and at(stretched, 60, 50) == (0, 0, 255)
    assert (cut[:, 2:] == (0, 0, 255)).all(), "the quarter on the left is cut off"
    assert at(filled, 50, 5) == (0, 0, 255) and at(filled, 50, 50) == (0, 0, 255) and at(filled, 5, 50) == (255, 0, 0)


@pytest.mark.parametrize(
    ("mode", "pixels"), [("Crop and Resize", 512), ("Just Resize", 512), ("Resize and Fill", 256)],
)  # fmt: skip
def test_pixel_perfect_needs_no_more_resizing(mode: Any, pixels: int) -> None:
    assert perfect_resolution((800, 400), (512, 512), mode) == pixels
    looked = at_resolution(Image.new("RGB", (800, 400)), pixels)
    assert 512 in looked.size


def test_a_picture_one_pixel_high_is_a_map_but_is_not_read(desk: Desk) -> None:
    line = Image.new("RGB", (4000, 1), "red")
    assert at(np.asarray(brought(line, (64, 64), "Crop and Resize")), 32, 32) == (255, 0, 0)
    assert brought(line, (64, 64), "Resize and Fill").size == (64, 64)
    with pytest.raises(BadPicture, match="4000 x 1 pixels, which is too long and narrow"):
        at_resolution(line, 512)
    thin = desk.inputs.take(png(Image.new("RGB", (4000, 8), "red"))).id
    assert at(desk.map("none", pictures=(thin,)), 5, 5) == (255, 0, 0)
    with pytest.raises(BadPicture, match="crop it"):
        desk.map("canny", pictures=(thin,))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "L", "1"])
def test_any_picture_becomes_rgb_on_white(mode: str) -> None:
    picture = Image.new(mode, (8, 8), 0 if mode in ("RGBA", "LA", "P") else "white")
    if mode == "P":
        picture.info["transparency"] = 0
    assert rgb(picture).getpixel((4, 4)) == (255, 255, 255)


# The request's own picture


def test_a_unit_without_a_picture_takes_the_requests_as_the_model_sees_it(desk: Desk) -> None:
    control = Control(preprocessor="none")
    own = {"picture": desk.picture, "resize_mode": "Crop and resize"}
    whole = desk.reader.map(control, reading(control, image=own), 128, 128)
    assert at(np.asarray(whole), 63, 65) == (255, 0, 0)
    mask = {"picture": desk.mask, "area": "Only masked", "padding": 0, "blur": 0}
    part = np.asarray(desk.reader.map(control, reading(control, image=own, mask=mask), 128, 128))
    assert at(part, 64, 64) == (255, 0, 0) and at(part, 64, 4) == (255, 0, 0), "what is masked fills the map"
    with pytest.raises(BadRequest, match="no picture"):
        desk.reader.map(control, reading(Control(pictures=(desk.picture,))), 128, 128)


# Kept maps


def test_the_same_map_is_read_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    plain = Reader._read
    monkeypatch.setattr(Reader, "_read", lambda self, row, *rest: (read.append(row.name), plain(self, row, *rest))[1])
    first = desk.map("canny")
    assert np.array_equal(desk.map("canny", weight=0.5, start=0.1, end=0.9, model="any", mode="Balanced"), first)
    assert len(read) == 1
    for number, change in enumerate(({"threshold_a": 99}, {"resize_mode": "Just Resize"}, {"pixel_perfect": False}, {"size": (64, 64)}), 2):
        desk.map("canny", **change)  # type: ignore[arg-type]
        assert len(read) == number, change


def test_kept_maps_have_a_limit_and_cannot_be_changed() -> None:
    maps = Maps(3 * 100 * 100 * 2)
    for key in "abc":
        maps.put(key, Image.new("RGB", (100, 100), "red"))
    assert maps.get("a") is None and len(maps) == 2
    held = maps.get("b")
    assert held
    held.paste("blue", (0, 0, 100, 100))
    again = maps.get("b")
    assert again and again.getpixel((0, 0)) == (255, 0, 0)
    maps.put("d", Image.new("RGB", (1000, 1000)))
    assert len(maps) == 0, "larger than all room there is"


# Weights


def test_absent_weights_are_said_with_size_source_and_place() -> None:
    assert why_not(find("depth_midas"), ()) == (
        "Depth (MiDaS) needs 470 MB of weights (dpt_hybrid-midas-501f0c75.pt, from lllyasviel/Annotators), which are not installed. "
        "Put the file into models/ControlNet/annotators."
    )
    assert "488 MB of weights (body_pose_model.pth, hand_pose_model.pth and facenet.pth, from" in why_not(find("openpose_full"), ())


@pytest.mark.parametrize("place", ["ControlNet/annotators", "annotators", "controlnet_annotators", "ControlNet/annotators/lllyasviel/Annotators"])
def test_weights_are_found_where_users_keep_them(tmp_path: Path, place: str) -> None:
    row = find("canny")
    assert why_not(row, (tmp_path,)) == ""
    path = tmp_path / "second" / place / "table5_pidinet.pth"
    path.parent.mkdir(parents=True)
    path.touch()
    assert preprocessors.installed(find("softedge_pidinet"), (tmp_path / "first", tmp_path / "second")) == {"table5_pidinet.pth": path}


def test_absent_packages_are_named() -> None:
    row = replace(find("mediapipe_face"), packages=("no_such_package",))
    assert why_not(row, ()).startswith("Face mesh (MediaPipe) needs the package no_such_package, which Atelier does not bring along.")


def pidinet(seed: int) -> dict[str, Any]:
    torch.manual_seed(seed)
    return {"state_dict": {f"module.{name}": value for name, value in detector("pidi", "pidinet")().state_dict().items()}}


def test_a_network_is_loaded_once_and_again_when_its_file_changes(desk: Desk) -> None:
    path = desk.put("table5_pidinet.pth", pidinet(0))
    one = desk.map("softedge_pidinet", pixel_perfect=False, resolution=100)
    held = desk.reader._network
    safe = desk.map("softedge_pidisafe", pixel_perfect=False, resolution=100)
    assert desk.reader._network is held and len(np.unique(safe)) <= 4, "another preprocessor of the same network"
    desk.put("table5_pidinet.pth", pidinet(1))
    later = path.stat().st_mtime + 10
    os.utime(path, (later, later))
    assert not np.array_equal(desk.map("softedge_pidinet", pixel_perfect=False, resolution=100), one)
    desk.reader.drop()
    assert desk.reader._network is None


SMALL: dict[str, tuple[str, Callable[[], Any]]] = {
    "mlsd": ("mlsd_large_512_fp32.pth", lambda: detector("mlsd", "MobileV2_MLSD_Large")().state_dict()),
    "softedge_teed": ("5_model.pth", lambda: detector("teed", "TED")().state_dict()),
    "softedge_anyline": ("MTEED.pth", lambda: detector("teed", "TED")().state_dict()),
    "lineart_coarse": ("sk_model2.pth", lambda: detector("lineart", "Generator")(3, 1, 3).state_dict()),
    "t2ia_sketch_pidi": ("table5_pidinet.pth", lambda: pidinet(0)),
}


@pytest.mark.parametrize("name", SMALL)
def test_small_networks_read_maps_of_any_size(desk: Desk, name: str) -> None:
    file, build = SMALL[name]
    torch.manual_seed(0)
    desk.put(file, build())
    assert desk.map(name, (136, 72), pixel_perfect=True).shape == (72, 136, 3)


class Attack:
    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self._mark,)


@pytest.mark.filterwarnings("ignore:Environment variable TORCH_FORCE")
@pytest.mark.parametrize("wrapped", [True, False], ids=["torch", "plain pickle"])
def test_a_file_with_code_in_it_is_refused_and_nothing_runs(desk: Desk, tmp_path: Path, wrapped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")  # what controlnet-aux's own calls would follow
    mark = tmp_path / "it ran"
    path = desk.put("table5_pidinet.pth", {"state_dict": Attack(mark)})
    if not wrapped:
        path.write_bytes(pickle.dumps(Attack(mark)))
    with pytest.raises(DamagedModel, match="PiDiNet"):
        desk.map("softedge_pidinet")
    assert not mark.exists()
    with contextlib.suppress(RuntimeError):
        torch.load(path)
    assert mark.exists(), "it would have"


def test_programs_and_rubbish_are_refused(desk: Desk) -> None:
    path = desk.put("table5_pidinet.pth", {})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("net/constants.pkl", b"")
        archive.writestr("net/code/__torch__.py", b"")
    with pytest.raises(DamagedModel, match="TorchScript"):
        desk.map("softedge_pidinet")
    path.write_bytes(b"rubbish" * 100)
    with pytest.raises(DamagedModel):
        desk.map("softedge_pidinet")
    desk.put("table5_pidinet.pth", {"state_dict": {"other": torch.zeros(1)}})
    with pytest.raises(DamagedModel, match="of another kind"):
        desk.map("softedge_pidinet")
