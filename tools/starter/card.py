"""Write the model card from the weights, the plan and the scores."""

from __future__ import annotations

import json
import math
import textwrap
from pathlib import Path
from typing import Any

from safetensors import safe_open

from tools.starter.captions import vocabulary
from tools.starter.training import Plan

COMPONENTS = {"vae": "autoencoder", "unet": "UNet", "text_encoder": "text encoder"}

ROUNDS = ((4_000, 3_300), (3_200, 3_200))
"""Steps of the autoencoder, and of UNet with text encoder, in each round that made the weights that ship."""

TEMPLATE = """\
---
license: apache-2.0
library_name: diffusers
pipeline_tag: text-to-image
---

# Atelier's starter model

A small text-to-image diffusion model in Stable Diffusion's own layout, {megabytes:.1f} MB at 16 bit. It draws flat colour shapes on
coloured grounds and landscapes in the manner of travel posters, at {size}x{size}, without a graphics card. It is there so that Atelier
makes a picture before anything is downloaded, to be learned with, and to be tested against.

## What it is

{components}

The tokenizer is CLIP's, with a vocabulary of its own: one token for each known word, and pieces for every other word.
The autoencoder makes {channels} channels, 8 times smaller to each side than the picture; a picture that goes through it and back
keeps {psnr} dB (PSNR, {psnr_pictures} drawn pictures).

## What it was trained on

Pictures and captions that `tools/train_starter.py` draws and writes by itself from a fixed seed ({pictures:,} pictures: 128x128, 160x96
and 96x160). Nothing comes from anywhere else: no photograph, no artwork, no text, no weights of another model. One combination of facts
in twelve was kept out of training, to score with.

## How

- In {round_count} rounds, each from where the one before ended (`--begin-with`): {rounds}.
- The autoencoder: steps of {autoencoder_batch} pictures, squared error and a little absolute error. In the first round it was half as wide.
- UNet and text encoder together, on its latents: steps of {unet_batch}, every tenth caption empty so that guidance works.
- v-prediction on scaled-linear betas that end at {beta_end}, where Stable Diffusion's end at 0.012: latents here are so small (16x16)
  that at 0.012 the last noise level still lets the mean brightness through, and the model would learn to expect it there.
- In training the text encoder has a second task: to say which facts a caption states. It makes words mean something early.
- Muon for the weights between layers, AdamW for the rest, cosine decay, bfloat16 arithmetic, averaged weights; kept at 16 bit.

## What it scores

{count} prompts of combinations that it never trained on ({combinations} different ones), {steps} steps, guidance {guidance:g},
the folder's own scheduler, one picture each with a fixed seed, none chosen. The pictures are measured by a program that does not see
the prompt (colours in CIELAB, outlines against templates, the sky by its gradient, land and things by their likeness to drawn
pictures). *Right* means that all main facts are as asked: both colours and the shape; or time of day, land, and thing with its colour
(none where none is asked for). The last column is what the same measure says of {drawn} pictures that were drawn as asked.

{table}

`scores.json` has it all, with every picture that was not wholly right.

{control}## What it cannot do

It has seen the words below and nothing else: no people, animals, letters, styles or photographs. Made-up words were strewn into its
captions so that an unknown word does little harm. It has seen one shape or one thing to a picture, so counts and "two of" mean nothing to
it. It has seen {size}x{size}, 160x96 and 96x160 only; expect nothing good far from these.

## The words it knows

{words}

## Using it

```python
import torch
from diffusers import StableDiffusionPipeline

pipeline = StableDiffusionPipeline.from_pretrained("models/starter", dtype=torch.float32)
pipeline("a red house by snowy mountains at sunset", width={size}, height={size}, num_inference_steps={steps}, guidance_scale={guidance:g}).images[0]
```

float32 is for the CPU; on a graphics card `torch.float16` does.

## Making it again

`python3 tools/train_starter.py{flags}` trains it, resumably, and writes this folder; `python3 tools/train_starter.py{flags} --evaluate`
scores it and writes this card. Its own plan takes about as many steps in one
round, and has not been measured in that form. Versions: {versions}. Licence: Apache-2.0, as the project.
"""


CONTROL = """\
## Its ControlNet

`control/Starter Canny` ({megabytes:.1f} MB) makes it follow edges: Canny's, with thresholds {low} and {high}. It is the UNet's way down without
its attention, trained for {steps:,} steps of {batch} pictures on the edges of drawn pictures, three captions in ten empty. How well results
keep to the edges of {pictures} drawn pictures that it never saw (F-score of their edges, within one pixel; weight 0 is without it):

| weight | F-score |
|---:|---:|
{table}

"""


def _control(folder: Path, scores: dict[str, Any], plan: Plan) -> str:
    """The ControlNet's part of the card; nothing where there is none."""
    if "control" not in scores:
        return ""
    measured = scores["control"]
    size = sum(path.stat().st_size for path in (folder / "control").rglob("*.safetensors"))
    table = "\n".join(f"| {weight} | {score} |" for weight, score in measured["f_score_by_weight"].items())
    low, high = measured["thresholds"]
    return CONTROL.format(
        megabytes=size / 1e6, low=low, high=high, steps=plan.control_steps, batch=plan.control_batch, pictures=measured["pictures"], table=table
    )


def parameters(weights: Path) -> int:
    """How many numbers a safetensors file holds, from its header."""
    with safe_open(weights, "np") as file:
        return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118 - not a mapping


def _components(folder: Path) -> tuple[str, float]:
    """The table of components, and the size of all weights in MB (10^6 bytes)."""
    lines, size = ["| part | class | parameters | MB |", "|---|---|---:|---:|"], 0
    for name, title in COMPONENTS.items():
        files = sorted((folder / name).glob("*.safetensors"))
        own, kind = sum(path.stat().st_size for path in files), json.loads((folder / "model_index.json").read_text(encoding="utf-8"))[name][1]
        lines.append(f"| {title} | `{kind}` | {sum(map(parameters, files)):,} | {own / 1e6:.1f} |")
        size += own
    return "\n".join(lines), size / 1e6


def _table(scores: dict[str, Any]) -> str:
    lines = ["| | right | of | % | measure itself, % |", "|---|---:|---:|---:|---:|"]
    for kind, title in (("shapes", "Colour and shape prompts"), ("landscapes", "Landscapes"), ("both", "Both together")):
        for name, share in sorted(scores["scores"][kind].items(), key=lambda item: item[0] != "right"):
            label = {"right": f"**{title}: right**", "all": "everything asked for"}.get(name, name)
            ceiling = scores["measure_on_drawn_pictures"][kind].get(name, {}).get("percent", "")
            lines.append(f"| {label} | {share['right']} | {share['of']} | {share['percent']} | {ceiling} |")
    return "\n".join(lines)


def _flags(plan: Plan) -> str:
    """The plan's figures where they are not the tool's own."""
    own = Plan()
    names = ("seed", "pictures", "autoencoder_steps", "autoencoder_batch", "unet_steps", "unet_batch")
    return "".join(f" --{name.replace('_', '-')} {getattr(plan, name)}" for name in names if getattr(plan, name) != getattr(own, name))


def write_card(folder: Path, scores: dict[str, Any], plan: Plan) -> None:
    """Write `folder`/README.md. `scores` is what scores.json holds; `plan` must be the one that the model was trained with."""
    components, megabytes = _components(folder)
    settings, drawn = scores["settings"], scores["measure_on_drawn_pictures"]["both"]["right"]["of"]
    text = TEMPLATE.format(
        components=components, megabytes=megabytes, size=settings["width"], steps=settings["steps"], guidance=settings["guidance"],
        channels=json.loads((folder / "vae" / "config.json").read_text(encoding="utf-8"))["latent_channels"],
        psnr=scores["autoencoder_psnr_db"], psnr_pictures=scores["autoencoder_psnr_pictures"],
        pictures=plan.pictures, autoencoder_batch=plan.autoencoder_batch, unet_batch=plan.unet_batch, round_count=len(ROUNDS),
        rounds="; ".join(f"{first:,} steps of the autoencoder and {second:,} of the rest" for first, second in ROUNDS),
        beta_end=json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))["beta_end"],
        count=scores["prompts"]["count"], combinations=scores["prompts"]["different_combinations"], drawn=drawn, table=_table(scores),
        control=_control(folder, scores, plan), words=textwrap.fill(", ".join(vocabulary()), 130), flags=_flags(plan),
        versions=", ".join(f"{name} {number}" for name, number in scores["versions"].items()),
    )  # fmt: skip
    (folder / "README.md").write_text(text, encoding="utf-8")
