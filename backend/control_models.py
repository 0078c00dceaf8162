"""The models that make a picture follow another one, found in `models/`: ControlNets, T2I-Adapters, IP-Adapters."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from backend import picture_adapters, preprocessors
from backend.controlling import Control
from backend.errors import AtelierError, DamagedModel, UnknownModel
from backend.families import FAMILIES, Family
from backend.headers import Damage, check_safetensors, tensor_sizes
from backend.types import Request

FOLDERS = ("starter/control", "ControlNet", "controlnet", "t2i_adapter", "T2I-Adapter", "T2IAdapter", "ipadapter", "ip-adapter", "IP-Adapter")
"""Sub-folders of a models folder, by A1111's and ComfyUI's names."""

ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
DETECTORS = ("annotators", "annotator", "controlnet_annotators", "preprocessors")
"""Folders among them that hold what preprocessors need."""

ControlKind = Literal["controlnet", "controlnet-union", "t2i-adapter", "ip-adapter"]

KIND_TITLES: Mapping[ControlKind, str] = {
    "controlnet": "ControlNet", "controlnet-union": "union ControlNet", "t2i-adapter": "T2I-Adapter", "ip-adapter": "IP-Adapter",
}  # fmt: skip

FOLDER_KINDS: Mapping[str, ControlKind] = {
    "ControlNetModel": "controlnet",
    "ControlNetUnionModel": "controlnet-union",
    "T2IAdapter": "t2i-adapter",
    "SD3ControlNetModel": "controlnet",
    "FluxControlNetModel": "controlnet",
    "QwenImageControlNetModel": "controlnet",
    "ZImageControlNetModel": "controlnet",
}
"""Values of `_class_name` in the config.json of a diffusers folder."""

FIRST_WIDTH = 320
"""Channels of the first level of all Stable Diffusion UNets, 1 to XL; XL's second has twice as many."""

LARGE_WIDTH = 2432
"""Of Stable Diffusion 3.5 large; both mediums have 1536, of which 3.5's norms queries and keys."""


@dataclass(frozen=True)
class ControlModel:
    """One control model."""

    name: str
    """File or folder name without ending."""
    path: Path
    kind: ControlKind = "controlnet"
    families: tuple[str, ...] = ()
    """Ids of the families of models that it acts on."""
    problem: str = ""
    """One sentence that says why it cannot be used; empty where it can."""

    @property
    def title(self) -> str:
        return KIND_TITLES[self.kind]


class ControlModels:
    """The control models found at the last scan."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders
        self._lock = threading.Lock()
        self._seen: dict[tuple[Path, int, int], ControlModel] = {}
        self._found: tuple[ControlModel, ...] | None = None

    def refresh(self) -> None:
        """Look again at the disk. Files that are as they were are not read again."""
        found: dict[str, ControlModel] = {}
        seen: dict[tuple[Path, int, int], ControlModel] = {}
        for path in _candidates(self._folders):
            try:
                stat = (path / "config.json" if path.is_dir() else path).stat()
            except OSError:
                continue  # it vanished while we looked
            key = (path, stat.st_size, stat.st_mtime_ns)
            seen[key] = model = self._seen.get(key) or inspect(path)
            name, number = model.name, 2
            while name in found:
                name, number = f"{model.name} ({number})", number + 1
            found[name] = replace(model, name=name)
        with self._lock:
            self._seen, self._found = seen, tuple(found.values())

    @property
    def all(self) -> tuple[ControlModel, ...]:
        """In the order of the folders; those that cannot be used too."""
        if self._found is None:
            self.refresh()
        return self._found or ()

    @property
    def usable(self) -> tuple[ControlModel, ...]:
        return tuple(model for model in self.all if not model.problem)

    def find(self, name: str) -> ControlModel:
        """A usable one by name, or by the title "name [hash]" of A1111's extension. Raises UnknownModel or DamagedModel."""
        wanted = name.strip()
        plain = wanted.rsplit(" [", 1)[0] if wanted.endswith("]") else wanted
        for model in self.all:
            if model.name in (wanted, plain):
                if model.problem:
                    raise DamagedModel(f"The control model “{model.name}” cannot be used: {model.problem}")
                return model
        known = ", ".join(model.name for model in self.usable) or "none"
        raise UnknownModel(f"There is no control model named “{wanted[:80]}”. Control models here: {known}.")


def check_fit(request: Request, family: Family, models: ControlModels) -> dict[str, str]:
    """A sentence for each control model of a drawing request that is missing, or made for other models than this family's."""
    wrong: dict[str, str] = {}
    for place, control in enumerate(request.controls):
        if not control.model:
            wrong[f"controls.{place}.model"] = "No control model is chosen for this unit. Choose one, or switch the unit off."
        elif misfit := _misfit(control.model, family, models):
            wrong[f"controls.{place}.model"] = misfit
        elif (model := models.find(control.model)).kind != "ip-adapter":
            wrong |= {f"controls.{place}.{name}": sentence for name, sentence in _unfit_map(control, model, family).items()}
    detail = request.upscale.detail if request.upscale else None
    if detail and detail.control and (misfit := _misfit(detail.control, family, models, ("controlnet", "controlnet-union"))):
        wrong["upscale.detail.control"] = misfit
    return wrong


def _unfit_map(control: Control, model: ControlModel, family: Family) -> dict[str, str]:
    """What a unit with a map asks for that cannot be, by field."""
    wrong: dict[str, str] = {}
    if len(control.pictures) > 1:
        wrong["pictures"] = f"{model.name} follows one picture; {len(control.pictures)} are given. Use a unit for each."
    if control.mode == "ControlNet is more important" and "negative_prompt" not in family.supports:
        wrong["mode"] = f"{family.title} always draws with the prompt, so there is no part that the control could be kept from. Choose another mode."
    if family.denoiser != "unet" and preprocessors.find(control.preprocessor).group == "Inpaint":
        wrong["preprocessor"] = (
            f"Control models for {family.title} cannot be told what to paint. Choose another preprocessor; the mask does its work."
        )
    return wrong


def _misfit(name: str, family: Family, models: ControlModels, kinds: Collection[ControlKind] = tuple(KIND_TITLES)) -> str:
    """Why the model of that name cannot act on this family; empty where it can."""
    try:
        model = models.find(name)
    except AtelierError as error:
        return error.sentence
    if model.kind not in kinds:
        return f"{model.name} is {_a(model.title)}, and a ControlNet is needed here."
    if family.id in model.families:
        return ""
    known = {row.id: row.title for row in FAMILIES}
    made_for = " or ".join(known.get(one, one) for one in model.families)
    return f"{model.name} is {_a(model.title)} for {made_for}, and the model is {family.title}. Choose one that fits, or another model."


def _a(title: str) -> str:
    return f"an {title}" if title.startswith("I") else f"a {title}"


def _candidates(folders: tuple[Path, ...]) -> list[Path]:
    """Diffusers folders, and files that are not part of one."""
    found: list[Path] = []
    for place in dict.fromkeys((folder / name).resolve() for folder in folders for name in FOLDERS):
        if not place.is_dir():
            continue
        inside = [path for path in sorted(place.rglob("*")) if not set(path.relative_to(place).parts[:-1]) & set(DETECTORS)]
        parts = {path.parent for path in inside if path.name == "config.json"}
        found += [path for path in inside if path in parts and _class_name(path)]
        found += [place] if place in parts and _class_name(place) else []
        found += [
            path
            for path in inside
            if path.suffix.lower() in ENDINGS and path.is_file() and path.parent not in parts and not path.name.startswith(".")
        ]
    return list(dict.fromkeys(found))


def _class_name(folder: Path) -> str:
    """Empty where it is something else than a control model, such as an image encoder."""
    name = _config(folder).get("_class_name")
    return str(name) if name in FOLDER_KINDS else ""


def _config(folder: Path) -> dict[str, Any]:
    try:
        value = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def inspect(path: Path) -> ControlModel:
    """The control model in a folder or file; one that cannot be used comes back with its problem."""
    try:
        return _folder(path) if path.is_dir() else _file(path)
    except Damage as damage:
        return ControlModel(path.name if path.is_dir() else path.stem, path, problem=str(damage))


def _folder(path: Path) -> ControlModel:
    config = _config(path)
    files = sorted(path.glob("*.safetensors"))
    if not files:
        why = "it comes as a .bin file, which can run code; convert it to safetensors." if any(path.glob("*.bin")) else "its weights are missing."
        raise Damage(why)
    for file in files:
        check_safetensors(file)
    name, kind = str(config["_class_name"]), FOLDER_KINDS[str(config["_class_name"])]
    if config.get("extra_conditioning_channels") or config.get("extra_condition_channels"):
        raise Damage("it is an inpainting ControlNet of a kind that is not supported. Inpainting works without one.")
    families = _families_of_class(name, config)
    if not families:
        raise Damage(f"it is a {KIND_TITLES[kind]} for a kind of model that is not known here.")
    kind = "controlnet-union" if config.get("num_mode") is not None else kind
    # A folder as hubs name it, "diffusion_pytorch_model" within; where that lies in a repository of several, its own name says little.
    return ControlModel(path.name, path, kind, families)


def _families_of_class(name: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    if name in ("ControlNetModel", "ControlNetUnionModel"):
        return _families_of_width(int(config.get("cross_attention_dim") or 0))
    if name == "T2IAdapter":
        return ("sdxl",) if "xl" in str(config.get("adapter_type")) else ("sd1", "sd2")
    if name == "SD3ControlNetModel":
        width = int(config.get("num_attention_heads") or 0) * int(config.get("attention_head_dim") or 0)
        medium = "sd3.5-medium" if config.get("qk_norm") else "sd3-medium"
        return {1536: (medium,), LARGE_WIDTH: ("sd3.5-large",)}.get(width, ())
    transformers = {
        "FluxControlNetModel": ("flux-dev", "flux-schnell"), "QwenImageControlNetModel": ("qwen-image",),
        "ZImageControlNetModel": ("z-image", "z-image-turbo"),
    }  # fmt: skip
    return transformers.get(name, ())


def _families_of_width(width: int) -> tuple[str, ...]:
    """Rows whose UNet is told by prompts of this width."""
    return tuple(row.id for row in FAMILIES if row.detect.get("unet.cross_attention_dim") == width and row.task == "txt2img")


def _file(path: Path) -> ControlModel:
    sizes = {name.removeprefix("control_model."): size for name, size in tensor_sizes(path).items()}
    kind = _kind(sizes)
    if kind == "t2i-adapter":
        # Their first layer sees squares of 8 x 8 pixels at once, for XL of 16 x 16, in one colour or three.
        seen = next((size for name, size in sizes.items() if name.removeprefix("adapter.") == "conv_in.weight"), 0) // (FIRST_WIDTH * 9)
        families = ("sdxl",) if seen in (256, 768) else ("sd1", "sd2") if seen in (64, 192) else ()
    elif kind == "ip-adapter":
        of_transformer = picture_adapters.families(sizes)
        families = _families_of_width(_prompt_width(sizes)) if of_transformer is None else of_transformer
    else:
        families = _families_of_width(_prompt_width(sizes))
    if not families:
        raise Damage(f"it is {_a(KIND_TITLES[kind])} for a kind of model that is not known here.")
    return ControlModel(path.stem, path, kind, families)


def _kind(sizes: Mapping[str, int]) -> ControlKind:
    """What the names of a file's tensors tell. Raises Damage."""
    if picture_adapters.flux_keys(sizes) or any(name.endswith("to_k_ip.weight") for name in sizes):
        if any(".to_q_lora" in name for name in sizes):
            raise Damage("it is a FaceID adapter, which needs a face recogniser that is licensed for research only. Use a plus-face adapter.")
        return "ip-adapter"
    if "lora_controlnet" in sizes or any(name.endswith((".up", ".down")) for name in sizes):
        raise Damage("it is a Control-LoRA, which is not supported. Look for a whole ControlNet.")
    if any(name.startswith(("task_embedding", "control_add_embedding")) for name in sizes):
        return "controlnet-union"
    if any(name.startswith(("controlnet_blocks.", "control_layers.")) for name in sizes):
        raise Damage("it is a ControlNet for a transformer, which is known by its config.json. Copy the whole folder that it comes in.")
    if any(name.startswith(("input_hint_block.", "controlnet_cond_embedding.")) for name in sizes):
        return "controlnet"
    if any(name.removeprefix("adapter.").startswith("body.0.") for name in sizes):
        return "t2i-adapter"
    raise Damage("it is no ControlNet, T2I-Adapter or IP-Adapter of a kind that is known here.")


def _prompt_width(sizes: Mapping[str, int]) -> int:
    """Width of the prompts that its layers of attention read, from the first of those; 0 where it has none."""
    first = (
        ("input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight", 1),
        ("input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight", 2),
        ("down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight", 1),
        ("down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight", 2),
    )
    for name, level in first:
        if name in sizes:
            return sizes[name] // (FIRST_WIDTH * level)
    # What an IP-Adapter makes of a picture is normalised at that width.
    ends = ("norm.weight", "norm_out.weight", "proj.3.weight")
    return next((size for end in ends for name, size in sizes.items() if name.removeprefix("image_proj.") == end), 0)
