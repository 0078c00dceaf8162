"""Control networks act on transformers within any pipeline as they do within diffusers' own for them."""

# diffusers annotates its arguments more narrowly than it takes them.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from PIL import Image
from torch import Tensor

from backend.controlling import CONTROL_MODES, Control
from backend.errors import BadRequest
from backend.families import family
from backend.hashes import Hashes
from backend.inference import memory
from backend.inference.cache import ModelCache, named
from backend.inference.control import Controls
from backend.inference.controlled import Unit
from backend.inference.generate import generate
from backend.inference.running import Run, Studio
from backend.inference.upscale import Networks
from backend.inputs import Inputs
from backend.library import Library
from backend.types import Work, make_request
from tests import tiny_controls, tiny_transformers
from tests.conftest import settings_in
from tests.tiny_transformers import FLUX, woken

STEPS = 3
CALL: dict[str, Any] = {"num_inference_steps": STEPS, "width": 64, "height": 64, "output_type": "latent", "prompt": "a red house"}


@dataclass(frozen=True)
class Case:
    """One family, and diffusers' own pipeline for it."""

    family: str
    build: Callable[[Path], Path]
    native: Any
    network: Callable[..., Any]
    packed: bool = False
    image: str = "control_image"
    call: dict[str, Any] = field(default_factory=dict)
    deeper: Callable[[], Any] | None = None
    """A transformer of more blocks than the tiny model has, so that it shows which layer speaks behind which block."""


def deep_flux(guided: bool) -> Any:
    torch.manual_seed(0)
    return woken(
        diffusers.FluxTransformer2DModel(**{**FLUX, "num_layers": 3, "num_single_layers": 5}, pooled_projection_dim=32, guidance_embeds=guided)
    )


def deep_qwen() -> Any:
    torch.manual_seed(0)
    return woken(diffusers.QwenImageTransformer2DModel(
        patch_size=2, in_channels=64, out_channels=16, num_layers=5, attention_head_dim=16, num_attention_heads=3, joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    ))  # fmt: skip


def deep_z_image() -> Any:
    torch.manual_seed(0)
    network = diffusers.ZImageTransformer2DModel(
        all_patch_size=(2,), all_f_patch_size=(1,), in_channels=16, dim=32, n_layers=3, n_refiner_layers=1, n_heads=2, n_kv_heads=2, qk_norm=True,
        cap_feat_dim=16, rope_theta=256.0, t_scale=1000.0, axes_dims=[8, 4, 4], axes_lens=[1024, 32, 32],
    )  # fmt: skip
    with torch.no_grad():
        network.x_pad_token.fill_(1.0)
        network.cap_pad_token.fill_(1.0)
    return woken(network)


NEGATIVE = {"negative_prompt": "a cat"}
CASES = {
    "flux-dev": Case(
        "flux-dev", tiny_transformers.flux_dev, diffusers.FluxControlNetPipeline, tiny_controls.flux_controlnet, packed=True,
        call={"guidance_scale": 3.5}, deeper=lambda: deep_flux(True),
    ),
    "sd3": Case(
        "sd3-medium", tiny_transformers.sd3, diffusers.StableDiffusion3ControlNetPipeline, tiny_controls.sd3_controlnet,
        call={"guidance_scale": 5.0, **NEGATIVE},
    ),
    "qwen": Case(
        "qwen-image", tiny_transformers.qwen_image, diffusers.QwenImageControlNetPipeline, tiny_controls.qwen_controlnet, packed=True,
        call={"true_cfg_scale": 4.0, **NEGATIVE}, deeper=deep_qwen,
    ),
    "z-image": Case(
        "z-image", tiny_transformers.z_image, diffusers.ZImageControlNetPipeline, tiny_controls.z_image_controlnet,
        call={"guidance_scale": 4.0, **NEGATIVE}, deeper=deep_z_image,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Base:
    case: Case
    pipe: Any

    def network(self, seed: int = 0, **values: Any) -> Any:
        return self.case.network(self.pipe.transformer, seed, **values)

    @torch.inference_mode()
    def drawn(self, *units: Unit, **values: Any) -> Tensor:
        """What the ordinary pipeline draws while the units act."""
        taken = 0

        def after(_pipe: Any, _step: int, _timestep: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
            nonlocal taken
            taken += 1
            return tensors

        on, controls = named(family(self.case.family).control), Controls(units=units, vae=self.pipe.vae)
        with on(self.pipe.transformer, controls, guided=True, calls=STEPS, done=lambda: taken):
            return self.pipe(**{**CALL, **self.case.call, **values}, latents=self.latents(), callback_on_step_end=after).images

    @torch.inference_mode()
    def natively(self, network: Any, **values: Any) -> Tensor:
        pipe = self.case.native(**{name: part for name, part in self.pipe.components.items() if part is not None}, controlnet=network)
        pipe.set_progress_bar_config(disable=True)
        image = values.pop("image", shown())
        return pipe(**{**CALL, **self.case.call, **values}, latents=self.latents(), **{self.case.image: image}).images

    def latents(self) -> Tensor:
        noise = torch.randn((1, 16, 8, 8), generator=torch.Generator().manual_seed(3))
        return torch.nn.functional.pixel_unshuffle(noise, 2).flatten(2).transpose(1, 2).contiguous() if self.case.packed else noise


def a_map(seed: int = 1) -> Tensor:
    return torch.rand((1, 3, 64, 64), generator=torch.Generator().manual_seed(seed)).round()


def shown(seed: int = 1) -> Tensor:
    """As pipelines take it."""
    return a_map(seed) * 2 - 1


def unit(network: Any, seed: int = 1, group: str = "", kind: Any = "controlnet", **values: Any) -> Unit:
    return Unit(Control(**values), kind, network, a_map(seed), group)


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Base]:
    made: dict[str, Base] = {}

    def base_of(name: str) -> Base:
        if name not in made:
            case = CASES[name]
            code = named(family(case.family).pipelines["txt2img"])
            pipe = code.from_pretrained(case.build(tmp_path_factory.mktemp("base") / name))
            if case.deeper:
                pipe.transformer = case.deeper()
            pipe.transformer.eval().requires_grad_(False)
            pipe.vae.enable_slicing()  # halves of a batch, which are alike, are encoded each alone, so to the same numbers as one
            pipe.set_progress_bar_config(disable=True)
            made[name] = Base(case, pipe)
        return made[name]

    return base_of


@pytest.fixture(params=CASES)
def base(request: pytest.FixtureRequest, bases: Callable[[str], Base]) -> Base:
    return bases(request.param)


@pytest.fixture(autouse=True)
def likeliest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let diffusers' pipelines take the likeliest latents of a map, too, where they would draw them by chance."""
    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, *_, **__: self.mode())


def test_one_controlnet_is_diffusers_own_to_the_bit(base: Base) -> None:
    net = base.network()
    ranged = {} if base.case.family == "z-image" else {"control_guidance_start": 0.3, "control_guidance_end": 0.9}
    native = base.natively(net, controlnet_conditioning_scale=0.8, **ranged)
    ours = base.drawn(unit(net, weight=0.8, **({"start": 0.3, "end": 0.9} if ranged else {})))
    assert torch.equal(ours, native)
    assert (ours - base.drawn()).abs().mean() > 0.001


def test_several_are_what_diffusers_sums_to_the_bit(bases: Callable[[str], Base]) -> None:
    for name in ("flux-dev", "sd3"):
        base = bases(name)
        nets = [base.network(seed) for seed in (1, 2)]
        native = base.natively(nets, image=[shown(1), shown(2)], controlnet_conditioning_scale=[1.0, 0.5])
        ours = base.drawn(unit(nets[0], 1), unit(nets[1], 2, weight=0.5))
        assert torch.equal(ours, native)
        assert not torch.equal(ours, base.drawn(unit(nets[0], 1)))


def test_several_of_different_depth_all_act(base: Base) -> None:
    deep = {"layers": 1} if base.case.family != "z-image" else {"seen": 33}
    nets = [base.network(1), base.network(2, **deep)]
    both = base.drawn(unit(nets[0], 1), unit(nets[1], 2))
    assert not torch.equal(both, base.drawn(unit(nets[0], 1))) and not torch.equal(both, base.drawn(unit(nets[1], 2)))


def test_networks_of_xlabs_look_at_the_pixels(bases: Callable[[str], Base]) -> None:
    base = bases("flux-dev")
    net = base.network(conditioning_embedding_channels=16, patch_size=2, singles=0)
    assert torch.equal(base.drawn(unit(net, weight=0.7)), base.natively(net, controlnet_conditioning_scale=0.7))


def test_a_union_is_told_what_it_is_shown(bases: Callable[[str], Base]) -> None:
    base = bases("flux-dev")
    net = base.network(num_mode=7)
    depth, canny = (base.drawn(unit(net, group=group, kind="controlnet-union")) for group in ("Depth", "Canny"))
    assert torch.equal(depth, base.natively(net, control_mode=2)) and torch.equal(canny, base.natively(net, control_mode=0))
    assert not torch.equal(depth, canny)
    with pytest.raises(BadRequest, match="what kind of map"):
        base.drawn(unit(net, kind="controlnet-union", model="union"))


def test_networks_of_dev_serve_a_model_without_guidance(bases: Callable[[str], Base]) -> None:
    base = bases("flux-dev")
    net, dev = base.network(), base.pipe.transformer
    base.pipe.transformer = deep_flux(False).eval()
    try:
        assert torch.equal(base.drawn(unit(net), guidance_scale=1.0), base.natively(net, guidance_scale=3.5))
        assert "forward" not in base.pipe.transformer.__dict__
    finally:
        base.pipe.transformer = dev


@pytest.mark.parametrize("group", ["Depth", "Canny"])
def test_those_of_stability_share_the_models_places_and_know_edges_their_own_way(bases: Callable[[str], Base], group: str) -> None:
    base = bases("sd3")
    net = base.network(joint_attention_dim=None, use_pos_embed=False, force_zeros_for_pooled_projection=False, pos_embed_type=None)
    ours = base.drawn(unit(net, group=group))
    assert net.pos_embed is None
    image = a_map() * 255 * 0.5 + 0.5 if group == "Canny" else shown()
    assert torch.equal(ours, base.natively(net, image=image))


def test_the_second_version_of_z_images_sees_further_channels(bases: Callable[[str], Base]) -> None:
    base = bases("z-image")
    for way in ("control_layers", "control_noise_refiner"):
        net = base.network(seen=33, add_control_noise_refiner=way)
        assert torch.equal(base.drawn(unit(net)), base.natively(net, controlnet_conditioning_scale=1.0))


def test_z_images_give_back_what_they_borrowed(bases: Callable[[str], Base]) -> None:
    base = bases("z-image")
    net = base.network()
    before = set(net.state_dict())
    base.drawn(unit(net), unit(net, 2))
    assert set(net.state_dict()) == before
    assert net.t_embedder is None and net.x_pad_token is None
    assert base.pipe.transformer.t_embedder is not None


def test_weight_nought_is_no_control_and_ranges_act(base: Base) -> None:
    net, free = base.network(), base.drawn()
    assert torch.equal(base.drawn(unit(net, weight=0)), free)
    assert torch.equal(base.drawn(unit(net, start=0.4, end=0.45)), free)  # no whole step lies within
    early, late, whole = (base.drawn(unit(net, start=start, end=end)) for start, end in ((0, 0.5), (0.5, 1), (0, 1)))
    for one, other in ((early, late), (early, whole), (late, whole), (early, free), (late, free)):
        assert not torch.equal(one, other)


def test_modes(base: Base) -> None:
    net = base.network()
    balanced, prompt, control = (base.drawn(unit(net, mode=mode)) for mode in CONTROL_MODES)
    assert not torch.equal(balanced, prompt)
    # Where there is a part without the prompt, the control's own mode leaves it alone.
    assert torch.equal(prompt, control) == (base.case.family == "flux-dev")


def test_without_the_prompt_nothing_is_heard_where_the_control_is_more_important(base: Base) -> None:
    if base.case.family == "flux-dev":
        return
    transformer, net, heard = base.pipe.transformer, base.network(), []
    plain = type(transformer).forward
    names = ("controlnet_block_samples", "block_controlnet_hidden_states")

    def listening(self: Any, *values: Any, **named_values: Any) -> Any:
        given = next((named_values[name] for name in names if name in named_values), None)
        parts = list(given.values()) if isinstance(given, dict) else given or []
        heard.append([[bool(half.abs().max() > 0) for half in part.chunk(2)] if len(part) == 2 else bool(part.abs().max() > 0) for part in parts])
        return plain(self, *values, **named_values)

    transformer.forward = listening.__get__(transformer)
    try:
        base.drawn(unit(net, mode="ControlNet is more important"))
    finally:
        del transformer.forward
    calls = {"sd3-medium": [[False, True]], "z-image": [[True, False]], "qwen-image": [True]}[base.case.family]
    assert heard[0] and all(part == calls[0] for part in heard[0])
    if base.case.family == "qwen-image":
        assert len(heard) == 2 * STEPS and heard[1] == [] and heard[2]


def test_after_the_block_the_transformer_is_as_before(base: Base) -> None:
    net, before = base.network(), base.drawn()
    on = named(family(base.case.family).control)
    with (
        pytest.raises(RuntimeError, match="stop"),
        on(base.pipe.transformer, Controls(units=(unit(net),), vae=base.pipe.vae), guided=True, calls=STEPS, done=lambda: 0),
    ):
        raise RuntimeError("stop")
    assert "forward" not in base.pipe.transformer.__dict__
    assert torch.equal(base.drawn(), before)


# Through the whole flow


@pytest.fixture
def studio(tmp_path: Path) -> Studio:
    models = tmp_path / "models"
    transformer = diffusers.FluxPipeline.from_pretrained(tiny_transformers.flux_dev(models / "flux")).transformer
    tiny_controls.flux_controlnet(transformer, 1, num_mode=7).save_pretrained(models / "ControlNet" / "union")
    settings, device = settings_in(tmp_path, (models,)), memory.choose("cpu")
    library, inputs = Library(settings.folders.models), Inputs(tmp_path / "inputs")
    return Studio(settings, device, library, ModelCache(device), Networks(device), Hashes(tmp_path / "hashes.json"), inputs)


def test_units_act_in_the_whole_flow_from_noise_and_from_pictures(studio: Studio) -> None:
    buffer = io.BytesIO()
    Image.fromarray((a_map()[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(buffer, "PNG")
    picture = studio.inputs.take(buffer.getvalue()).id
    led = {"pictures": [picture], "preprocessor": "canny", "model": "union"}

    def drawn(*controls: dict[str, Any], **values: Any) -> np.ndarray:
        request = make_request(prompt="a red house", model="flux", width=64, height=64, steps=3, seed=5, sampler="Euler", controls=controls, **values)
        result = generate(Run(Work(job="1", request=request, save=False), lambda _: None, lambda: False), studio)
        return np.asarray(Image.open(io.BytesIO(result.images[-1].data or b"")))

    for values in ({}, {"image": {"picture": picture, "denoising_strength": 0.8}}):
        free = drawn(**values)
        assert (drawn(led, **values) != free).any()
        assert (drawn({**led, "weight": 0}, **values) == free).all()
    assert (drawn(led) == drawn(led)).all()
    assert (drawn({**led, "type": "Depth"}) != drawn(led)).any()
