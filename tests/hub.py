"""A stand-in for the hub on this machine: the routes that its library and downloads use, and faults to order."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "c" * 40
STEP = 2**16


@dataclass
class Hub:
    """Repositories by name, each with its files' bytes. Files over a kilobyte are large ones, which lie behind a redirect."""

    url: str = ""
    repositories: dict[str, dict[str, bytes]] = field(default_factory=dict)
    plain: dict[str, bytes] = field(default_factory=dict)
    """Files outside of repositories, by path."""
    gated: set[str] = field(default_factory=set)
    accepted: set[str] = field(default_factory=set)
    """Tokens whose owners accepted the licences."""
    cuts: dict[str, list[int]] = field(default_factory=dict)
    """File name to the bytes after which its next answers break off."""
    lies: dict[str, bytes] = field(default_factory=dict)
    """File name to what is sent in its stead."""
    redirects: dict[str, str] = field(default_factory=dict)
    """Path to where it leads."""
    step_s: float = 0.0
    """Pause before each 64 KiB."""
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path and headers (in lower case) of each request."""

    def ranges(self, name: str) -> list[str]:
        """The ranges that were asked of a file's content; "" for all of it."""
        return [
            headers.get("range", "") for method, path, headers in self.asked if method == "GET" and path.endswith(name) and "/resolve/" not in path
        ]


def large(data: bytes) -> bool:
    return len(data) > 1024


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path, {name.lower(): value for name, value in self.headers.items()}))
        if path in self.hub.redirects:
            self.answer(302, {"location": self.hub.redirects[path]})
        elif found := re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/revision/.+)?", path):
            self.tell(found[1])
        elif found := re.fullmatch(r"/([^/]+/[^/]+)/resolve/[^/]+/(.+)", path):
            self.resolve(found[1], found[2])
        elif found := re.fullmatch(r"/cdn/([^/]+/[^/]+)/(.+)", path):
            self.send_data(found[2], self.hub.repositories[found[1]][found[2]])
        elif path in self.hub.plain:
            self.send_data(path, self.hub.plain[path])
        else:
            self.answer(404, {})

    def tell(self, repository: str) -> None:
        if repository not in self.hub.repositories:
            self.answer(401, {"x-error-code": "RepoNotFound"})
            return
        siblings = []
        for name, data in self.hub.repositories[repository].items():
            told: dict[str, Any] = {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()}
            if large(data):
                told["lfs"] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
            siblings.append(told)
        gated = "auto" if repository in self.hub.gated else False
        body = {"id": repository, "sha": COMMIT, "siblings": siblings, "gated": gated, "private": False, "cardData": {"license": "apache-2.0"}}
        self.answer(200, {"content-type": "application/json"}, json.dumps(body).encode())

    def resolve(self, repository: str, name: str) -> None:
        data = self.hub.repositories.get(repository, {}).get(name)
        if data is None:
            self.answer(404, {"x-error-code": "EntryNotFound"})
            return
        token = self.headers.get("authorization", "").removeprefix("Bearer ")
        if repository in self.hub.gated and token not in self.hub.accepted:
            self.answer(403 if token else 401, {"x-error-code": "GatedRepo"})
            return
        told = {"x-repo-commit": COMMIT, "etag": f'"{hashlib.sha1(data).hexdigest()}"'}
        if not large(data):
            self.send_data(name, data, told)
            return
        linked = {"x-linked-etag": f'"{hashlib.sha256(data).hexdigest()}"', "x-linked-size": str(len(data))}
        self.answer(302, {**told, **linked, "location": f"{self.hub.url}/cdn/{repository}/{name}"})

    def send_data(self, name: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        data = self.hub.lies.get(name, data)
        tag = f'"{hashlib.sha256(data).hexdigest()}"'
        begin = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        start = int(begin[1]) if begin and self.headers.get("if-range", tag) == tag else 0
        self.send_response(206 if start else 200)
        told = {"etag": tag, "accept-ranges": "bytes", **(headers or {}), "content-length": str(len(data) - start)}
        if start:
            told["content-range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        for key, value in told.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        cuts = self.hub.cuts.get(name, [])
        end = min(len(data), start + cuts.pop(0)) if cuts else len(data)
        for place in range(start, end, STEP):
            time.sleep(self.hub.step_s)
            try:
                self.wfile.write(data[place : min(end, place + STEP)])
            except OSError:
                return
        if end < len(data):
            self.close_connection = True

    def answer(self, status: int, headers: dict[str, str], body: bytes = b"") -> None:
        self.send_response(status)
        for name, value in {**headers, "content-length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@contextmanager
def running_hub() -> Iterator[Hub]:
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
