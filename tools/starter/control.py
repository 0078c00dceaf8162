"""Train the starter ControlNet: it makes the finished starter model follow the edges of a picture."""

# diffusers and transformers annotate their arguments more narrowly than they take them.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import ControlNetModel, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn

from backend.controlling import Control
from backend.inference.controlled import Unit, controlled
from tools.starter.dataset import Bucket, training_facts
from tools.starter.pictures import draw
from tools.starter.reading import answers
from tools.starter.scoring import BATCH, SEED, SIZE, STEPS, Prompt, generate, held_out_prompts
from tools.starter.stage import Stage
from tools.starter.training import Captioned, Plan, autocast, batch_rows, encoded, noise_steps, quick_attention

NAME = "Starter Canny"
FOLDER = Path("control") / NAME
"""Within the folder of the starter model."""

LOW, HIGH = 100, 200
"""Canny's thresholds, those that the page begins with."""

CONTROLLED = 100
"""Pictures to score with."""

WEIGHTS = (0.0, 0.5, 1.0)

SILENT_SHARE = 0.3
"""Of captions that are left empty, so that the edges have to be read."""


def edges(pictures: np.ndarray) -> np.ndarray:
    """White edges on black of uint8 pictures N x H x W x 3: N x H x W."""
    return np.stack([cv2.Canny(picture, LOW, HIGH) for picture in pictures])


def network(unet: UNet2DConditionModel) -> ControlNetModel:
    """The UNet's way down without its attention: edges say where, and the UNet itself has heard what.

    Layers that both have begin with the UNet's weights.
    """
    shape = unet.config
    made = ControlNetModel(
        in_channels=shape.in_channels, block_out_channels=shape.block_out_channels, layers_per_block=shape.layers_per_block,
        norm_num_groups=shape.norm_num_groups, cross_attention_dim=shape.cross_attention_dim, attention_head_dim=shape.attention_head_dim,
        down_block_types=("DownBlock2D",) * len(shape.block_out_channels), mid_block_type="UNetMidBlock2D",
        conditioning_embedding_out_channels=(16, 24, 32, 64),
    )  # fmt: skip
    theirs, own = unet.state_dict(), made.state_dict()
    made.load_state_dict({name: theirs[name] if name in theirs and theirs[name].shape == value.shape else value for name, value in own.items()})
    return made


def train_control(plan: Plan, buckets: list[Bucket], pipeline: StableDiffusionPipeline) -> ControlNetModel:
    """Squared error of the UNet's v-prediction with the ControlNet's word in it; UNet and text encoder stay as they are."""
    device, scheduler, words = plan.device, pipeline.scheduler, pipeline.tokenizer
    unet, text, vae = (part.to(device, torch.float32).eval().requires_grad_(False) for part in (pipeline.unet, pipeline.text_encoder, pipeline.vae))
    data = []
    for bucket in buckets:
        facts = [training_facts(seed)[0] for seed in bucket.seeds]
        data.append(Captioned(encoded(vae, bucket, plan), facts, answers(facts)))
    torch.manual_seed(plan.seed + 2)
    net = network(unet)
    stage = Stage(plan.work / "control.pt", device, [net], plan.control_steps, rate=1e-3, hidden_rate=4e-3)
    rng, phrasing = np.random.default_rng([plan.seed, 3, stage.step]), random.Random(f"{plan.seed}-control-{stage.step}")
    alphas = scheduler.alphas_cumprod.to(device)
    bar, recent = stage.progress("control"), 0.2
    with quick_attention(unet, text):
        for _ in bar:
            which, rows = batch_rows(buckets, plan.control_batch, rng)
            clean, prompts, _wanted = data[which].batch(rows, phrasing, SILENT_SHARE)
            clean = clean.to(device) * vae.config.scaling_factor
            tokens = words(prompts, padding="max_length", max_length=words.model_max_length, truncation=True, return_tensors="pt").input_ids
            times = torch.from_numpy(noise_steps(rng, len(rows), len(alphas))).to(device)
            signal, level = (part.view(-1, 1, 1, 1) for part in (alphas[times].sqrt(), (1 - alphas[times]).sqrt()))
            noise = torch.randn_like(clean)
            noisy = (signal * clean + level * noise).contiguous(memory_format=torch.channels_last)
            with autocast(plan):
                told = text(tokens.to(device)).last_hidden_state
                down, middle = net(noisy, times, told, shown(edges(buckets[which].pictures[rows]), device), return_dict=False)
                guess = unet(noisy, times, told, down_block_additional_residuals=down, mid_block_additional_residual=middle).sample
            loss = nn.functional.mse_loss(guess.float(), signal * noise - level * clean)
            stage.advance(loss)
            recent = 0.99 * recent + 0.01 * loss.item()
            bar.set_postfix(loss=f"{recent:.4f}", refresh=False)
    stage.average.copy_to(stage.weights)
    return net.eval()


def shown(maps: np.ndarray, device: str) -> Tensor:
    """uint8 N x H x W to float N x 3 x H x W, 0 to 1."""
    return torch.from_numpy(maps).to(device).float().div(255)[:, None].expand(-1, 3, -1, -1)


def agreement(wanted: np.ndarray, made: np.ndarray, reach: int = 1) -> float:
    """F-score of two edge maps, H x W, 0 to 1: an edge within `reach` pixels counts as met.

    The harmonic mean of precision and recall, as in D. Martin et al., "Learning to detect natural image boundaries", 2004.
    """
    around = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    asked, given = wanted > 0, made > 0
    if not asked.any() or not given.any():
        return float(asked.any() == given.any())
    precision = (given & (cv2.dilate(wanted, around) > 0)).sum() / given.sum()
    recall = (asked & (cv2.dilate(made, around) > 0)).sum() / asked.sum()
    return float(2 * precision * recall / max(precision + recall, 1e-9))


def _drawn(prompts: list[Prompt]) -> np.ndarray:
    return np.stack([np.asarray(draw(prompt.facts, random.Random(prompt.number), SIZE, SIZE)) for prompt in prompts])


def score(pipeline: StableDiffusionPipeline, folder: Path) -> dict[str, Any]:
    """How well results keep to the edges of drawn pictures of held-out facts, by weight: the mean `agreement`; 0 is without control."""
    net = ControlNetModel.from_pretrained(folder / FOLDER, dtype=torch.float32).to(pipeline.device)
    prompts = held_out_prompts(CONTROLLED, f"{SEED}-control")
    maps, scores = edges(_drawn(prompts)), {}
    for weight in WEIGHTS:
        met = []
        for start in range(0, CONTROLLED, BATCH):
            part = prompts[start : start + BATCH]
            unit = Unit(Control(weight=weight), "controlnet", net, shown(maps[start : start + BATCH], str(pipeline.device)))
            with controlled(pipeline.unet, [unit], guided=True, calls=STEPS):
                pictures = generate(pipeline, part)
            met += [agreement(wanted, cv2.Canny(np.asarray(picture), LOW, HIGH)) for wanted, picture in zip(maps[start:], pictures, strict=False)]
        scores[f"{weight:g}"] = round(float(np.mean(met)), 3)
    return {"pictures": CONTROLLED, "thresholds": [LOW, HIGH], "f_score_by_weight": scores}


def write(net: ControlNetModel, folder: Path) -> None:
    """Into the starter model's folder, at 16 bit."""
    net.to("cpu", torch.float16).save_pretrained(folder / FOLDER)
