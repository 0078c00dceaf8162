"""The face restorers that can be chosen, and the file that finds faces, as they lie in `models/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from backend.enlarging import NONE
from backend.network_files import NetworkFile, NetworkFiles

FOLDERS = ("GFPGAN", "RestoreFormer", "facerestore_models", "face_restore", "face_restoration", "facerestore", "Codeformer")
"""Sub-folders of a models folder, by A1111's and ComfyUI's names."""

NO_RESTORERS = ("detection_", "alignment_", "parsing_", "face_detection_")
"""How files begin that other programs lay beside these, for finding faces and their parts."""

DETECTORS = ("face_detection_yunet*.onnx", "*/face_detection_yunet*.onnx")
"""OpenCV's YuNet (MIT), under the name it is handed out by."""


@dataclass(frozen=True)
class Restorer(NetworkFile):
    """One way to restore faces."""

    kind: ClassVar[str] = "face restorer"


class Restorers(NetworkFiles[Restorer]):
    """The face restorers found at the last scan."""

    make = Restorer
    plain = (Restorer(NONE),)
    places = FOLDERS

    def counts(self, path: Path) -> bool:
        return not path.name.lower().startswith(NO_RESTORERS)

    def problem(self, path: Path) -> str:
        if "codeformer" in path.name.lower():
            return "CodeFormer may not be used commercially, so its code is no part of Atelier. Look for GFPGAN or RestoreFormer."
        return super().problem(path)

    @property
    def gfpgan(self) -> Restorer | None:
        """The newest GFPGAN, by its name."""
        found = [restorer for restorer in self.usable if "gfpgan" in restorer.name.lower()]
        return max(found, key=lambda restorer: restorer.name, default=None)

    @property
    def detector(self) -> Path | None:
        """The file that finds faces and their eyes, where there is one; whole numbers (int8) only where there is no other."""
        found = [path for folder in self._folders for pattern in DETECTORS for path in sorted(folder.glob(pattern))]
        return min(found, key=lambda path: "int8" in path.name, default=None)
