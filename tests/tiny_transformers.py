"""Tiny models of the transformer families, of the real classes with random weights, written as diffusers folders."""

# diffusers and transformers annotate their arguments more narrowly than they take them.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportCallIssue=false

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.tiny import save, text_encoder, vae
from tools.starter.captions import vocabulary
from tools.starter.networks import tokenizer

FLUX_VAE = {"latent_channels": 16, "scaling_factor": 0.3611, "shift_factor": 0.1159, "use_quant_conv": False, "use_post_quant_conv": False}
FLUX = {
    "patch_size": 1, "in_channels": 64, "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16, "num_attention_heads": 2,
    "joint_attention_dim": 32, "axes_dims_rope": (4, 4, 8),
}  # fmt: skip
SHIFTING = {"base_image_seq_len": 256, "base_shift": 0.5, "max_image_seq_len": 4096, "max_shift": 1.15, "use_dynamic_shifting": True}


def woken(network: Any) -> Any:
    """With small numbers in the weights that begin at zero, so that every branch has its say."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in network.parameters():
            if not torch.isfinite(weight).all() or (weight.numel() > 1 and weight.abs().max() == 0):
                weight.copy_(torch.randn(weight.shape, generator=generator) * 0.1)
    return network


def t5_tokenizer(length: int = 512) -> Any:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"\u2581{word}", -2.0) for word in vocabulary())]
    return transformers.T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=length)


def t5(width: int = 32) -> Any:
    words = len(t5_tokenizer())
    config = transformers.T5Config(vocab_size=words, d_model=width, d_kv=8, d_ff=32, num_layers=1, num_heads=4, feed_forward_proj="gated-gelu")
    return transformers.T5EncoderModel(config)


def flow(**config: Any) -> Any:
    return diffusers.FlowMatchEulerDiscreteScheduler(**config)


def _sd3(folder: Path, **transformer: Any) -> Path:
    torch.manual_seed(0)
    network = diffusers.SD3Transformer2DModel(**{
        "sample_size": 8, "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 2, "attention_head_dim": 8,
        "num_attention_heads": 2, "caption_projection_dim": 16, "joint_attention_dim": 64, "pooled_projection_dim": 64, "pos_embed_max_size": 24,
        **transformer,
    })  # fmt: skip
    return save(
        diffusers.StableDiffusion3Pipeline(
            transformer=woken(network), scheduler=flow(shift=3.0), vae=vae(**{**FLUX_VAE, "scaling_factor": 1.5305, "shift_factor": 0.0609}),
            text_encoder=text_encoder(32, projected=True), tokenizer=tokenizer(), text_encoder_2=text_encoder(32, projected=True),
            tokenizer_2=tokenizer(), text_encoder_3=t5(64), tokenizer_3=t5_tokenizer(),
        ), folder,
    )  # fmt: skip


def sd3(folder: Path) -> Path:
    """Stable Diffusion 3 medium: two CLIPs and T5, flow matching with a fixed shift."""
    return _sd3(folder)


def sd35_medium(folder: Path) -> Path:
    """Stable Diffusion 3.5 medium: normed queries and keys, a first block that attends twice."""
    return _sd3(folder, qk_norm="rms_norm", pos_embed_max_size=384, dual_attention_layers=(0,))


def sd35_large(folder: Path) -> Path:
    """Stable Diffusion 3.5 large."""
    return _sd3(folder, qk_norm="rms_norm")


def _flux(folder: Path, *, guided: bool, **schedule: Any) -> Path:
    torch.manual_seed(0)
    network = diffusers.FluxTransformer2DModel(**FLUX, pooled_projection_dim=32, guidance_embeds=guided)
    return save(
        diffusers.FluxPipeline(
            transformer=woken(network), scheduler=flow(**schedule), vae=vae(**FLUX_VAE), text_encoder=text_encoder(32), tokenizer=tokenizer(),
            text_encoder_2=t5(), tokenizer_2=t5_tokenizer(),
        ), folder,
    )  # fmt: skip


def flux_schnell(folder: Path) -> Path:
    """Flux.1 schnell: no guidance, no shift."""
    return _flux(folder, guided=False, shift=1.0)


def flux_dev(folder: Path) -> Path:
    """Flux.1 dev: guidance is an input, and the schedule shifts with the size."""
    return _flux(folder, guided=True, shift=3.0, **SHIFTING)


def _pixart(folder: Path, pipeline: Any, scale: float, **transformer: Any) -> Path:
    torch.manual_seed(0)
    network = diffusers.PixArtTransformer2DModel(
        sample_size=8, num_layers=2, patch_size=2, attention_head_dim=8, num_attention_heads=3, caption_channels=32, in_channels=4,
        cross_attention_dim=24, out_channels=8, **transformer,
    )  # fmt: skip
    scheduler = diffusers.DPMSolverMultistepScheduler(beta_start=0.0001, beta_end=0.02, beta_schedule="linear")
    return save(
        pipeline(tokenizer=t5_tokenizer(), text_encoder=t5(), vae=vae(scaling_factor=scale), transformer=woken(network), scheduler=scheduler), folder
    )


def pixart_alpha(folder: Path) -> Path:
    """PixArt-alpha: T5 alone, a variance that is learned too, diffusers' first kind of callback."""
    return _pixart(folder, diffusers.PixArtAlphaPipeline, 0.18215)


def pixart_sigma(folder: Path) -> Path:
    """PixArt-sigma: more words, XL's VAE."""
    return _pixart(folder, diffusers.PixArtSigmaPipeline, 0.13025, use_additional_conditions=False)


def llama_tokenizer() -> Any:
    words = ["<unk>", "<s>", "</s>", *vocabulary()]
    made = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="</s>", unk_token="<unk>", model_max_length=2048
    )


def hidream(folder: Path) -> Path:
    """HiDream-I1: two CLIPs, T5 and Llama, experts."""
    torch.manual_seed(0)
    words = llama_tokenizer()
    llama = transformers.LlamaConfig(
        vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2, num_key_value_heads=2,
        max_position_embeddings=256, attn_implementation="eager",
    )  # fmt: skip
    network = diffusers.HiDreamImageTransformer2DModel(
        patch_size=2, in_channels=16, out_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=8, num_attention_heads=4,
        caption_channels=[32, 16], text_emb_dim=64, num_routed_experts=4, num_activated_experts=2, axes_dims_rope=(4, 2, 2),
        max_resolution=(16, 16), llama_layers=(0, 1),
    )  # fmt: skip
    return save(
        diffusers.HiDreamImagePipeline(
            transformer=woken(network), scheduler=flow(shift=3.0), vae=vae(**FLUX_VAE),
            text_encoder=text_encoder(32, projected=True, length=248), tokenizer=tokenizer(),
            text_encoder_2=text_encoder(32, projected=True, length=248), tokenizer_2=tokenizer(), text_encoder_3=t5(), tokenizer_3=t5_tokenizer(),
            text_encoder_4=transformers.LlamaForCausalLM(llama),
            tokenizer_4=words,
        ), folder,
    )  # fmt: skip
