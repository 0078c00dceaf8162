"""Tiny control models of the real classes with random weights, for the models of tiny.py."""

# diffusers and transformers annotate their arguments more narrowly than they take them.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers
from diffusers.models.attention_processor import SD3IPAdapterJointAttnProcessor2_0
from diffusers.models.embeddings import IPAdapterTimeImageProjection
from safetensors.torch import save_file
from torch import nn


def _speaking(net: Any, seed: int) -> Any:
    """Networks begin silent: their last layers are zero. Here they say something."""
    torch.manual_seed(seed)
    for layer in (*net.controlnet_down_blocks, net.controlnet_mid_block):
        nn.init.normal_(layer.weight, std=0.1)
    nn.init.normal_(net.controlnet_cond_embedding.conv_out.weight, std=0.5)
    return net.eval()


def controlnet(unet: Any, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    return _speaking(diffusers.ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(4, 4, 8, 8)), seed)


def union(unet: Any, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = {name: value for name, value in unet.config.items() if not name.startswith("_")}
    names = (
        "in_channels", "down_block_types", "block_out_channels", "layers_per_block", "norm_num_groups", "cross_attention_dim",
        "transformer_layers_per_block", "attention_head_dim", "use_linear_projection", "addition_embed_type", "addition_time_embed_dim",
        "projection_class_embeddings_input_dim",
    )  # fmt: skip
    shape = {name: config[name] for name in names}
    return _speaking(
        diffusers.ControlNetUnionModel(
            **shape, num_control_type=8, num_trans_channel=config["block_out_channels"][0], num_trans_head=4, num_trans_layer=1, num_proj_channel=16,
            conditioning_embedding_out_channels=(4, 4, 8, 8),
        ),
        seed,
    )  # fmt: skip


def adapter(unet: Any, seed: int = 0) -> Any:
    """As large UNets have it: of those whose first level has no attention, as XL, features come one halving later."""
    torch.manual_seed(seed)
    later = unet.config.down_block_types[0] == "DownBlock2D"
    kind, factor = ("full_adapter_xl", 16) if later else ("full_adapter", 8)
    widths = list(unet.config.block_out_channels)
    return diffusers.T2IAdapter(in_channels=3, channels=widths, num_res_blocks=1, downscale_factor=factor, adapter_type=kind).eval()


def _heard(net: Any, seed: int) -> Any:
    """A transformer's network whose last layers, and the one that sees the map, are not silent."""
    torch.manual_seed(seed)
    layers = [*net.controlnet_blocks, *getattr(net, "controlnet_single_blocks", ())]
    seeing = net.pos_embed_input.proj if hasattr(net, "pos_embed_input") else net.controlnet_x_embedder
    for layer in (*layers, seeing):
        nn.init.normal_(layer.weight, std=0.2)
    return net.eval()


def flux_controlnet(transformer: Any, seed: int = 0, layers: int = 2, singles: int = 2, **more: Any) -> Any:
    """`num_mode` for a union, `conditioning_embedding_channels` and `patch_size` for one that looks at pixels."""
    torch.manual_seed(seed)
    config = {**transformer.config, "num_layers": layers, "num_single_layers": singles, **more}
    return _heard(diffusers.FluxControlNetModel.from_config(config), seed)


def sd3_controlnet(transformer: Any, seed: int = 0, layers: int = 2, **more: Any) -> Any:
    torch.manual_seed(seed)
    return _heard(diffusers.SD3ControlNetModel.from_config({**transformer.config, "num_layers": layers, **more}), seed)


def qwen_controlnet(transformer: Any, seed: int = 0, layers: int = 2) -> Any:
    torch.manual_seed(seed)
    return _heard(diffusers.QwenImageControlNetModel.from_config({**transformer.config, "num_layers": layers}), seed)


def z_image_controlnet(transformer: Any, seed: int = 0, seen: int = 16, **more: Any) -> Any:
    """Behind every second block; `seen` are the channels of its map."""
    torch.manual_seed(seed)
    config = transformer.config
    net = diffusers.ZImageControlNetModel(
        control_layers_places=list(range(0, config["n_layers"], 2)), control_refiner_layers_places=list(range(config["n_refiner_layers"])),
        control_in_dim=seen, dim=config["dim"], n_refiner_layers=config["n_refiner_layers"], n_heads=config["n_heads"],
        n_kv_heads=config["n_kv_heads"], **more,
    )  # fmt: skip
    for layer in net.control_layers:
        for linear in (layer.after_proj, *([layer.before_proj] if hasattr(layer, "before_proj") else [])):
            nn.init.normal_(linear.weight, std=0.2)
    return net.eval()


def ip_adapter(unet: Any, encoder_width: int, seed: int = 0, tokens: int = 4) -> dict[str, Any]:
    """Flat weights of the plain variant, as their files hold them."""
    generator = torch.Generator().manual_seed(seed)
    cross = unet.config.cross_attention_dim
    state = {
        "image_proj.proj.weight": torch.randn(tokens * cross, encoder_width, generator=generator) * 0.1,
        "image_proj.proj.bias": torch.zeros(tokens * cross), "image_proj.norm.weight": torch.ones(cross), "image_proj.norm.bias": torch.zeros(cross),
    }  # fmt: skip
    layers = dict(unet.named_modules())
    for number, name in enumerate(unet.attn_processors):  # cross attention stands at every second place: 1, 3, 5, ...
        if name.endswith("attn2.processor"):
            width = layers[name.removesuffix(".processor")].to_k.weight.shape[0]
            for part in ("k", "v"):
                state[f"ip_adapter.{number}.to_{part}_ip.weight"] = torch.randn(width, cross, generator=generator) * 0.1
    return state


def flux_ip_adapter(transformer: Any, encoder_width: int = 32, seed: int = 0, tokens: int = 4) -> dict[str, Any]:
    """Flat weights in XLabs' layout."""
    generator = torch.Generator().manual_seed(seed)
    cross, width = transformer.config.joint_attention_dim, transformer.inner_dim
    state = {
        "ip_adapter_proj_model.proj.weight": torch.randn(tokens * cross, encoder_width, generator=generator) * 0.3,
        "ip_adapter_proj_model.proj.bias": torch.zeros(tokens * cross),
        "ip_adapter_proj_model.norm.weight": torch.ones(cross), "ip_adapter_proj_model.norm.bias": torch.zeros(cross),
    }  # fmt: skip
    for block in range(transformer.config.num_layers):
        for part in ("k", "v"):
            layer = f"double_blocks.{block}.processor.ip_adapter_double_stream_{part}_proj"
            state[f"{layer}.weight"] = torch.randn(width, cross, generator=generator) * 0.3
            state[f"{layer}.bias"] = torch.randn(width, generator=generator) * 0.1
    return state


INSTANTX = {
    ".ln0.": ".0.norm1.", ".ln1.": ".0.norm2.", ".attn.to_q.": ".0.to_q.", ".attn.to_kv.": ".0.to_kv.", ".attn.to_out.0.": ".0.to_out.",
    ".adaln_norm.": ".1.0.", ".ff.net.0.proj.": ".1.1.", ".ff.net.2.": ".1.3.", ".adaln_proj.": ".2.1.",
}  # fmt: skip
"""Names of diffusers' resampler to those in InstantX's files."""


def sd3_ip_adapter(transformer: Any, encoder_width: int = 32, seed: int = 0) -> dict[str, Any]:
    """Flat weights in InstantX's layout."""
    torch.manual_seed(seed)
    width = transformer.inner_dim
    reader = IPAdapterTimeImageProjection(encoder_width, width, hidden_dim=64, heads=1, num_queries=4, timestep_in_dim=16)
    state: dict[str, Any] = {}
    for name, value in reader.state_dict().items():
        for ours, theirs in INSTANTX.items():
            name = name.replace(ours, theirs)
        state[f"image_proj.{name}"] = value
    for number in range(len(transformer.attn_processors)):
        layers = SD3IPAdapterJointAttnProcessor2_0(width, width, transformer.config.attention_head_dim, timesteps_emb_dim=64)
        state |= {f"ip_adapter.{number}.{name}": value for name, value in layers.state_dict().items()}
    return state


def siglip_encoder(folder: Path, width: int = 32) -> Path:
    torch.manual_seed(0)
    shape = {"hidden_size": width, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 1, "image_size": 28, "patch_size": 14}
    transformers.SiglipVisionModel(transformers.SiglipVisionConfig(**shape)).save_pretrained(folder)
    return folder


def image_encoder(folder: Path, width: int = 32) -> Path:
    torch.manual_seed(0)
    config = transformers.CLIPVisionConfig(
        hidden_size=width, intermediate_size=32, num_hidden_layers=2, num_attention_heads=4, projection_dim=width, image_size=28, patch_size=14,
    )  # fmt: skip
    transformers.CLIPVisionModelWithProjection(config).save_pretrained(folder)
    return folder


def write(state: dict[str, Any], file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in state.items()}, file)
    return file
