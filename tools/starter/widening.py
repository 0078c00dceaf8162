"""Make a trained autoencoder larger without changing what it does: a larger one then goes on from there (T. Chen et al., "Net2Net", 2016)."""

from __future__ import annotations

from itertools import groupby

import torch
from diffusers import AutoencoderTiny
from diffusers.models.autoencoders.vae import AutoencoderTinyBlock
from torch import nn


@torch.no_grad()
def widen(trained: AutoencoderTiny, larger: AutoencoderTiny) -> None:
    """Give `larger`, fresh, the weights of `trained`; its own channels and blocks beyond those do not speak yet.

    Every stage of `larger` has at least the channels and blocks of the other, and blocks only where the other has some.
    """
    for small, large in ((trained.encoder.layers, larger.encoder.layers), (trained.decoder.layers, larger.decoder.layers)):
        for few, many in zip(_runs(small), _runs(large), strict=True):
            for old, new in zip(few, many, strict=False):
                for part, place in zip(_convolutions(old), _convolutions(new), strict=True):
                    _take_over(part, place)
            for added in many[len(few) :]:
                last = _convolutions(added)[-1]  # a block adds what this gives to what came in
                last.weight.zero_()
                assert last.bias is not None
                last.bias.zero_()


def _runs(layers: nn.Sequential) -> list[list[nn.Module]]:
    """The blocks of each stage together, and what lies between stages."""
    return [list(run) for _, run in groupby(layers, lambda layer: isinstance(layer, AutoencoderTinyBlock))]


def _convolutions(layer: nn.Module) -> list[nn.Conv2d]:
    return [part for part in layer.modules() if isinstance(part, nn.Conv2d)]


def _take_over(trained: nn.Conv2d, larger: nn.Conv2d) -> None:
    out, into = trained.weight.shape[:2]
    larger.weight[:out, into:] = 0
    larger.weight[:out, :into] = trained.weight
    if trained.bias is not None and larger.bias is not None:
        larger.bias[:out] = trained.bias
