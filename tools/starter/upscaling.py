"""Train the starter upscaler: 4x, RealESRGAN's Compact architecture, on drawn pictures and the same four times smaller."""

# spandrel's networks are annotated more loosely than they are.
# pyright: reportArgumentType=false

from __future__ import annotations

import json
import math
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageFilter
from PIL.Image import Resampling
from safetensors.torch import save_file
from spandrel.architectures.Compact import Compact
from torch import Tensor, nn
from tqdm import tqdm

from tools.starter.dataset import training_facts
from tools.starter.pictures import draw
from tools.starter.scoring import held_out_prompts
from tools.starter.stage import Stage

SCALE = 4
LARGE = 512
"""Pixels to each side of the pictures it learns to make; those that go in have a quarter."""

FILE_NAME = "Starter 4x.safetensors"
SOFTEST = 0.6
"""Every other picture goes in blurred by up to this many pixels, since a model's own pictures are softer than drawn ones."""

HELD_OUT = 96


@dataclass(frozen=True, kw_only=True)
class UpscalerPlan:
    """How long and with what to train."""

    seed: int = 2026
    pictures: int = 1_000
    steps: int = 3_000
    batch: int = 16
    patch: int = 32
    """Pixels to each side of what goes in."""
    device: str = "cpu"
    work: Path = Path(".training")


def network() -> Compact:
    return Compact(num_feat=32, num_conv=12, upscale=SCALE)


def _large(seed: str) -> np.ndarray:
    facts, rng = training_facts(seed)
    return np.asarray(draw(facts, rng, LARGE, LARGE))


def large_pictures(plan: UpscalerPlan) -> np.ndarray:
    """N x 512 x 512 x 3, uint8, drawn with all cores where `plan.work` does not hold them yet."""
    plan.work.mkdir(parents=True, exist_ok=True)
    path = plan.work / f"large-{plan.seed}-{plan.pictures}.npy"
    if not path.exists():
        pictures = np.lib.format.open_memmap(path.with_suffix(".part"), "w+", np.uint8, (plan.pictures, LARGE, LARGE, 3))
        seeds = [f"{plan.seed}-large-{index}" for index in range(plan.pictures)]
        with ProcessPoolExecutor() as pool:
            for index, picture in enumerate(tqdm(pool.map(_large, seeds, chunksize=20), total=len(seeds), desc="drawing")):
                pictures[index] = picture
        pictures.flush()
        path.with_suffix(".part").rename(path)
    return np.load(path, mmap_mode="r")


def small(picture: Image.Image) -> Image.Image:
    """What goes in: the mean of every 4 x 4 pixels, which is how smaller pictures are drawn too."""
    return picture.reduce(SCALE)


def _pair(picture: np.ndarray, plan: UpscalerPlan, rng: random.Random) -> tuple[np.ndarray, np.ndarray]:
    """A patch that goes in and what should come out of it, turned and mirrored by chance."""
    side = plan.patch * SCALE
    left, top = (rng.randrange(0, LARGE - side + 1, SCALE) for _ in range(2))
    wanted = np.rot90(picture[top : top + side, left : left + side], rng.randrange(4))
    wanted = np.ascontiguousarray(wanted[:, ::-1] if rng.random() < 0.5 else wanted)
    given = small(Image.fromarray(wanted))
    if rng.random() < 0.5:
        given = given.filter(ImageFilter.GaussianBlur(rng.uniform(0, SOFTEST)))
    return np.asarray(given), wanted


def _tensor(pictures: list[np.ndarray], device: str) -> Tensor:
    """N of H x W x 3, uint8, as N x 3 x H x W, 0 to 1."""
    return torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2).float().div(255).contiguous(memory_format=torch.channels_last)


def train(plan: UpscalerPlan, folder: Path) -> None:
    """Absolute error on patches; writes the averaged weights to `folder` at 16 bit."""
    pictures = large_pictures(plan)
    torch.manual_seed(plan.seed)
    model = network()
    stage = Stage(plan.work / "upscaler.pt", plan.device, [model], plan.steps, rate=1e-3, hidden_rate=2e-3)
    rng = random.Random(f"{plan.seed}-patches-{stage.step}")
    bar = stage.progress("upscaler")
    for _ in bar:
        pairs = [_pair(pictures[rng.randrange(len(pictures))], plan, rng) for _ in range(plan.batch)]
        given, wanted = (_tensor(list(side), plan.device) for side in zip(*pairs, strict=True))
        with torch.autocast(plan.device, torch.bfloat16):
            made = model(given).float()
        loss = nn.functional.l1_loss(made, wanted)
        stage.advance(loss)
        bar.set_postfix(error=f"{loss.item():.5f}", refresh=False)
    stage.average.copy_to(stage.weights)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: weight.detach().to("cpu", torch.float16).contiguous() for name, weight in model.state_dict().items()}
    save_file(weights, folder / FILE_NAME, metadata={"format": "pt", "license": "Apache-2.0"})


CARD = """\
---
license: apache-2.0
---

# Atelier's starter upscaler

Makes pictures four times as large: {megabytes:.2f} MB at 16 bit, RealESRGAN's Compact architecture (32 channels, 12 convolutions between the
first and the last), readable by anything that reads `.safetensors` upscalers. It learned from flat shapes and poster landscapes that
`tools/train_upscaler.py` draws by itself, at {to}x{to} and the same at {given}x{given}; nothing comes from anywhere else. On drawings with clear
edges it is at home; photographs get no new detail from it.

On {pictures} drawn pictures of combinations that it never saw it reaches {psnr_db} dB (PSNR); bicubic interpolation reaches {bicubic_psnr_db} dB:
{ahead_db} dB ahead. `python3 tools/train_upscaler.py` trains it again, `--evaluate` measures it. Licence: Apache-2.0, as the project.
"""


def psnr(made: Image.Image, wanted: Image.Image) -> float:
    """Peak signal-to-noise ratio of two RGB pictures in dB."""
    error = (np.asarray(made, np.float64) - np.asarray(wanted, np.float64)) / 255
    return -10 * math.log10(float(np.square(error).mean()))


def evaluate(folder: Path) -> dict[str, Any]:
    """Mean PSNR on drawn pictures of combinations that training never saw, beside bicubic's. Writes it to `folder`/scores.json and README.md."""
    from backend.inference import memory
    from backend.inference.upscale import Networks, through
    from backend.upscalers import Upscaler

    network = Networks(memory.choose("cpu")).get(Upscaler(Path(FILE_NAME).stem, folder / FILE_NAME))
    ours, bicubic = [], []
    for prompt in held_out_prompts(HELD_OUT, "upscaler"):
        wanted = draw(prompt.facts, random.Random(prompt.number), LARGE, LARGE)
        given = small(wanted)
        ours.append(psnr(through(network, given, lambda: None, lambda _: None), wanted))
        bicubic.append(psnr(given.resize(wanted.size, Resampling.BICUBIC), wanted))
    means = {"psnr_db": round(float(np.mean(ours)), 2), "bicubic_psnr_db": round(float(np.mean(bicubic)), 2)}
    ahead = round(means["psnr_db"] - means["bicubic_psnr_db"], 2)
    scores: dict[str, Any] = {**means, "ahead_db": ahead, "pictures": HELD_OUT, "given": LARGE // SCALE, "to": LARGE}
    (folder / "README.md").write_text(CARD.format(megabytes=(folder / FILE_NAME).stat().st_size / 1e6, **scores), encoding="utf-8")
    (folder / "scores.json").write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    return scores
