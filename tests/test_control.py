"""Control units through the whole flow: read, loaded from any layout, acting in every kind of pass."""

# diffusers annotates its arguments more narrowly than it takes them.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from backend.control_models import ControlModel
from backend.errors import BadRequest, DamagedModel, UnknownModel
from backend.families import check, family
from backend.hashes import Hashes
from backend.inference import control_nets, memory
from backend.inference.cache import ModelCache
from backend.inference.generate import generate
from backend.inference.running import Run, Studio
from backend.inference.upscale import Networks
from backend.inputs import Inputs
from backend.library import Library
from backend.types import Request, Result, Work, make_request
from tests import tiny, tiny_controls
from tests.conftest import settings_in


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    tiny.sd1(folder / "sd1")
    tiny.sdxl(folder / "sdxl")
    for name in ("sd1", "sdxl"):
        unet = diffusers.UNet2DConditionModel.from_pretrained(folder / name, subfolder="unet")
        tiny_controls.controlnet(unet).save_pretrained(folder / "ControlNet" / f"{name}-canny")
        tiny_controls.controlnet(unet, seed=1).save_pretrained(folder / "ControlNet" / f"{name}-tile")
    unet = diffusers.UNet2DConditionModel.from_pretrained(folder / "sd1", subfolder="unet")
    state = tiny_controls.ip_adapter(unet, 32)
    tiny_controls.write(state, folder / "ControlNet" / "sd1-ip.safetensors")
    tiny_controls.image_encoder(folder / "clip_vision" / "tiny")
    return folder


@pytest.fixture
def studio(models: Path, tmp_path: Path) -> Studio:
    settings, device = settings_in(tmp_path, (models,)), memory.choose("cpu")
    library, inputs = Library(settings.folders.models), Inputs(tmp_path / "inputs")
    return Studio(settings, device, library, ModelCache(device), Networks(device), Hashes(tmp_path / "hashes.json"), inputs)


def drawing(size: tuple[int, int] = (64, 64), where: int = 16) -> bytes:
    """A black square on white."""
    picture = Image.new("RGB", size, "white")
    ImageDraw.Draw(picture).rectangle((where, where, where + 24, where + 24), fill="black")
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def asked(*controls: dict[str, Any], model: str = "sd1", **values: Any) -> Request:
    return make_request(
        **{
            "prompt": "a red house",
            "model": model,
            "width": 64,
            "height": 64,
            "steps": 4,
            "seed": 5,
            "sampler": "Euler",
            "controls": controls,
            **values,
        }
    )


def run(studio: Studio, request: Request) -> Result:
    return generate(Run(Work(job="1", request=request, save=False), lambda _: None, lambda: False), studio)


def drawn(studio: Studio, request: Request) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(run(studio, request).images[-1].data or b"")))


def canny(studio: Studio, model: str = "sd1-canny", **values: Any) -> dict[str, Any]:
    return {"pictures": [studio.inputs.take(drawing()).id], "preprocessor": "canny", "model": model, **values}


@pytest.mark.parametrize("model", ["sd1", "sdxl"])
def test_a_unit_acts_and_the_same_request_draws_the_same(studio: Studio, model: str) -> None:
    free, request = drawn(studio, asked(model=model)), asked(canny(studio, f"{model}-canny"), model=model)
    led = drawn(studio, request)
    assert (led != free).any()
    assert (drawn(studio, request) == led).all()
    assert (drawn(studio, asked(canny(studio, f"{model}-canny", weight=0), model=model)) == free).all()


def test_the_seconds_of_reading_are_told(studio: Studio) -> None:
    assert run(studio, asked(canny(studio))).seconds["control"] > 0


def test_units_act_in_batches_in_hires_fix_and_from_pictures(studio: Studio) -> None:
    picture = studio.inputs.take(drawing(where=30)).id
    whole = {"image": {"picture": picture, "denoising_strength": 0.8}}
    for more in ({"batch_size": 2}, {"hires": {"scale": 1.5, "denoising_strength": 0.5}}, whole):
        assert (drawn(studio, asked(canny(studio), **more)) != drawn(studio, asked(**more))).any()
    # A unit without a picture of its own follows the one that is drawn over.
    own = {"preprocessor": "canny", "model": "sd1-canny"}
    assert (drawn(studio, asked(own, **whole)) != drawn(studio, asked(canny(studio), **whole))).any()


def test_outside_the_mask_nothing_changes_under_a_unit(studio: Studio) -> None:
    picture = studio.inputs.take(drawing((96, 80)))
    painted = Image.new("L", (96, 80))
    ImageDraw.Draw(painted).rectangle((40, 20, 70, 50), fill=255)
    buffer = io.BytesIO()
    painted.save(buffer, "PNG")
    mask = studio.inputs.take_mask(buffer.getvalue()).id
    before = np.asarray(Image.open(io.BytesIO(drawing((96, 80)))))
    for area in ("Whole picture", "Only masked"):
        size = {"width": 96, "height": 80} if area == "Whole picture" else {}
        how = {"image": {"picture": picture.id, "denoising_strength": 0.9}, "mask": {"picture": mask, "blur": 0, "area": area, "padding": 8}, **size}
        for unit in ({"preprocessor": "canny"}, {"preprocessor": "inpaint_only"}):
            after = drawn(studio, asked({**unit, "model": "sd1-canny"}, **how))
            free = drawn(studio, asked(**how))
            inside = np.asarray(painted) > 0
            assert (after[~inside] == before[~inside]).all()
            assert (after[inside] != free[inside]).any()


def test_a_picture_as_prompt_and_a_map_in_one_request(studio: Studio) -> None:
    picture = {"pictures": [studio.inputs.take(drawing()).id], "model": "sd1-ip", "weight": 1.5}
    free = drawn(studio, asked())
    prompted, both = drawn(studio, asked(picture)), drawn(studio, asked(picture, canny(studio)))
    assert (prompted != free).any() and (both != prompted).any()
    assert (drawn(studio, asked()) == free).all(), "nothing of it is left in the model"


def test_without_its_image_encoder_an_adapter_says_what_to_get(studio: Studio, models: Path) -> None:
    encoder = models / "clip_vision"
    hidden = encoder.rename(models / "elsewhere")
    try:
        with pytest.raises(UnknownModel, match=r"a CLIP image encoder of width 32, which is not here. Put it into models/clip_vision"):
            drawn(studio, asked({"pictures": [studio.inputs.take(drawing()).id], "model": "sd1-ip"}))
    finally:
        hidden.rename(encoder)


def test_details_are_held_by_a_tile_controlnet(studio: Studio) -> None:
    larger = {"upscale": {"upscaler": "Lanczos", "scale": 2, "detail": {"denoising_strength": 0.8, "tile": 64}}}
    held = {"upscale": {**larger["upscale"], "detail": {"denoising_strength": 0.8, "tile": 64, "control": "sd1-tile"}}}
    free, led = drawn(studio, asked(**larger)), drawn(studio, asked(**held))
    assert led.shape == free.shape == (128, 128, 3)
    assert (led != free).any()


def test_families_that_cannot_be_controlled_say_so() -> None:
    request = make_request(prompt="", model="x", controls=[{"model": "y"}], width=64, height=64, sampler="DDIM")
    with pytest.raises(BadRequest) as refused:
        check(request, family("hunyuan-dit"))
    assert "cannot be controlled" in refused.value.fields["controls"]


# Layouts


RESNET = {"norm1": "in_layers.0", "conv1": "in_layers.2", "time_emb_proj": "emb_layers.1", "norm2": "out_layers.0", "conv2": "out_layers.3"}


def as_ldm(name: str, blocks_of_level: int) -> str:
    """A ControlNet's tensor under its original name."""
    plain = {
        "conv_in.": "input_blocks.0.0.", "time_embedding.linear_1.": "time_embed.0.", "time_embedding.linear_2.": "time_embed.2.",
        "controlnet_mid_block.": "middle_block_out.0.", "controlnet_cond_embedding.conv_in.": "input_hint_block.0.",
        "controlnet_cond_embedding.conv_out.": "input_hint_block.14.",
    }  # fmt: skip
    for ours, theirs in plain.items():
        if name.startswith(ours):
            return name.replace(ours, theirs)
    if found := re.match(r"controlnet_down_blocks\.(\d+)\.(.*)", name):
        return f"zero_convs.{found[1]}.0.{found[2]}"
    if found := re.match(r"controlnet_cond_embedding\.blocks\.(\d+)\.(.*)", name):
        return f"input_hint_block.{2 * int(found[1]) + 2}.{found[2]}"
    if found := re.match(r"down_blocks\.(\d+)\.(resnets|attentions|downsamplers)\.(\d+)\.(.*)", name):
        level, kind, number, rest = int(found[1]), found[2], int(found[3]), found[4]
        place = 1 + level * (blocks_of_level + 1) + (blocks_of_level if kind == "downsamplers" else number)
        if kind == "downsamplers":
            return f"input_blocks.{place}.0.op.{rest.removeprefix('conv.')}"
        return f"input_blocks.{place}.{1 if kind == 'attentions' else 0}.{_inside(rest)}"
    if found := re.match(r"mid_block\.(resnets|attentions)\.(\d+)\.(.*)", name):
        return f"middle_block.{1 if found[1] == 'attentions' else 2 * int(found[2])}.{_inside(found[3])}"
    raise AssertionError(name)


def _inside(name: str) -> str:
    part, _, rest = name.partition(".")
    return f"{RESNET.get(part, 'skip_connection' if part == 'conv_shortcut' else part)}.{rest}"


def test_single_files_in_the_original_layout_are_the_same_network(models: Path) -> None:
    net = diffusers.ControlNetModel.from_pretrained(models / "ControlNet" / "sd1-canny")
    config = {name: value for name, value in net.config.items() if not name.startswith("_")}
    state = {as_ldm(name, 1): value for name, value in net.state_dict().items()}
    for prefix in ("", "control_model."):
        made = control_nets._controlnet(diffusers.ControlNetModel, {prefix + name: value for name, value in state.items()}, config)
        told = (torch.ones(1, 4, 8, 8), 10, torch.ones(1, 77, 768), torch.ones(1, 3, 64, 64))
        for ours, theirs in zip(made(*told, return_dict=False)[0], net(*told, return_dict=False)[0], strict=True):
            assert torch.equal(ours, theirs)


def test_adapters_in_the_original_layout_are_the_same_network() -> None:
    torch.manual_seed(0)
    net = diffusers.T2IAdapter(in_channels=3, channels=[32, 64, 128, 128], num_res_blocks=2, downscale_factor=8).eval()
    original = {}
    for name, value in net.state_dict().items():
        parts = name.split(".")[1:]
        if parts[0] == "body":
            at = 2 * int(parts[1]) + (int(parts[3]) if parts[2] == "resnets" else 0)
            parts = ["body", str(at), *(parts[4:] if parts[2] == "resnets" else parts[2:])]
        original[".".join(parts)] = value
    shown = torch.rand(1, 3, 64, 64)
    for state in (original, net.state_dict()):
        for ours, theirs in zip(control_nets._adapter(state)(shown), net(shown), strict=True):
            assert torch.equal(ours, theirs)


def test_files_with_other_weights_than_they_should_have_are_refused(tmp_path: Path) -> None:
    file = tiny_controls.write({"input_hint_block.0.weight": torch.zeros(16, 3, 3, 3)}, tmp_path / "bad.safetensors")
    with pytest.raises(DamagedModel, match="could not be loaded"):
        control_nets.loaded(ControlModel("bad", file, "controlnet", ("sd1",)))
