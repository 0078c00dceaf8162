"""What lies in `models/`: found by walking the folders and reading headers, never weights."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from backend.control_models import ControlModels
from backend.errors import DamagedModel, UnknownModel
from backend.families import Defaults, Family, family, find_family
from backend.headers import Damage, check_safetensors
from backend.restorers import Restorers
from backend.upscalers import Upscalers

CHECKPOINT_FOLDERS = ("Stable-diffusion", "checkpoints", "diffusers")
"""Sub-folders of a models folder, by A1111's and ComfyUI's names, in which models lie; and the folder itself."""

NOT_NEEDED = ("safety_checker", "feature_extractor", "image_encoder")
"""Parts that some folders name and Atelier never loads."""

VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "tokenizer.model")
"""The files that a tokenizer may keep its words in."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model as found."""

    name: str
    """Unique in the library; what a request names."""
    path: Path
    family_id: str = ""
    """Empty where it is damaged or of a kind that no row describes."""
    problem: str = ""
    """One sentence that says why it cannot be used; empty where it can."""
    size_bytes: int = 0
    defaults: Defaults = field(default_factory=Defaults)
    words: tuple[str, ...] = ()
    """The words that a teaching model knows; empty for models that read any."""

    variant: str | None = None
    """"fp16" where the folder holds its weights under that name only."""

    @property
    def usable(self) -> bool:
        return not self.problem

    @property
    def family(self) -> Family:
        return family(self.family_id)

    @property
    def denoiser_files(self) -> tuple[Path, ...]:
        """The weight files that the model's hash is taken of."""
        return weight_files(self.path / self.family.denoiser)


def weight_files(folder: Path) -> tuple[Path, ...]:
    """A component's safetensors files: the plain ones, or where there are none those of the fp16 variant."""
    files = sorted(folder.glob("*.safetensors"))
    plain = [file for file in files if ".fp16" not in file.name]
    return tuple(plain or files)


class Library:
    """The models found at the last scan."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders
        self._lock = threading.Lock()
        self._models: tuple[Model, ...] | None = None
        self.upscalers = Upscalers(folders)
        self.restorers = Restorers(folders)
        self.controls = ControlModels(folders)

    def refresh(self) -> None:
        """Look again at the disk."""
        found: dict[str, Model] = {}
        for folder in self._folders:
            for path in _candidates(folder):
                model = inspect(path)
                name, number = model.name, 2
                while name in found:
                    name, number = f"{model.name} ({number})", number + 1
                found[name] = replace(model, name=name)
        self.upscalers.refresh()
        self.restorers.refresh()
        self.controls.refresh()
        with self._lock:
            self._models = tuple(found.values())

    @property
    def models(self) -> tuple[Model, ...]:
        """All of them, damaged ones too, in the order of the folders."""
        if self._models is None:
            self.refresh()
        return self._models or ()

    def find(self, name: str) -> Model:
        """A usable model by name, or by A1111's title "name [hash]". Raises UnknownModel or DamagedModel."""
        wanted = name.strip()
        plain = wanted.rsplit(" [", 1)[0] if wanted.endswith("]") else wanted
        for model in self.models:
            if model.name in (wanted, plain):
                if not model.usable:
                    raise DamagedModel(f"The model “{model.name}” cannot be used: {model.problem}")
                return model
        known = ", ".join(model.name for model in self.models if model.usable) or "none"
        raise UnknownModel(f"There is no model named “{wanted[:80]}”. Models here: {known}.")

    def default(self, preferred: str) -> Model | None:
        """The preferred model where it is usable, else the first usable one, else None."""
        usable = [model for model in self.models if model.usable and model.family.task == "txt2img"]
        return next((model for model in usable if model.name == preferred), usable[0] if usable else None)


def _candidates(folder: Path) -> list[Path]:
    """Folders that look like diffusers models: they hold a model_index.json."""
    places = [folder, *(folder / name for name in CHECKPOINT_FOLDERS)]
    found = (index.parent for place in places if place.is_dir() for index in sorted(place.glob("*/model_index.json")))
    return [folder, *found] if (folder / "model_index.json").is_file() else list(found)


def inspect(path: Path) -> Model:
    """The model in a diffusers folder; one that cannot be used comes back with its problem."""
    try:
        index = _json(path / "model_index.json")
        components = [name for name, value in index.items() if name not in NOT_NEEDED and isinstance(value, list) and len(value) == 2 and value[0]]
        configs = {"model_index": index, **{name: _config(path / name) for name in components}}
        row = find_family(str(index.get("_class_name")), configs)
        if row is None:
            return Model(name=path.name, path=path, problem=f"It is a {index.get('_class_name')} of a kind that is not supported yet.")
        sizes = [_check_weights(path / name) for name in components if (path / name / "config.json").is_file()]
        _check_parts(path, index, row)
    except Damage as damage:
        return Model(name=path.name, path=path, problem=str(damage))
    variant = "fp16" if ".fp16" in weight_files(path / row.denoiser)[0].name else None
    return Model(
        name=path.name, path=path, family_id=row.id, size_bytes=sum(sizes), variant=variant, defaults=_defaults(row, configs), words=_words(path)
    )


def _check_parts(path: Path, index: Mapping[str, Any], row: Family) -> None:
    """Raises Damage where a part that this family needs is not there, or is an empty shell."""
    for name, value in index.items():
        if not isinstance(value, list) or name in NOT_NEEDED:
            continue
        if not value[0] or not (path / name).is_dir():
            if name not in row.needless:
                what = f", a {value[1]}," if value[0] else ""
                raise Damage(f"Its part “{name}”{what} is missing. Copy the whole folder again.")
        elif name.startswith("tokenizer"):
            if not any((path / name / file).is_file() for file in VOCABULARIES):
                raise Damage(f"Its part “{name}” has no vocabulary. Copy the whole folder again.")
        elif name.startswith(("text_encoder", "transformer", "unet", "vae")):
            _json(path / name / "config.json")


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise Damage(f"{path.parent.name}/{path.name} is missing. Copy the whole folder again.") from error
    except OSError as error:
        raise Damage(f"{path.parent.name}/{path.name} cannot be read ({error.strerror}).") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise Damage(f"{path.parent.name}/{path.name} is damaged. Copy it again.") from error
    if not isinstance(value, dict):
        raise Damage(f"{path.parent.name}/{path.name} is damaged. Copy it again.")
    return value


def _config(folder: Path) -> dict[str, Any]:
    names = ("config.json", "scheduler_config.json")
    return next((_json(folder / name) for name in names if (folder / name).is_file()), {})


def _check_weights(folder: Path) -> int:
    """Bytes of a component's safetensors files. Raises Damage where one is missing, cut short or not what it says."""
    files = weight_files(folder)
    if not files:
        other = next(folder.glob("*.bin"), None)
        why = (
            "it comes as a .bin file, which can run code; convert it to safetensors."
            if other
            else "its weights are missing. Copy the whole folder again."
        )
        raise Damage(f"Its part “{folder.name}” cannot be loaded: {why}")
    for file in files:
        check_safetensors(file)
    for index in folder.glob("*.safetensors.index.json"):
        parts = set(_json(index).get("weight_map", {}).values())
        absent = sorted(part for part in parts if not (folder / part).is_file())
        if absent and parts & {file.name for file in files}:
            raise Damage(f"{folder.name}/{absent[0]} is missing. Copy it again.")
    return sum(file.stat().st_size for file in files)


def _defaults(row: Family, configs: Mapping[str, Mapping[str, Any]]) -> Defaults:
    """The row's defaults, at the size that this very model was trained for."""
    sample = configs.get(row.denoiser, {}).get("sample_size") if row.own_size else None
    channels = configs.get("vae", {}).get("block_out_channels") or configs.get("vae", {}).get("encoder_block_out_channels")
    if isinstance(sample, int) and isinstance(channels, list):
        side = sample * 2 ** (len(channels) - 1)
        return replace(row.defaults, width=side, height=side)
    return row.defaults


def _words(path: Path) -> tuple[str, ...]:
    file = path / "words.txt"
    return tuple(file.read_text("utf-8").split()) if file.is_file() else ()
