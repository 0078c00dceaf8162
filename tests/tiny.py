"""Tiny models of the real classes with random weights, written as diffusers folders."""

# diffusers and transformers annotate their arguments more narrowly than they take them.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from tools.starter.captions import vocabulary
from tools.starter.networks import tokenizer

SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
}


def text_encoder(width: int, projected: bool = False, length: int = 77) -> Any:
    words = tokenizer()
    config = transformers.CLIPTextConfig(
        vocab_size=len(words), hidden_size=width, intermediate_size=32, num_hidden_layers=3, num_attention_heads=4, projection_dim=width,
        max_position_embeddings=length,
        bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id, pad_token_id=words.pad_token_id,
    )  # fmt: skip
    return (transformers.CLIPTextModelWithProjection if projected else transformers.CLIPTextModel)(config)


def _unet(cross: int, **more: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        **{
            "block_out_channels": (16, 32), "layers_per_block": 1, "sample_size": 8, "in_channels": 4, "out_channels": 4,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"), "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "cross_attention_dim": cross, "norm_num_groups": 8, "attention_head_dim": 4, **more,
        }
    )  # fmt: skip


def vae(**more: Any) -> Any:
    return diffusers.AutoencoderKL(**{
        "in_channels": 3, "out_channels": 3, "block_out_channels": (8, 8, 16, 16), "layers_per_block": 1, "latent_channels": 4,
        "norm_num_groups": 4, "sample_size": 64, "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4, "scaling_factor": 0.18215, **more,
    })  # fmt: skip


def sd1(folder: Path) -> Path:
    """Stable Diffusion 1: epsilon, one encoder of width 768."""
    torch.manual_seed(0)
    return save(
        diffusers.StableDiffusionPipeline(
            vae=vae(), text_encoder=text_encoder(768), tokenizer=tokenizer(), unet=_unet(768),
            scheduler=diffusers.PNDMScheduler(**{k: v for k, v in SCHEDULE.items() if k != "clip_sample"}, skip_prk_steps=True),
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        ), folder,
    )  # fmt: skip


def sd2(folder: Path) -> Path:
    """Stable Diffusion 2: v-prediction, one encoder of width 1024."""
    torch.manual_seed(0)
    return save(
        diffusers.StableDiffusionPipeline(
            vae=vae(), text_encoder=text_encoder(1024), tokenizer=tokenizer(),
            unet=_unet(1024, attention_head_dim=(2, 4), use_linear_projection=True),
            scheduler=diffusers.DDIMScheduler(**SCHEDULE, prediction_type="v_prediction"),
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        ), folder,
    )  # fmt: skip


def sdxl(folder: Path) -> Path:
    """Stable Diffusion XL: two encoders of width 768 and 1280, time and pooled conditions."""
    torch.manual_seed(0)
    unet = _unet(
        2048, attention_head_dim=(2, 4), use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2), projection_class_embeddings_input_dim=6 * 8 + 1280,
    )  # fmt: skip
    return save(
        diffusers.StableDiffusionXLPipeline(
            vae=vae(), text_encoder=text_encoder(768), tokenizer=tokenizer(), text_encoder_2=text_encoder(1280, projected=True),
            tokenizer_2=tokenizer(), unet=unet, scheduler=diffusers.EulerDiscreteScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading", steps_offset=1),
            add_watermarker=False,
        ), folder,
    )  # fmt: skip


def sdxl_refiner(folder: Path) -> Path:
    """Stable Diffusion XL's refiner: the larger encoder alone, and an aesthetic score among its conditions."""
    torch.manual_seed(1)
    unet = _unet(
        1280, attention_head_dim=(2, 4), use_linear_projection=True, addition_embed_type="text_time", addition_time_embed_dim=8,
        transformer_layers_per_block=(1, 2), projection_class_embeddings_input_dim=5 * 8 + 1280,
    )  # fmt: skip
    return save(
        diffusers.StableDiffusionXLImg2ImgPipeline(
            vae=vae(), text_encoder=None, tokenizer=None, text_encoder_2=text_encoder(1280, projected=True), tokenizer_2=tokenizer(), unet=unet,
            scheduler=diffusers.EulerDiscreteScheduler(
                beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", timestep_spacing="leading", steps_offset=1),
            requires_aesthetics_score=True, force_zeros_for_empty_prompt=False, add_watermarker=False,
        ), folder,
    )  # fmt: skip


def hunyuan_dit(folder: Path) -> Path:
    """Hunyuan-DiT: a transformer under BERT and T5, v-prediction. diffusers has no image-to-image pipeline for it."""
    torch.manual_seed(2)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *vocabulary()]
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), *((f"\u2581{word}", -2.0) for word in vocabulary())]
    bert = transformers.BertConfig(
        vocab_size=len(words), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=32, max_position_embeddings=77,
    )  # fmt: skip
    t5 = transformers.T5Config(vocab_size=len(pieces), d_model=32, d_kv=8, d_ff=32, num_layers=2, num_heads=4, feed_forward_proj="gated-gelu")
    return save(
        diffusers.HunyuanDiTPipeline(
            vae=vae(), text_encoder=transformers.BertModel(bert), text_encoder_2=transformers.T5EncoderModel(t5),
            tokenizer=transformers.BertTokenizer(vocab={word: number for number, word in enumerate(words)}, model_max_length=77),
            tokenizer_2=transformers.T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=256),
            transformer=diffusers.HunyuanDiT2DModel(
                sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8, num_attention_heads=3, hidden_size=24,
                cross_attention_dim=32, cross_attention_dim_t5=32, pooled_projection_dim=16,
            ),
            scheduler=diffusers.DDPMScheduler(
                beta_start=0.00085, beta_end=0.03, beta_schedule="scaled_linear", prediction_type="v_prediction", steps_offset=1, clip_sample=False),
            safety_checker=None, feature_extractor=None, requires_safety_checker=False,
        ), folder,
    )  # fmt: skip


def save(pipe: Any, folder: Path) -> Path:
    pipe.save_pretrained(folder)
    return folder
