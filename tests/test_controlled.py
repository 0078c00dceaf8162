"""Control networks act within any pipeline as they do within diffusers' own for them, and each within its range."""

# diffusers annotates its arguments more narrowly than it takes them.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel
from PIL import Image
from torch import Tensor

from backend.control_models import ControlModel
from backend.controlling import Control
from backend.inference import memory, picture_prompts
from backend.inference.controlled import Unit, controlled
from backend.inference.picture_prompts import PicturePrompts, attended
from tests import tiny, tiny_controls

STEPS, GUIDANCE = 4, 5.0
CALL: dict[str, Any] = {
    "num_inference_steps": STEPS, "guidance_scale": GUIDANCE, "width": 64, "height": 64, "output_type": "latent", "prompt": "a red house",
}  # fmt: skip
PIPES = {"sd1": diffusers.StableDiffusionPipeline, "sdxl": diffusers.StableDiffusionXLPipeline}
WITH_CONTROLNET = {"sd1": diffusers.StableDiffusionControlNetPipeline, "sdxl": diffusers.StableDiffusionXLControlNetPipeline}
WITH_ADAPTER = {"sd1": diffusers.StableDiffusionAdapterPipeline, "sdxl": diffusers.StableDiffusionXLAdapterPipeline}


@pytest.fixture(scope="module", params=PIPES)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = getattr(tiny, request.param)(tmp_path_factory.mktemp("base") / request.param)
    pipe = PIPES[request.param].from_pretrained(folder)
    if request.param == "sd1":  # attention at the first level, as the large ones have it: adapters count on that
        blocks = {"down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"), "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D")}
        pipe.unet = tiny._unet(768, **blocks).eval()
    pipe.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    pipe.kind = request.param
    return pipe


def latents() -> Tensor:
    return torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(3))


def a_map(seed: int = 1) -> Tensor:
    return torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(seed)).round()


def unit(network: Any, kind: Any = "controlnet", seed: int = 1, group: str = "", **values: Any) -> Unit:
    return Unit(Control(**values), kind, network, a_map(seed), group)


@torch.inference_mode()
def drawn(base: Any, units: list[Unit], guidance: float = GUIDANCE) -> Tensor:
    with controlled(base.unet, units, guided=guidance > 1, calls=STEPS):
        return base(latents=latents(), **{**CALL, "guidance_scale": guidance}).images


def parts(base: Any) -> dict[str, Any]:
    return {**base.components, **({"requires_safety_checker": False} if base.kind == "sd1" else {"add_watermarker": False})}


@torch.inference_mode()
def natively(base: Any, network: Any, **values: Any) -> Tensor:
    pipe = WITH_CONTROLNET[base.kind](**parts(base), controlnet=network)
    pipe.set_progress_bar_config(disable=True)
    return pipe(latents=latents(), **CALL, **values).images


def test_one_controlnet_is_diffusers_own_to_the_bit(base: Any) -> None:
    net = tiny_controls.controlnet(base.unet)
    native = natively(base, net, image=a_map(), controlnet_conditioning_scale=0.8, control_guidance_start=0.2, control_guidance_end=0.9)
    ours = drawn(base, [unit(net, weight=0.8, start=0.2, end=0.9)])
    assert torch.equal(ours, native)
    assert (ours - drawn(base, [])).abs().mean() > 0.01


def test_several_are_diffusers_multi_class_to_the_bit(base: Any) -> None:
    nets = [tiny_controls.controlnet(base.unet, seed) for seed in (1, 2)]
    native = natively(base, MultiControlNetModel(nets), image=[a_map(1), a_map(2)], controlnet_conditioning_scale=[1.0, 0.5])
    ours = drawn(base, [unit(nets[0], seed=1), unit(nets[1], seed=2, weight=0.5)])
    assert torch.equal(ours, native)
    alone = drawn(base, [unit(nets[0], seed=1)])
    assert not torch.equal(ours, alone)


def test_a_union_is_told_what_it_is_shown() -> None:
    unet = tiny._unet(
        2048, attention_head_dim=(2, 4), use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2), projection_class_embeddings_input_dim=6 * 8 + 1280,
    )  # fmt: skip
    net = tiny_controls.union(unet)
    said = {}
    for group in ("Canny", "Depth"):
        speaking = unit(net, "controlnet-union", group=group)
        with torch.inference_mode(), controlled(unet, [speaking], guided=False, calls=1):
            added = {"text_embeds": torch.ones(1, 1280), "time_ids": torch.ones(1, 6)}
            said[group] = unet(latents(), 500, torch.ones(1, 77, 2048), added_cond_kwargs=added).sample
    assert (said["Canny"] - said["Depth"]).abs().max() > 1e-5


def test_the_union_is_diffusers_own_to_the_bit(base: Any) -> None:
    if base.kind != "sdxl":
        return
    net = tiny_controls.union(base.unet)
    pipe = diffusers.StableDiffusionXLControlNetUnionPipeline(**parts(base), controlnet=net)
    pipe.set_progress_bar_config(disable=True)
    with torch.inference_mode():
        native = pipe(latents=latents(), **CALL, control_image=[a_map()], control_mode=[3], controlnet_conditioning_scale=[0.7]).images
    assert torch.equal(drawn(base, [unit(net, "controlnet-union", group="Canny", weight=0.7)]), native)


def test_an_adapter_is_diffusers_own_to_the_bit(base: Any) -> None:
    net = tiny_controls.adapter(base.unet)
    code = WITH_ADAPTER[base.kind]
    pipe = code(**{name: part for name, part in parts(base).items() if name in inspect.signature(code.__init__).parameters}, adapter=net)
    pipe.set_progress_bar_config(disable=True)
    with torch.inference_mode():
        native = pipe(latents=latents(), **CALL, image=a_map(), adapter_conditioning_scale=0.7).images
    ours = drawn(base, [unit(net, "t2i-adapter", weight=0.7)])
    assert torch.equal(ours, native)
    assert not torch.equal(ours, drawn(base, []))


def test_kinds_can_be_mixed(base: Any) -> None:
    net, other = tiny_controls.controlnet(base.unet), tiny_controls.adapter(base.unet)
    both = drawn(base, [unit(net), unit(other, "t2i-adapter", seed=2)])
    assert not torch.equal(both, drawn(base, [unit(net)]))
    assert not torch.equal(both, drawn(base, [unit(other, "t2i-adapter", seed=2)]))


def test_weight_nought_is_no_control_and_more_weight_more_control(base: Any) -> None:
    net, free = tiny_controls.controlnet(base.unet), drawn(base, [])
    assert torch.equal(drawn(base, [unit(net, weight=0)]), free)
    distances = [float((drawn(base, [unit(net, weight=weight)]) - free).abs().mean()) for weight in (0.2, 0.6, 1.2)]
    assert distances == sorted(distances) and distances[0] > 0


def test_the_range_of_steps_acts(base: Any) -> None:
    net, free = tiny_controls.controlnet(base.unet), drawn(base, [])
    early, late, whole = (drawn(base, [unit(net, start=start, end=end)]) for start, end in ((0, 0.5), (0.5, 1), (0, 1)))
    for one, other in ((early, late), (early, whole), (late, whole), (early, free), (late, free)):
        assert not torch.equal(one, other)
    assert torch.equal(drawn(base, [unit(net, start=0.4, end=0.45)]), free)  # no whole step lies within


def test_modes_differ_and_the_controls_own_leaves_the_half_without_prompt_alone(base: Any) -> None:
    net = tiny_controls.controlnet(base.unet)
    modes = {mode: drawn(base, [unit(net, mode=mode)]) for mode in ("Balanced", "My prompt is more important", "ControlNet is more important")}
    balanced, prompt, control = modes.values()
    assert not torch.equal(balanced, prompt) and not torch.equal(prompt, control)
    # Without guidance there is no such half, and nothing to lead away from.
    unguided = [drawn(base, [unit(net, mode=mode)], guidance=1.0) for mode in list(modes)[1:]]
    assert torch.equal(*unguided)


def test_after_the_block_the_unet_is_as_before(base: Any) -> None:
    net, before = tiny_controls.controlnet(base.unet), drawn(base, [])
    with pytest.raises(RuntimeError, match="stop"), controlled(base.unet, [unit(net)], guided=True, calls=STEPS):
        raise RuntimeError("stop")
    assert "forward" not in base.unet.__dict__
    assert torch.equal(drawn(base, []), before)


# Pictures as prompts


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> PicturePrompts:
    folder = tmp_path_factory.mktemp("models")
    tiny_controls.image_encoder(folder / "clip_vision" / "tiny")
    return PicturePrompts(memory.choose("cpu"), (folder,))


def picture(colour: str) -> Image.Image:
    return Image.new("RGB", (40, 30), colour)


def shown(base: Any, prompts: PicturePrompts, folder: Path, *colours: str, **values: Any) -> Tensor:
    file = folder / "ip.safetensors"
    if not file.exists():
        tiny_controls.write(tiny_controls.ip_adapter(base.unet, 32), file)
    told = prompts.unit(Control(**values), ControlModel("ip", file, "ip-adapter"), [(colour, picture(colour)) for colour in colours])
    with torch.inference_mode(), attended(base.unet, [told], guided=True, calls=STEPS):
        return base(latents=latents(), **CALL).images


def test_a_picture_as_prompt_is_diffusers_own_to_the_bit(base: Any, prompts: PicturePrompts, tmp_path: Path) -> None:
    ours = shown(base, prompts, tmp_path, "red", weight=0.8)
    encoder = prompts.folders[0] / "clip_vision" / "tiny"
    told = prompts.unit(Control(), ControlModel("ip", tmp_path / "ip.safetensors", "ip-adapter"), [("red", picture("red"))])
    assert encoder.is_dir()
    state = told.weights
    before = dict(base.unet.attn_processors)
    split = {part: {k.removeprefix(part + "."): v for k, v in state.items() if k.startswith(part)} for part in ("image_proj", "ip_adapter")}
    base.load_ip_adapter(split, subfolder="", weight_name="", image_encoder_folder=None)
    base.set_ip_adapter_scale(0.8)
    with torch.inference_mode():
        native = base(latents=latents(), **CALL, ip_adapter_image_embeds=[torch.cat([told.without, told.embeddings])]).images
    base.unload_ip_adapter()
    base.unet.set_attn_processor(before)
    assert torch.equal(ours, native)


def test_pictures_act_by_weight_range_and_number_and_then_no_more(base: Any, prompts: PicturePrompts, tmp_path: Path) -> None:
    free = drawn(base, [])
    red, blue = shown(base, prompts, tmp_path, "red"), shown(base, prompts, tmp_path, "blue")
    assert not torch.equal(red, blue) and not torch.equal(red, free)
    assert torch.equal(shown(base, prompts, tmp_path, "red", weight=0), free)
    assert not torch.equal(shown(base, prompts, tmp_path, "red", "blue"), red)
    assert not torch.equal(shown(base, prompts, tmp_path, "red", end=0.5), red)
    assert torch.equal(drawn(base, []), free)


def test_a_picture_that_was_seen_long_ago_is_seen_again(base: Any, prompts: PicturePrompts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_prompts, "REMEMBERED", 2)
    prompts.drop()
    red = shown(base, prompts, tmp_path, "red")
    shown(base, prompts, tmp_path, "blue")
    assert not torch.equal(shown(base, prompts, tmp_path, "red", "green"), red)
    assert torch.equal(shown(base, prompts, tmp_path, "red"), red)


def test_pictures_and_maps_together(base: Any, prompts: PicturePrompts, tmp_path: Path) -> None:
    net = tiny_controls.controlnet(base.unet)
    file = tiny_controls.write(tiny_controls.ip_adapter(base.unet, 32), tmp_path / "ip.safetensors")
    told = prompts.unit(Control(), ControlModel("ip", file, "ip-adapter"), [("red", picture("red"))])
    with (
        torch.inference_mode(),
        attended(base.unet, [told], guided=True, calls=STEPS),
        controlled(base.unet, [unit(net)], guided=True, calls=STEPS),
    ):
        both = base(latents=latents(), **CALL).images
    assert not torch.equal(both, drawn(base, [unit(net)]))
    assert torch.equal(drawn(base, []), drawn(base, []))
    assert "forward" not in base.unet.__dict__
