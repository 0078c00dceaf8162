"""What lies in the models folders, of every kind, as one list: what the Models tab and `/api/models` tell."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend import preprocessors
from backend.control_models import ControlModel
from backend.errors import AtelierError
from backend.families import FAMILIES
from backend.headers import Damage, check_safetensors
from backend.library import NOT_NEEDED, Library, Model, weight_files

PRECISIONS = {
    "F64": "fp64", "F32": "fp32", "F16": "fp16", "BF16": "bf16", "F8_E4M3": "fp8", "F8_E5M2": "fp8", "I8": "int8", "U8": "int8",
}  # fmt: skip
FOLDER = "diffusers folder"


@dataclass(frozen=True)
class Item:
    """One model of any kind."""

    name: str
    kind: str
    """checkpoint, controlnet, controlnet-union, t2i-adapter, ip-adapter, upscaler or preprocessor."""
    path: Path
    families: tuple[str, ...] = ()
    """Ids of the families that it belongs to or acts on."""
    format: str = ""
    """"diffusers folder", or a file's ending without its dot."""
    precision: str = ""
    """Of most of its numbers, where a header tells."""
    bytes: int = 0
    present: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    reason: str = ""
    """Why it cannot be used; empty where it can."""
    note: str = ""

    def view(self, folders: tuple[Path, ...]) -> dict[str, Any]:
        titles = {row.id: row.title for row in FAMILIES}
        root = next((folder for folder in folders if self.path.is_relative_to(folder)), None)
        return {
            "name": self.name, "kind": self.kind, "family": self.families[0] if self.families else "", "families": list(self.families),
            "family_title": ", ".join(titles.get(one, one) for one in self.families), "format": self.format, "precision": self.precision,
            "bytes": self.bytes, "components": {"present": list(self.present), "missing": list(self.missing)}, "reason": self.reason,
            "note": self.note, "folder": _below(root, self.path.parent) if root and self.path != root else "",
            "file": self.path.name, "root": str(root or self.path.parent),
        }  # fmt: skip


class Inventory:
    """Lists what the library found; headers are read once for each file as it is."""

    def __init__(self, library: Library, folders: tuple[Path, ...]) -> None:
        self._library, self._folders = library, folders
        self._lock = threading.Lock()
        self._precisions: dict[tuple[Path, int, int], str] = {}

    def items(self) -> tuple[Item, ...]:
        """Models, control models, upscalers, preprocessors' weights, in this order."""
        library = self._library
        return (
            *(self._checkpoint(model) for model in library.models),
            *(self._control(model) for model in library.controls.all),
            *(
                self._file(upscaler.name, "upscaler", upscaler.path, reason=upscaler.problem)
                for upscaler in library.upscalers.all if upscaler.path
            ),
            *self._weights(),
        )  # fmt: skip

    def view(self) -> list[dict[str, Any]]:
        return [item.view(self._folders) for item in self.items()]

    def _checkpoint(self, model: Model) -> Item:
        index = _read(model.path / "model_index.json")
        parts = [name for name, value in index.items() if isinstance(value, list) and len(value) == 2 and value[0] and name not in NOT_NEEDED]
        present = tuple(part for part in parts if (model.path / part).is_dir())
        denoiser = model.family.denoiser if model.usable else next((part for part in ("unet", "transformer") if part in present), "")
        weights = weight_files(model.path / denoiser) if denoiser else ()
        return Item(
            model.name, "checkpoint", model.path, (model.family_id,) if model.family_id else (), FOLDER,
            self._precision(weights[0]) if weights else "", model.size_bytes or _size(model.path), present,
            tuple(part for part in parts if part not in present), model.problem,
        )  # fmt: skip

    def _control(self, model: ControlModel) -> Item:
        if not model.path.is_dir():
            return self._file(model.name, model.kind, model.path, model.families, model.problem)
        weights = sorted(model.path.glob("*.safetensors"))
        precision = self._precision(weights[0]) if weights else ""
        return Item(model.name, model.kind, model.path, model.families, FOLDER, precision, _size(model.path), reason=model.problem)

    def _weights(self) -> Iterator[Item]:
        seen: dict[Path, list[str]] = {}
        for row in preprocessors.ROWS:
            for path in preprocessors.installed(row, self._folders).values():
                seen.setdefault(path, []).append(row.title)
        for path, titles in seen.items():
            yield self._file(path.name, "preprocessor", path, note=f"For: {', '.join(titles)}.")

    def _file(self, name: str, kind: str, path: Path, families: tuple[str, ...] = (), reason: str = "", note: str = "") -> Item:
        try:
            size = path.stat().st_size
        except OSError:
            size = 0  # it vanished since it was listed
        return Item(name, kind, path, families, path.suffix.lstrip(".").lower(), self._precision(path), size, reason=reason, note=note)

    def _precision(self, path: Path) -> str:
        if path.suffix.lower() != ".safetensors":
            return ""
        try:
            stat = path.stat()
            key = (path, stat.st_size, stat.st_mtime_ns)
            with self._lock:
                if key in self._precisions:
                    return self._precisions[key]
            found = _most(check_safetensors(path))
        except (OSError, Damage, AtelierError):
            return ""
        with self._lock:
            self._precisions[key] = found
        return found


def _below(root: Path, folder: Path) -> str:
    """The folder relative to the root; empty where it is the root."""
    below = folder.relative_to(root).as_posix()
    return "" if below == "." else below


def _most(header: Mapping[str, Any]) -> str:
    """What most bytes of a file are made of."""
    counts: Counter[str] = Counter()
    for name, tensor in header.items():
        if name != "__metadata__":
            begin, end = tensor["data_offsets"]
            counts[str(tensor.get("dtype"))] += end - begin
    most = counts.most_common(1)
    return PRECISIONS.get(most[0][0], most[0][0].lower()) if most else ""


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _size(folder: Path) -> int:
    """Bytes of the weights in a folder and its parts."""
    total = 0
    for path in (*folder.glob("*"), *folder.glob("*/*")):
        try:
            total += path.stat().st_size if path.suffix.lower() in (".safetensors", ".bin") and path.is_file() else 0
        except OSError:
            continue
    return total
