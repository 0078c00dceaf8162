"""Solvers on the levels of models that learned by flow matching: the right way, to the same picture, and again from the same seed."""

from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from backend.inference import flows, memory, samplers
from backend.inference.cache import Loaded, ModelCache
from backend.inference.conditioning import encode_flux
from backend.inference.denoising import Pass, denoise
from backend.inference.latents import Packed
from backend.inference.schedules import noised
from backend.library import inspect
from backend.samplers import FLOW_SAMPLERS, FLOW_SCHEDULES
from backend.settings import load
from backend.types import Request, make_request
from tests import tiny_transformers

STOCHASTIC = ("DPM++ 2M SDE", "LCM")


@pytest.fixture(scope="module")
def flux(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Flux.1 dev in small: its levels shift with the size, and its latents are packed."""
    folder = tiny_transformers.flux_dev(tmp_path_factory.mktemp("flows") / "flux")
    with ModelCache(memory.choose("cpu")).use(inspect(folder), lambda: None) as loaded:
        return loaded


def request_for(sampler: str, steps: int, **values: Any) -> Request:
    return make_request(**{"prompt": "a house", "model": "flux", "width": 64, "height": 64, "steps": steps, "sampler": sampler, **values})


def drawn(loaded: Loaded, request: Request, seeds: list[int], **how: Any) -> Tensor:
    conditioning = encode_flux(loaded.pipeline("txt2img"), request)
    this = Pass(**{"request": request, "steps": request.steps, **how})
    return denoise(
        this, loaded, conditioning, seeds, device=memory.choose("cpu"), settings=load(models=(), device="cpu").generation, tell=lambda **_: None
    )


def test_every_solver_comes_to_the_same_picture(flux: Loaded) -> None:
    exact = drawn(flux, request_for("Euler", 150), [1])
    errors = {}
    for name in FLOW_SAMPLERS:
        if name not in STOCHASTIC:
            errors[name] = float((drawn(flux, request_for(name, 16), [1]) - exact).std() / exact.std())
    assert max(errors.values()) < 0.05, errors
    assert all(errors[name] < errors["Euler"] for name in ("Heun", "DPM++ 2M", "UniPC")), errors


@pytest.mark.parametrize("name", STOCHASTIC)
def test_noise_that_a_step_adds_comes_from_the_image_s_seed(flux: Loaded, name: str) -> None:
    request = request_for(name, 4)
    one, again = drawn(flux, request, [1]), drawn(flux, request, [1])
    assert torch.isfinite(one).all()
    assert torch.equal(one, again)
    both = drawn(flux, request, [5, 1])
    assert (both[1] - one[0]).abs().max() < 1e-3
    plain = drawn(flux, request_for("Euler", 4), [1])
    assert (one - plain).std() > 0.1


@pytest.mark.parametrize("schedule", FLOW_SCHEDULES)
def test_levels_fall_from_all_noise_to_none(flux: Loaded, schedule: str) -> None:
    scheduler = samplers.build(request_for("Euler", 6, scheduler=schedule), flux.components["scheduler"], [1], flow=True)
    scheduler.set_timesteps(sigmas=np.linspace(1.0, 1 / 6, 6), mu=0.6)
    levels = scheduler.sigmas
    assert (len(levels), float(levels[0]), float(levels[-1])) == (7, 1.0, 0.0)
    assert (levels.diff() < 0).all()
    assert torch.equal(scheduler.timesteps, levels[:-1] * 1000)


def test_a_model_s_own_levels_are_diffusers_own(flux: Loaded) -> None:
    own: Any = diffusers.FlowMatchEulerDiscreteScheduler.from_config(flux.components["scheduler"].config)
    own.set_timesteps(sigmas=np.linspace(1.0, 1 / 6, 6), mu=0.6)
    for name in ("Euler", "DPM++ 2M", "LCM"):
        ours = samplers.build(request_for(name, 6), flux.components["scheduler"], [1], flow=True)
        ours.set_timesteps(sigmas=np.linspace(1.0, 1 / 6, 6), mu=0.6)
        assert torch.equal(ours.sigmas, own.sigmas)
        assert torch.equal(ours.timesteps, own.timesteps)


def test_a_pass_from_the_middle_equals_diffusers_own_pipelines(flux: Loaded) -> None:
    """To the bit: generic image to image against Flux.1's own, whose schedule only the pipeline knows."""
    known = torch.randn(1, 16, 8, 8, generator=torch.Generator().manual_seed(3))
    request = request_for("Euler", 6, guidance=3.5)
    ours = drawn(flux, request, [5], begin=3, known=known)
    pipe = diffusers.FluxImg2ImgPipeline(**flux.components)
    pipe.set_progress_bar_config(disable=True)
    theirs: Any = pipe(
        "a house", image=known, strength=0.5, height=64, width=64, num_inference_steps=6, guidance_scale=3.5, output_type="latent",
        generator=[torch.Generator().manual_seed(5)],
    )  # fmt: skip
    # The first of theirs encodes the picture as latents already are, so both know the same.
    assert torch.equal(ours, Packed.outside(theirs.images, 8, 8))


@pytest.mark.parametrize("name", FLOW_SAMPLERS)
def test_noise_belongs_to_its_place_in_the_schedule(flux: Loaded, name: str) -> None:
    scheduler = samplers.build(request_for(name, 6), flux.components["scheduler"], [1], begin=2, flow=True)
    pipe = flux.pipeline("txt2img", scheduler=scheduler)
    told = encode_flux(pipe, request_for(name, 6)).repeated(1)
    flows.rehearse(scheduler, pipe, **told, num_inference_steps=6, height=64, width=64, latents=torch.zeros(1, 16, 64), output_type="latent")
    clean, noise = torch.zeros(1, 16, 8, 8), torch.ones(1, 16, 8, 8)
    levels = [float(noised(scheduler, clean, noise, place).mean()) for place in range(len(scheduler.timesteps) + 1)]
    assert len(levels) == 4 * scheduler.order - (scheduler.order - 1) + 1
    assert 0.5 < levels[0] < 0.95
    assert levels[-1] == 0
    assert sorted(levels, reverse=True) == levels


def test_stopped_and_continued_is_the_same_as_in_one_go(flux: Loaded) -> None:
    request = request_for("Euler", 6)
    whole = drawn(flux, request, [1])
    half = drawn(flux, request, [1], stop=3)
    assert torch.equal(drawn(flux, request, [1], begin=3, noisy=half), whole)


def test_packing_is_diffusers_own_and_goes_back() -> None:
    latents = torch.randn(2, 16, 8, 12, generator=torch.Generator().manual_seed(0))
    packed = Packed.given(latents)
    assert torch.equal(packed, diffusers.FluxPipeline._pack_latents(latents, 2, 16, 8, 12))
    assert torch.equal(Packed.outside(packed, 8, 12), latents)
