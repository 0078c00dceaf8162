"""Settings, settled once at start: the shipped defaults, then the user's file, then the flags."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from backend.errors import StartFailed

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]  (installed where Python is older)

ROOT = Path(__file__).resolve().parent.parent


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Folders(_Table):
    models: tuple[Path, ...]
    outputs: Path
    state: Path

    @property
    def inputs(self) -> Path:
        """Pictures that were handed in to start from."""
        return self.outputs / "inputs"

    @property
    def passing(self) -> Path:
        """Pictures that programs handed in, with nothing to be saved."""
        return self.state / "passing"


class Saving(_Table):
    subfolders: str
    file_name: str
    png_compression: int = Field(ge=0, le=9)


class Server(_Table):
    host: str
    port: int = Field(ge=1, le=65535)


class Generation(_Table):
    default_model: str
    preview_every_seconds: float = Field(gt=0)
    preview_pixels: int = Field(ge=64, le=1024)
    kept_jobs: int = Field(ge=1)
    queue_limit: int = Field(ge=1)


class Settings(_Table):
    """Frozen. Paths are absolute."""

    folders: Folders
    saving: Saving
    server: Server
    generation: Generation
    device: str = "auto"
    """auto, cpu, cuda, cuda:N, mps or xpu."""
    offline: bool = False
    """Nothing may be fetched, even where the user asks for a download."""


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartFailed(f"{path.name} in configs/ cannot be read: {error}. Please mend or delete it.") from error


def _merged(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        merged[key] = _merged(merged[key], value) if isinstance(value, dict) and isinstance(merged.get(key), dict) else value
    return merged


def load(root: Path = ROOT, models: tuple[Path, ...] = (), outputs: Path | None = None, device: str = "auto", offline: bool = False) -> Settings:
    """Defaults, `configs/settings.toml` and the given values, the later ones first in rank. Raises StartFailed with a sentence.

    `models` are searched before the configured folders.
    """
    values = _read(root / "configs" / "defaults.toml")
    own = root / "configs" / "settings.toml"
    if own.exists():
        values = _merged(values, _read(own))
    try:
        settings = Settings.model_validate({**values, "device": device, "offline": offline})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise StartFailed(f"The setting {where} in configs/settings.toml cannot be used: {first['msg']}.") from error
    folders = Folders(
        models=tuple((root / folder).resolve() for folder in (*models, *settings.folders.models)),
        outputs=(outputs or root / settings.folders.outputs).resolve(),
        state=(root / settings.folders.state).resolve(),
    )
    return settings.model_copy(update={"folders": folders})
