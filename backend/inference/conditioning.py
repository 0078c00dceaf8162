"""Prompts become embeddings, family by family."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import SanaPipeline
from torch import Tensor

from backend.types import Request

_HERE = "\N{OBJECT REPLACEMENT CHARACTER}"

Embeddings = dict[str, "Tensor | list[Tensor] | None"]


@dataclass(frozen=True)
class Conditioning:
    """What the denoiser is told."""

    embeddings: Embeddings
    """Arguments of the pipeline's call, each for one image: first dimension 1, or a list of one."""
    notes: tuple[str, ...] = ()
    layered: frozenset[str] = frozenset()
    """Those with a layer for each of an encoder's, whose second dimension is the image."""

    def repeated(self, count: int) -> Embeddings:
        """The same for a batch of `count` images."""
        return {name: self._repeated(name, value, count) for name, value in self.embeddings.items()}

    def _repeated(self, name: str, value: Tensor | list[Tensor] | None, count: int) -> Tensor | list[Tensor] | None:
        if value is None or isinstance(value, list):
            return value and value * count
        sizes = (value.shape[0], count, *value.shape[2:]) if name in self.layered else (count, *value.shape[1:])
        return value.expand(sizes)


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
    return Conditioning(_with_pooled(positive, negative, pooled, negative_pooled), _cut_off(pipe.tokenizer or pipe.tokenizer_2, request))


@torch.inference_mode()
def encode_hunyuan_dit(pipe: Any, request: Request) -> Conditioning:
    """A two-language CLIP encoder and mT5, each with a mask: embeddings are 1 x 77 x 1024 and 1 x 256 x 2048."""
    embeddings: Embeddings = {}
    for index, (tail, tokens) in enumerate((("", 77), ("_2", 256))):
        positive, negative, mask, negative_mask = pipe.encode_prompt(
            request.prompt, pipe.device, pipe.transformer.dtype, 1, request.guidance > 1, negative_prompt=request.negative_prompt,
            max_sequence_length=tokens, text_encoder_index=index,
        )  # fmt: skip
        embeddings |= {f"prompt_embeds{tail}": positive, f"negative_prompt_embeds{tail}": negative}
        embeddings |= {f"prompt_attention_mask{tail}": mask, f"negative_prompt_attention_mask{tail}": negative_mask}
    return Conditioning(embeddings, _cut_off(pipe.tokenizer, request))


@torch.inference_mode()
def encode_sd3(pipe: Any, request: Request) -> Conditioning:
    """Two CLIP encoders and T5, whose embeddings follow theirs: 1 x (77 + 256) x 4096, pooled ones 1 x 2048.

    Without T5, which folders may leave out, its part is zeros.
    """
    made = pipe.encode_prompt(
        request.prompt, None, None, device=pipe.device, do_classifier_free_guidance=request.guidance > 1,
        negative_prompt=request.negative_prompt, max_sequence_length=256,
    )  # fmt: skip
    notes = _cut_off(pipe.tokenizer_3, request, 255) if pipe.text_encoder_3 else _cut_off(pipe.tokenizer, request)
    return Conditioning(_with_pooled(*made), notes)


def encode_flux(pipe: Any, request: Request) -> Conditioning:
    """T5's 1 x 512 x 4096 and CLIP's pooled 1 x 768: Flux.1 dev. Guidance is one of the denoiser's own inputs."""
    return _flux(pipe, request, 512)


def encode_flux_schnell(pipe: Any, request: Request) -> Conditioning:
    """The same with the 256 tokens that schnell learned with."""
    return _flux(pipe, request, 256)


@torch.inference_mode()
def _flux(pipe: Any, request: Request, tokens: int) -> Conditioning:
    positive, pooled, _ = pipe.encode_prompt(request.prompt, None, device=pipe.device, max_sequence_length=tokens)
    return Conditioning({"prompt_embeds": positive, "pooled_prompt_embeds": pooled}, _cut_off(pipe.tokenizer_2, request, tokens - 1))


def encode_pixart_alpha(pipe: Any, request: Request) -> Conditioning:
    """T5's 1 x 120 x 4096 and a mask."""
    return _pixart(pipe, request, 120)


def encode_pixart_sigma(pipe: Any, request: Request) -> Conditioning:
    """T5's 1 x 300 x 4096 and a mask."""
    return _pixart(pipe, request, 300)


@torch.inference_mode()
def _pixart(pipe: Any, request: Request, tokens: int) -> Conditioning:
    """Captions are not cleaned, which diffusers would do or not by what else is installed."""
    made = pipe.encode_prompt(
        request.prompt, request.guidance > 1, request.negative_prompt, device=pipe.device, clean_caption=False, max_sequence_length=tokens
    )
    return Conditioning(_with_masks(*made), _cut_off(pipe.tokenizer, request, tokens - 1, read=_lowered))


@torch.inference_mode()
def encode_hidream(pipe: Any, request: Request) -> Conditioning:
    """Two long CLIPs' pooled 1 x 2048, T5's 1 x 128 x 4096 and each layer of Llama's, layers x 1 x 128 x 4096."""
    made = pipe.encode_prompt(
        request.prompt, device=pipe.device, do_classifier_free_guidance=request.guidance > 1, negative_prompt=request.negative_prompt,
        max_sequence_length=128,
    )  # fmt: skip
    names = ("prompt_embeds_t5", "prompt_embeds_llama3", "pooled_prompt_embeds")
    embeddings = dict(zip((f"{sign}{name}" for name in names for sign in ("", "negative_")), made, strict=True))
    llama = frozenset(name for name in embeddings if name.endswith("llama3"))
    return Conditioning(embeddings, _cut_off(pipe.tokenizer_3, request, 127), llama)


@torch.inference_mode()
def encode_qwen(pipe: Any, request: Request) -> Conditioning:
    """Qwen2.5-VL's 1 x (up to 512) x 3584 and a mask, which is None where nothing is filled up."""
    embeddings: Embeddings = {}
    for sign, text in (("", request.prompt), ("negative_", request.negative_prompt))[: 1 + (request.guidance > 1)]:
        made, mask = pipe.encode_prompt(text, device=pipe.device, max_sequence_length=512)
        embeddings |= {f"{sign}prompt_embeds": made, f"{sign}prompt_embeds_mask": mask}
    return Conditioning(embeddings, _cut_off(pipe.tokenizer, request, 512))


@torch.inference_mode()
def encode_z_image(pipe: Any, request: Request) -> Conditioning:
    """Qwen3's embeddings, as many x 2560 as the prompt has tokens, in lists."""
    positive, negative = pipe.encode_prompt(
        [request.prompt], device=pipe.device, do_classifier_free_guidance=request.guidance > 1, negative_prompt=[request.negative_prompt],
        max_sequence_length=512,
    )  # fmt: skip
    before = _before(pipe.tokenizer, [{"role": "user", "content": _HERE}], enable_thinking=True)
    return Conditioning({"prompt_embeds": positive, "negative_prompt_embeds": negative or None}, _cut_off(pipe.tokenizer, request, 512 - before))


@torch.inference_mode()
def encode_chroma(pipe: Any, request: Request) -> Conditioning:
    """T5's 1 x 512 x 4096 and a mask that leaves one token of filling."""
    positive, _, mask, negative, _, negative_mask = pipe.encode_prompt(
        request.prompt, negative_prompt=request.negative_prompt, device=pipe.device, do_classifier_free_guidance=request.guidance > 1,
        max_sequence_length=512,
    )  # fmt: skip
    return Conditioning(_with_masks(positive, mask, negative, negative_mask), _cut_off(pipe.tokenizer, request, 511))


@torch.inference_mode()
def encode_sana(pipe: Any, request: Request) -> Conditioning:
    """Gemma 2's 1 x 300 x 2304 and a mask. Before the prompt it reads the instruction that Sana learned with."""
    instruction = inspect.signature(SanaPipeline.__call__).parameters["complex_human_instruction"].default
    made = pipe.encode_prompt(
        request.prompt, request.guidance > 1, negative_prompt=request.negative_prompt, device=pipe.device, clean_caption=False,
        max_sequence_length=300, complex_human_instruction=instruction,
    )  # fmt: skip
    return Conditioning(_with_masks(*made), _cut_off(pipe.tokenizer, request, 298, read=_lowered))


@torch.inference_mode()
def encode_lumina2(pipe: Any, request: Request) -> Conditioning:
    """Gemma 2's 1 x 256 x 2304 and a mask. Of the 256 tokens, Lumina's own words before the prompt take some."""
    made = pipe.encode_prompt(
        request.prompt, request.guidance > 1, negative_prompt=request.negative_prompt, device=pipe.device, max_sequence_length=256
    )
    before = len(pipe.tokenizer(f"{pipe.system_prompt} <Prompt Start> ").input_ids)
    return Conditioning(_with_masks(*made), _cut_off(pipe.tokenizer, request, 256 - before))


@torch.inference_mode()
def encode_auraflow(pipe: Any, request: Request) -> Conditioning:
    """UMT5's 1 x 256 x 2048; what it does not mean is zeros already, and the masks are asked for and not used."""
    made = pipe.encode_prompt(request.prompt, request.negative_prompt, request.guidance > 1, device=pipe.device, max_sequence_length=256)
    return Conditioning(_with_masks(*made), _cut_off(pipe.tokenizer, request, 255))


@torch.inference_mode()
def encode_flux2(pipe: Any, request: Request) -> Conditioning:
    """Three layers of Mistral 3 side by side, 1 x 512 x 15360. Guidance is one of the denoiser's own inputs."""
    made, _ = pipe.encode_prompt(request.prompt, device=pipe.device, max_sequence_length=512)
    told = [
        {"role": "system", "content": [{"type": "text", "text": pipe.system_message}]},
        {"role": "user", "content": [{"type": "text", "text": _HERE}]},
    ]
    before = _before(pipe.tokenizer, told)
    return Conditioning({"prompt_embeds": made}, _cut_off(getattr(pipe.tokenizer, "tokenizer", pipe.tokenizer), request, 512 - before))


@torch.inference_mode()
def encode_klein(pipe: Any, request: Request) -> Conditioning:
    """Three layers of Qwen3 side by side, 1 x 512 x 7680 (4B)."""
    embeddings: Embeddings = {}
    guided = request.guidance > 1 and not pipe.config.is_distilled
    for sign, text in (("", request.prompt), ("negative_", request.negative_prompt))[: 1 + guided]:
        embeddings[f"{sign}prompt_embeds"], _ = pipe.encode_prompt(text, device=pipe.device, max_sequence_length=512)
    before = _before(pipe.tokenizer, [{"role": "user", "content": _HERE}], enable_thinking=False)
    return Conditioning(embeddings, _cut_off(pipe.tokenizer, request, 512 - before))


def _with_pooled(positive: Tensor, negative: Tensor | None, pooled: Tensor, negative_pooled: Tensor | None) -> Embeddings:
    return {
        "prompt_embeds": positive,
        "negative_prompt_embeds": negative,
        "pooled_prompt_embeds": pooled,
        "negative_pooled_prompt_embeds": negative_pooled,
    }


def _with_masks(positive: Tensor, mask: Tensor, negative: Tensor | None, negative_mask: Tensor | None) -> Embeddings:
    """Where the negative prompt is not said to be None, pipelines take it to be empty, and two negatives are one too many."""
    return {
        "prompt_embeds": positive,
        "prompt_attention_mask": mask,
        "negative_prompt": None,
        "negative_prompt_embeds": negative,
        "negative_prompt_attention_mask": negative_mask,
    }


def _lowered(text: str) -> str:
    """As PixArt's and Sana's pipelines read it."""
    return text.lower().strip()


def _before(tokenizer: Any, messages: list[dict[str, Any]], **how: bool) -> int:
    """How many tokens a chat template puts before the prompt, which `messages` have as _HERE."""
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True, **how)
    return len(getattr(tokenizer, "tokenizer", tokenizer)(text.split(_HERE)[0], add_special_tokens=False).input_ids)


def _cut_off(tokenizer: Any, request: Request, room: int = 0, *, read: Callable[[str], str] = str) -> tuple[str, ...]:
    """A note for each prompt that is longer than the encoder reads.

    `room` is how many of a prompt's own tokens it reads, without marks; 0: all that the tokenizer says but two marks.
    """
    notes = []
    room = room or tokenizer.model_max_length - 2
    for what, text in (("prompt", request.prompt), ("negative prompt", request.negative_prompt)):
        count = len(tokenizer(read(text), add_special_tokens=False, truncation=False, verbose=False).input_ids)
        if count > room:
            notes.append(f"The {what} has {count} tokens and this model reads the first {room}; the rest had no effect.")
    return tuple(notes)
