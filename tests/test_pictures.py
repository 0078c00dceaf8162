"""Pictures from outside: upright sRGB pixels come of whatever can be read, and a sentence of everything else."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from backend import pictures
from backend.errors import BadPicture
from backend.inputs import PASSING_S, Inputs


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def corners() -> Image.Image:
    """Red at the top left, green at the top right, blue at the bottom left, white at the bottom right."""
    picture = Image.new("RGB", (40, 24), "white")
    for colour, place in (("red", (0, 0, 20, 12)), ("lime", (20, 0, 40, 12)), ("blue", (0, 12, 20, 24))):
        picture.paste(colour, place)
    return picture


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_lossless_formats_come_in_to_the_bit(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    reading = pictures.read(encoded(corners(), kind, **options))
    assert reading.picture.mode == "RGB"
    assert reading.picture.tobytes() == corners().tobytes()
    assert reading.notes == ()


@pytest.mark.parametrize(("orientation", "top_left"), [(1, "red"), (3, "white"), (6, "blue"), (8, "lime")])
def test_a_phones_turned_picture_comes_in_upright(orientation: int, top_left: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    reading = pictures.read(encoded(corners(), exif=exif))
    assert reading.picture.size == ((24, 40) if orientation in (6, 8) else (40, 24))
    assert reading.picture.getpixel((2, 2)) == Image.new("RGB", (1, 1), top_left).getpixel((0, 0))


def test_cmyk_palette_and_sixteen_bits_become_plain_colours() -> None:
    cmyk = pictures.read(encoded(Image.new("RGB", (32, 32), (200, 40, 40)).convert("CMYK"), "JPEG", quality=95)).picture
    assert np.abs(np.asarray(cmyk).astype(int) - (200, 40, 40)).max() < 8
    assert pictures.read(encoded(corners().quantize(8))).picture.tobytes() == corners().tobytes()
    deep = pictures.read(encoded(Image.fromarray(np.full((32, 32), 257 * 100, np.uint16))))
    assert deep.picture.getpixel((5, 5)) == (100, 100, 100)
    assert "16 bits" in deep.notes[0]


def test_another_colour_profile_is_followed() -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB"))
    lab = Image.merge("LAB", [Image.new("L", (16, 16), value) for value in (128, 128, 128)])
    grey = pictures.read(encoded(lab, "TIFF", icc_profile=profile.tobytes())).picture.getpixel((3, 3))
    assert isinstance(grey, tuple) and max(grey) - min(grey) < 6
    broken = pictures.read(encoded(corners(), icc_profile=b"not a profile"))
    assert "profile" in broken.notes[0]


def test_transparency_goes_on_white_and_is_said() -> None:
    half = pictures.read(encoded(Image.new("RGBA", (16, 16), (255, 0, 0, 128))))
    assert half.picture.getpixel((1, 1)) == (255, 127, 127)
    assert "on white" in half.notes[0]
    assert half.alpha is not None and half.alpha.getpixel((1, 1)) == 128


def test_only_the_first_frame_of_an_animation_is_used_and_said() -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    reading = pictures.read(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert reading.picture.getpixel((1, 1)) == (255, 0, 0)
    assert "first one" in reading.notes[0]


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"", "empty"),
        (b"This is a text with a picture's name.", "not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture"),
        (encoded(Image.effect_noise((300, 300), 80))[:9000], "damaged or cut off"),
        (encoded(Image.new("1", (20_000, 20_000))), "million pixels"),
        (encoded(Image.new("1", (7_500, 7_500))), "7500 x 7500"),
        (encoded(Image.new("RGBA", (16, 16), (9, 9, 9, 0))), "transparent everywhere"),
        (encoded(Image.new("RGB", (4, 4))), "too small"),
    ],
)
def test_what_cannot_be_used_gets_a_sentence(data: bytes, part: str) -> None:
    with pytest.raises(BadPicture, match=part):
        pictures.read(data)


def test_a_mask_is_its_alpha_channel_or_else_its_brightness(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path)
    strokes = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    strokes.paste((0, 0, 0, 255), (8, 8, 16, 16))
    by_alpha = inputs.open(inputs.take_mask(encoded(strokes)).id)
    assert (by_alpha.mode, by_alpha.getpixel((10, 10)), by_alpha.getpixel((2, 2))) == ("L", 255, 0)
    by_brightness = inputs.open(inputs.take_mask(encoded(by_alpha)).id)
    assert by_brightness.tobytes() == by_alpha.tobytes()


def test_a_picture_is_kept_once_under_the_name_of_its_pixels(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path)
    one, same = inputs.take(encoded(corners())), inputs.take(encoded(corners(), "BMP"))
    assert one.id == same.id
    assert len(list(tmp_path.glob("*.png"))) == 1
    assert inputs.open(one.id).tobytes() == corners().tobytes()
    for name in ("../secret", "0" * 64, "", one.id.upper()):
        with pytest.raises(BadPicture):
            inputs.path(name)


def test_what_programs_hand_in_unsaved_is_gone_after_a_day(tmp_path: Path) -> None:
    inputs = Inputs(tmp_path / "kept", tmp_path / "passing")
    old = inputs.take(encoded(corners()), keep=False)
    assert not (tmp_path / "kept").exists()
    past = time.time() - PASSING_S - 10
    os.utime(inputs.path(old.id), (past, past))
    inputs.take(encoded(Image.new("RGB", (16, 16), "red")), keep=False)
    with pytest.raises(BadPicture, match="choose it again"):
        inputs.path(old.id)
