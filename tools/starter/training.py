"""Train the autoencoder, then UNet with text encoder on its latents; each stage resumes from its last checkpoint."""

# diffusers and transformers annotate their arguments more narrowly than they take them.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny, StableDiffusionPipeline, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor, nn
from tqdm import tqdm
from transformers import CLIPTextModel

from tools.starter import networks
from tools.starter.captions import caption
from tools.starter.dataset import Bucket, load_or_draw, training_facts
from tools.starter.facts import Facts, ShapeFacts
from tools.starter.reading import NOT_ASKED, Reader, answers
from tools.starter.stage import Stage
from tools.starter.widening import widen

LATENT_NOISE = 0.04
"""Noise added to latents while the autoencoder trains, so that small errors of the UNet do not show."""

NEARNESS = 2e-3
"""Weight of latents' squared distance from those of the model gone on from: moving by a third costs as much as 0.5 dB gives."""

MIDDLE, MIDDLE_SHARE = -0.4, 0.7
"""Of the noise steps that training looks at: the mean of the logit-normal ones, and their share."""

POINTED = {"star": 3.0, "cross": 2.0}
"""Shapes that are looked at more often than others: their points and corners are learned last."""

EMPTY_SHARE = 0.1
"""Of captions that are left empty in training, so that guidance has something to lead away from."""

READING_WEIGHT = 0.02
"""Of the text encoder's second task; enough to lead at first, too little to matter once it can read."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and with what to train."""

    seed: int = 2026
    pictures: int = 30_000
    autoencoder_steps: int = 4_000
    autoencoder_batch: int = 16
    unet_steps: int = 5_600
    unet_batch: int = 48
    control_steps: int = 1_600
    control_batch: int = 32
    begin_with: str = ""
    """Folder of a finished starter model to go on from, at the networks' present sizes for the autoencoder."""
    device: str = "cpu"
    work: Path = Path(".training")


def autocast(plan: Plan) -> torch.autocast:
    """Arithmetic in bfloat16 while the block runs."""
    return torch.autocast(plan.device, torch.bfloat16)


def batch_rows(buckets: list[Bucket], size: int, rng: np.random.Generator, chances: list[np.ndarray] | None = None) -> tuple[int, np.ndarray]:
    """A bucket's number, chosen by its share of the pictures, and `size` of its rows in order, each by its chance (all alike without)."""
    counts = np.array([len(bucket.seeds) for bucket in buckets])
    which = int(rng.choice(len(buckets), p=counts / counts.sum()))
    return which, np.sort(rng.choice(counts[which], size, replace=False, p=chances[which] if chances else None))


def chances_of(facts: list[Facts]) -> np.ndarray:
    """How likely each picture is to be looked at, in all 1."""
    wanted = np.array([POINTED.get(one.shape, 1.0) if isinstance(one, ShapeFacts) else 1.0 for one in facts])
    return wanted / wanted.sum()


def _pixels(pictures: np.ndarray, device: str) -> Tensor:
    """uint8 N x H x W x 3 to float N x 3 x H x W in -1 to 1."""
    tensor = torch.from_numpy(np.ascontiguousarray(pictures)).to(device).permute(0, 3, 1, 2)
    return tensor.float().div(127.5).sub(1)


def _pixel_batch(plan: Plan, buckets: list[Bucket], rng: np.random.Generator) -> Tensor:
    """A batch for the autoencoder, as `_pixels` makes it."""
    which, rows = batch_rows(buckets, plan.autoencoder_batch, rng)
    return _pixels(buckets[which].pictures[rows], plan.device).contiguous(memory_format=torch.channels_last)


def train_autoencoder(plan: Plan, buckets: list[Bucket]) -> AutoencoderTiny:
    """Squared error and a little absolute error; latents are drawn to mean 0 and deviation 1, channel by channel.

    One that goes on from a finished model is drawn to that one's latents, as the UNet to go on with knows those.
    """
    torch.manual_seed(plan.seed)
    model, before = networks.autoencoder(), None
    if plan.begin_with:
        before = AutoencoderTiny.from_pretrained(plan.begin_with, subfolder="vae", dtype=torch.float32)
        widen(before, model)
        model.register_to_config(scaling_factor=before.config.scaling_factor)
        before = before.to(plan.device, memory_format=torch.channels_last).eval().requires_grad_(False)
    rate = 5e-4 if before else 2e-3
    stage = Stage(plan.work / "autoencoder.pt", plan.device, [model], plan.autoencoder_steps, rate=rate, hidden_rate=2.5 * rate)
    rng = np.random.default_rng([plan.seed, 1, stage.step])
    bar = stage.progress("autoencoder")
    for _ in bar:
        pixels = _pixel_batch(plan, buckets, rng)
        with autocast(plan):
            latents = model.encoder(pixels)
            noise = LATENT_NOISE * torch.randn_like(latents)
            error = (model.decoder(latents + noise).float() - pixels) / 2
            moved = nn.functional.mse_loss(latents, before.encoder(pixels)) if before else 0.0
        spread, middle = torch.std_mean(latents.float(), dim=(0, 2, 3))
        squared = error.square().mean()
        stage.advance(squared + 0.05 * error.abs().mean() + 1e-3 * (middle.square() + (spread - 1).square()).mean() + NEARNESS * moved)
        bar.set_postfix(psnr=f"{-10 * math.log10(squared.item()):.1f} dB", refresh=False)
    stage.average.copy_to(stage.weights)
    return model.eval().requires_grad_(False)


def encoded(model: AutoencoderTiny, bucket: Bucket, plan: Plan) -> Tensor:
    """`encode`, kept on the disk for a run that resumes."""
    height, width = bucket.pictures.shape[1:3]
    path = plan.work / f"latents-{plan.seed}-{width}x{height}-{len(bucket.seeds)}-{plan.autoencoder_steps}.pt"
    if not path.exists():
        torch.save(encode(model, bucket, plan), path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
    return torch.load(path, weights_only=True)


@torch.no_grad()
def encode(model: AutoencoderTiny, bucket: Bucket, plan: Plan) -> Tensor:
    """Latents of every picture of the bucket, float16, N x 8 x h x w."""
    parts = []
    for start in tqdm(range(0, len(bucket.seeds), 64), desc="encoding", mininterval=10):
        pixels = _pixels(bucket.pictures[start : start + 64], plan.device).contiguous(memory_format=torch.channels_last)
        with autocast(plan):  # bfloat16 is less than LATENT_NOISE away
            parts.append(model.encode(pixels).latents.half().cpu())
    return torch.cat(parts)


@contextlib.contextmanager
def quick_attention(unet: UNet2DConditionModel, text: CLIPTextModel) -> Iterator[None]:
    """While the block runs, attention in plain matrix products: on a CPU torch's fused one is a third slower backwards at these sizes."""
    fused, kind = unet.attn_processors, text.config._attn_implementation
    unet.set_attn_processor(AttnProcessor())
    text.set_attn_implementation("eager")
    try:
        yield
    finally:
        unet.set_attn_processor(fused)
        text.set_attn_implementation(kind)


@dataclass(frozen=True)
class Captioned:
    """All training latents of one size with what they show."""

    latents: Tensor
    """N x channels x h x w, float16, as the autoencoder makes them."""

    facts: list[Facts]
    answers: Tensor

    def batch(self, rows: np.ndarray, phrasing: random.Random, empty_share: float = EMPTY_SHARE) -> tuple[Tensor, list[str], Tensor]:
        """Latents, captions, phrased anew and a share of them empty, and what is to be read off those."""
        prompts = ["" if phrasing.random() < empty_share else caption(self.facts[row], phrasing) for row in rows]
        empty = torch.tensor([not prompt for prompt in prompts])
        return self.latents[rows].float(), prompts, self.answers[rows].masked_fill(empty[:, None], NOT_ASKED)


def noise_steps(rng: np.random.Generator, count: int, steps: int) -> np.ndarray:
    """How noisy each picture of a batch is, as numbers of noise steps, 0 to `steps` - 1.

    Mostly from the middle, where outlines are decided (logit-normal: P. Esser et al., "Scaling rectified flow
    transformers", 2024); the others from anywhere, so that the ends, where colours and places are, stay known.
    """
    middle = 1 / (1 + np.exp(-rng.normal(MIDDLE, 1.0, count)))
    anywhere = rng.random(count)
    return (np.where(rng.random(count) < MIDDLE_SHARE, middle, anywhere) * steps).astype(np.int64)


def train_unet(plan: Plan, buckets: list[Bucket], vae: AutoencoderTiny) -> StableDiffusionPipeline:
    """v-prediction; the text encoder also learns to say what a caption says."""
    data = []
    for bucket in buckets:
        facts = [training_facts(seed)[0] for seed in bucket.seeds]
        data.append(Captioned(encoded(vae, bucket, plan), facts, answers(facts)))
    if not plan.begin_with:
        vae.register_to_config(scaling_factor=round(1 / torch.cat([part.latents.flatten()[::7] for part in data]).float().std().item(), 4))
    torch.manual_seed(plan.seed + 1)
    words, scheduler = networks.tokenizer(), networks.scheduler()
    text, unet = networks.text_encoder(words), networks.unet()
    if plan.begin_with:
        text = CLIPTextModel.from_pretrained(plan.begin_with, subfolder="text_encoder", dtype=torch.float32).train()
        unet = UNet2DConditionModel.from_pretrained(plan.begin_with, subfolder="unet", dtype=torch.float32).train()
    reader = Reader(networks.TEXT_WIDTH)
    stage = Stage(plan.work / "unet.pt", plan.device, [unet, text, reader], plan.unet_steps, rate=1e-3, hidden_rate=4e-3)
    rng = np.random.default_rng([plan.seed, 2, stage.step])
    phrasing = random.Random(f"{plan.seed}-captions-{stage.step}")
    alphas = scheduler.alphas_cumprod.to(plan.device)
    bar, recent, chances = stage.progress("unet"), 1.0, [chances_of(part.facts) for part in data]
    with quick_attention(unet, text):
        for _ in bar:
            which, rows = batch_rows(buckets, plan.unet_batch, rng, chances)
            clean, prompts, wanted = data[which].batch(rows, phrasing)
            clean = clean.to(plan.device) * vae.config.scaling_factor
            tokens = words(prompts, padding="max_length", max_length=networks.TOKENS, truncation=True, return_tensors="pt").input_ids
            times = torch.from_numpy(noise_steps(rng, len(rows), len(alphas))).to(plan.device)
            signal, level = (part.view(-1, 1, 1, 1) for part in (alphas[times].sqrt(), (1 - alphas[times]).sqrt()))
            noise = torch.randn_like(clean)
            noisy = (signal * clean + level * noise).contiguous(memory_format=torch.channels_last)
            with autocast(plan):
                told = text(tokens.to(plan.device))
                guess = unet(noisy, times, told.last_hidden_state).sample
                reading = reader(told.pooler_output, wanted.to(plan.device))
            loss = nn.functional.mse_loss(guess.float(), signal * noise - level * clean)
            stage.advance(loss + READING_WEIGHT * reading)
            recent = 0.99 * recent + 0.01 * loss.item()
            bar.set_postfix(loss=f"{recent:.4f}", reading=f"{reading.item():.2f}", refresh=False)
    stage.average.copy_to(stage.weights)
    return StableDiffusionPipeline(
        vae=vae, text_encoder=text.eval(), tokenizer=words, unet=unet.eval(), scheduler=scheduler,
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def autoencoder_psnr(model: AutoencoderTiny, bucket: Bucket, plan: Plan, count: int = 512) -> float:
    """Peak signal-to-noise ratio in dB over the last `count` pictures, through 8-bit output as a user sees it."""
    pixels = _pixels(bucket.pictures[-count:], plan.device)
    with torch.no_grad():
        decoded = torch.cat([model.decode(model.encode(part).latents).sample.clamp(-1, 1) for part in pixels.split(32)])
    error = ((decoded * 127.5).round() - (pixels * 127.5).round()) / 255
    return -10 * math.log10(error.square().mean().item())


def train(plan: Plan, folder: Path) -> None:
    """Draw, train both stages and the ControlNet, and write it all to `folder` at 16 bit."""
    plan.work.mkdir(parents=True, exist_ok=True)
    buckets = load_or_draw(plan.work, plan.seed, plan.pictures)
    vae = train_autoencoder(plan, buckets)
    tqdm.write(f"autoencoder: {autoencoder_psnr(vae, buckets[0], plan):.2f} dB")
    pipeline = train_unet(plan, buckets, vae)
    pipeline.to(device="cpu", dtype=torch.float16)
    pipeline.save_pretrained(folder)
    control(plan, folder)


def control(plan: Plan, folder: Path) -> None:
    """Train the ControlNet for the finished model in `folder`, and write it there."""
    from tools.starter.control import train_control, write

    plan.work.mkdir(parents=True, exist_ok=True)
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    write(train_control(plan, load_or_draw(plan.work, plan.seed, plan.pictures), pipeline), folder)
