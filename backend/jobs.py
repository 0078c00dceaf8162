"""A job: one request on its way through the queue."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from backend.types import Failed, Image, Progress, Request, Result

State = Literal["queued", "running", "done", "failed", "cancelled"]
ENDED: tuple[State, ...] = ("done", "failed", "cancelled")


@dataclass(frozen=True)
class Snapshot:
    """A job at one moment, whole: what pages and programs are told."""

    id: str
    state: State
    request: Request
    progress: Progress | None
    preview_revision: int
    cancelling: bool
    result: Result | None
    failed: Failed | None
    created: float
    started: float | None
    ended: float | None

    @property
    def images(self) -> tuple[Image, ...]:
        """Finished pictures: all of them, or those that were done before it failed or was stopped."""
        if self.result:
            return self.result.images
        return self.failed.images if self.failed else ()

    @property
    def request_as_run(self) -> Request:
        """With the seed resolved, as soon as that is known."""
        if self.result:
            return self.result.request
        return (self.failed and self.failed.request) or self.request


class Job:
    """Changes as events come in; everybody else reads snapshots."""

    def __init__(self, request: Request, *, save: bool) -> None:
        self.id = secrets.token_hex(8)
        self.request = request
        self.save = save
        self.created = time.time()
        self._lock = threading.Lock()
        self._state: State = "queued"
        self._progress: Progress | None = None
        self._preview: bytes | None = None
        self._preview_revision = 0
        self._cancelling = False
        self._result: Result | None = None
        self._failed: Failed | None = None
        self._started: float | None = None
        self._ended: float | None = None
        self._on_end: list[Callable[[], None]] = []

    def snapshot(self) -> Snapshot:
        with self._lock:
            return Snapshot(
                self.id, self._state, self.request, self._progress, self._preview_revision, self._cancelling,
                self._result, self._failed, self.created, self._started, self._ended,
            )  # fmt: skip

    @property
    def state(self) -> State:
        return self._state

    @property
    def ended(self) -> bool:
        return self._state in ENDED

    @property
    def preview(self) -> bytes | None:
        """The newest preview, a JPEG, while the job runs."""
        return self._preview

    def image(self, index: int) -> Image | None:
        images = self.snapshot().images
        return images[index] if 0 <= index < len(images) else None

    def start(self) -> None:
        with self._lock:
            self._state, self._started = "running", time.time()

    def mark_cancelling(self) -> None:
        with self._lock:
            self._cancelling = True

    def advance(self, progress: Progress) -> None:
        with self._lock:
            if progress.preview:
                self._preview, self._preview_revision = progress.preview, self._preview_revision + 1
            self._progress = progress.model_copy(update={"preview": None})

    def finish(self, outcome: Result | Failed) -> None:
        """End the job; a second end is ignored."""
        with self._lock:
            if self._state in ENDED:
                return
            if isinstance(outcome, Result):
                self._state, self._result = "done", outcome
            else:
                self._state, self._failed = ("cancelled" if outcome.error == "Cancelled" else "failed"), outcome
            self._ended, self._preview = time.time(), None
            callbacks, self._on_end = self._on_end, []
        for callback in callbacks:
            callback()

    def forget_bytes(self) -> None:
        """Let go of pictures that were held for one caller, who has them now."""
        with self._lock:
            if self._result:
                kept = tuple(image.model_copy(update={"data": None}) for image in self._result.images)
                self._result = self._result.model_copy(update={"images": kept})

    def when_ended(self, callback: Callable[[], None]) -> None:
        """Call back once, from whatever thread ends the job; at once where it has ended."""
        with self._lock:
            if self._state not in ENDED:
                self._on_end.append(callback)
                return
        callback()

    def wait(self, timeout_s: float | None = None) -> bool:
        """True once the job has ended, False where the time is up first."""
        done = threading.Event()
        self.when_ended(done.set)
        return done.wait(timeout_s)
