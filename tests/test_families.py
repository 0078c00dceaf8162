"""Each family on a tiny real model: found, drawn through the one flow, and equal to diffusers' own run."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from backend.errors import BadRequest, Cancelled, NotFinite
from backend.families import FAMILIES, check
from backend.hashes import Hashes
from backend.inference import memory
from backend.inference.cache import ModelCache, named
from backend.inference.generate import generate
from backend.inference.running import Run, Studio
from backend.inference.upscale import Networks
from backend.inputs import Inputs
from backend.library import Library, inspect
from backend.types import Progress, Request, Work, make_request
from tests import tiny
from tests.conftest import settings_in

BUILDERS: dict[str, Callable[[Path], Path]] = {"sd1": tiny.sd1, "sd2": tiny.sd2, "sdxl": tiny.sdxl, "hunyuan-dit": tiny.hunyuan_dit}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    for name, build in BUILDERS.items():
        build(folder / name)
    return folder


@pytest.fixture
def studio(models: Path, tmp_path: Path) -> Studio:
    settings = settings_in(tmp_path, (models,))
    device = memory.choose("cpu")
    return Studio(
        settings, device, Library(settings.folders.models), ModelCache(device), Networks(device), Hashes(tmp_path / "hashes.json"),
        Inputs(tmp_path / "inputs"),
    )  # fmt: skip


def request_for(name: str, **values: object) -> Request:
    return make_request(
        **{"prompt": "a red house", "negative_prompt": "blurry", "model": name, "width": 64, "height": 96, "steps": 4, "seed": 5, **values}
    )


def run(studio: Studio, request: Request) -> tuple[list[bytes], list[Progress]]:
    told: list[Progress] = []
    result = generate(Run(Work(job="1", request=request, save=False), told.append, lambda: False), studio)
    return [image.data or b"" for image in result.images], told


def array(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("name", BUILDERS)
def test_found_by_its_configs(models: Path, name: str) -> None:
    model = inspect(models / name)
    assert (model.family_id, model.problem) == (name, "")
    assert model.size_bytes > 100_000
    assert (model.defaults.width, model.defaults.height) == (64, 64)  # what this very UNet was made for


@pytest.mark.parametrize("name", BUILDERS)
def test_the_staged_flow_equals_the_pipelines_own(studio: Studio, models: Path, name: str) -> None:
    request = request_for(name, sampler="Euler", scheduler="SGM Uniform")
    (ours,), told = run(studio, request)
    row = inspect(models / name).family
    code = named(row.pipelines["txt2img"])
    pipe = code.from_pretrained(models / name, dtype=torch.float32)
    pipe.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    theirs = pipe(
        request.prompt, negative_prompt=request.negative_prompt, width=64, height=96, num_inference_steps=4, guidance_scale=7.0,
        generator=torch.Generator().manual_seed(5), **row.call,
    ).images[0]  # fmt: skip
    assert np.array_equal(array(ours), np.asarray(theirs))
    assert [progress.step for progress in told if progress.stage == "denoise"] == [0, 1, 2, 3, 4]
    assert any(progress.preview for progress in told)


@pytest.mark.parametrize("name", BUILDERS)
def test_without_guidance_the_negative_prompt_has_no_say(studio: Studio, name: str) -> None:
    first, second = (run(studio, request_for(name, guidance=1.0, negative_prompt=text))[0] for text in ("", "a cat"))
    assert np.array_equal(array(first[0]), array(second[0]))


def test_models_take_turns_in_the_cache(studio: Studio) -> None:
    first = run(studio, request_for("sd1"))[0]
    run(studio, request_for("sdxl"))
    assert studio.cache.model_name == "sdxl"
    assert run(studio, request_for("sd1"))[0] == first


def test_a_model_that_makes_no_numbers_is_refused_and_nothing_is_saved(studio: Studio) -> None:
    studio.library.refresh()
    with studio.cache.use(studio.library.find("sd1"), lambda: None) as loaded:
        loaded.components["unet"].conv_out.bias.data.fill_(float("nan"))
    job = Run(Work(job="1", request=request_for("sd1")), lambda _: None, lambda: False)
    with pytest.raises(NotFinite, match="not numbers"):
        generate(job, studio)
    assert job.pictures == []
    assert not studio.settings.folders.outputs.exists()


def test_a_decoder_that_overflows_at_16_bit_is_run_at_32(studio: Studio) -> None:
    from backend.inference.decode import decode

    with studio.cache.use(studio.library.find("sd1"), lambda: None) as loaded:
        vae = loaded.components["vae"]
        latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
        vae.decoder.conv_in.weight.data.mul_(1e5)  # sums pass 65504, the largest half; group norm would bring them back
        expected = np.asarray(decode(vae, latents)).astype(int)
        vae.to(torch.float16)
        got = np.asarray(decode(vae, latents.half())).astype(int)
        assert vae.dtype == torch.float16
        assert np.abs(got - expected).mean() < 2
        assert got.std() > 1


def test_stopping_between_batches_keeps_the_finished_pictures(studio: Studio) -> None:
    told: list[Progress] = []
    job = Run(Work(job="1", request=request_for("sd1", batch_count=3)), told.append, lambda: bool(told) and told[-1].image == 2)
    with pytest.raises(Cancelled):
        generate(job, studio)
    assert [image.seed for image in job.pictures] == [5, 6]
    assert all(image.path and image.path.exists() for image in job.pictures)


@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row.id)
def test_rows_hold_together(row) -> None:
    defaults = row.defaults
    if row.task == "refine":
        with pytest.raises(BadRequest, match="only finish"):
            check(make_request(model="m"), row)
    else:
        check(
            make_request(
                model="m", width=defaults.width, height=defaults.height, steps=defaults.steps, guidance=defaults.guidance,
                sampler=defaults.sampler, scheduler=defaults.scheduler,
            ), row,
        )  # fmt: skip
    assert callable(named(row.conditioning))
    assert all(isinstance(named(code), type) for code in row.pipelines.values())
