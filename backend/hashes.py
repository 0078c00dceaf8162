"""SHA-256 of model files, remembered by path, size and time of change."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from pathlib import Path

from backend.images import write_whole

log = logging.getLogger(__name__)
CHUNK = 8 * 2**20


class Hashes:
    """The remembered hashes. A file that is unchanged is never read twice."""

    def __init__(self, file: Path) -> None:
        self._file = file
        try:
            self._known: dict[str, str] = json.loads(file.read_text("utf-8"))
        except (OSError, ValueError):
            self._known = {}

    def known(self, paths: tuple[Path, ...]) -> str | None:
        """The full hash, 64 hex digits, where all files were hashed before; else None. Reads no file."""
        parts = [self._known.get(_key(path)) for path in paths]
        return _joined([part for part in parts if part]) if parts and all(parts) else None

    def of(self, paths: tuple[Path, ...], check: Callable[[], None] = lambda: None) -> str:
        """The hash of the files; of several, the hash of their hashes. `check` is called between chunks and may raise."""
        for path in paths:
            if _key(path) not in self._known:
                self._known[_key(path)] = _digest(path, check)
                self._remember()
        return self.known(paths) or ""

    def _remember(self) -> None:
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            write_whole(self._file, json.dumps(self._known, indent=0).encode())
        except OSError as error:
            log.warning("hashes could not be kept: %s", error)


def _key(path: Path) -> str:
    stat = path.stat()
    return f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}"


def _digest(path: Path, check: Callable[[], None]) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            digest.update(chunk)
            check()
    return digest.hexdigest()


def _joined(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else hashlib.sha256("".join(parts).encode()).hexdigest()
