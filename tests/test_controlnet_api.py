"""The API of A1111's ControlNet extension and the page's own routes for control units, against a real server."""

from __future__ import annotations

import base64
import io
import json
import urllib.request
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image, ImageDraw

from backend import preprocessors
from backend.api.bodies import Img2Img, Txt2Img
from backend.api.reading import models_of
from backend.control_models import ControlKind, ControlModel
from backend.controlling import Control
from backend.errors import BadRequest
from backend.inputs import Inputs
from backend.library import Library
from tests.conftest import Server


def drawn(size: tuple[int, int] = (192, 128)) -> Image.Image:
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).ellipse((60, 30, 130, 100), fill="red")
    return picture


def coded(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def decoded(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))


def handed_in(server: Server, picture: Image.Image) -> str:
    """The id under which the server keeps it."""
    with urllib.request.urlopen(f"{server.url}/internal/inputs", base64.b64decode(coded(picture)), timeout=30) as answer:
        return json.loads(answer.read())["id"]


PICTURE = coded(drawn())


# A1111's extension


def test_what_there_is(server: Server) -> None:
    assert server.get("controlnet/version") == {"version": 3}
    assert server.get("controlnet/settings") == {"control_net_unit_count": 10}
    assert isinstance(server.get("controlnet/model_list?update=true")["model_list"], list)
    plain, aliases = server.get("controlnet/module_list"), server.get("controlnet/module_list?alias_names=true")
    assert {"canny", "depth", "hed"} <= set(plain["module_list"])
    assert {"canny", "depth_midas", "softedge_hed"} <= set(aliases["module_list"])
    assert aliases["module_detail"]["canny"]["sliders"] == [
        {"name": "Resolution", "value": 512, "min": 64, "max": 2048},
        {"name": "Low Threshold", "value": 100, "min": 1, "max": 255, "step": 1},
        {"name": "High Threshold", "value": 200, "min": 1, "max": 255, "step": 1},
    ]
    assert aliases["module_detail"]["tile_resample"]["sliders"][0] is None
    types = server.get("controlnet/control_types")["control_types"]
    assert {"All", "Canny", "Depth", "OpenPose", "Tile", "IP-Adapter"} <= set(types)
    assert types["Canny"]["default_option"] == "canny" and "depth_midas" not in types["Canny"]["module_list"]
    assert set(types["All"]["module_list"]) == set(aliases["module_list"])


def test_detect_reads_maps_of_all_pictures(server: Server) -> None:
    body = {
        "controlnet_module": "canny", "controlnet_input_images": [PICTURE, f"data:image/png;base64,{PICTURE}"], "controlnet_processor_res": 128,
        "controlnet_threshold_a": 64, "controlnet_threshold_b": 64, "low_vram": False, "controlnet_masks": [],
    }  # fmt: skip
    status, answer = server.post("controlnet/detect", body)
    assert (status, answer["info"], len(answer["images"])) == (200, "Success", 2)
    for image in answer["images"]:
        assert np.array_equal(decoded(image)[:, :, 0], cv2.Canny(np.asarray(drawn()), 64, 64))


def test_detect_makes_a_map_in_the_pictures_ratio_at_the_resolution(server: Server) -> None:
    old_key = {"controlnet_module": "invert", "controlnet_images": [PICTURE], "controlnet_processor_res": 512}
    assert decoded(server.post("controlnet/detect", old_key)[1]["images"][0]).shape == (128, 192, 3), "it has no resolution"
    blurred = {"controlnet_module": "blur_gaussian", "controlnet_input_images": [PICTURE], "controlnet_processor_res": -1}
    assert decoded(server.post("controlnet/detect", blurred)[1]["images"][0]).shape == (512, 768, 3)


def test_detect_reads_masks(server: Server) -> None:
    mask = Image.new("L", (192, 128))
    mask.paste(255, (0, 0, 96, 128))
    body = {"controlnet_module": "inpaint", "controlnet_input_images": [PICTURE], "controlnet_masks": [coded(mask)]}
    made = decoded(server.post("controlnet/detect", body)[1]["images"][0])
    assert (made[:, :96] == 0).all() and (made[:, 100:] > 0).any()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"controlnet_module": "nonsense"}, "no preprocessor named"),
        ({"controlnet_module": "depth"}, "470 MB of weights"),
        ({"controlnet_input_images": []}, "no picture"),
        ({"controlnet_input_images": ["no picture!"]}, "not base64"),
        ({"controlnet_input_images": ["http://127.0.0.1/x.png"]}, "not fetched"),
        ({"controlnet_input_images": [coded(Image.new("RGB", (4000, 8)))]}, "from 64 to 2048"),
        ({"controlnet_module": "inpaint"}, "reads a mask"),
    ],
)
def test_detect_says_what_is_wrong(server: Server, change: dict[str, Any], words: str) -> None:
    status, answer = server.post("controlnet/detect", {"controlnet_module": "canny", "controlnet_input_images": [PICTURE], **change})
    assert status == 422
    assert words in answer["detail"]


# Units in the bodies that ask for pictures

WEBUIAPI = {
    "image": PICTURE, "mask": None, "module": "canny", "model": "control_v11p_sd15_canny [d14c016b]", "weight": 1.0,
    "resize_mode": "Resize and Fill", "low_vram": False, "processor_res": 512, "threshold_a": 64, "threshold_b": 64, "guidance_start": 0.0,
    "guidance_end": 1.0, "control_mode": "Balanced", "pixel_perfect": False, "hr_option": "Both", "enabled": True,
}  # fmt: skip


def controls(folder: Path, *units: object, name: str = "ControlNet", **body: Any) -> tuple[Control, ...]:
    asked = Txt2Img.model_validate({"alwayson_scripts": {name: {"args": list(units)}}, **body})
    return asked.to_request("starter", Inputs(folder)).controls


def test_a_unit_as_webuiapi_sends_it(tmp_path: Path) -> None:
    (control,) = controls(tmp_path, WEBUIAPI)
    assert Inputs(tmp_path).open(control.pictures[0]).size == (192, 128)
    assert control == Control(
        pictures=control.pictures, preprocessor="canny", model="control_v11p_sd15_canny", resize_mode="Resize and Fill", pixel_perfect=False,
        threshold_a=64, threshold_b=64,
    )  # fmt: skip


def test_the_defaults_are_the_extensions(tmp_path: Path) -> None:
    (control,) = controls(tmp_path, {"image": PICTURE, "model": "any"}, name="controlnet")
    assert control == Control(pictures=control.pictures, model="any", pixel_perfect=False)
    assert (control.resize_mode, control.mode, control.resolution, control.weight) == ("Crop and Resize", "Balanced", 512, 1.0)


@pytest.mark.parametrize(
    ("values", "field", "wanted"),
    [
        ({"resize_mode": 0}, "resize_mode", "Just Resize"),
        ({"resize_mode": "2"}, "resize_mode", "Resize and Fill"),
        ({"resize_mode": "Scale to Fit (Inner Fit)"}, "resize_mode", "Crop and Resize"),
        ({"resize_mode": "just resize"}, "resize_mode", "Just Resize"),
        ({"control_mode": 2}, "mode", "ControlNet is more important"),
        ({"control_mode": "My prompt is more important"}, "mode", "My prompt is more important"),
        ({"processor_res": -1}, "resolution", 512),
        ({"processor_res": 768}, "resolution", 768),
        ({"threshold_a": -0.5}, "threshold_a", None),
        ({"module": "mlsd"}, "threshold_a", None),  # 64 lies outside of its slider
        ({"module": "depth"}, "preprocessor", "depth_midas"),
        ({"guidance_start": 0.2, "guidance_end": 0.8}, "start", 0.2),
        ({"pixel_perfect": True}, "pixel_perfect", True),
        ({"model": "t2i [v2]"}, "model", "t2i [v2]"),
    ],
)
def test_values_by_name_or_number(tmp_path: Path, values: dict[str, Any], field: str, wanted: object) -> None:
    (control,) = controls(tmp_path, {**WEBUIAPI, **values})
    assert getattr(control, field) == wanted


def test_a_picture_with_its_mask_and_older_names(tmp_path: Path) -> None:
    mask = coded(Image.new("L", (192, 128), 255))
    unit = {"input_image": {"image": PICTURE, "mask": mask}, "model": "any", "module": "inpaint", "guidance": 0.7, "lowvram": True}
    (control,) = controls(tmp_path, unit)
    assert control.pictures and control.mask and control.mask != control.pictures[0]
    assert control.end == 0.7


def test_empty_units_are_left_out(tmp_path: Path) -> None:
    off = {**WEBUIAPI, "enabled": False, "module": "nonsense"}
    assert controls(tmp_path, {}, None, off, {"module": "none", "model": "None", "image": None}) == ()
    assert controls(tmp_path, False, name="ADetailer") == ()
    assert Txt2Img.model_validate({"alwayson_scripts": None}).to_request("starter", Inputs(tmp_path)).controls == ()


def test_img2img_has_units_too_and_gives_them_its_picture(tmp_path: Path) -> None:
    unit = {**WEBUIAPI, "image": None}
    body = Img2Img.model_validate({"init_images": [PICTURE], "alwayson_scripts": {"ControlNet": {"args": [unit]}}})
    request = body.to_request("starter", Inputs(tmp_path))
    assert request.controls[0].pictures == () and request.image
    assert "alwayson_scripts" not in body.echo(), "pictures are not sent back"


@pytest.mark.parametrize(
    ("unit", "field", "words"),
    [
        ({**WEBUIAPI, "module": "nonsense"}, "args.0.module", "no preprocessor named"),
        ({**WEBUIAPI, "model": "None"}, "args.0.model", "names no model"),
        ({**WEBUIAPI, "image": "no picture!"}, "args.0.image", "not base64"),
        ({**WEBUIAPI, "resize_mode": 7}, "args.0.resize_mode", "It can be: 0 (Just Resize)"),
        ({**WEBUIAPI, "control_mode": "strict"}, "args.0.control_mode", "It can be: 0 (Balanced)"),
        ({**WEBUIAPI, "weight": "heavy"}, "args.0.weight", "must be a number"),
        ([True, "canny"], "args.0", "by the names of its fields"),
    ],
)
def test_a_unit_that_cannot_be_used(tmp_path: Path, unit: object, field: str, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        controls(tmp_path, unit)
    assert words in caught.value.fields[f"alwayson_scripts.ControlNet.{field}"]


@pytest.mark.parametrize(
    ("scripts", "words"),
    [
        ({"ADetailer": {"args": [True, {"ad_model": "face"}]}}, "ADetailer” is not here"),
        ({"ControlNet": {"args": [{**WEBUIAPI, "weight": 3}]}}, "from 0 to 2"),
        ({"ControlNet": {"args": [{**WEBUIAPI, "module": "hed"}]}}, "29 MB of weights"),
        ({"ControlNet": {"args": [{**WEBUIAPI, "image": None}]}}, "has no picture"),
    ],
)
def test_a_body_with_such_scripts_gets_a_422(server: Server, scripts: dict[str, Any], words: str) -> None:
    status, answer = server.post("sdapi/v1/txt2img", {"prompt": "a house", "width": 64, "height": 64, "steps": 1, "alwayson_scripts": scripts})
    assert status == 422
    assert words in answer["detail"]


# The page's own routes


def test_the_page_is_told_what_there_is_and_what_is_missing(server: Server) -> None:
    told = server.get("internal/controls")
    rows = {row["name"]: row for row in told["preprocessors"]}
    assert rows["canny"]["ready"] and rows["canny"]["why_not"] == ""
    assert rows["canny"]["sliders"][0] == {"label": "Low Threshold", "min": 1, "max": 255, "step": 1, "value": 100}
    assert not rows["depth_midas"]["ready"] and "470 MB" in rows["depth_midas"]["why_not"]
    assert told["types"]["Canny"]["default_preprocessor"] == "canny"
    assert told["types"]["Scribble"]["default_preprocessor"] in ("invert", "scribble_xdog"), "one that can be used at once"
    assert told["types"]["Depth"]["default_preprocessor"] == "none"
    assert set(told["types"]) == {kind.name for kind in preprocessors.TYPES}


def test_a_look_at_a_map(server: Server) -> None:
    picture = handed_in(server, drawn())
    question = {"control": {"pictures": [picture], "preprocessor": "canny", "model": "any"}, "width": 192, "height": 128}
    status, answer = server.post("internal/control-map", question)
    assert (status, answer["width"], answer["height"]) == (200, 192, 128)
    status, again = server.post("internal/control-map", {**question, "control": {"preprocessor": "canny"}, "image": picture})
    assert (status, again["id"]) == (200, answer["id"]), "the request's own picture gives the same map"
    status, bigger = server.post("internal/control-map", {**question, "width": 256, "height": 256})
    assert (bigger["width"], bigger["height"]) == (256, 256)
    assert not list((server.outputs / "inputs").glob(f"{answer['id']}*")), "it is not kept for good"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"control": {"preprocessor": "nonsense"}}, "no preprocessor named"),
        ({"control": {"preprocessor": "depth_zoe"}}, "of weights"),
        ({"control": {"preprocessor": "canny"}}, "no picture"),
        ({"control": {"weight": "heavy"}}, "must be a number"),
        ({"control": {"what": 1}}, "not something a request can hold"),
        ({"width": 100_000}, "from 64 to 2048"),
        ({"width": "wide"}, "whole number"),
        ({"image": "nowhere"}, "cannot be used"),
    ],
)
def test_a_map_that_cannot_be_read_is_a_sentence(server: Server, change: dict[str, Any], words: str) -> None:
    status, answer = server.post("internal/control-map", {"control": {}, "width": 64, "height": 64, **change})
    assert status == 422
    assert words in answer["detail"]


# Which models go with which type


@pytest.mark.parametrize(
    ("name", "kind", "types"),
    [
        ("control_v11p_sd15_canny", "controlnet", {"All", "Canny"}),
        ("control_v11f1e_sd15_tile", "controlnet", {"All", "Tile", "Blur"}),
        ("t2iadapter_color_sd14v1", "t2i-adapter", {"All", "T2I-Adapter"}),
        ("ip-adapter-plus_sd15", "ip-adapter", {"All", "IP-Adapter"}),
        ("union-promax", "controlnet-union", {kind.name for kind in preprocessors.TYPES} - {"T2I-Adapter", "IP-Adapter"}),
    ],
)
def test_models_are_told_by_kind_and_name(name: str, kind: ControlKind, types: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(())
    monkeypatch.setattr(type(library.controls), "all", (ControlModel(name, Path(), kind), ControlModel("canny", Path(), problem="It is damaged.")))
    assert {one.name for one in preprocessors.TYPES if models_of(one, library)} == types
