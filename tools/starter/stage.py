"""One stage of training: its steps, weights, averaged weights, optimisers, and the checkpoint that it resumes from."""

# diffusers annotates its arguments more narrowly than it takes them.
# pyright: reportArgumentType=false

from __future__ import annotations

import math
import time
from pathlib import Path

import torch
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from tqdm import tqdm

from tools.starter.muon import Muon, hidden_weights

CHECKPOINT_EVERY_S = 180.0


class Stage:
    """The step count, weights, averaged weights and optimisers of one training stage, and their checkpoint file."""

    def __init__(self, path: Path, device: str, modules: list[nn.Module], steps: int, rate: float, hidden_rate: float) -> None:
        self.path = path
        self.modules = nn.ModuleList(modules).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.weights = [weight for weight in self.modules.parameters() if weight.requires_grad]
        hidden = hidden_weights(self.modules)
        among = {id(weight) for weight in hidden}
        rest = [weight for weight in self.weights if id(weight) not in among]
        self.optimizers = (Muon(hidden, lr=hidden_rate), torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.99), weight_decay=0.01, fused=True))
        self.rates = (hidden_rate, rate)
        self.average = EMAModel(self.weights, decay=0.9995 if steps > 3000 else 0.998, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
        self.steps, self.step, self.saved_at = steps, 0, time.monotonic()
        if self.path.exists():
            state = torch.load(self.path, map_location=device, weights_only=True)
            self.modules.load_state_dict(state["modules"])
            for optimizer, kept in zip(self.optimizers, state["optimizers"], strict=True):
                optimizer.load_state_dict(kept)
            self.average.load_state_dict(state["average"])
            self.average.to(device)
            self.step = state["step"]

    def advance(self, loss: Tensor) -> None:
        warm, left = min(1.0, (self.step + 1) / 50), self.step / self.steps
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        for optimizer, rate in zip(self.optimizers, self.rates, strict=True):
            optimizer.param_groups[0]["lr"] = rate * warm * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * left)))
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        self.average.step(self.weights)
        self.step += 1
        if self.step == self.steps or time.monotonic() - self.saved_at > CHECKPOINT_EVERY_S:
            self.save()

    def save(self) -> None:
        self.saved_at = time.monotonic()
        state = {
            "modules": self.modules.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": self.average.state_dict(),
            "step": self.step,
        }
        torch.save(state, self.path.with_suffix(".part"))
        self.path.with_suffix(".part").replace(self.path)

    def progress(self, name: str) -> tqdm:
        return tqdm(range(self.step, self.steps), initial=self.step, total=self.steps, desc=name, mininterval=10)
