"""The units of A1111's ControlNet extension, as programs send them, with the defaults of its API."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError

from backend import preprocessors
from backend.controlling import CONTROL_MODES, CONTROL_RESIZES
from backend.errors import BadRequest
from backend.inputs import Input
from backend.preprocessors import Preprocessor
from backend.types import sentences

SCRIPT = "controlnet"
"""Its name among the always-on scripts, in any case."""

NO_MODEL = "None"
RESOLUTION = 512

OLD_NAMES = {
    "inner fit (scale to fit)": "Crop and Resize", "scale to fit (inner fit)": "Crop and Resize", "inner fit": "Crop and Resize",
    "outer fit (shrink to fit)": "Resize and Fill", "envelope (outer fit)": "Resize and Fill", "outer fit": "Resize and Fill",
    "resizemode.resize": "Just Resize", "resizemode.inner_fit": "Crop and Resize", "resizemode.outer_fit": "Resize and Fill",
    "controlmode.balanced": "Balanced", "controlmode.prompt": "My prompt is more important", "controlmode.control": "ControlNet is more important",
}  # fmt: skip
"""Names of earlier versions, and as its own page sends them, to those of today."""

UNION_TYPES = {
    "openpose": "OpenPose", "depth": "Depth", "softedge": "SoftEdge", "hardedge": "Canny", "normalmap": "NormalMap", "segmentation": "Segmentation",
    "tile": "Tile", "inpaint": "Inpaint",
}  # fmt: skip
"""What the extension calls the kinds of map that a union ControlNet knows, in letters alone, to the names of preprocessors.TYPES."""

Take = Callable[[str, str], Input]
"""Takes in a picture as base64, for the field named second. Raises BadRequest."""

_HASH = re.compile(r" \[[0-9a-f]{8,10}\]$")


class Unit(BaseModel):
    """One unit. Unknown fields are ignored, as clients rely on."""

    model_config = ConfigDict(extra="ignore")

    enabled: bool = True
    module: str | None = "none"
    model: str | None = NO_MODEL
    weight: float = 1.0
    image: str | dict[str, Any] | None = Field(default=None, validation_alias=AliasChoices("image", "input_image"))
    mask: str | None = Field(default=None, validation_alias=AliasChoices("mask", "mask_image"))
    resize_mode: int | str = 1
    processor_res: float = -1
    threshold_a: float = -1
    threshold_b: float = -1
    guidance_start: float = 0.0
    guidance_end: float = Field(default=1.0, validation_alias=AliasChoices("guidance_end", "guidance"))
    control_mode: int | str = 0
    pixel_perfect: bool = False
    union_control_type: str | None = None

    @property
    def empty(self) -> bool:
        return not self.enabled or (not self.image and self.model in (None, "", NO_MODEL) and self.module in (None, "", "none"))

    def to_control(self, take: Take) -> dict[str, object]:
        """The fields of a Control. Raises BadRequest, with this unit's fields."""
        row = module(self.module, "module")
        if self.model in (None, "", NO_MODEL):
            raise BadRequest({"model": "The ControlNet unit names no model. Send one of those in controlnet/model_list."})
        image, mask = self.image, self.mask
        if isinstance(image, dict):
            image, mask = image.get("image"), mask or image.get("mask")
        return {
            "pictures": [take(str(image), "image").id] if image else [],
            "mask": take(str(mask), "mask").id if mask else None,
            "type": UNION_TYPES.get(re.sub("[^a-z]", "", (self.union_control_type or "").lower()), ""),
            "preprocessor": row.name, "model": _HASH.sub("", self.model or ""), "weight": self.weight,
            "resize_mode": _choice(CONTROL_RESIZES, self.resize_mode, "resize_mode"),
            "mode": _choice(CONTROL_MODES, self.control_mode, "control_mode"),
            "resolution": resolution(self.processor_res), "pixel_perfect": self.pixel_perfect,
            "threshold_a": setting(row, 0, self.threshold_a), "threshold_b": setting(row, 1, self.threshold_b),
            "start": self.guidance_start, "end": self.guidance_end,
        }  # fmt: skip


def controls_of(scripts: dict[str, Any] | None, take: Take) -> dict[str, object]:
    """The `controls` of a request from a body's always-on scripts; nothing where there are none. Raises BadRequest."""
    controls = []
    for name, args in scripts_in(scripts):
        if name.lower() != SCRIPT:
            raise BadRequest({f"alwayson_scripts.{name}": f"The script “{name[:60]}” is not here. Leave it out of alwayson_scripts."})
        for number, values in enumerate(args):
            if values:
                controls += _control(f"alwayson_scripts.{name}.args.{number}", values, take)
    return {"controls": controls} if controls else {}


def scripts_in(scripts: dict[str, Any] | None) -> list[tuple[str, list[Any]]]:
    """The scripts that are given something to do, each with its arguments."""
    found = []
    for name, script in (scripts or {}).items():
        args = script.get("args") if isinstance(script, dict) else script
        args = list(args.values()) if isinstance(args, dict) else args if isinstance(args, list) else [args]
        if any(args):
            found.append((name, args))
    return found


def _control(where: str, values: object, take: Take) -> list[dict[str, object]]:
    """The one Control of a unit, or none."""
    if not isinstance(values, dict):
        raise BadRequest({where: "A ControlNet unit is sent by the names of its fields in this version, not as a list of values."})
    try:
        unit = Unit.model_validate(values)
        return [] if unit.empty else [unit.to_control(take)]
    except ValidationError as error:
        raise BadRequest({f"{where}.{name}": sentence for name, sentence in sentences(error).items()}) from error
    except BadRequest as error:
        raise BadRequest({f"{where}.{name}": sentence for name, sentence in error.fields.items()}) from error


def resolution(given: float) -> int:
    """Pixels; what is not above 0 stands for the extension's default."""
    return round(given) if given > 0 else RESOLUTION


def setting(row: Preprocessor, number: int, given: float) -> float | None:
    """A slider's value. What lies outside of the slider stands for its default, as in the extension: clients send the same to all."""
    if number >= len(row.sliders):
        return None
    slider = row.sliders[number]
    return given if slider.low <= given <= slider.high else None


def module(name: str | None, field: str) -> Preprocessor:
    """The preprocessor that a program names. Raises BadRequest for `field`."""
    try:
        return preprocessors.find(name or "")
    except BadRequest as error:
        raise BadRequest({field: error.sentence}) from error


def _choice(names: tuple[str, ...], given: int | str, field: str) -> str:
    """By number, name or old name."""
    if isinstance(given, int) and 0 <= given < len(names):
        return names[given]
    text = OLD_NAMES.get(str(given).lower(), str(given)).lower()
    found = next((name for number, name in enumerate(names) if text in (name.lower(), str(number))), None)
    if found is None:
        known = ", ".join(f"{place} ({name})" for place, name in enumerate(names))
        raise BadRequest({field: f"{field} is {str(given)[:60]}. It can be: {known}."})
    return found
