"""Prompts become embeddings, family by family."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from backend.types import Request


@dataclass(frozen=True)
class Conditioning:
    """What the denoiser is told."""

    embeddings: dict[str, Tensor | None]
    """Arguments of the pipeline's call, each for one image: first dimension 1."""
    notes: tuple[str, ...] = ()

    def repeated(self, count: int) -> dict[str, Tensor | None]:
        """The same for a batch of `count` images."""
        return {name: None if value is None else value.expand(count, *value.shape[1:]) for name, value in self.embeddings.items()}


@torch.inference_mode()
def encode_clip(pipe: Any, request: Request) -> Conditioning:
    """One CLIP encoder: Stable Diffusion 1 and 2. Embeddings are 1 x 77 x width."""
    guided = request.guidance > 1
    positive, negative = pipe.encode_prompt(request.prompt, pipe.device, 1, guided, negative_prompt=request.negative_prompt)
    return Conditioning({"prompt_embeds": positive, "negative_prompt_embeds": negative}, _cut_off(pipe.tokenizer, request))


@torch.inference_mode()
def encode_clip_pair(pipe: Any, request: Request) -> Conditioning:
    """Two CLIP encoders side by side: Stable Diffusion XL. Embeddings are 1 x 77 x 2048, pooled ones 1 x 1280."""
    guided = request.guidance > 1
    positive, negative, pooled, negative_pooled = pipe.encode_prompt(
        request.prompt, device=pipe.device, num_images_per_prompt=1, do_classifier_free_guidance=guided, negative_prompt=request.negative_prompt
    )
    embeddings = {
        "prompt_embeds": positive,
        "negative_prompt_embeds": negative,
        "pooled_prompt_embeds": pooled,
        "negative_pooled_prompt_embeds": negative_pooled,
    }
    return Conditioning(embeddings, _cut_off(pipe.tokenizer or pipe.tokenizer_2, request))


@torch.inference_mode()
def encode_hunyuan_dit(pipe: Any, request: Request) -> Conditioning:
    """A two-language CLIP encoder and mT5, each with a mask: embeddings are 1 x 77 x 1024 and 1 x 256 x 2048."""
    embeddings: dict[str, Tensor | None] = {}
    for index, (tail, tokens) in enumerate((("", 77), ("_2", 256))):
        positive, negative, mask, negative_mask = pipe.encode_prompt(
            request.prompt, pipe.device, pipe.transformer.dtype, 1, request.guidance > 1, negative_prompt=request.negative_prompt,
            max_sequence_length=tokens, text_encoder_index=index,
        )  # fmt: skip
        embeddings |= {f"prompt_embeds{tail}": positive, f"negative_prompt_embeds{tail}": negative}
        embeddings |= {f"prompt_attention_mask{tail}": mask, f"negative_prompt_attention_mask{tail}": negative_mask}
    return Conditioning(embeddings, _cut_off(pipe.tokenizer, request))


def _cut_off(tokenizer: Any, request: Request) -> tuple[str, ...]:
    """A note for each prompt that is longer than the encoder reads."""
    notes = []
    room = tokenizer.model_max_length - 2
    for what, text in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        count = len(tokenizer(text, truncation=False, verbose=False).input_ids) - 2
        if count > room:
            notes.append(f"The {what} has {count} tokens and this model reads the first {room}; the rest had no effect.")
    return tuple(notes)
