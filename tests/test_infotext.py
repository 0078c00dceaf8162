"""A1111's text: written as A1111 writes it, read better than A1111 reads it."""

from __future__ import annotations

import pytest

from backend import infotext
from backend.types import make_request


@pytest.mark.parametrize("prompt", ["a cat", "", "line one\nline two", "ratio: 3:4, lens: 50mm, mood: dark", "ünïcode “quotes” 猫", "a, b: c"])
@pytest.mark.parametrize("negative", ["", "blurry, bad", "two\nlines"])
def test_round_trip(prompt: str, negative: str) -> None:
    request = make_request(
        prompt=prompt, negative_prompt=negative, model="my, model: v2", width=512, height=768, steps=33, guidance=6.5, sampler="DPM2 a"
    )
    read = infotext.read(infotext.write(request, seed=77, model_hash="6ce0161689", version="atelier 0.1"))
    assert (read.prompt, read.negative_prompt) == (prompt, negative)
    assert read.values == {
        "Steps": "33", "Sampler": "DPM2 a", "Schedule type": "Karras", "CFG scale": "6.5", "Seed": "77", "Size": "512x768",
        "Model hash": "6ce0161689", "Model": "my, model: v2", "RNG": "CPU", "Version": "atelier 0.1",
    }  # fmt: skip


def test_written_as_a1111_writes_it() -> None:
    request = make_request(prompt="wood table top", negative_prompt="ugly", model="v1-5", sampler="Euler a", steps=25)
    text = infotext.write(request, seed=1057871485, model_hash="7460a6fa", version="atelier 0.1")
    assert text.splitlines()[0] == "wood table top"
    assert text.splitlines()[1] == "Negative prompt: ugly"
    assert text.splitlines()[2].startswith(
        "Steps: 25, Sampler: Euler a, Schedule type: Uniform, CFG scale: 7, Seed: 1057871485, Size: 512x512, Model hash: 7460a6fa"
    )


def test_a_prompt_that_looks_like_parameters_stays_a_prompt() -> None:
    text = "a poster\nratio: 3:4, lens: 50mm, mood: dark"
    assert infotext.read(text) == infotext.Parameters(text, "", {})


def test_two_known_keys_are_parameters() -> None:
    assert infotext.read("a cat\nSteps: 5, Seed: 1").values == {"Steps": "5", "Seed": "1"}


def test_braces_brackets_and_quotes_keep_their_commas() -> None:
    line = 'Steps: 20, Seed: 5, Lora hashes: "a: 1, b: 2", Hashes: {"model": "a", "lora:foo": "b}"}, Civitai resources: [{"x": 1}, {"y": 2}], Version: v1'
    values = infotext.read("p\n" + line).values
    assert values["Lora hashes"] == "a: 1, b: 2"
    assert values["Hashes"] == '{"model": "a", "lora:foo": "b}"}'
    assert values["Civitai resources"] == '[{"x": 1}, {"y": 2}]'
    assert values["Version"] == "v1"
    assert "lora" not in values


@pytest.mark.parametrize(
    "text",
    [
        "a beret, ((eyeshadow))\nNegative prompt: ugly, [blurry]\nSteps: 20, Sampler: Euler a, CFG scale: 7, Seed: 965400086, Size: 512x512, Model hash: 45dee52b",
        "x\nSteps: 13, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 4, Seed: -353763303, Face restoration: CodeFormer, Size: 1216x832, "
        "Refiner: sd_xl_refiner_1.0 [7440042bbd], Refiner switch at: 0.7, Version: v1.10.1",
    ],
)
def test_real_examples(text: str) -> None:
    read = infotext.read(text)
    assert read.values["Steps"] in ("20", "13")
    assert int(read.values["Seed"])
    assert "Steps" not in read.prompt + read.negative_prompt


@pytest.mark.parametrize("text", ["", "\n\n", "Steps: ", 'Steps: 1, Seed: "', "Steps: 1, Seed: {[}", ": , : ,", "Negative prompt:", "\x00\udcff"])
def test_rubbish_never_raises(text: str) -> None:
    infotext.read(text)
