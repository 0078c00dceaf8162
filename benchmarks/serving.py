"""A running Atelier to measure against."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True)
class Served:
    url: str
    pid: int

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=60) as answer:
            return json.loads(answer.read())

    def txt2img(self, **body: Any) -> Any:
        return self.post("sdapi/v1/txt2img", body)

    def post(self, path: str, body: dict[str, Any]) -> Any:
        request = urllib.request.Request(f"{self.url}/{path}", json.dumps(body).encode(), {"content-type": "application/json"})
        with urllib.request.urlopen(request, timeout=600) as answer:
            return json.loads(answer.read())


@contextlib.contextmanager
def served(outputs: Path) -> Iterator[Served]:
    """Atelier on a free port with its worker ready; ended afterwards."""
    port = free_port()
    command = [sys.executable, str(ROOT / "app.py"), "--no-browser", "--device", "cpu", "--port", str(port), "--outputs-dir", str(outputs)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd=ROOT, env={**os.environ})
    atelier = Served(f"http://127.0.0.1:{port}", process.pid)
    try:
        for _ in range(600):
            with contextlib.suppress(OSError):
                if atelier.get("healthz")["worker"]["state"] == "ready":
                    break
            time.sleep(0.1)
        yield atelier
    finally:
        process.terminate()
        process.wait()
