"""Weight files of preprocessors: read as weights and as nothing else."""

from __future__ import annotations

import contextlib
import pickle
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from backend.errors import DamagedModel

UNREADABLE = (SafetensorError, OSError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError)
"""What torch's reader and a network raise on a file that is damaged or none of theirs."""


@contextlib.contextmanager
def only_weights() -> Iterator[None]:
    """While the block runs, torch.load runs nothing that stands in a file, whatever its caller asks for, and loads to the CPU."""
    load = torch.load

    def safely(file: Any, *_: Any, **__: Any) -> Any:
        return load(file, map_location="cpu", weights_only=True)

    with swapped(torch, "load", safely):
        yield


@contextlib.contextmanager
def swapped(owner: Any, name: str, value: Any) -> Iterator[None]:
    """An attribute of foreign code has another value while the block runs."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextlib.contextmanager
def refused_or_damaged(title: str) -> Iterator[None]:
    """What goes wrong with a file in the block, as a sentence. Raises DamagedModel."""
    try:
        yield
    except pickle.UnpicklingError as error:
        raise DamagedModel(
            f"{title} was refused: its file holds more than weights, which could run code. Get the file anew from where it was published."
        ) from error
    except torch.OutOfMemoryError:
        raise
    except UNREADABLE as error:
        raise DamagedModel(f"{title} cannot be used: its file is damaged or of another kind. Copy it again.") from error


def refuse_programs(title: str, files: dict[str, Path]) -> None:
    """Raises DamagedModel for TorchScript files, which are programs."""
    for path in files.values():
        if not zipfile.is_zipfile(path):
            continue
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
        if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
            raise DamagedModel(f"{title} was refused: {path.name} is a program (TorchScript), which can run code. Get a file with its weights alone.")
