"""A1111's text of a picture's parameters: writing it, and reading it back more strictly than A1111 does."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.controlling import Control
from backend.enlarging import Upscale
from backend.preprocessors import find as find_preprocessor
from backend.samplers import find_sampler, resolve_schedule
from backend.types import Request

KNOWN_KEYS = frozenset(
    {"Steps", "Sampler", "Schedule type", "CFG scale", "Seed", "Size", "Model hash", "Model", "VAE", "Version", "Denoising strength", "Clip skip"}
)
"""A last line counts as parameters only where it has "Steps" and one more of these."""

_KEY = re.compile(r"\s*([A-Za-z0-9_][\w \-/]*):\s*")
_CLOSING = {"{": "}", "[": "]"}


@dataclass(frozen=True)
class Parameters:
    """What an infotext says."""

    prompt: str = ""
    negative_prompt: str = ""
    values: Mapping[str, str] = field(default_factory=dict)
    """Key to value as text, in the order written; quoted values are unquoted."""


def write(request: Request, *, seed: int, model_hash: str, version: str, size: tuple[int, int] | None = None, flow: bool = False) -> str:
    """The infotext of one picture of this request. `size` is the picture's own, where it is not the request's.

    `flow` is for models that learned by flow matching.
    """
    schedule = resolve_schedule(find_sampler(request.sampler), request.scheduler, flow=flow)
    values: dict[str, object] = {
        "Steps": request.steps,
        "Sampler": request.sampler,
        "Schedule type": schedule.name,
        "CFG scale": f"{request.guidance:g}",
        "Seed": seed,
        "Size": "{}x{}".format(*(size or (request.width, request.height)) if not request.hires else (request.width, request.height)),
        "Model hash": model_hash or None,
        "Model": request.model,
        "RNG": "CPU",
        **_pictures_in(request),
        **controls(request),
        "Version": version,
    }
    line = ", ".join(f"{key}: {_quoted(str(value))}" for key, value in values.items() if value is not None)
    negative = f"\nNegative prompt: {request.negative_prompt}" if request.negative_prompt else ""
    return f"{request.prompt}{negative}\n{line}"


def _pictures_in(request: Request) -> dict[str, object]:
    """A1111's keys for what the request starts from and for its second pass. What is at A1111's default is left out there too."""
    image, mask, hires = request.image, request.mask, request.hires
    values: dict[str, object] = {}
    if image:
        values["Denoising strength"] = f"{image.denoising_strength:g}"
        grow = image.grow
        if grow:
            values["Outpaint"] = f"left {grow.left}, top {grow.top}, right {grow.right}, bottom {grow.bottom}"
        if image.noise_multiplier != 1:
            values["Noise multiplier"] = f"{image.noise_multiplier:g}"
    if mask:
        values |= {
            "Mask blur": mask.blur,
            "Mask blur y": mask.blur_y,
            "Mask mode": "Inpaint not masked" if mask.invert else None,
            "Inpaint area": mask.area if mask.area == "Only masked" else None,
            "Masked area padding": mask.padding if mask.area == "Only masked" else None,
            "Masked content": mask.content if mask.content != "original" else None,
            "Soft inpainting enabled": True if mask.soft else None,
        }
    if request.refiner:
        values |= {"Refiner": request.refiner.model, "Refiner switch at": f"{request.refiner.switch_at:g}"}
    if hires:
        resized = bool(hires.width or hires.height)
        values |= {
            "Denoising strength": f"{hires.denoising_strength:g}",
            "Hires upscale": None if resized else f"{hires.scale:g}",
            "Hires resize": f"{hires.width}x{hires.height}" if resized else None,
            "Hires steps": hires.steps or None,
            "Hires upscaler": hires.upscaler,
            "Hires checkpoint": hires.model or None,
            "Hires sampler": hires.sampler or None,
            "Hires schedule type": hires.scheduler or None,
            "Hires prompt": hires.prompt or None,
            "Hires negative prompt": hires.negative_prompt or None,
        }
    if request.upscale:
        values |= _larger(request.upscale)
    return values


def controls(request: Request) -> dict[str, object]:
    """The keys of A1111's ControlNet extension, one for each unit."""
    return {f"ControlNet {number}": _unit(control) for number, control in enumerate(request.controls)}


def _unit(control: Control) -> str:
    row = find_preprocessor(control.preprocessor)
    values: dict[str, object] = {
        "Module": row.name,
        "Model": control.model or "None",
        "Weight": f"{control.weight:g}",
        "Resize Mode": control.resize_mode,
        "Processor Res": control.resolution if row.at_resolution else None,
        "Threshold A": f"{row.setting(0, control.threshold_a):g}" if row.sliders else None,
        "Threshold B": f"{row.setting(1, control.threshold_b):g}" if len(row.sliders) > 1 else None,
        "Guidance Start": f"{control.start:g}",
        "Guidance End": f"{control.end:g}",
        "Pixel Perfect": control.pixel_perfect,
        "Control Mode": control.mode,
    }
    return ", ".join(f"{key}: {value}" for key, value in values.items() if value is not None)


def reading(number: int, request: Request) -> str:
    """What was read for one unit of a request that only reads maps."""
    key = f"ControlNet {number}"
    return f"{key}: {_quoted(str(controls(request)[key]))}"


def enlarging(how: Upscale) -> str:
    """A1111's text of what was done to a finished picture."""
    return ", ".join(f"{key}: {_quoted(str(value))}" for key, value in _larger(how).items() if value is not None)


def _larger(how: Upscale) -> dict[str, object]:
    return {**(_enlarged(how) if how.enlarges else {}), **(_faces(how) if how.restores else {})}


def _faces(how: Upscale) -> dict[str, object]:
    """A1111 has a key for each of its two restorers; others are named alike."""
    key = "GFPGAN visibility" if "gfpgan" in how.faces.lower() else "Face restoration visibility"
    return {"Face restoration": how.faces, key: f"{how.faces_visibility:g}"}


def _enlarged(how: Upscale) -> dict[str, object]:
    sized = f"{how.width}x{how.height}" if how.width or how.height else None
    return {
        "Postprocess upscale by": None if sized else f"{how.scale:g}",
        "Postprocess upscale to": sized,
        "Postprocess crop to": sized if how.crop and how.width and how.height else None,
        "Postprocess upscaler": how.upscaler,
        "Postprocess upscaler 2": how.second if how.mixes else None,
        "Detail upscale strength": f"{how.detail.denoising_strength:g}" if how.detail else None,
        "Detail upscale tile": how.detail.tile or None if how.detail else None,
        "Detail upscale ControlNet": how.detail.control or None if how.detail else None,
        "Postprocess upscaler 2 visibility": f"{how.second_visibility:g}" if how.mixes else None,
    }


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False) if re.search(r"[,:\n]", value) else value


def read(text: str) -> Parameters:
    """What the text says. Text that has no parameters line comes back as a prompt; nothing raises."""
    lines = text.strip().split("\n")
    values = _values(lines[-1])
    if "Steps" in values and len(KNOWN_KEYS & values.keys()) >= 2:
        lines = lines[:-1]
    else:
        values = {}
    start = next((number for number, line in enumerate(lines) if line.startswith("Negative prompt:")), len(lines))
    prompt = "\n".join(lines[:start])
    negative = "\n".join(lines[start:]).removeprefix("Negative prompt:")
    return Parameters(prompt.strip(), negative.strip(), values)


def _values(line: str) -> dict[str, str]:
    """The "key: value" pairs of a line; a value may be quoted, or hold balanced braces or brackets."""
    values: dict[str, str] = {}
    place = 0
    while match := _KEY.match(line, place):
        value, place = _value(line, match.end())
        values.setdefault(match.group(1).strip(), value)
        if place >= len(line) or line[place] != ",":
            break
        place += 1
    return values


def _value(line: str, start: int) -> tuple[str, int]:
    """The value that begins at `start`, and the place after it."""
    if start < len(line) and line[start] == '"':
        try:
            value, end = json.JSONDecoder().raw_decode(line, start)
            return str(value), end
        except json.JSONDecodeError:
            pass
    if start < len(line) and line[start] in _CLOSING:
        end = _balanced(line, start)
        if end:
            return line[start:end], end
    end = line.find(",", start)
    end = len(line) if end < 0 else end
    return line[start:end].strip(), end


def _balanced(line: str, start: int) -> int:
    """The place after the bracket that closes the one at `start`; 0 where none does. Brackets in strings do not count."""
    waiting: list[str] = []
    in_string = False
    place = start
    while place < len(line):
        letter = line[place]
        if in_string:
            place += letter == "\\"
            in_string = letter != '"'
        elif letter == '"':
            in_string = True
        elif letter in _CLOSING:
            waiting.append(_CLOSING[letter])
        elif waiting and letter == waiting[-1]:
            waiting.pop()
            if not waiting:
                return place + 1
        place += 1
    return 0
