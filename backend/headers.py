"""Reads which tensors a weights file holds, without loading or running anything in it."""

from __future__ import annotations

import json
import math
import pickletools
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

HEADER_MAX = 100 * 2**20
"""A safetensors header larger than this is refused, as the library's own readers do."""

PICKLE_MAX = 64 * 2**20
"""The part of a torch file that names its tensors; a few kilobytes in those that hold nothing else."""


class Damage(Exception):
    """Found while looking at a file; its text is a sentence for a person."""


def check_safetensors(file: Path) -> Mapping[str, Any]:
    """The header of a safetensors file, once the file is as long as it says. Raises Damage.

    Format: 8 bytes little-endian header length, a JSON header with each tensor's data_offsets, then the data.
    """
    where = f"{file.parent.name}/{file.name}"
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            length = int.from_bytes(stream.read(8), "little")
            if not 2 <= length <= min(size - 8, HEADER_MAX):
                raise Damage(f"{where} is damaged. Copy it again.")
            header = json.loads(stream.read(length))
        end = max((tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"), default=0)
    except OSError as error:
        raise Damage(f"{where} cannot be read ({error.strerror}).") from error
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise Damage(f"{where} is damaged. Copy it again.") from error
    if 8 + length + end != size:
        raise Damage(f"{where} should have {8 + length + end:,} bytes but has {size:,}. Copy it again.")
    return header


def tensor_sizes(file: Path) -> dict[str, int]:
    """How many numbers each tensor of a .safetensors or torch file has, by name. Raises Damage."""
    if file.suffix.lower() == ".safetensors":
        header = check_safetensors(file)
        try:
            return {name: math.prod(tensor["shape"]) for name, tensor in header.items() if name != "__metadata__"}
        except (KeyError, TypeError) as error:
            raise Damage(f"{file.parent.name}/{file.name} is damaged. Copy it again.") from error
    return _torch_sizes(file)


def _torch_sizes(file: Path) -> dict[str, int]:
    """The same from a torch file: its pickle is read as a list of instructions, none of which is carried out.

    A tensor's name comes before its storage, which is written as ("storage", kind, key, device, count of numbers).
    """
    sizes: dict[str, int] = {}
    name, last = "", 0
    try:
        with zipfile.ZipFile(file) as archive:
            inside = next(entry for entry in archive.infolist() if entry.filename.endswith("data.pkl"))
            if inside.file_size > PICKLE_MAX:
                raise Damage(f"{file.parent.name}/{file.name} holds more than weights.")
            instructions = archive.read(inside)
        for instruction, value, _ in pickletools.genops(instructions):
            if isinstance(value, str) and "UNICODE" in instruction.name and ("." in value or "_" in value):
                name = value
            elif isinstance(value, int) and instruction.name.startswith("BININT"):
                last = value
            elif instruction.name == "BINPERSID" and name:
                sizes[name] = last
    except OSError as error:
        raise Damage(f"{file.parent.name}/{file.name} cannot be read ({error.strerror}).") from error
    except (zipfile.BadZipFile, StopIteration, ValueError, IndexError, KeyError, RuntimeError) as error:
        raise Damage(f"{file.parent.name}/{file.name} is damaged, or is no file of weights. Copy it again.") from error
    return sizes
