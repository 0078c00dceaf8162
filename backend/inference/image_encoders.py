"""The networks that look at pictures for IP-Adapters, found in `models/`: CLIP's, and SigLIP's."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub.errors import StrictDataclassError
from PIL import Image as Pillow
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    SiglipImageProcessor,
    SiglipVisionConfig,
    SiglipVisionModel,
)  # fmt: skip

from backend.errors import DamagedModel
from backend.headers import Damage, check_safetensors

ENCODER_FOLDERS = ("clip_vision", "CLIPVision", "image_encoder", "ipadapter", "ip-adapter", "IP-Adapter", "ControlNet", "controlnet")
"""Sub-folders of a models folder in which image encoders lie, by A1111's and ComfyUI's names."""

HEAD_WIDTH = {1152: 72, 1280: 80, 1664: 104}
"""Width of an encoder to that of one of its heads: SigLIP So400m, ViT-H/14 and ViT-bigG/14 (OpenCLIP); all others have 64."""

OPEN_CLIP = (1280, 1664)
"""Widths of the encoders that learned with the exact GELU."""

CONFIGS = {
    "CLIPVisionModelWithProjection": CLIPVisionConfig, "CLIPModel": CLIPVisionConfig,
    "SiglipVisionModel": SiglipVisionConfig, "SiglipModel": SiglipVisionConfig,
}  # fmt: skip
"""Architectures in the config.json of a folder, alone or with their half for texts, to the shape of what looks at pictures."""

KNOWN = {
    ("CLIP", 768, False): "CLIP ViT-L (1.7 GB)",
    ("CLIP", 1024, False): "CLIP ViT-H (1.3 GB)",
    ("CLIP", 1280, True): "CLIP ViT-H (1.3 GB)",
    ("CLIP", 1280, False): "CLIP ViT-bigG (3.7 GB)",
    ("CLIP", 1664, True): "CLIP ViT-bigG (3.7 GB)",
    ("SigLIP", 1152, True): "SigLIP So400m patch 14, 384 (0.9 GB)",
}

Shape = CLIPVisionConfig | SiglipVisionConfig


@dataclass(frozen=True)
class Look:
    """What is to be seen in a picture."""

    width: int
    by_token: bool
    """One vector for each token of the picture, from the last layer but one; otherwise one for the whole picture."""
    by: str = "CLIP"

    @property
    def title(self) -> str:
        """Of the encoder that sees it."""
        known = KNOWN.get((self.by, self.width, self.by_token))
        return f"the image encoder {known}" if known else f"a {self.by} image encoder of width {self.width}"


def find_encoder(folders: tuple[Path, ...], look: Look) -> Path | None:
    """The first folder or file with an image encoder whose output, or whose inside, is what is to be seen."""
    for place in (folder / name for folder in folders for name in ENCODER_FOLDERS):
        for path in sorted(place.rglob("*")) if place.is_dir() else ():
            found = path.parent if path.name == "config.json" else path if path.suffix == ".safetensors" else None
            if found is None or (found == path and (path.parent / "config.json").exists()):
                continue
            if _sees(_config(found), look):
                return found
    return None


def _sees(config: Shape | None, look: Look) -> bool:
    if isinstance(config, SiglipVisionConfig):
        return look.by == "SigLIP" and look.by_token and config.hidden_size == look.width
    return config is not None and look.by == "CLIP" and look.width == (config.hidden_size if look.by_token else config.projection_dim)


def _config(found: Path) -> Shape | None:
    """The shape of an image encoder, from its folder's config or from its file's header; None where it is none."""
    if found.is_dir():
        return _folder_config(found)
    try:
        return _file_config(check_safetensors(found))
    except (Damage, KeyError, IndexError, TypeError, ValueError, StrictDataclassError):
        return None


def _folder_config(folder: Path) -> Shape | None:
    try:
        value = json.loads((folder / "config.json").read_text("utf-8"))
        code = next((CONFIGS[name] for name in value.get("architectures") or () if name in CONFIGS), None)
        return code(**value.get("vision_config", value)) if code else None
    except (OSError, ValueError, TypeError, AttributeError, StrictDataclassError):
        return None


def _file_config(header: Any) -> Shape:
    """Raises KeyError and the like where it is something else."""
    width, _, _, patch = header["vision_model.embeddings.patch_embedding.weight"]["shape"]
    tokens = header["vision_model.embeddings.position_embedding.weight"]["shape"][0]
    shape = {
        "hidden_size": width, "patch_size": patch, "num_attention_heads": max(1, width // HEAD_WIDTH.get(width, 64)),
        "intermediate_size": header["vision_model.encoder.layers.0.mlp.fc1.weight"]["shape"][0],
        "num_hidden_layers": sum(name.startswith("vision_model.encoder.") and name.endswith("mlp.fc1.weight") for name in header),
    }  # fmt: skip
    if "vision_model.head.probe" in header:
        return SiglipVisionConfig(**shape, image_size=round(tokens**0.5) * patch)
    projected = header["visual_projection.weight"]["shape"][0]
    act = "gelu" if width in OPEN_CLIP else "quick_gelu"
    return CLIPVisionConfig(**shape, image_size=round((tokens - 1) ** 0.5) * patch, projection_dim=projected, hidden_act=act)


def load_encoder(found: Path) -> Any:
    """Of transformers' class for its kind. Raises DamagedModel."""
    try:
        config = _config(found)
        code: Any = SiglipVisionModel if isinstance(config, SiglipVisionConfig) else CLIPVisionModelWithProjection
        if found.is_dir():
            return code.from_pretrained(found, use_safetensors=True, local_files_only=True)
        encoder, state = code(config), load_file(found)
        names = set(encoder.state_dict())
        if code is SiglipVisionModel:
            state = {name.removeprefix("vision_model."): value for name, value in state.items() if name.startswith("vision_model.")}
        encoder.load_state_dict({name: value for name, value in state.items() if name in names})
        return encoder
    except (OSError, RuntimeError, ValueError, KeyError, SafetensorError) as error:
        raise DamagedModel(f"The image encoder in {found.name} could not be loaded. Copy it again.") from error


def looked(encoder: Any, picture: Pillow.Image, look: Look) -> tuple[Tensor, Tensor]:
    """What an encoder sees in a picture, and what stands for no picture at all."""
    side = encoder.config.image_size
    square = {"height": side, "width": side}
    siglip = isinstance(encoder, SiglipVisionModel)
    ready = SiglipImageProcessor(size=square) if siglip else CLIPImageProcessor(size={"shortest_edge": side}, crop_size=square)
    pixels = ready(picture.convert("RGB"), return_tensors="pt").pixel_values.to(encoder.device, encoder.dtype)
    if not look.by_token:
        shown = encoder(pixels).image_embeds
        return shown, torch.zeros_like(shown)
    shown = encoder(pixels, output_hidden_states=True).hidden_states[-2]
    if siglip:
        return shown, shown.new_zeros(1).expand_as(shown)  # takes no memory
    return shown, encoder(torch.zeros_like(pixels), output_hidden_states=True).hidden_states[-2]
