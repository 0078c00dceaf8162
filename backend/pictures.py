"""Reading pictures from outside: whatever a person has becomes upright sRGB pixels, or a sentence that says why not."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass

from PIL import Image as Pillow
from PIL import ImageCms, ImageOps, UnidentifiedImageError

from backend.errors import BadPicture

FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")
"""Only these are tried: Pillow's other readers start programs or have seen little use."""

MOST_BYTES = 64 * 2**20
MOST_PIXELS = 50_000_000
"""About 7000 x 7000. Counted in the header, before anything is decoded."""

SIDE_MIN = 8


@dataclass(frozen=True)
class Reading:
    """A picture from outside."""

    picture: Pillow.Image
    """RGB, upright, in sRGB."""

    alpha: Pillow.Image | None = None
    """L, where the file had an alpha channel that is not opaque everywhere."""

    notes: tuple[str, ...] = ()
    """What had to be changed on the way in, one sentence each."""

    infotext: str = ""
    """A1111's text of how it was made, where the file holds one."""


def read(data: bytes) -> Reading:
    """Read a picture file. Raises BadPicture with what is wrong and what to do."""
    if not data:
        raise BadPicture("The file is empty. Please choose a picture.")
    if len(data) > MOST_BYTES:
        raise BadPicture(f"The file has {len(data) / 2**20:.0f} MB; {MOST_BYTES // 2**20} MB is the most. Please save it smaller.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)
            opened = Pillow.open(io.BytesIO(data), formats=FORMATS)
        return _converted(opened, data)
    except UnidentifiedImageError as error:
        raise BadPicture("This file is not a picture that can be read. PNG, JPEG, WebP, AVIF, GIF, BMP and TIFF files can.") from error
    except Pillow.DecompressionBombError as error:
        raise BadPicture(f"The picture has more than {MOST_PIXELS // 10**6} million pixels. Please make it smaller.") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise BadPicture("The picture's file is damaged or cut off. Please save or download it again.") from error


def mask_of(reading: Reading) -> Pillow.Image:
    """A mask, L, as A1111 reads one: the alpha channel where there is one, else the brightness (white is masked)."""
    return reading.alpha or reading.picture.convert("L")


def _converted(opened: Pillow.Image, data: bytes) -> Reading:
    width, height = opened.size
    if width * height > MOST_PIXELS:
        raise BadPicture(f"The picture has {width} x {height} pixels; {MOST_PIXELS // 10**6} million is the most. Please make it smaller.")
    if min(width, height) < SIDE_MIN:
        raise BadPicture(f"The picture has {width} x {height} pixels, which is too small to work with.")
    notes = []
    if getattr(opened, "n_frames", 1) > 1:
        notes.append("The file holds several pictures or frames; the first one is used.")
    profile = opened.info.get("icc_profile")
    opened.load()
    infotext = opened.info.get("parameters", "")
    image = _eight_bit(opened)
    if image is not opened or _is_deep_png(data):
        notes.append("Its 16 bits for each colour became 8.")
    upright = ImageOps.exif_transpose(image)
    alpha = _alpha(upright)
    rgb = _srgb(upright.convert("RGBA") if alpha is not None else upright, profile, notes)
    if alpha is not None:
        if alpha.getextrema() == (0, 0):
            raise BadPicture("The picture is transparent everywhere, so there is nothing to see in it. Please choose another.")
        notes.append("Its transparent parts were put on white.")
    return Reading(rgb, alpha, tuple(notes), infotext if isinstance(infotext, str) else "")


def _is_deep_png(data: bytes) -> bool:
    return data[:8] == b"\x89PNG\r\n\x1a\n" and len(data) > 24 and data[24] == 16


def _eight_bit(image: Pillow.Image) -> Pillow.Image:
    """Grey pictures of 16 or 32 bits as L; all others as they are."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if image.mode in ("I", "F"):
        most = 65535 if float(image.getextrema()[1]) > 255 else 255  # type: ignore[arg-type]
        return image.convert("F").point(lambda value: value * (255 / most)).convert("L")
    return image


def _alpha(image: Pillow.Image) -> Pillow.Image | None:
    """The alpha channel, unless there is none or it is opaque everywhere."""
    if "A" not in image.getbands() and "transparency" not in image.info:
        return None
    alpha = image.convert("RGBA").getchannel("A")
    return None if alpha.getextrema() == (255, 255) else alpha


def _srgb(image: Pillow.Image, profile: bytes | None, notes: list[str]) -> Pillow.Image:
    """RGB in sRGB. A profile of its own is followed; one that cannot be read is left out, and said so."""
    flat = image if image.mode in ("RGB", "RGBA", "CMYK", "LAB") else image.convert("RGB")
    if profile:
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            if "srgb" not in ImageCms.getProfileDescription(source).lower():
                if flat.mode == "RGBA":
                    alpha = flat.getchannel("A")
                    flat = ImageCms.profileToProfile(flat.convert("RGB"), source, ImageCms.createProfile("sRGB"), outputMode="RGB") or flat
                    flat.putalpha(alpha)
                else:
                    flat = ImageCms.profileToProfile(flat, source, ImageCms.createProfile("sRGB"), outputMode="RGB") or flat
        except (ImageCms.PyCMSError, OSError, ValueError):
            notes.append("Its colour profile could not be read, so colours may be a little off.")
    if "A" in flat.getbands():
        rgba = flat.convert("RGBA")
        return Pillow.alpha_composite(Pillow.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
    return flat.convert("RGB")
