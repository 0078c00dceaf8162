"""The downloads that somebody asked for: a queue, one at a time, with progress, stopping, and going on after a cut."""

from __future__ import annotations

import logging
import os
import queue
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from backend.catalogue import Catalogue
from backend.errors import AtelierError, BadRequest, Cancelled, Unexpected
from backend.fetching import Closed, Fetcher, Patience
from backend.hub import Choice, RemoteFile, choice_of, refusal
from backend.hub_token import HubToken
from backend.library import Library
from backend.placing import Staged, free_on
from backend.settings import Settings
from backend.sources import HUB, Source

log = logging.getLogger(__name__)

State = Literal["waiting", "looking", "fetching", "checking", "done", "failed", "cancelled"]
BUSY: frozenset[State] = frozenset({"waiting", "looking", "fetching", "checking"})
SPEED_OVER_S = 6.0
KEPT = 40
"""Ended downloads that are still listed."""
STOPPED = "Stopped. What came so far is kept."
OFFLINE = "Atelier was started with --offline, so nothing is fetched. Start it without that flag to download."


@dataclass
class Download:
    """One download; its thread writes, anybody reads."""

    id: str
    source: Source
    staged: Staged
    state: State = "waiting"
    sentence: str = ""
    """Why it failed; where it lies once it is done."""
    total: int | None = None
    """Bytes of all its files; None until that is known."""
    received: int = 0
    cancelling: bool = False
    checked: bool = False
    """Whether hashes were there to compare all its files with."""
    target: Path | None = None
    choice: Choice | None = None
    _samples: deque[tuple[float, int]] = field(default_factory=deque)
    _lengths: dict[str, int] = field(default_factory=dict)
    """Bytes on the disk by target, for those of its files that are begun."""

    @property
    def busy(self) -> bool:
        return self.state in BUSY

    @property
    def speed(self) -> float | None:
        """Bytes a second over the last seconds; None where that is not known."""
        samples = list(self._samples)
        if self.state != "fetching" or len(samples) < 2 or time.monotonic() - samples[-1][0] > SPEED_OVER_S:
            return None
        (begin, had), (end, have) = samples[0], samples[-1]
        return (have - had) / (end - begin) if end > begin else None

    @property
    def seconds_left(self) -> float | None:
        speed = self.speed
        return (self.total - self.received) / speed if speed and self.total else None

    # What a Fetcher tells.

    def check(self) -> None:
        if self.cancelling:
            raise Cancelled(STOPPED)

    def received_of(self, file: RemoteFile, have: int) -> None:
        self._lengths[file.target] = have
        self.received = sum(self._lengths.values())
        now = time.monotonic()
        if not self._samples or now - self._samples[-1][0] >= 0.1:
            self._samples.append((now, self.received))
        while self._samples and now - self._samples[0][0] > SPEED_OVER_S:
            self._samples.popleft()

    def again(self) -> None:
        self.state, self.sentence, self.cancelling = "waiting", "", False
        self._samples.clear()


@dataclass(frozen=True)
class _Watching:
    """Looks on for a download while its files come in."""

    download: Download

    def received(self, file: RemoteFile, have: int) -> None:
        self.download.check()
        self.download.received_of(file, have)

    def sized(self, file: RemoteFile, total: int, have: int) -> None:
        self.download.check()
        if self.download.total is None:
            self.download.total = total
            self.download.staged.check_room(total - have)

    def checking(self) -> None:
        self.download.check()
        self.download.state = "checking"


class Downloads:
    """All downloads since the start. Nothing is asked of the network before somebody calls `look` or `start`."""

    def __init__(
        self, catalogue: Catalogue, folders: tuple[Path, ...], token: HubToken, *, arrived: Callable[[], None] = lambda: None,
        offline: bool = False, endpoint: str, patience: Patience | None = None, free: Callable[[Path], int] = free_on,
    ) -> None:  # fmt: skip
        """Into the first of `folders`. `arrived` is called after each download that ended well. `endpoint`: the hub's address."""
        self.catalogue, self.folders, self.token, self.offline = catalogue, folders, token, offline
        self._arrived, self._endpoint, self._patience, self._free = arrived, endpoint.rstrip("/"), patience or Patience(), free
        self._lock = threading.Lock()
        self._all: dict[str, Download] = {}
        self._queue: queue.SimpleQueue[Download] = queue.SimpleQueue()
        self._thread: threading.Thread | None = None

    @property
    def all(self) -> tuple[Download, ...]:
        """The newest last."""
        with self._lock:
            return tuple(self._all.values())

    def free(self) -> int:
        """Bytes free where downloads go."""
        return self._free(self.folders[0])

    def find(self, identifier: str) -> Download:
        """Raises BadRequest."""
        with self._lock:
            found = self._all.get(identifier)
        if found is None:
            raise BadRequest({"id": "This download is no longer known. Start it again."})
        return found

    def look(self, source: Source) -> Choice:
        """What would be fetched: asks the network. Raises AtelierError."""
        self._check_online()
        return choice_of(source, self.token.value(), self._endpoint, lambda: None)

    def start(self, source: Source) -> Download:
        """Put it into the queue; one that is there already, or failed before, is taken up. Raises AtelierError."""
        self._check_online()
        staged = Staged(self.folders[0], source, self._free)
        if source.bytes:
            staged.check_room(source.bytes - sum(path.stat().st_size for path in staged.staging.rglob("*") if path.is_file()))
        with self._lock:
            same = next((one for one in self._all.values() if one.staged.staging == staged.staging), None)
            if same and same.busy:
                return same
            if same:
                del self._all[same.id]
            download = Download(secrets.token_hex(8), source, staged, total=source.bytes or None)
            self._all[download.id] = download
            for old in [one for one in self._all.values() if not one.busy][:-KEPT]:
                del self._all[old.id]
            self._enqueue(download)
        return download

    def retry(self, identifier: str) -> None:
        """Raises AtelierError."""
        self._check_online()
        download = self.find(identifier)
        with self._lock:
            if not download.busy and download.state != "done":
                download.again()
                self._enqueue(download)

    def cancel(self, identifier: str) -> None:
        """Stop it within a moment; what came stays on the disk for a later attempt."""
        download = self.find(identifier)
        with self._lock:
            download.cancelling = download.busy
            if download.state == "waiting":
                download.state, download.sentence = "cancelled", STOPPED

    def remove(self, identifier: str) -> None:
        """Take one that ended off the list, with what came of it where it was not finished. Raises BadRequest."""
        download = self.find(identifier)
        if download.busy:
            raise BadRequest({"id": "This download is still under way. Stop it first."})
        with self._lock:
            self._all.pop(identifier, None)
        if download.state != "done":
            download.staged.forget()

    def _check_online(self) -> None:
        if self.offline:
            raise AtelierError(OFFLINE)

    def _enqueue(self, download: Download) -> None:
        self._queue.put(download)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="downloads", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        while True:
            download = self._queue.get()
            with self._lock:
                if download.state != "waiting":  # stopped before its turn, or queued twice by that
                    continue
                download.state = "looking"
            try:
                self._fetch(download)
            except Cancelled as stopped:
                download.sentence, download.state = stopped.sentence, "cancelled"
            except AtelierError as error:
                download.sentence, download.state = error.sentence, "failed"
            except Exception:  # the thread goes on with the next one
                log.exception("a download failed unexpectedly")
                fault = Unexpected("The download failed for a reason that Atelier did not expect; its log says more. Press Retry.")
                download.sentence, download.state = fault.sentence, "failed"

    def _fetch(self, download: Download) -> None:
        source, staged, token = download.source, download.staged, self.token.value()
        choice = choice_of(source, token, self._endpoint, download.check)
        download.choice, download.total = choice, choice.bytes
        absent = [file for file in choice.files if not staged.standing(choice, file)]
        download._lengths = {file.target: file.bytes or 0 for file in choice.files if file not in absent}
        if choice.bytes is not None:
            staged.check_room(sum((file.bytes or 0) - staged.have(file) for file in absent))
        fetcher, name = Fetcher(self._endpoint, token, self._patience), ""
        for file in absent:
            download.state = "fetching"
            part = staged.prepare(file)
            download.received_of(file, staged.have(file))
            try:
                name = fetcher.fetch(file, part, _Watching(download))
            except Closed as closed:
                raise AtelierError(_closed(source, token, closed)) from closed
        download.target = staged.place(choice, absent, name)
        download.checked = bool(absent) and all(file.sha256 or file.git_sha1 for file in absent)
        self._arrived()
        download.state, download.received = "done", download.total or download.received


def settled(settings: Settings, library: Library) -> Downloads:
    """The downloads of this Atelier."""
    endpoint = os.environ.get("HF_ENDPOINT") or HUB
    return Downloads(
        Catalogue(), settings.folders.models, HubToken(settings.folders.state / "hub-token"), arrived=library.refresh,
        offline=settings.offline, endpoint=endpoint,
    )  # fmt: skip


def _closed(source: Source, token: str, closed: Closed) -> str:
    if not source.repository:
        return closed.sentence
    if closed.status == 401 and token:
        return refusal(source.repository, "refused", token, closed.status)
    return refusal(source.repository, "gated", token)
