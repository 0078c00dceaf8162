"""Pictures as prompts act on Flux.1 and Stable Diffusion 3 as within diffusers' own pipelines, each within its range, and leave no trace."""

# diffusers annotates its arguments more narrowly than it takes them.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from backend import picture_adapters
from backend.control_models import ControlModel, check_fit, inspect
from backend.controlling import Control
from backend.errors import BadRequest, DamagedModel, UnknownModel
from backend.families import family
from backend.hashes import Hashes
from backend.inference import memory
from backend.inference.cache import ModelCache, named
from backend.inference.control import Controls
from backend.inference.controlled import Unit
from backend.inference.generate import generate
from backend.inference.image_encoders import Look, find_encoder, load_encoder
from backend.inference.picture_prompts import PicturePrompts, PictureUnit
from backend.inference.running import Run, Studio
from backend.inference.upscale import Networks
from backend.inputs import Inputs
from backend.library import Library
from backend.types import Work, make_request
from tests import tiny_controls, tiny_transformers
from tests.conftest import settings_in
from tests.test_control_models import headed

STEPS = 3
CALL: dict[str, Any] = {"num_inference_steps": STEPS, "width": 64, "height": 64, "output_type": "latent", "prompt": "a red house"}
BUILDS = {
    "flux-dev": tiny_transformers.flux_dev, "flux-schnell": tiny_transformers.flux_schnell, "sd3-medium": tiny_transformers.sd3,
    "sd3.5-medium": tiny_transformers.sd35_medium, "sd3.5-large": tiny_transformers.sd35_large,
}  # fmt: skip
COLOURS = {"red": "#d01010", "blue": "#1020c0", "white": "#ffffff"}


@dataclass(frozen=True)
class Base:
    """One family's tiny model with an adapter's file."""

    family: str
    pipe: Any
    prompts: PicturePrompts
    file: Path

    @property
    def flux(self) -> bool:
        return self.family.startswith("flux")

    def unit(self, *colours: str, **values: Any) -> PictureUnit:
        pictures = [(colour, Image.new("RGB", (40, 30), COLOURS[colour])) for colour in colours]
        return self.prompts.unit(Control(**values), ControlModel("ip", self.file, "ip-adapter"), pictures)

    def network(self) -> Any:
        build = tiny_controls.flux_controlnet if self.flux else tiny_controls.sd3_controlnet
        return build(self.pipe.transformer, layers=1)

    @torch.inference_mode()
    def drawn(self, *pictures: PictureUnit, units: tuple[Unit, ...] = (), **values: Any) -> Tensor:
        taken = 0

        def after(_pipe: Any, _step: int, _timestep: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            nonlocal taken
            taken += 1
            return tensors

        on, controls = named(family(self.family).control), Controls(units=units, pictures=pictures, vae=self.pipe.vae)
        with on(self.pipe.transformer, controls, guided=True, calls=STEPS, done=lambda: taken):
            return self.pipe(**{**CALL, **values}, latents=self.latents(), callback_on_step_end=after).images

    @torch.inference_mode()
    def natively(self, unit: PictureUnit, scale: float) -> Tensor:
        """With what diffusers itself reads from the adapter's file."""
        pipe, processors = self.pipe, dict(self.pipe.transformer.attn_processors)
        if self.flux:
            pipe.load_ip_adapter(self.file.parent, weight_name=self.file.name, image_encoder_pretrained_model_name_or_path=None)
            told = {"ip_adapter_image_embeds": [unit.embeddings], "negative_ip_adapter_image_embeds": [unit.without]}
        else:
            pipe.load_ip_adapter(self.file.parent, weight_name=self.file.name, subfolder="", image_encoder_folder=None)
            told = {"ip_adapter_image_embeds": torch.cat([unit.without, unit.embeddings])[:, 0]}
        pipe.set_ip_adapter_scale(scale)
        try:
            return pipe(**CALL, **told, latents=self.latents()).images
        finally:
            delattr(pipe.transformer, "encoder_hid_proj" if self.flux else "image_proj")
            pipe.transformer.set_attn_processor(processors)
            vars(pipe.transformer.config).pop("encoder_hid_dim_type", None)

    def latents(self) -> Tensor:
        noise = torch.randn((1, 16, 8, 8), generator=torch.Generator().manual_seed(3))
        return torch.nn.functional.pixel_unshuffle(noise, 2).flatten(2).transpose(1, 2).contiguous() if self.flux else noise


@pytest.fixture(scope="module")
def prompts(tmp_path_factory: pytest.TempPathFactory) -> PicturePrompts:
    folder = tmp_path_factory.mktemp("models")
    tiny_controls.image_encoder(folder / "clip_vision" / "clip")
    tiny_controls.siglip_encoder(folder / "clip_vision" / "siglip")
    return PicturePrompts(memory.choose("cpu"), (folder,))


@pytest.fixture(scope="module", params=BUILDS)
def base(request: pytest.FixtureRequest, prompts: PicturePrompts, tmp_path_factory: pytest.TempPathFactory) -> Base:
    folder = tmp_path_factory.mktemp("base")
    pipe = named(family(request.param).pipelines["txt2img"]).from_pretrained(BUILDS[request.param](folder / "model"))
    pipe.transformer.eval().requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    build = tiny_controls.flux_ip_adapter if request.param.startswith("flux") else tiny_controls.sd3_ip_adapter
    return Base(request.param, pipe, prompts, tiny_controls.write(build(pipe.transformer), folder / "ip.safetensors"))


def test_one_picture_is_diffusers_own_to_the_bit(base: Base) -> None:
    ours = base.drawn(base.unit("red", weight=0.8))
    assert torch.equal(ours, base.natively(base.unit("red"), 0.8))
    assert (ours - base.drawn()).abs().mean() > 1e-3


def test_pictures_act_by_weight_and_number(base: Base) -> None:
    free, red, blue = base.drawn(), base.drawn(base.unit("red")), base.drawn(base.unit("blue"))
    assert not torch.equal(red, blue) and not torch.equal(red, free)
    assert torch.equal(base.drawn(base.unit("red", weight=0)), free)
    both = base.drawn(base.unit("red", "blue"))
    assert not torch.equal(both, red) and not torch.equal(both, blue)
    distances = [float((base.drawn(base.unit("red", weight=weight)) - free).abs().mean()) for weight in (0.05, 0.2, 0.8)]
    assert distances == sorted(distances) and distances[0] > 0


def test_the_range_of_steps_acts(base: Base) -> None:
    early, late, whole = (base.drawn(base.unit("red", start=start, end=end)) for start, end in ((0, 0.4), (0.6, 1), (0, 1)))
    free = base.drawn()
    for one, other in ((early, late), (early, whole), (late, whole), (early, free), (late, free)):
        assert not torch.equal(one, other)
    assert torch.equal(base.drawn(base.unit("red", start=0.4, end=0.45)), free)  # no whole step lies within


def test_every_picture_of_a_batch_is_told(base: Base) -> None:
    told = base.unit("red")
    on = named(family(base.family).control)(base.pipe.transformer, Controls(pictures=(told,)), guided=True, calls=STEPS, done=lambda: 0)
    with torch.inference_mode(), on:
        two = base.pipe(**CALL, num_images_per_prompt=2, latents=base.latents().repeat(2, *[1] * (base.latents().dim() - 1))).images
    assert torch.allclose(two[0], two[1], atol=1e-4)
    assert torch.allclose(two[:1], base.drawn(told), atol=1e-4)


def test_pictures_and_maps_together(base: Base) -> None:
    shown = torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(1)).round()
    units = (Unit(Control(), "controlnet", base.network(), shown, ""),)
    alone, both = base.drawn(units=units), base.drawn(base.unit("red"), units=units)
    assert not torch.equal(both, alone) and not torch.equal(both, base.drawn(base.unit("red")))
    assert torch.equal(base.drawn(base.unit("red", weight=0), units=units), alone)


def test_several_adapters(base: Base) -> None:
    if not base.flux:
        with pytest.raises(BadRequest):
            base.drawn(base.unit("red"), base.unit("blue"))
        return
    both = base.drawn(base.unit("red"), base.unit("blue", weight=0.5))
    assert not torch.equal(both, base.drawn(base.unit("red"))) and not torch.equal(both, base.drawn(base.unit("blue", weight=0.5)))
    assert torch.equal(base.drawn(base.unit("red"), base.unit("blue", weight=0)), base.drawn(base.unit("red")))


def test_after_the_block_the_transformer_is_as_before(base: Base) -> None:
    transformer, before = base.pipe.transformer, base.drawn()
    processors, modules, config = transformer.attn_processors, list(transformer.named_modules()), dict(vars(transformer.config))
    told = Controls(pictures=(base.unit("red"),))
    with (
        pytest.raises(RuntimeError, match="stop"),
        named(family(base.family).control)(transformer, told, guided=True, calls=STEPS, done=lambda: 0),
    ):
        raise RuntimeError("stop")
    assert transformer.attn_processors == processors and list(transformer.named_modules()) == modules
    assert "forward" not in vars(transformer) and vars(transformer.config) == config
    assert not hasattr(transformer, "encoder_hid_proj") and not hasattr(transformer, "image_proj")
    assert torch.equal(base.drawn(), before)


def test_weights_that_do_not_fit_say_so_and_leave_no_trace(base: Base, tmp_path: Path) -> None:
    before, state = base.drawn(), load_file(base.file)
    short = {name: value for name, value in state.items() if not name.startswith(("double_blocks.0.", "ip_adapter.0."))}
    broken = Base(base.family, base.pipe, base.prompts, tiny_controls.write(short, tmp_path / "short.safetensors"))
    with pytest.raises(DamagedModel, match="do not fit"):
        broken.drawn(broken.unit("red"))
    assert torch.equal(base.drawn(), before)


def test_pictures_act_in_the_whole_flow(base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    transformer, models = base.pipe.transformer, tmp_path / "models"
    monkeypatch.setattr(picture_adapters, "FLUX_BLOCKS", transformer.config.num_layers)
    monkeypatch.setattr(picture_adapters, "FLUX_KEYS", transformer.inner_dim * transformer.config.joint_attention_dim)
    monkeypatch.setattr(picture_adapters, "SD3_LAYERS", {(transformer.inner_dim, len(transformer.attn_processors)): (base.family,)})
    for name, place in (("model", base.file.parent / "model"), ("clip_vision", base.prompts.folders[0] / "clip_vision")):
        (models / name).parent.mkdir(exist_ok=True)
        (models / name).symlink_to(place)
    tiny_controls.write(load_file(base.file), models / "ControlNet" / "ip.safetensors")
    settings, device, inputs = settings_in(tmp_path, (models,)), memory.choose("cpu"), Inputs(tmp_path / "inputs")
    library = Library(settings.folders.models)
    studio = Studio(settings, device, library, ModelCache(device), Networks(device), Hashes(tmp_path / "hashes.json"), inputs)
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), COLOURS["red"]).save(buffer, "PNG")
    shown = {"pictures": [inputs.take(buffer.getvalue()).id], "preprocessor": "ip-adapter-auto", "model": "ip"}

    def drawn(*controls: dict[str, Any]) -> np.ndarray:
        request = make_request(prompt="a red house", model="model", width=64, height=64, steps=2, seed=5, sampler="Euler", controls=controls)
        assert not check_fit(request, family(base.family), library.controls)
        result = generate(Run(Work(job="1", request=request, save=False), lambda _: None, lambda: False), studio)
        return np.asarray(Image.open(io.BytesIO(result.images[-1].data or b"")))

    free, led = drawn(), drawn(shown)
    assert (led != free).any() and (drawn(shown) == led).all() and (drawn({**shown, "weight": 0}) == free).all()


# Image encoders


@torch.inference_mode()
def test_each_adapter_looks_through_its_own_encoder(base: Base) -> None:
    unit = base.unit("red")
    assert unit.embeddings.shape == ((1, 1, 32) if base.flux else (1, 1, 4, 32))
    assert not unit.without.any()
    told = base.unit("white").embeddings[0, 0]
    if not base.flux:  # which sees white as 1
        encoder = load_encoder(base.prompts.folders[0] / "clip_vision" / "siglip")
        assert torch.allclose(told, encoder(torch.ones(1, 3, 28, 28), output_hidden_states=True).hidden_states[-2][0], atol=1e-6)


def test_siglip_is_found_in_single_files_and_whole_models(tmp_path: Path) -> None:
    look, pixels = Look(64, True, "SigLIP"), torch.rand(1, 3, 28, 28)
    assert find_encoder((tmp_path,), look) is None
    alone = tiny_controls.siglip_encoder(tmp_path / "alone", 64)
    torch.manual_seed(0)
    vision = transformers.SiglipVisionModel.from_pretrained(alone)
    state = {f"vision_model.{name}": value for name, value in vision.state_dict().items()}
    file = tiny_controls.write(state, tmp_path / "clip_vision" / "sigclip.safetensors")
    assert find_encoder((tmp_path,), look) == file
    whole = transformers.SiglipModel(transformers.SiglipConfig(
        text_config={"hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1, "vocab_size": 8,
                     "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0},
        vision_config=vision.config.to_dict(),
    ))  # fmt: skip
    whole.vision_model.load_state_dict(vision.state_dict())
    whole.save_pretrained(tmp_path / "more" / "clip_vision" / "whole")
    found = find_encoder((tmp_path / "more",), look)
    assert found == tmp_path / "more" / "clip_vision" / "whole"
    with torch.inference_mode():
        seen = [load_encoder(path).eval()(pixels, output_hidden_states=True).hidden_states[-2] for path in (alone, file, found)]
    assert torch.equal(seen[0], seen[1]) and torch.equal(seen[0], seen[2])


def test_other_files_are_no_encoders(tmp_path: Path) -> None:
    place, look = tmp_path / "clip_vision", Look(100, True, "SigLIP")
    odd = {"embeddings.patch_embedding.weight": (100, 3, 14, 14), "embeddings.position_embedding.weight": (4, 100), "head.probe": (1, 1, 100)}
    odd |= {"encoder.layers.0.mlp.fc1.weight": (7, 100)}
    headed(place / "odd.safetensors", {f"vision_model.{name}": shape for name, shape in odd.items()})
    headed(place / "flat.safetensors", {"vision_model.embeddings.patch_embedding.weight": (100, 3)})
    (place / "cut.safetensors").write_bytes(b"cut")
    for name, text in (("list", "[]"), ("null", '{"architectures": ["SiglipModel"], "vision_config": null}'), ("text", "no config")):
        (place / name).mkdir()
        (place / name / "config.json").write_text(text)
    found = find_encoder((tmp_path,), look)
    assert found == place / "odd.safetensors"  # looks like one, but lacks most of its layers
    with pytest.raises(DamagedModel):
        load_encoder(found)


def test_a_missing_encoder_is_named(base: Base, tmp_path: Path) -> None:
    lacking = Base(base.family, base.pipe, PicturePrompts(memory.choose("cpu"), (tmp_path,)), base.file)
    with pytest.raises(UnknownModel, match="CLIP image encoder" if base.flux else "SigLIP image encoder"):
        lacking.unit("red")
    assert "CLIP ViT-L" in Look(768, False).title and "So400m" in Look(1152, True, "SigLIP").title


# Files


def xlabs(blocks: int) -> dict[str, tuple[int, ...]]:
    layers = {f"double_blocks.{block}.processor.ip_adapter_double_stream_k_proj" for block in range(blocks)}
    keys = {f"{layer}.{end}": shape for layer in layers for end, shape in (("weight", (3072, 4096)), ("bias", (3072,)))}
    return {"ip_adapter_proj_model.proj.weight": (16384, 768), "ip_adapter_proj_model.norm.weight": (4096,), **keys}


def instantx(width: int, layers: int) -> dict[str, tuple[int, ...]]:
    ends = {"to_k_ip.weight": (width, width), "norm_ip.linear.weight": (2 * width, 1280)}
    keys = {f"ip_adapter.{layer}.{end}": shape for layer in range(layers) for end, shape in ends.items()}
    return {"image_proj.time_embedding.linear_1.weight": (1280, 320), "image_proj.proj_in.weight": (1280, 1152), **keys}


@pytest.mark.parametrize(
    ("shapes", "families"),
    [
        (xlabs(19), ("flux-dev", "flux-schnell")),
        (instantx(1536, 24), ("sd3-medium",)),
        (instantx(1536, 37), ("sd3.5-medium",)),
        (instantx(2432, 38), ("sd3.5-large",)),
    ],
)
def test_known_by_their_headers(shapes: dict[str, tuple[int, ...]], families: tuple[str, ...], tmp_path: Path) -> None:
    found = inspect(headed(tmp_path / "ip.safetensors", shapes))
    assert (found.kind, found.families, found.problem) == ("ip-adapter", families, "")


@pytest.mark.parametrize("shapes", [xlabs(2), instantx(1536, 38), instantx(640, 24)])
def test_those_for_unknown_models_say_so(shapes: dict[str, tuple[int, ...]], tmp_path: Path) -> None:
    assert "not known here" in inspect(headed(tmp_path / "ip.safetensors", shapes)).problem
