"""Files of networks that work on finished pictures: found by the folders they lie in, and by name."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Generic, TypeVar

from backend.enlarging import NONE
from backend.errors import DamagedModel, UnknownModel

ENDINGS = (".safetensors", ".pth")
REFUSED = {
    ".pt": "it is a program (TorchScript), which can run code. Look for a .safetensors or .pth file of it.",
    ".ckpt": "it is a .ckpt file. Look for a .safetensors or .pth file of it.",
    ".onnx": "ONNX files are not supported. Look for a .safetensors or .pth file of it.",
}


@dataclass(frozen=True)
class NetworkFile:
    """One thing to choose, most often a file."""

    kind: ClassVar[str] = "network"
    """As people call it."""

    name: str
    path: Path | None = None
    """Its weights; None where it needs none."""
    problem: str = ""
    """One sentence that says why it cannot be used; empty where it can."""


Kind = TypeVar("Kind", bound=NetworkFile)


class NetworkFiles(Generic[Kind]):
    """Those of one kind that were found at the last scan."""

    make: type[Kind]
    plain: tuple[Kind, ...]
    """What needs no file; it comes first."""
    places: tuple[str, ...]
    """Sub-folders of a models folder."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders
        self._lock = threading.Lock()
        self._found: tuple[Kind, ...] | None = None

    def refresh(self) -> None:
        """Look again at the disk."""
        found = {one.name: one for one in self.plain}
        for path in self._files():
            name, number = path.stem, 2
            while name in found and found[name].path != path:
                name, number = f"{path.stem} ({number})", number + 1
            found.setdefault(name, self.make(name, path, self.problem(path)))
        with self._lock:
            self._found = tuple(found.values())

    def _files(self) -> Iterator[Path]:
        for folder in (place / name for place in self._folders for name in self.places):
            for path in sorted(folder.rglob("*")) if folder.is_dir() else ():
                wanted = not path.name.startswith(".") and path.suffix.lower() in (*ENDINGS, *REFUSED) and path.is_file()
                if wanted and self.counts(path):
                    yield path

    def counts(self, path: Path) -> bool:
        """Whether the file is of this kind at all, as far as its name says."""
        return True

    def problem(self, path: Path) -> str:
        """Why the file cannot be used, as far as its name says; empty where it can."""
        return REFUSED.get(path.suffix.lower(), "")

    @property
    def all(self) -> tuple[Kind, ...]:
        """The plain ones first, then files in the order of the folders; those that cannot be used too."""
        if self._found is None:
            self.refresh()
        return self._found or ()

    @property
    def usable(self) -> tuple[Kind, ...]:
        return tuple(one for one in self.all if not one.problem)

    def find(self, name: str) -> Kind:
        """Raises UnknownModel or DamagedModel."""
        found = next((one for one in self.all if one.name == name), None)
        kind = self.make.kind
        if found is None:
            known = ", ".join(one.name for one in self.usable if one.name != NONE) or "none"
            raise UnknownModel(f"There is no {kind} named “{name[:80]}”. {kind.capitalize()}s here: {known}.")
        if found.problem:
            raise DamagedModel(f"The {kind} “{found.name}” cannot be used: {found.problem}")
        return found
