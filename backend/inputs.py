"""Pictures that were handed in: each is kept once, under a name made from its pixels, so that a request can always be repeated."""

from __future__ import annotations

import hashlib
import io
import re
import time
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as Pillow
from PIL import ImageStat
from PIL.PngImagePlugin import PngInfo

from backend import pictures
from backend.errors import BadPicture, BadRequest, SaveFailed
from backend.images import PARAMETERS, add_text, write_whole
from backend.types import Request

PNG_COMPRESSION = 1
PASSING_S = 24 * 3600.0
RATIO_TOLERANCE = 0.01
"""A mask whose ratio differs from the picture's by more than this share is of another picture."""

_ID = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Input:
    """One kept picture."""

    id: str
    width: int
    height: int
    notes: tuple[str, ...] = ()


class Inputs:
    """The folder that keeps them. Server and worker each have one of these over the same folder.

    What a program hands in without asking for anything to be saved goes to a second folder, and is gone after a day.
    """

    def __init__(self, folder: Path, passing: Path | None = None) -> None:
        self._folder, self._passing = folder, passing or folder / "passing"

    def take(self, data: bytes, *, keep: bool = True) -> Input:
        """Take in the picture in a file's bytes. Raises BadPicture or SaveFailed."""
        reading = pictures.read(data)
        return self._taken(reading.picture, reading.notes, keep, reading.infotext)

    def take_mask(self, data: bytes, *, keep: bool = True) -> Input:
        """Take in a mask: the alpha channel where there is one, else the brightness. Raises BadPicture or SaveFailed."""
        return self._taken(pictures.mask_of(pictures.read(data)), (), keep)

    def _taken(self, picture: Pillow.Image, notes: tuple[str, ...], keep: bool, infotext: str = "") -> Input:
        digest = hashlib.sha256(f"{picture.mode} {picture.width}x{picture.height} ".encode())
        digest.update(picture.tobytes())
        taken = Input(digest.hexdigest(), picture.width, picture.height, notes)
        folder = self._folder if keep else self._passing
        path = folder / f"{taken.id}.png"
        try:
            if path.exists():
                path.touch()
                return taken
            folder.mkdir(parents=True, exist_ok=True)
            self._forget_passed()
            buffer, chunks = io.BytesIO(), PngInfo()
            if infotext:
                add_text(chunks, PARAMETERS, infotext)
            picture.save(buffer, "PNG", compress_level=PNG_COMPRESSION, pnginfo=chunks)
            write_whole(path, buffer.getvalue())
        except OSError as error:
            raise SaveFailed(
                f"The picture could not be kept in {folder} ({error.strerror or error}). Make room or choose another outputs folder."
            ) from error
        return taken

    def _forget_passed(self) -> None:
        for path in self._passing.glob("*.png"):
            if time.time() - path.stat().st_mtime > PASSING_S:
                path.unlink(missing_ok=True)

    def path(self, identifier: str) -> Path:
        """The PNG of a kept picture. Raises BadPicture where there is none of that name."""
        if _ID.fullmatch(identifier):
            for folder in (self._folder, self._passing):
                if (path := folder / f"{identifier}.png").is_file():
                    return path
        raise BadPicture("The picture to start from is not kept here any more. Please choose it again.")

    def open(self, identifier: str) -> Pillow.Image:
        """Its pixels, RGB or L. Raises BadPicture."""
        path = self.path(identifier)
        try:
            with Pillow.open(path, formats=("PNG",)) as kept:
                kept.load()
                return kept
        except (OSError, SyntaxError, ValueError) as error:
            raise BadPicture("The picture to start from was damaged on the disk. Please choose it again.") from error

    def size(self, identifier: str) -> tuple[int, int]:
        """Width and height in pixels, from the header. Raises BadPicture."""
        try:
            with Pillow.open(self.path(identifier), formats=("PNG",)) as kept:
                return kept.size
        except (OSError, SyntaxError) as error:
            raise BadPicture("The picture to start from was damaged on the disk. Please choose it again.") from error

    def check(self, request: Request) -> None:
        """Raises BadRequest with a sentence where the request's pictures cannot be used."""
        self._check_controls(request)
        if request.image is None:
            return
        try:
            width, height = self.size(request.image.picture)
        except BadPicture as error:
            raise BadRequest({"image": error.sentence}) from error
        try:
            if request.upscale and not request.draws:
                request.upscale.size(width, height)
        except ValueError as error:
            raise BadRequest({"upscale": str(error)}) from error
        if request.mask is None:
            return
        try:
            mask = self.open(request.mask.picture)
        except BadPicture as error:
            raise BadRequest({"mask": error.sentence}) from error
        if abs(mask.width / mask.height / (width / height) - 1) > RATIO_TOLERANCE:
            sizes = f"The mask has {mask.width} x {mask.height} pixels and the picture {width} x {height}"
            raise BadRequest({"mask": f"{sizes}, which is another shape. Please mask this picture."})
        low, high = ImageStat.Stat(mask.convert("L")).extrema[0]
        nothing = low == 255 if request.mask.invert else high == 0
        if nothing and not request.image.grow:
            what = "everything is masked, and what is not masked would be painted" if request.mask.invert else "nothing is masked"
            raise BadRequest({"mask": f"Nothing would change, as {what}. Please paint over what should change."})

    def _check_controls(self, request: Request) -> None:
        wrong = {}
        for number, control in enumerate(request.controls):
            for field, named in (("pictures", control.pictures), ("mask", (control.mask,) if control.mask else ())):
                try:
                    for identifier in named:
                        self.size(identifier)
                except BadPicture:
                    what = "A picture" if field == "pictures" else "The mask"
                    wrong[f"controls.{number}.{field}"] = f"{what} of control unit {number + 1} is not kept here any more. Please choose it again."
        if wrong:
            raise BadRequest(wrong)
