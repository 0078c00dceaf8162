"""Muon, an optimiser that gives every hidden weight matrix an orthogonal step: here it needs half the steps of AdamW, or fewer."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the iteration (K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024)."""

ITERATIONS = 5

ADAM_SIZE = 0.2
"""Root mean square of a step by AdamW, which Muon's steps are scaled to (J. Liu et al., "Muon is scalable for LLM training", 2025)."""

HIDDEN_CHANNELS = 16
"""Layers with fewer channels than this on one side touch pixels or latents; those and embeddings are better off with AdamW."""


def hidden_weights(modules: nn.Module) -> list[Tensor]:
    """The weights of all linear layers and convolutions that lie between others."""
    layers = (layer for layer in modules.modules() if isinstance(layer, (nn.Linear, nn.Conv2d)))
    return [layer.weight for layer in layers if layer.weight.requires_grad and min(layer.weight.shape[:2]) >= HIDDEN_CHANNELS]


def orthogonal(matrices: Tensor) -> Tensor:
    """Matrices, N x rows x columns, with their singular values drawn to about 1 (0.7 to 1.2), in bfloat16."""
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Muon(torch.optim.Optimizer):
    """For weights of two dimensions or more; those of a convolution count as one row for each channel that goes out.

    torch has a Muon for matrices only, one at a time; this one takes all of a shape together, which is what makes it
    cheap for many small ones.
    """

    def __init__(self, weights: Iterable[Tensor], lr: float, momentum: float = 0.95, weight_decay: float = 0.01) -> None:
        super().__init__(list(weights), {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            alike: dict[tuple[int, int], list[Tensor]] = defaultdict(list)
            for weight in group["params"]:
                if weight.grad is not None:
                    alike[len(weight), weight[0].numel()].append(weight)
            for (rows, columns), weights in alike.items():
                heading = torch.stack([self._heading(weight, group["momentum"]).reshape(rows, columns) for weight in weights])
                size = ADAM_SIZE * max(rows, columns) ** 0.5
                for weight, step in zip(weights, orthogonal(heading).float(), strict=True):
                    weight.mul_(1 - group["lr"] * group["weight_decay"])
                    weight.add_(step.reshape(weight.shape), alpha=-group["lr"] * size)

    def _heading(self, weight: Tensor, momentum: float) -> Tensor:
        """Nesterov's look ahead along the running mean of gradients."""
        assert weight.grad is not None
        mean = self.state[weight].setdefault("mean", torch.zeros_like(weight))
        mean.lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(mean, momentum)
