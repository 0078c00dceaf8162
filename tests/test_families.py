"""Each family on a tiny real model: found, drawn through the one flow, and equal to diffusers' own run."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from backend.errors import BadRequest, Cancelled, NotFinite
from backend.families import FAMILIES, Family, check, family
from backend.hashes import Hashes
from backend.inference import memory
from backend.inference.cache import ModelCache, named
from backend.inference.generate import generate
from backend.inference.running import Run, Studio
from backend.inference.upscale import Networks
from backend.inputs import Inputs
from backend.library import Library, inspect
from backend.tokens import TokenCounter
from backend.types import Progress, Request, Work, make_request
from tests import tiny, tiny_transformers
from tests.conftest import settings_in

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "sd1": tiny.sd1, "sd2": tiny.sd2, "sdxl": tiny.sdxl, "hunyuan-dit": tiny.hunyuan_dit,
    "sd3-medium": tiny_transformers.sd3, "sd3.5-medium": tiny_transformers.sd35_medium, "sd3.5-large": tiny_transformers.sd35_large,
    "flux-schnell": tiny_transformers.flux_schnell, "flux-dev": tiny_transformers.flux_dev,
    "pixart-alpha": tiny_transformers.pixart_alpha, "pixart-sigma": tiny_transformers.pixart_sigma, "hidream": tiny_transformers.hidream,
    "qwen-image": tiny_transformers.qwen_image, "z-image": tiny_transformers.z_image, "z-image-turbo": tiny_transformers.z_image_turbo,
    "chroma": tiny_transformers.chroma, "sana": tiny_transformers.sana, "lumina2": tiny_transformers.lumina2,
    "auraflow": tiny_transformers.auraflow, "flux2-klein": tiny_transformers.flux2_klein,
    "flux2-klein-base": tiny_transformers.flux2_klein_base, "flux2-dev": tiny_transformers.flux2_dev,
}  # fmt: skip


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
    negative = {"negative_prompt": "blurry"} if "negative_prompt" in family(name).supports else {}
    return make_request(**{"prompt": "a red house", **negative, "model": name, "width": 64, "height": 96, "steps": 4, "seed": 5, **values})


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
    tells = model.family.own_size and "sample_size" in json.loads((models / name / family(name).denoiser / "config.json").read_text("utf-8"))
    size = (64, 64) if tells else (model.family.defaults.width, model.family.defaults.height)  # what this very denoiser was made for
    assert (model.defaults.width, model.defaults.height) == size


def pipelines_own(folder: Path, row: Family, request: Request) -> np.ndarray:
    """What diffusers draws for the request with the Euler solver and a plain schedule, with all parts at once."""
    pipe = named(row.pipelines["txt2img"]).from_pretrained(folder, dtype=torch.float32)
    if not row.flow:
        pipe.scheduler = diffusers.EulerDiscreteScheduler.from_config(pipe.scheduler.config, timestep_spacing="trailing")
    if row.fit:
        named(row.fit)(pipe, request.height, request.width)
    negative = {"negative_prompt": request.negative_prompt} if request.negative_prompt else {}
    return np.asarray(pipe(
        prompt=request.prompt, **negative, width=request.width, height=request.height, num_inference_steps=request.steps,
        generator=torch.Generator().manual_seed(request.seed), **{row.guidance_name: request.guidance - row.guidance_offset}, **row.call,
    ).images[0])  # fmt: skip


@pytest.mark.parametrize("name", BUILDERS)
def test_the_staged_flow_equals_the_pipelines_own(studio: Studio, models: Path, name: str) -> None:
    row = inspect(models / name).family
    how = {"sampler": row.defaults.sampler} if row.flow else {"sampler": "Euler", "scheduler": "SGM Uniform"}
    if name == "flux2-klein-base":
        how["negative_prompt"] = ""  # it has one, and its own pipeline takes none
    request = request_for(name, **how)
    (ours,), told = run(studio, request)
    assert np.array_equal(array(ours), pipelines_own(models / name, row, request))
    assert [progress.step for progress in told if progress.stage == "denoise"] == [0, 1, 2, 3, 4]
    assert any(progress.preview for progress in told)


@pytest.mark.parametrize("name", [name for name in BUILDERS if "negative_prompt" in family(name).supports])
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


@pytest.mark.parametrize(
    ("name", "part", "sentence"),
    [
        ("flux-dev", "text_encoder_2", "Its part “text_encoder_2”, a T5EncoderModel, is missing. Copy the whole folder again."),
        ("flux-dev", "text_encoder_2/config.json", "text_encoder_2/config.json is missing. Copy the whole folder again."),
        ("flux-dev", "tokenizer_2/tokenizer.json", "Its part “tokenizer_2” has no vocabulary. Copy the whole folder again."),
        ("hidream", "text_encoder_4", "Its part “text_encoder_4”, a LlamaForCausalLM, is missing. Copy the whole folder again."),
    ],
)
def test_a_part_that_is_missing_is_named(models: Path, tmp_path: Path, name: str, part: str, sentence: str) -> None:
    folder = tmp_path / name
    shutil.copytree(models / name, folder)
    (shutil.rmtree if (folder / part).is_dir() else Path.unlink)(folder / part)
    assert inspect(folder).problem == sentence


def test_a_part_that_was_left_out_on_purpose_is_missed_where_it_is_needed(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "flux"
    shutil.copytree(models / "flux-dev", folder)
    index = json.loads((folder / "model_index.json").read_text("utf-8"))
    (folder / "model_index.json").write_text(json.dumps({**index, "text_encoder_2": [None, None]}), "utf-8")
    assert "“text_encoder_2” is missing" in inspect(folder).problem


def test_a_missing_shard_is_named(models: Path, tmp_path: Path) -> None:
    folder = tmp_path / "flux"
    shutil.copytree(models / "flux-dev", folder)
    file = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    file.rename(file.with_name("part-1-of-2.safetensors"))
    weights = {"a": "part-1-of-2.safetensors", "b": "part-2-of-2.safetensors"}
    file.with_name(f"{file.name}.index.json").write_text(json.dumps({"weight_map": weights}), "utf-8")
    assert inspect(folder).problem == "transformer/part-2-of-2.safetensors is missing. Copy it again."


def test_stable_diffusion_3_draws_without_its_largest_encoder(studio: Studio, models: Path) -> None:
    folder = models / "without-t5"
    shutil.copytree(models / "sd3-medium", folder)
    for part in ("text_encoder_3", "tokenizer_3"):
        shutil.rmtree(folder / part)
    studio.library.refresh()
    (ours,), _ = run(studio, request_for("sd3-medium", model="without-t5"))
    (whole,), _ = run(studio, request_for("sd3-medium"))
    assert array(ours).shape == (96, 64, 3)
    assert (array(ours) != array(whole)).any()
    assert TokenCounter().count(inspect(folder), "a red house").limit == 75


@pytest.mark.parametrize(("name", "room"), [("sd1", 75), ("sd3-medium", 255), ("flux-schnell", 255), ("flux-dev", 511), ("pixart-alpha", 119)])
def test_a_prompt_is_cut_off_where_the_encoder_stops_and_that_is_said(studio: Studio, name: str, room: int) -> None:
    assert family(name).prompt_tokens == room
    studio.library.refresh()
    model = studio.library.find(name)
    with studio.cache.use(model, lambda: None) as loaded:
        for count in (room, room + 1):
            request = request_for(name, prompt="red " * count)
            told = named(model.family.conditioning)(loaded.pipeline("txt2img"), request)
            assert TokenCounter().count(model, request.prompt).count == count
            assert told.notes == ((f"The prompt has {count} tokens and this model reads the first {room}; the rest had no effect.",) * (count > room))


@pytest.mark.parametrize(
    ("name", "values", "field", "sentence"),
    [
        ("flux-dev", {"negative_prompt": "blurry"}, "negative_prompt", "in a single pass"),
        ("flux-dev", {"sampler": "Euler a"}, "sampler", "It can use: DPM++ 2M, "),
        ("flux-dev", {"scheduler": "DDIM"}, "scheduler", "cannot use the schedule type DDIM"),
        ("flux-dev", {"width": 72}, "width", "multiples of 16"),
        ("hidream", {"width": 1536, "height": 1024}, "height", "at most 1.05 million pixels"),
        ("pixart-alpha", {"steps": 1}, "steps", "2 steps at least"),
    ],
)
def test_what_a_family_cannot_do_is_said(name: str, values: dict[str, object], field: str, sentence: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check(request_for(name, **{"sampler": "Euler", **values}), family(name))
    assert sentence in refused.value.fields[field]


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
