"""Dotted names for what stands in a Request's parts, such as "mask.blur"."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """{"mask.blur": 4} becomes {"mask": {"blur": 4}}."""
    made: dict[str, Any] = {}
    for name, value in values.items():
        *parts, last = name.split(".")
        place = made
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = value
    return made


def reached(model: object, name: str) -> Any:
    """What stands under that name; None where the part is not there."""
    found = model
    for part in name.split("."):
        found = getattr(found, part) if found is not None else None
    return found


def without(values: Mapping[str, Any], part: str) -> dict[str, Any]:
    """The values that do not belong to this part."""
    return {name: value for name, value in values.items() if name != part and not name.startswith(f"{part}.")}
