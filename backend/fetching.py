"""Fetches one file over https into a partial file that a later attempt goes on with, and checks what came."""

from __future__ import annotations

import errno
import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Protocol
from urllib.parse import unquote, urljoin, urlsplit

import httpx

from backend.errors import AtelierError
from backend.hub import RemoteFile
from backend.sources import permitted
from backend.version import VERSION

HASH_CHUNK = 8 * 2**20
REDIRECTS_MAX = 8
TIMEOUT = httpx.Timeout(20.0, read=15.0)
PART = ".part"


class Watch(Protocol):
    """Who looks on while a file comes in. Each of these may raise AtelierError to end it."""

    def received(self, file: RemoteFile, have: int) -> None:
        """`have`: bytes of it that are on the disk."""

    def sized(self, file: RemoteFile, total: int, have: int) -> None:
        """The source told its length, of which `have` bytes are on the disk."""

    def checking(self) -> None:
        """It is complete, and its hash is being taken."""


@dataclass(frozen=True)
class Patience:
    """How often a broken connection is taken up again before somebody is asked; counted anew when bytes came in."""

    attempts: int = 5
    pause_s: float = 1.0
    """Doubled with each attempt."""


@dataclass
class Fetcher:
    """Fetches files for one download. `token` goes to the hub's own host, and nowhere else."""

    endpoint: str
    token: str = ""
    patience: Patience = field(default_factory=Patience)

    def fetch(self, file: RemoteFile, part: Path, watch: Watch) -> str:
        """Bring the whole file into `part`, and return the name that its source gives it ("" where it gives none). Raises AtelierError."""
        have, failures, name = -1, 0, ""
        while True:
            try:
                name = self._attempt(file, part, watch) or name
                break
            except httpx.TransportError as error:
                now = _length(part)
                failures = 0 if now > have >= 0 else failures + 1
                have = now
                if failures >= self.patience.attempts:
                    raise AtelierError(_broken(file, now, error)) from error
                self._wait(file, have, failures, watch)
            except OSError as error:
                raise AtelierError(_unwritten(error)) from error
        watch.checking()
        check(file, part, watch)
        return name

    def _wait(self, file: RemoteFile, have: int, failures: int, watch: Watch) -> None:
        end = time.monotonic() + self.patience.pause_s * 2 ** max(0, failures - 1)
        while time.monotonic() < end:
            watch.received(file, have)
            time.sleep(min(0.1, self.patience.pause_s))

    def _attempt(self, file: RemoteFile, part: Path, watch: Watch) -> str:
        have = _length(part)
        if have and file.bytes is not None and have >= file.bytes:
            if have == file.bytes:
                return ""
            part.unlink()
            have = 0
        with httpx.Client(timeout=TIMEOUT) as client, self._answer(client, file.address, _going_on(file, part, have)) as answer:
            if answer.status_code == 416 and have:
                part.unlink()
                raise httpx.ReadError("the source has changed")
            self._check_status(file, answer)
            resumed = answer.status_code == 206 and _begins(answer) == have
            have = have if resumed else 0
            length = answer.headers.get("content-length", "")
            if length.isdigit():
                total = have + int(length)
                if file.bytes is not None and file.bytes != total and file.sha256:
                    raise AtelierError("The source sends a file of another length than it tells of, so it was not fetched. Press Retry in a while.")
                watch.sized(file, total, have)
            if not (file.sha256 or file.git_sha1):
                _remember(part, answer)
            with part.open("ab" if resumed else "wb") as stream:
                for chunk in answer.iter_raw():  # as it comes: what is kept back for a full chunk would be lost with the connection
                    stream.write(chunk)
                    have += len(chunk)
                    watch.received(file, have)
            return _named(answer)

    @contextmanager
    def _answer(self, client: httpx.Client, first: str, headers: dict[str, str]) -> Iterator[httpx.Response]:
        """The answer at the end of all redirects, each of which is looked at before it is followed."""
        address = first
        for _ in range(REDIRECTS_MAX):
            if not permitted(address, first):
                raise AtelierError("The source leads on to an address that is not https, so the file was not fetched.")
            own = {"authorization": f"Bearer {self.token}"} if self.token and _origin(address) == _origin(self.endpoint) else {}
            with client.stream("GET", address, headers={**headers, **own}) as answer:
                if not answer.has_redirect_location:
                    yield answer
                    return
                address = urljoin(address, answer.headers["location"])
        raise AtelierError("The source leads from one address to the next without end, so the file was not fetched.")

    def _check_status(self, file: RemoteFile, answer: httpx.Response) -> None:
        status = answer.status_code
        if status in (200, 206):
            if "text/html" in answer.headers.get("content-type", ""):
                raise AtelierError("The address leads to a web page and not to a file. Copy the address of its download button instead.")
            return
        if status in (401, 403):
            raise Closed(status)
        if status in (404, 410):
            raise AtelierError(f"There is no file at this address ({urlsplit(file.address).hostname}, status {status}). Check its spelling.")
        if status == 429 or status >= 500:
            raise httpx.RemoteProtocolError(f"status {status}")
        raise AtelierError(f"{urlsplit(file.address).hostname} refused to give the file (status {status}).")


class Closed(AtelierError):
    """The source asks who is there."""

    def __init__(self, status: int) -> None:
        super().__init__(f"The source gives this file only to those who are signed in (status {status}). Fetch it in a browser, then put it here.")
        self.status = status


def check(file: RemoteFile, path: Path, watch: Watch) -> None:
    """Whether the file is what its source told of; one that is not is deleted. Raises AtelierError."""
    size = path.stat().st_size
    if file.bytes is not None and size != file.bytes and (file.sha256 or file.git_sha1):
        path.unlink()
        raise AtelierError(f"{_short(file)} came with {size:,} bytes and should have {file.bytes:,}, so it was thrown away. Press Retry.")
    wanted = file.sha256.lower() or file.git_sha1.lower()
    if not wanted:
        return
    digest = hashlib.sha256() if file.sha256 else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as stream:
        while chunk := stream.read(HASH_CHUNK):
            digest.update(chunk)
            watch.received(file, size)
    if digest.hexdigest() != wanted:
        path.unlink()
        raise AtelierError(f"{_short(file)} is not what its source says it is (its hash differs), so it was thrown away. Press Retry.")


def tag_of(part: Path) -> Path:
    """The file beside a partial one that says of which version it is."""
    return part.with_name(part.name + ".tag")


def _going_on(file: RemoteFile, part: Path, have: int) -> dict[str, str]:
    """Asks for the rest, where either the hash in the end or the tag that came first tells whether both halves are of one file."""
    headers = {"accept-encoding": "identity", "user-agent": f"atelier/{VERSION}"}
    if not have:
        return headers
    if file.sha256 or file.git_sha1:
        return {**headers, "range": f"bytes={have}-"}
    try:
        tag = json.loads(tag_of(part).read_text("utf-8"))
    except (OSError, ValueError):
        tag = ""
    return {**headers, "range": f"bytes={have}-", "if-range": tag} if isinstance(tag, str) and tag else headers


def _remember(part: Path, answer: httpx.Response) -> None:
    """Only a strong tag says that two answers are the same to the byte."""
    tag = answer.headers.get("etag", "")
    tag_of(part).write_text(json.dumps("" if tag.startswith("W/") else tag), "utf-8")


def _begins(answer: httpx.Response) -> int:
    found = re.match(r"bytes (\d+)-", answer.headers.get("content-range", ""))
    return int(found[1]) if found else -1


def _named(answer: httpx.Response) -> str:
    found = re.search(r"filename\*=utf-8''([^;]+)|filename=\"?([^\";]+)", answer.headers.get("content-disposition", ""), re.IGNORECASE)
    given = unquote(found[1]) if found and found[1] else found[2] if found else ""
    return given or unquote(PurePosixPath(answer.url.path).name)


def _origin(address: str) -> tuple[str | None, str | None, int | None]:
    parts = urlsplit(address)
    return parts.scheme, parts.hostname, parts.port


def _length(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0


def _short(file: RemoteFile) -> str:
    return PurePosixPath(file.target).name or "The file"


def _broken(file: RemoteFile, have: int, error: httpx.TransportError) -> str:
    host = urlsplit(file.address).hostname
    if isinstance(error, httpx.ConnectError) and not have:
        return f"{host} could not be reached. Check this computer’s connection, then press Retry."
    return f"The connection to {host} broke again and again; {have / 1e6:,.1f} MB are here and kept. Press Retry to go on from there."


def _unwritten(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "The disk is full. What came so far is kept; make room, then press Retry."
    return f"The file could not be written ({error.strerror or error}). Check the models folder, then press Retry."
