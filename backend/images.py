"""Pictures as files: PNG bytes with their metadata, saved whole or not at all, and read back."""

from __future__ import annotations

import io
import json
import os
import re
import secrets
from datetime import datetime
from pathlib import Path

from PIL import Image as Pillow
from PIL.PngImagePlugin import PngInfo

from backend.errors import SaveFailed
from backend.settings import Saving
from backend.types import Request

PARAMETERS, POSTPROCESSING, REQUEST = "parameters", "postprocessing", "atelier"
"""Keys of the PNG text chunks: A1111's infotext, its text of what was done to a finished picture, and the whole request as JSON."""

NAME_MAX = 120
"""Longest file name in characters, without its ending."""


def encode_png(picture: Pillow.Image, request: Request, infotext: str, compression: int, postprocessing: str = "") -> bytes:
    """An RGB picture as PNG with its texts inside; empty ones are left out. `compression` is zlib's, 0 to 9."""
    chunks = PngInfo()
    for key, text in ((PARAMETERS, infotext), (POSTPROCESSING, postprocessing)):
        if text:
            add_text(chunks, key, text)
    chunks.add_itxt(REQUEST, request.model_dump_json())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=chunks, compress_level=compression)
    return buffer.getvalue()


def add_text(chunks: PngInfo, key: str, text: str) -> None:
    """As the plain kind of chunk where the text allows it, which is what other programs look for."""
    chunks.add_text(key, text) if _is_latin(text) else chunks.add_itxt(key, text)


def _is_latin(text: str) -> bool:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        return False
    return True


def read_metadata(source: Path | bytes) -> tuple[str, Request | None]:
    """The infotext ("" where there is none) and the request (None where there is none, or it is of another version).

    Raises OSError for bytes that are no picture.
    """
    with Pillow.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
        texts = {key: value for key, value in picture.info.items() if isinstance(value, str)}
    try:
        request = Request.model_validate_json(texts[REQUEST])
    except (KeyError, ValueError, json.JSONDecodeError):
        request = None
    return texts.get(PARAMETERS, ""), request


def save(data: bytes, request: Request, *, seed: int, outputs: Path, saving: Saving, when: datetime | None = None) -> Path:
    """Write PNG bytes below `outputs`, under the next free number. The file is complete on the disk or not there at all.

    Raises SaveFailed with what is wrong and what to do.
    """
    folder = outputs / ("extras-images" if not request.draws else "img2img-images" if request.image else "txt2img-images")
    try:
        for part in filter(None, re.split(r"[\\/]+", saving.subfolders)):
            folder /= _filled(part, request, seed, 0, when)
        folder.mkdir(parents=True, exist_ok=True)
        number = _next_number(folder)
        path = folder / (_filled(saving.file_name, request, seed, number, when) + ".png")
        while path.exists():
            number += 1
            path = folder / (_filled(f"[number]-{saving.file_name}".replace("[number]-[number]", "[number]"), request, seed, number, when) + ".png")
        write_whole(path, data)
    except OSError as error:
        raise SaveFailed(
            f"The picture is done but could not be saved in {folder} ({error.strerror or error}). Make room or choose another outputs folder;"
            " until Atelier is closed you can download it here."
        ) from error
    return path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file by way of a temporary one in the same folder, on the disk before it gets its name. Raises OSError."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        with part.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    if os.name == "posix":
        handle = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _next_number(folder: Path) -> int:
    numbers = (re.match(r"(\d{5,})", entry.name) for entry in os.scandir(folder))
    return max((int(match.group(1)) for match in numbers if match), default=-1) + 1


def _filled(pattern: str, request: Request, seed: int, number: int, when: datetime | None) -> str:
    """The pattern with its [tokens] filled in, safe as one file name on every system. Unknown tokens stay as they are."""
    now = when or datetime.now()
    words = re.findall(r"\w+", request.prompt)
    values = {
        "number": f"{number:05d}",
        "seed": str(seed),
        "date": now.strftime("%Y-%m-%d"),
        "datetime": now.strftime("%Y%m%d%H%M%S"),
        "width": str(request.width),
        "height": str(request.height),
        "steps": str(request.steps),
        "cfg": f"{request.guidance:g}",
        "sampler": request.sampler,
        "model_name": request.model,
        "prompt_words": " ".join(words[:8]),
    }
    text = re.sub(r"\[(\w+)\]", lambda match: values.get(match.group(1), match.group(0)), pattern)
    text = re.sub(r'[\x00-\x1f<>:"/\\|?*]', "_", text).strip(" .")
    return text[:NAME_MAX].rstrip(" .") or "_"
