"""Where fetched files lie until they are whole, how much room there is, and how they come into the models folder."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from backend.errors import AtelierError
from backend.fetching import PART, tag_of
from backend.hub import Choice, RemoteFile
from backend.sources import WEIGHTS, Source, checked_name, checked_path

STAGING = ".downloads"
"""Inside the folder that they are for, so that they are moved and never copied. Unfinished files end in .part, which no library lists."""
RESERVE = 256 * 2**20
"""Bytes that are left free on the disk."""


def free_on(folder: Path) -> int:
    """Bytes free where the folder is, or will be."""
    there = next(place for place in (folder, *folder.parents) if place.exists())
    return shutil.disk_usage(there).free


@dataclass(frozen=True)
class Staged:
    """One download's place: `models` is the models folder, `source` what is fetched."""

    models: Path
    source: Source
    free: Callable[[Path], int] = free_on

    @property
    def folder(self) -> Path:
        """Where it goes. Raises AtelierError if that would be outside of the models folder; symbolic links of the user's own are followed."""
        return self.models.joinpath(*PurePosixPath(checked_path(self.source.place)).parts)

    @property
    def staging(self) -> Path:
        """The same for the same source, so that what was cut off is found again after a restart."""
        what = self.source
        key = "|".join((what.repository, ",".join(what.files), what.address, what.name, what.sha256))
        return self.folder / STAGING / hashlib.sha256(key.encode()).hexdigest()[:16]

    def part(self, file: RemoteFile) -> Path:
        """The partial file."""
        path = PurePosixPath(checked_path(file.target) if file.target else "file")
        return self.staging.joinpath(*path.parent.parts, path.name + PART)

    def have(self, file: RemoteFile) -> int:
        """Bytes of it that came already."""
        try:
            return self.part(file).stat().st_size
        except OSError:
            return 0

    def prepare(self, file: RemoteFile) -> Path:
        part = self.part(file)
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise AtelierError(f"The folder {self.folder} cannot be written ({error.strerror}). Check it, then press Retry.") from error
        return part

    def check_room(self, missing: int) -> None:
        """Raises AtelierError where so many more bytes would not fit."""
        free = self.free(self.folder)
        if missing + RESERVE > free:
            raise AtelierError(
                f"{size_of(missing)} are still to come, and only {size_of(max(0, free - RESERVE))} can be used on the disk with {self.models}. "
                "Make room, or start Atelier with --models-dir and a folder on another disk; then press Retry."
            )

    def standing(self, choice: Choice, file: RemoteFile) -> bool:
        """Whether the file lies in its place already. Raises AtelierError where another one does: nothing is ever replaced."""
        if not file.target:
            return False
        there = self.target(choice, file)
        if not there.exists():
            return False
        if there.is_file() and (file.bytes is None or there.stat().st_size == file.bytes):
            return True
        what = self.folder / choice.name if choice.name else there
        raise AtelierError(f"{what} is there already, and differs from what would be fetched. Move it away first, then press Retry.")

    def target(self, choice: Choice, file: RemoteFile) -> Path:
        place = self.folder / checked_name(choice.name) if choice.name else self.folder
        return place.joinpath(*PurePosixPath(checked_path(file.target)).parts)

    def place(self, choice: Choice, files: list[RemoteFile], name: str) -> Path:
        """Move what came into its place, at once where that is new; returns it. `name`: the source's own, for a file that had none."""
        try:
            if not choice.name:
                (file,) = choice.files
                target = self.folder / checked_name(PurePosixPath(file.target or self.source.name or name).name, WEIGHTS)
                if files and target.exists():
                    raise AtelierError(f"{target} is there already. Move it away first, then press Retry.")
                for one in files:
                    self.part(one).replace(target)
            else:
                target = self.folder / choice.name
                self._place_folder(choice, files, target)
            shutil.rmtree(self.staging, ignore_errors=True)
            self._tidy()
        except OSError as error:
            raise AtelierError(f"What came could not be moved into {self.folder} ({error.strerror}). Check the folder, then press Retry.") from error
        return target

    def _place_folder(self, choice: Choice, files: list[RemoteFile], target: Path) -> None:
        for file in files:
            tag_of(self.part(file)).unlink(missing_ok=True)
        if target.exists():
            for file in files:
                there = self.target(choice, file)
                there.parent.mkdir(parents=True, exist_ok=True)
                self.part(file).replace(there)
            return
        for file in files:
            part = self.part(file)
            part.replace(part.with_name(part.name.removesuffix(PART)))
        self.staging.replace(target)

    def forget(self) -> None:
        """Delete what came so far."""
        shutil.rmtree(self.staging, ignore_errors=True)
        self._tidy()

    def _tidy(self) -> None:
        with contextlib.suppress(OSError):  # others are under way, or there was none
            (self.folder / STAGING).rmdir()


def size_of(count: int) -> str:
    """Bytes as people read them, in powers of ten as disks and hubs have them."""
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.1f} {unit}" if count < 100 * size else f"{count / size:.0f} {unit}"
    return f"{max(0, count) / 1e3:.0f} kB"
