"""The upscalers that can be chosen: those that need no model, and model files found in `models/`."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass
from pathlib import Path

from backend.enlarging import NONE, PLAIN_UPSCALERS
from backend.errors import DamagedModel, UnknownModel

FOLDERS = ("starter/upscaler", "upscale_models", "ESRGAN", "RealESRGAN", "BSRGAN", "SwinIR", "ScuNET", "DAT", "HAT", "SPAN")
"""Sub-folders of a models folder, by A1111's and ComfyUI's names."""

ENDINGS = (".safetensors", ".pth")
REFUSED = {
    ".pt": "it is a program (TorchScript), which can run code. Look for a .safetensors or .pth file of it.",
    ".ckpt": "it is a .ckpt file. Look for a .safetensors or .pth file of it.",
    ".onnx": "ONNX files are not supported. Look for a .safetensors or .pth file of it.",
}
USUAL_SCALE = 4


@dataclass(frozen=True)
class Upscaler:
    """One way to make pictures larger."""

    name: str
    path: Path | None = None
    """Its weights; None where it needs none."""
    problem: str = ""
    """One sentence that says why it cannot be used; empty where it can."""

    @property
    def scale(self) -> int:
        """What its name says, or the usual one: files tell their own factor only when they are loaded."""
        found = re.search(r"(?<![\d])(\d)x|x(\d)(?!\d)", self.name.lower())
        return int(found[1] or found[2]) if found and self.path else USUAL_SCALE


PLAIN = tuple(Upscaler(name) for name in PLAIN_UPSCALERS)


class Upscalers:
    """The upscalers found at the last scan."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders
        self._lock = threading.Lock()
        self._found: tuple[Upscaler, ...] | None = None

    def refresh(self) -> None:
        """Look again at the disk."""
        found = {upscaler.name: upscaler for upscaler in PLAIN}
        for folder in (place / name for place in self._folders for name in FOLDERS):
            for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
                ending = path.suffix.lower()
                if path.name.startswith(".") or ending not in (*ENDINGS, *REFUSED) or not path.is_file():
                    continue
                name, number = path.stem, 2
                while name in found and found[name].path != path:
                    name, number = f"{path.stem} ({number})", number + 1
                found.setdefault(name, Upscaler(name, path, REFUSED.get(ending, "")))
        with self._lock:
            self._found = tuple(found.values())

    @property
    def all(self) -> tuple[Upscaler, ...]:
        """The plain ones first, then files in the order of the folders; those that cannot be used too."""
        if self._found is None:
            self.refresh()
        return self._found or ()

    @property
    def usable(self) -> tuple[Upscaler, ...]:
        return tuple(upscaler for upscaler in self.all if not upscaler.problem)

    def find(self, name: str) -> Upscaler:
        """Raises UnknownModel or DamagedModel."""
        found = next((upscaler for upscaler in self.all if upscaler.name == name), None)
        if found is None:
            known = ", ".join(upscaler.name for upscaler in self.usable if upscaler.name != NONE)
            raise UnknownModel(f"There is no upscaler named “{name[:80]}”. Upscalers here: {known}.")
        if found.problem:
            raise DamagedModel(f"The upscaler “{found.name}” cannot be used: {found.problem}")
        return found
