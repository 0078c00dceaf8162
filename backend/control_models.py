"""The models that make a picture follow another one, found in `models/`: ControlNets, T2I-Adapters, IP-Adapters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

ControlKind = Literal["controlnet", "controlnet-union", "t2i-adapter", "ip-adapter"]


@dataclass(frozen=True)
class ControlModel:
    """One control model."""

    name: str
    """File or folder name without ending."""
    path: Path
    kind: ControlKind = "controlnet"
    family_id: str = ""
    """Id of the family of models that it acts on."""
    problem: str = ""
    """One sentence that says why it cannot be used; empty where it can."""


class ControlModels:
    """The control models found at the last scan."""

    def __init__(self, folders: tuple[Path, ...]) -> None:
        self._folders = folders

    def refresh(self) -> None:
        """Look again at the disk."""

    @property
    def all(self) -> tuple[ControlModel, ...]:
        """In the order of the folders; those that cannot be used too."""
        return ()

    @property
    def usable(self) -> tuple[ControlModel, ...]:
        return tuple(model for model in self.all if not model.problem)

    def find(self, name: str) -> ControlModel:
        """Raises UnknownModel or DamagedModel."""
        raise NotImplementedError
