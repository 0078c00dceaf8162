"""Reads files of weights as weights and as nothing else: whatever else a file holds is never run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from backend.errors import DamagedModel

UNREADABLE = (SafetensorError, OSError, RuntimeError, ValueError, EOFError, LookupError, TypeError, AttributeError)
"""What readers, and networks that are given the wrong weights, raise on a file that is damaged or none of theirs."""


def read(path: Path, title: str) -> dict[str, Any]:
    """What a .safetensors or torch file holds, on the CPU; `title` is what errors call it. Raises DamagedModel."""
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise DamagedModel(
            f"{title} was refused: its file holds more than weights, which could run code. Look for a safetensors file of it."
        ) from error
    except UNREADABLE as error:
        raise DamagedModel(f"{title} is damaged or no model file at all. Copy it again.") from error
    if not isinstance(held, dict):
        raise DamagedModel(f"{title} cannot be used: it holds no weights.")
    return held
