"""Score the model on prompts it never trained on, by measuring what it made of them."""

from __future__ import annotations

import json
import random
import sys
import textwrap
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image, ImageDraw
from tqdm import tqdm

from tools.starter.captions import SYNONYMS, caption, vocabulary
from tools.starter.card import write_card
from tools.starter.dataset import Bucket
from tools.starter.facts import Facts, SceneFacts, ShapeFacts, is_held_out, scene_facts, shape_facts
from tools.starter.measuring import measure_shape
from tools.starter.pictures import draw
from tools.starter.recognising import Recogniser
from tools.starter.training import Plan, autoencoder_psnr

SEED = "evaluation"
PROMPTS, DRAWN = 300, 400
SIZE, STEPS, GUIDANCE, BATCH = 128, 20, 5.0, 20
PSNR_PICTURES = 256
SHEET_PICTURES, SHEET_COLUMNS = 100, 10

KINDS = {"shapes": "colour and shape prompts", "landscapes": "landscapes"}
MAIN = {"shapes": ("colour of the shape", "shape", "colour of the ground"), "landscapes": ("time of day", "land", "thing and its colour")}
"""What has to be as asked for a picture to count as right."""

Marks = dict[str, bool]
"""For everything that a prompt asks for, whether the picture shows it."""


@dataclass(frozen=True)
class Prompt:
    """What one picture is asked to show. Its number is the seed of its noise."""

    number: int
    facts: Facts
    text: str

    @property
    def kind(self) -> str:
        return "shapes" if isinstance(self.facts, ShapeFacts) else "landscapes"


@dataclass(frozen=True)
class Judged:
    """A prompt, what was seen in its picture, and what of it is as asked."""

    prompt: Prompt
    seen: Facts
    marks: Marks

    @property
    def right(self) -> bool:
        return all(self.marks[name] for name in MAIN[self.prompt.kind])


def held_out_prompts(count: int, seed: str = SEED) -> list[Prompt]:
    """`count` prompts of combinations that training never sees: of every five, two for shapes and three for landscapes."""
    return [_held_out_prompt(number, seed) for number in range(count)]


def _held_out_prompt(number: int, seed: str) -> Prompt:
    rng = random.Random(f"{seed}-{number}")
    facts_of: Callable[[random.Random], Facts] = shape_facts if number % 5 < 2 else scene_facts
    while not is_held_out(facts := facts_of(rng)):
        pass
    return Prompt(number, facts, caption(facts, rng))


def mark(prompt: Prompt, seen: Facts) -> Marks:
    """Compare what was asked with what was seen. Where no time of day is said, day is expected, as in training."""
    asked = prompt.facts
    if isinstance(asked, ShapeFacts) and isinstance(seen, ShapeFacts):
        marks = {"colour of the shape": asked.colour == seen.colour, "shape": asked.shape == seen.shape}
        marks |= {"colour of the ground": asked.ground == seen.ground}
        marks |= {"size": asked.size == seen.size} if asked.size else {}
        return marks | ({"place": asked.place == seen.place} if asked.place else {})
    if isinstance(asked, SceneFacts) and isinstance(seen, SceneFacts):
        thing = (asked.thing, asked.thing_colour) == (seen.thing, seen.thing_colour)
        marks = {"time of day": asked.time == seen.time, "land": asked.land == seen.land, "thing and its colour": thing}
        marks |= {"sun or moon": asked.body == seen.body} if asked.body else {}
        if _says_side(prompt.text, SYNONYMS.get(asked.thing, ()), asked.thing_side):
            marks["side of the thing"] = asked.thing_side == seen.thing_side
        if _says_side(prompt.text, (asked.body,), asked.body_side):
            marks["side of sun or moon"] = asked.body_side == seen.body_side
        return marks
    raise TypeError("asked for one kind of picture and measured another")


def _says_side(text: str, words: tuple[str, ...], side: str) -> bool:
    return bool(side) and any(f"{word} on the {side}" in text for word in words)


def judge(prompt: Prompt, picture: Image.Image, recogniser: Recogniser) -> Judged:
    """Measure the picture, knowing only which kind it should be, and compare."""
    seen = measure_shape(picture) if prompt.kind == "shapes" else recogniser.measure_scene(picture)
    return Judged(prompt, seen, mark(prompt, seen))


def _share(marks: list[bool]) -> dict[str, float]:
    return {"right": sum(marks), "of": len(marks), "percent": round(100 * sum(marks) / max(len(marks), 1), 1)}


def tally(judged: list[Judged]) -> dict[str, dict[str, dict[str, float]]]:
    """For each kind and both: everything asked for, `right` (all of MAIN) and `all` (whatever was asked): right, of, percent."""
    table = {}
    for kind in (*KINDS, "both"):
        some = [one for one in judged if kind in ("both", one.prompt.kind)]
        names = [] if kind == "both" else dict.fromkeys(name for one in some for name in one.marks)
        table[kind] = {name: _share([one.marks[name] for one in some if name in one.marks]) for name in names}
        table[kind]["right"] = _share([one.right for one in some])
        table[kind]["all"] = _share([all(one.marks.values()) for one in some])
    return table


def measure_on_drawn(recogniser: Recogniser, count: int = DRAWN) -> list[Judged]:
    """What the measure itself gets right: `count` pictures of held-out facts, drawn as asked."""
    prompts = held_out_prompts(count, f"{SEED}-drawn")
    return [judge(prompt, draw(prompt.facts, random.Random(prompt.number), SIZE, SIZE), recogniser) for prompt in prompts]


def generate(pipeline: StableDiffusionPipeline, prompts: list[Prompt]) -> list[Image.Image]:
    """One picture for each prompt, SIZE x SIZE, with noise from a CPU generator seeded with the prompt's number."""
    pipeline.set_progress_bar_config(disable=True)
    pictures = []
    for start in tqdm(range(0, len(prompts), BATCH), desc="generating", mininterval=5):
        batch = prompts[start : start + BATCH]
        made: Any = pipeline(
            [prompt.text for prompt in batch], width=SIZE, height=SIZE, num_inference_steps=STEPS, guidance_scale=GUIDANCE,
            generator=[torch.Generator("cpu").manual_seed(prompt.number) for prompt in batch],
        )  # fmt: skip
        pictures.extend(made.images)
    return pictures


def _psnr(pipeline: StableDiffusionPipeline, plan: Plan) -> float:
    prompts = held_out_prompts(PSNR_PICTURES, f"{SEED}-psnr")
    pictures = np.stack([np.asarray(draw(prompt.facts, random.Random(prompt.number), SIZE, SIZE)) for prompt in prompts])
    bucket = Bucket(pictures, tuple(str(prompt.number) for prompt in prompts))
    return autoencoder_psnr(pipeline.vae, bucket, plan, PSNR_PICTURES)


def contact_sheet(judged: list[Judged], pictures: list[Image.Image]) -> Image.Image:
    """Pictures with their prompts below, ten to a row, wrong ones in a red frame."""
    wide, high = SIZE + 16, SIZE + 52
    sheet = Image.new("RGB", (SHEET_COLUMNS * wide, -(-len(judged) // SHEET_COLUMNS) * high), "white")
    pen = ImageDraw.Draw(sheet)
    for place, (one, picture) in enumerate(zip(judged, pictures, strict=True)):
        left, top = place % SHEET_COLUMNS * wide + 8, place // SHEET_COLUMNS * high + 8
        if not one.right:
            pen.rectangle([left - 5, top - 5, left + SIZE + 4, top + SIZE + 4], fill=(222, 20, 30))
        sheet.paste(picture, (left, top))
        pen.multiline_text((left, top + SIZE + 4), textwrap.fill(one.prompt.text, 27, max_lines=3), fill="black", font_size=10, spacing=1)
    return sheet


def report(scores: dict[str, Any]) -> str:
    """The scores as a table for a person: attribute, right, of, percent, and what the measure gets right on drawn pictures."""
    lines = [f"{'':34}{'right':>6}{'of':>6}{'%':>8}{'measure itself, %':>20}"]
    for kind, title in (*KINDS.items(), ("both", "both together")):
        lines.append(title)
        for name, share in scores["scores"][kind].items():
            label = {"right": "RIGHT (main facts)", "all": "everything asked for"}.get(name, name)
            ceiling = scores["measure_on_drawn_pictures"][kind].get(name, {}).get("percent", float("nan"))
            lines.append(f"  {label:32}{share['right']:6}{share['of']:6}{share['percent']:8.1f}{ceiling:20.1f}")
    drawn = scores["measure_on_drawn_pictures"]["both"]
    lines.append(f"the measure itself on drawn pictures: {drawn['right']['percent']} % right, {drawn['all']['percent']} % with everything asked for")
    if "control" in scores:
        told = ", ".join(f"{score} at weight {weight}" for weight, score in scores["control"]["f_score_by_weight"].items())
        lines.append(f"edges kept to (F-score over {scores['control']['pictures']} pictures): {told}")
    return "\n".join([*lines, f"autoencoder: {scores['autoencoder_psnr_db']} dB over {scores['autoencoder_psnr_pictures']} drawn pictures"])


def _wrong(one: Judged) -> dict[str, Any]:
    missed = [name for name, right in one.marks.items() if not right]
    return {"number": one.prompt.number, "prompt": one.prompt.text, "missed": missed, "seen": asdict(one.seen)}


def _conditions(pipeline: StableDiffusionPipeline, prompts: list[Prompt]) -> dict[str, Any]:
    """What the scores depend on."""
    scheduler, device = type(pipeline.scheduler).__name__, pipeline.device.type
    return {
        "prompts": {"count": len(prompts), "different_combinations": len({prompt.facts.combination for prompt in prompts}), "seed": SEED},
        "settings": {"width": SIZE, "height": SIZE, "steps": STEPS, "guidance": GUIDANCE, "scheduler": scheduler, "device": device},
        "versions": {name: version(name) for name in ("torch", "diffusers", "transformers", "numpy", "pillow")},
    }


def evaluate(folder: Path, plan: Plan) -> dict[str, Any]:
    """Score the model in `folder`; write scores.json, README.md and words.txt there and scores.png to `plan.work`.

    Returns what scores.json holds. Takes some minutes on two CPU cores.
    """
    recogniser, prompts = Recogniser(), held_out_prompts(PROMPTS)
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32).to(plan.device)
    pictures = generate(pipeline, prompts)
    judged = [judge(prompt, picture, recogniser) for prompt, picture in zip(prompts, pictures, strict=True)]
    scores = {
        **_conditions(pipeline, prompts),
        "scores": tally(judged),
        "measure_on_drawn_pictures": tally(measure_on_drawn(recogniser)),
        "autoencoder_psnr_db": round(_psnr(pipeline, plan), 2),
        "autoencoder_psnr_pictures": PSNR_PICTURES,
        "wrong": [_wrong(one) for one in judged if not all(one.marks.values())],
    }
    if (folder / "control").is_dir():
        from tools.starter.control import score  # which generates as this module does

        scores["control"] = score(pipeline, folder)
    (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    (folder / "words.txt").write_text("\n".join(vocabulary()) + "\n", encoding="utf-8")
    write_card(folder, scores, plan)
    plan.work.mkdir(parents=True, exist_ok=True)
    contact_sheet(judged[:SHEET_PICTURES], pictures[:SHEET_PICTURES]).save(plan.work / "scores.png")
    sys.stdout.write(report(scores) + "\n")
    return scores
