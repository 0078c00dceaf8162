"""Control models are known by their headers: what they are, for which models, and what is wrong with them."""

from __future__ import annotations

import json
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from backend.control_models import ControlModels, check_fit, inspect
from backend.errors import DamagedModel, UnknownModel
from backend.families import family
from backend.headers import Damage, tensor_sizes
from backend.types import make_request

LDM_SD1 = {"zero_convs.0.0.weight": (320, 320, 1, 1), "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 768)}
HEADERS: dict[str, tuple[dict[str, tuple[int, ...]], str, tuple[str, ...]]] = {
    "control_v11p_sd15_canny": ({"input_hint_block.0.weight": (16, 3, 3, 3), **LDM_SD1}, "controlnet", ("sd1",)),
    "prefixed": (
        {"control_model.input_hint_block.0.weight": (16, 3, 3, 3), **{f"control_model.{name}": shape for name, shape in LDM_SD1.items()}},
        "controlnet", ("sd1",),
    ),
    "controlnet-sd21": (
        {"input_hint_block.0.weight": (16, 3, 3, 3), "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight": (320, 1024)}, "controlnet", ("sd2",),
    ),
    "diffusers_sdxl": (
        {"controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3), "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (640, 2048)},
        "controlnet", ("sdxl",),
    ),
    "union": (
        {"task_embedding": (6, 320), "controlnet_cond_embedding.conv_in.weight": (16, 3, 3, 3),
         "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight": (640, 2048)}, "controlnet-union", ("sdxl",),
    ),
    "t2iadapter_color_sd14": ({"body.0.block1.weight": (320, 320, 3, 3), "conv_in.weight": (320, 192, 3, 3)}, "t2i-adapter", ("sd1", "sd2")),
    "t2i-canny-xl": (
        {"adapter.body.0.resnets.0.block1.weight": (320, 320, 3, 3), "adapter.conv_in.weight": (320, 768, 3, 3)}, "t2i-adapter", ("sdxl",),
    ),
    "ip-adapter_sd15": ({"image_proj.norm.weight": (768,), "ip_adapter.1.to_k_ip.weight": (320, 768)}, "ip-adapter", ("sd1",)),
    "ip-adapter-plus_sdxl": ({"image_proj.norm_out.weight": (2048,), "ip_adapter.1.to_k_ip.weight": (640, 2048)}, "ip-adapter", ("sdxl",)),
}  # fmt: skip

REFUSED: dict[str, tuple[dict[str, tuple[int, ...]], str]] = {
    "control-lora": ({"lora_controlnet": (1,), "input_hint_block.0.weight": (16, 3, 3, 3)}, "Control-LoRA"),
    "faceid": ({"ip_adapter.1.to_k_ip.weight": (320, 768), "ip_adapter.0.to_q_lora.down.weight": (128, 320)}, "FaceID"),
    "diffusion_pytorch_model": ({"controlnet_blocks.0.weight": (3072, 3072), "input_hint_block.conv_in.weight": (16, 3, 3, 3)}, "its config.json"),
    "flux-ip-of-another-kind": (
        {"image_proj.proj.0.weight": (2304, 1152), "ip_adapter.0.to_k_ip.weight": (3072, 4096), "ip_adapter.0.to_k_ip.bias": (3072,)},
        "XLabs",
    ),
    "sd35-ip-of-another-kind": (
        {"image_proj.latents": (1, 64, 1280), "ip_adapter.0.to_k_ip.weight": (2432, 2432), "ip_adapter.0.norm_ip.linear.weight": (4864, 1280)},
        "InstantX",
    ),
    "some-lora": ({"lora_unet_down_blocks_0.lora_down.weight": (8, 320)}, "no ControlNet"),
    "unknown-width": ({"input_hint_block.0.weight": (16, 3, 3, 3)}, "not known here"),
}


def headed(file: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    """A safetensors file of the right length with nothing in it: a hole on the disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 2 * torch.Size(shape).numel()
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        stream.truncate(8 + len(text) + end)
    return file


@pytest.mark.parametrize("name", HEADERS)
def test_known_by_their_headers(name: str, tmp_path: Path) -> None:
    shapes, kind, families = HEADERS[name]
    found = inspect(headed(tmp_path / f"{name}.safetensors", shapes))
    assert (found.name, found.kind, found.families, found.problem) == (name, kind, families, "")


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_says_why(name: str, tmp_path: Path) -> None:
    shapes, words = REFUSED[name]
    assert words in inspect(headed(tmp_path / f"{name}.safetensors", shapes)).problem


def test_torch_files_are_read_without_being_run(tmp_path: Path) -> None:
    file = tmp_path / "control.pth"
    torch.save({"state_dict": {name: torch.zeros(shape) for name, shape in LDM_SD1.items()}}, file)
    assert tensor_sizes(file) == {name: torch.Size(shape).numel() for name, shape in LDM_SD1.items()}
    nested = {"image_proj": {"norm.weight": torch.zeros(768)}, "ip_adapter": {"1.to_k_ip.weight": torch.zeros(320, 768)}}
    torch.save(nested, tmp_path / "ip-adapter_sd15.bin")
    assert inspect(tmp_path / "ip-adapter_sd15.bin").kind == "ip-adapter"
    assert inspect(tmp_path / "ip-adapter_sd15.bin").families == ("sd1",)


class Trap:
    """Unpickling one writes a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (eval, (f"open({str(self.file)!r}, 'w').close()",))


def test_rubbish_is_listed_with_its_reason_and_nothing_in_it_runs(tmp_path: Path) -> None:
    place, sprung = tmp_path / "ControlNet", tmp_path / "sprung"
    place.mkdir()
    (place / "empty.safetensors").touch()
    (place / "text.safetensors").write_text("not a model at all")
    (place / "text.pth").write_text("not a model at all")
    (place / "trap.pth").write_bytes(pickle.dumps(Trap(sprung)))
    torch.save({"weight": torch.zeros(3), "trap": Trap(sprung)}, place / "zipped trap.pth")
    whole = headed(place / "whole.safetensors", HEADERS["control_v11p_sd15_canny"][0])
    cut = headed(place / "cut short.safetensors", HEADERS["control_v11p_sd15_canny"][0])
    with cut.open("r+b") as stream:
        stream.truncate(cut.stat().st_size - 1)
    (place / "annotators").mkdir()
    headed(place / "annotators" / "ControlNetHED.safetensors", {"norm": (3,)})
    models = ControlModels((tmp_path,))
    assert {model.name for model in models.all} == {"empty", "text", "text (2)", "trap", "zipped trap", "whole", "cut short"}
    assert [model.path for model in models.usable] == [whole]
    assert not sprung.exists()
    with pytest.raises(DamagedModel, match="Copy it again"):
        models.find("cut short")
    with pytest.raises(UnknownModel, match="whole"):
        models.find("nothing of that name")
    assert models.find("whole [12345678]").path == whole
    with pytest.raises(Damage):
        tensor_sizes(place / "trap.pth")


def test_folders_of_diffusers_and_what_changes_on_the_disk(tmp_path: Path) -> None:
    place = tmp_path / "controlnet" / "control-canny"
    place.mkdir(parents=True)
    (place / "config.json").write_text(json.dumps({"_class_name": "ControlNetModel", "cross_attention_dim": 768}))
    models = ControlModels((tmp_path,))
    assert "weights are missing" in models.all[0].problem
    headed(place / "diffusion_pytorch_model.safetensors", {"weight": (3,)})
    (place / "config.json").write_text(json.dumps({"_class_name": "ControlNetModel", "cross_attention_dim": 2048}))
    models.refresh()
    assert [(model.name, model.families, model.problem) for model in models.all] == [("control-canny", ("sdxl",), "")]
    again = models.all[0]
    models.refresh()
    assert models.all[0] == again


SD3: dict[str, object] = {"_class_name": "SD3ControlNetModel", "attention_head_dim": 64}
FLUX: dict[str, object] = {"_class_name": "FluxControlNetModel"}
FOLDERS: dict[str, tuple[dict[str, object], str, tuple[str, ...]]] = {
    "sd3": ({**SD3, "num_attention_heads": 24, "qk_norm": None}, "controlnet", ("sd3-medium",)),
    "sd35-medium": ({**SD3, "num_attention_heads": 24, "qk_norm": "rms_norm"}, "controlnet", ("sd3.5-medium",)),
    "sd35-large": ({**SD3, "num_attention_heads": 38, "joint_attention_dim": None}, "controlnet", ("sd3.5-large",)),
    "flux": ({**FLUX, "num_mode": None}, "controlnet", ("flux-dev", "flux-schnell")),
    "flux-union": ({**FLUX, "num_mode": 10}, "controlnet-union", ("flux-dev", "flux-schnell")),
    "qwen": ({"_class_name": "QwenImageControlNetModel"}, "controlnet", ("qwen-image",)),
    "z-image": ({"_class_name": "ZImageControlNetModel", "control_in_dim": 33}, "controlnet", ("z-image", "z-image-turbo")),
}


def in_folder(folder: Path, config: Mapping[str, object]) -> Path:
    headed(folder / "diffusion_pytorch_model.safetensors", {"weight": (3,)})
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize("name", FOLDERS)
def test_those_for_transformers_are_known_by_their_configs(name: str, tmp_path: Path) -> None:
    config, kind, families = FOLDERS[name]
    found = inspect(in_folder(tmp_path / name, config))
    assert (found.name, found.kind, found.families, found.problem) == (name, kind, families, "")


def test_those_for_transformers_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    assert "not known here" in inspect(in_folder(tmp_path / "a", {**SD3, "num_attention_heads": 2})).problem
    for extra in ({**SD3, "num_attention_heads": 24, "extra_conditioning_channels": 1}, {**FOLDERS["qwen"][0], "extra_condition_channels": 4}):
        assert "inpainting ControlNet" in inspect(in_folder(tmp_path / "b", extra)).problem


def test_what_a_transformer_cannot_be_asked_is_said(tmp_path: Path) -> None:
    in_folder(tmp_path / "ControlNet" / "canny", FLUX)
    in_folder(tmp_path / "ControlNet" / "qwen", FOLDERS["qwen"][0])
    models = ControlModels((tmp_path,))
    alone = {"model": "canny", "mode": "ControlNet is more important"}
    assert "always draws with the prompt" in wrong_with(models, "flux-dev", alone)["controls.0.mode"]
    assert wrong_with(models, "qwen-image", {**alone, "model": "qwen"}) == {}
    painting = {"model": "canny", "preprocessor": "inpaint_only"}
    assert "cannot be told what to paint" in wrong_with(models, "flux-dev", painting)["controls.0.preprocessor"]


def wrong_with(models: ControlModels, name: str, *controls: dict[str, Any], **values: Any) -> dict[str, str]:
    return check_fit(make_request(model="x", controls=controls, **values), family(name), models)


def test_units_that_do_not_fit_the_model_say_so(tmp_path: Path) -> None:
    headed(tmp_path / "ControlNet" / "canny.safetensors", HEADERS["control_v11p_sd15_canny"][0])
    headed(tmp_path / "ControlNet" / "ip.safetensors", HEADERS["ip-adapter_sd15"][0])
    models, two = ControlModels((tmp_path,)), ("0" * 64, "1" * 64)
    assert wrong_with(models, "sd1", {"model": "canny"}, {"model": "ip", "pictures": two}) == {}
    wrong = wrong_with(models, "sdxl", {"model": "canny"}, {}, {"model": "cannee"}, {"model": "ip"})
    assert "is a ControlNet for Stable Diffusion 1.x, and the model is Stable Diffusion XL" in wrong["controls.0.model"]
    assert "No control model is chosen" in wrong["controls.1.model"]
    assert "no control model named" in wrong["controls.2.model"]
    assert "is an IP-Adapter for" in wrong["controls.3.model"]
    assert "follows one picture" in wrong_with(models, "sd1", {"model": "canny", "pictures": two})["controls.0.pictures"]
    larger = {"upscaler": "Lanczos", "detail": {"control": "ip"}}
    assert "a ControlNet is needed" in wrong_with(models, "sd1", upscale=larger)["upscale.detail.control"]
