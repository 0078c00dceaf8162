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


CHAT = (
    "{% for m in messages %}<|im_start|> {{ m['role'] }} {% if m['content'] is string %}{{ m['content'] }}{% else %}"
    "{% for c in m['content'] %}{{ c['text'] }}{% endfor %}{% endif %} <|im_end|> {% endfor %}"
    "{% if add_generation_prompt %}<|im_start|> assistant {% endif %}"
)


def chat_tokenizer(**more: Any) -> Any:
    words = llama_tokenizer()
    words.chat_template = CHAT
    for name, value in more.items():
        setattr(words, name, value)
    return words


def _qwen3(code: Any, layers: int) -> Any:
    return code(transformers.Qwen3Config(
        vocab_size=len(chat_tokenizer()), hidden_size=16, intermediate_size=16, num_hidden_layers=layers, num_attention_heads=2,
        num_key_value_heads=2, head_dim=8, max_position_embeddings=1024,
    ))  # fmt: skip


def qwen_image(folder: Path) -> Path:
    """Qwen-Image: Qwen2.5-VL reads, and the VAE is one for moving pictures."""
    torch.manual_seed(0)
    words, numbers = chat_tokenizer(), torch.Generator().manual_seed(4)
    vision = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2, "out_hidden_size": 16, "fullatt_block_indexes": [0]}
    text = {
        "vocab_size": len(words), "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
        "num_key_value_heads": 2, "max_position_embeddings": 2048,
        "rope_parameters": {"mrope_section": [1, 1, 2], "rope_type": "default", "rope_theta": 1e6},
    }  # fmt: skip
    reader = transformers.Qwen2_5_VLForConditionalGeneration(transformers.Qwen2_5_VLConfig(text_config=text, vision_config=vision))
    coder = diffusers.AutoencoderKLQwenImage(
        base_dim=8, z_dim=16, dim_mult=[1, 2, 4, 4], num_res_blocks=1, temperal_downsample=[False, True, True],
        latents_mean=(torch.randn(16, generator=numbers) * 0.1).tolist(), latents_std=(torch.rand(16, generator=numbers) + 0.5).tolist(),
    )  # fmt: skip
    network = diffusers.QwenImageTransformer2DModel(
        patch_size=2, in_channels=64, out_channels=16, num_layers=1, attention_head_dim=16, num_attention_heads=3, joint_attention_dim=16,
        axes_dims_rope=(8, 4, 4),
    )  # fmt: skip
    shift = {**SHIFTING, "max_image_seq_len": 8192, "max_shift": 0.9, "shift_terminal": 0.02}
    return save(
        diffusers.QwenImagePipeline(transformer=woken(network), scheduler=flow(**shift), vae=coder, text_encoder=reader, tokenizer=words), folder
    )


def _z_image(folder: Path, shift: float) -> Path:
    torch.manual_seed(0)
    network = diffusers.ZImageTransformer2DModel(
        all_patch_size=(2,), all_f_patch_size=(1,), in_channels=16, dim=32, n_layers=1, n_refiner_layers=1, n_heads=2, n_kv_heads=2, qk_norm=True,
        cap_feat_dim=16, rope_theta=256.0, t_scale=1000.0, axes_dims=[8, 4, 4], axes_lens=[1024, 32, 32],
    )  # fmt: skip
    with torch.no_grad():
        network.x_pad_token.fill_(1.0)
        network.cap_pad_token.fill_(1.0)
    return save(
        diffusers.ZImagePipeline(
            transformer=woken(network), scheduler=flow(shift=shift), vae=vae(**FLUX_VAE), text_encoder=_qwen3(transformers.Qwen3Model, 2),
            tokenizer=chat_tokenizer(),
        ), folder,
    )  # fmt: skip


def z_image(folder: Path) -> Path:
    """Z-Image: embeddings in lists, guidance that counts from nothing."""
    return _z_image(folder, 6.0)


def z_image_turbo(folder: Path) -> Path:
    """Z-Image Turbo: another shift."""
    return _z_image(folder, 3.0)


def chroma(folder: Path) -> Path:
    """Chroma: shaped like Flux.1, with T5 alone and guidance in two passes."""
    torch.manual_seed(0)
    network = diffusers.ChromaTransformer2DModel(**FLUX, approximator_hidden_dim=32, approximator_layers=1, approximator_num_channels=16)
    return save(
        diffusers.ChromaPipeline(
            transformer=woken(network), scheduler=flow(shift=1.0), vae=vae(**FLUX_VAE), text_encoder=t5(), tokenizer=t5_tokenizer()
        ), folder,
    )  # fmt: skip


def _gemma(width: int = 8) -> Any:
    return transformers.Gemma2Model(transformers.Gemma2Config(
        head_dim=8, hidden_size=width, intermediate_size=32, max_position_embeddings=8192, num_attention_heads=2, num_hidden_layers=2,
        num_key_value_heads=2, vocab_size=len(llama_tokenizer()), attn_implementation="eager",
    ))  # fmt: skip


def sana(folder: Path) -> Path:
    """Sana: Gemma reads, 32 pixels a latent, and the model's own solver is DPM++."""
    torch.manual_seed(0)
    blocks, multiscale = ("ResBlock",) * 5 + ("EfficientViTBlock",), ((),) * 5 + ((5,),)
    coder = diffusers.AutoencoderDC(
        in_channels=3, latent_channels=8, attention_head_dim=2, encoder_block_types=blocks, decoder_block_types=blocks,
        encoder_block_out_channels=(8,) * 6, decoder_block_out_channels=(8,) * 6, encoder_qkv_multiscales=multiscale,
        decoder_qkv_multiscales=multiscale, encoder_layers_per_block=(1,) * 6, decoder_layers_per_block=[1] * 6, downsample_block_type="conv",
        upsample_block_type="interpolate", decoder_norm_types="rms_norm", decoder_act_fns="silu", scaling_factor=0.41407,
    )  # fmt: skip
    network = diffusers.SanaTransformer2DModel(
        patch_size=1, in_channels=8, out_channels=8, num_layers=1, num_attention_heads=2, attention_head_dim=8, num_cross_attention_heads=2,
        cross_attention_head_dim=8, cross_attention_dim=16, caption_channels=8, sample_size=2,
    )  # fmt: skip
    own = diffusers.DPMSolverMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    return save(
        diffusers.SanaPipeline(tokenizer=llama_tokenizer(), text_encoder=_gemma(), vae=coder, transformer=woken(network), scheduler=own), folder
    )


def lumina2(folder: Path) -> Path:
    """Lumina-Image 2: Gemma reads the model's own words before the prompt."""
    torch.manual_seed(0)
    network = diffusers.Lumina2Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=16, hidden_size=24, num_layers=1, num_refiner_layers=1, num_attention_heads=3, num_kv_heads=1,
        multiple_of=16, scaling_factor=1.0, axes_dim_rope=[4, 2, 2], axes_lens=[300, 64, 64], cap_feat_dim=8,
    )  # fmt: skip
    return save(
        diffusers.Lumina2Pipeline(
            transformer=woken(network), scheduler=flow(shift=6.0), vae=vae(**FLUX_VAE), text_encoder=_gemma(), tokenizer=llama_tokenizer()
        ), folder,
    )  # fmt: skip


def auraflow(folder: Path) -> Path:
    """AuraFlow: UMT5, XL's VAE, a fixed shift."""
    torch.manual_seed(0)
    network = diffusers.AuraFlowTransformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_mmdit_layers=1, num_single_dit_layers=1, attention_head_dim=8, num_attention_heads=4,
        caption_projection_dim=32, joint_attention_dim=32, out_channels=4, pos_embed_max_size=256,
    )  # fmt: skip
    reader = transformers.UMT5Config(
        vocab_size=len(t5_tokenizer()), d_model=32, d_kv=8, d_ff=32, num_layers=1, num_heads=4, feed_forward_proj="gated-gelu"
    )
    return save(
        diffusers.AuraFlowPipeline(
            tokenizer=t5_tokenizer(), text_encoder=transformers.UMT5EncoderModel(reader), vae=vae(scaling_factor=0.13025),
            transformer=woken(network), scheduler=flow(shift=1.73),
        ), folder,
    )  # fmt: skip


def _flux2_parts(width: int, *, guided: bool) -> dict[str, Any]:
    coder: Any = diffusers.AutoencoderKLFlux2(
        in_channels=3, out_channels=3, block_out_channels=(8, 8, 16, 16), layers_per_block=1, latent_channels=32, norm_num_groups=4,
        sample_size=64, down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    numbers = torch.Generator().manual_seed(4)
    coder.bn.running_mean.copy_(torch.randn(128, generator=numbers) * 0.1)
    coder.bn.running_var.copy_(torch.rand(128, generator=numbers) + 0.5)
    network = diffusers.Flux2Transformer2DModel(
        patch_size=1, in_channels=128, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=3 * width, timestep_guidance_channels=32, axes_dims_rope=(4, 4, 4, 4), guidance_embeds=guided,
    )  # fmt: skip
    return {"transformer": woken(network), "scheduler": flow(**SHIFTING), "vae": coder}


def _klein(folder: Path, *, distilled: bool) -> Path:
    torch.manual_seed(0)
    reader = _qwen3(transformers.Qwen3ForCausalLM, 27)
    parts = _flux2_parts(16, guided=False)
    return save(diffusers.Flux2KleinPipeline(**parts, text_encoder=reader, tokenizer=chat_tokenizer(), is_distilled=distilled), folder)


def flux2_klein(folder: Path) -> Path:
    """Flux.2 klein: few steps without guidance, latents of 128 channels."""
    return _klein(folder, distilled=True)


def flux2_klein_base(folder: Path) -> Path:
    """Flux.2 klein base: guidance in two passes."""
    return _klein(folder, distilled=False)


def flux2_dev(folder: Path) -> Path:
    """Flux.2 dev: Mistral reads, guidance is an input."""
    torch.manual_seed(0)
    text = {
        "model_type": "mistral", "vocab_size": len(chat_tokenizer()), "hidden_size": 8, "intermediate_size": 8, "max_position_embeddings": 1024,
        "num_attention_heads": 2, "num_hidden_layers": 30, "num_key_value_heads": 2, "head_dim": 4, "sliding_window": None,
    }  # fmt: skip
    vision = {
        "model_type": "pixtral", "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8, "image_size": 30,
        "patch_size": 6, "num_channels": 3,
    }  # fmt: skip
    config = transformers.Mistral3Config(text_config=text, vision_config=vision, image_token_index=7, vision_feature_layer=-1)
    reader, words = transformers.Mistral3ForConditionalGeneration(config), chat_tokenizer(padding_side="left")
    return save(diffusers.Flux2Pipeline(**_flux2_parts(8, guided=True), text_encoder=reader, tokenizer=words), folder)
