"""What tests share: no network, a running engine, a running server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import tests.offline.sitecustomize  # noqa: F401  (from here on nothing in this process reaches further than this machine)
from backend import settings as settings_module
from backend.engine import Engine
from backend.library import Library
from backend.settings import Settings
from backend.types import Request, make_request
from benchmarks.serving import free_port

ROOT = Path(__file__).resolve().parent.parent
READY_S = 120.0

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests" / "offline"), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)


def starter_request(prompt: str = "a red circle on a blue background", **values: Any) -> Request:
    """A request that the starter model draws in about a second."""
    return make_request(**{"prompt": prompt, "model": "starter", "width": 128, "height": 128, "guidance": 5.0, "steps": 12, "seed": 1, **values})


def wait_until(true: Callable[[], object], timeout_s: float = READY_S) -> None:
    end = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def settings_in(folder: Path, models: tuple[Path, ...] = ()) -> Settings:
    """The shipped settings, with outputs and state in `folder` and further models folders."""
    made = settings_module.load(models=models, outputs=folder / "outputs", device="cpu")
    return made.model_copy(update={"folders": made.folders.model_copy(update={"state": folder / "state"})})


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A real engine with a real worker on the CPU, shared by all tests; whoever breaks its worker gets a new one."""
    settings = settings_in(tmp_path_factory.mktemp("engine"))
    running = Engine(settings, Library(settings.folders.models))
    running.start()
    yield running
    running.stop()


@dataclass
class Server:
    """Atelier as a user starts it."""

    url: str
    outputs: Path
    process: subprocess.Popen[bytes]
    log: Path

    def get(self, path: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/{path}", timeout=30) as answer:
            return json.loads(answer.read())

    def post(self, path: str, body: object = None) -> tuple[int, Any]:
        data = json.dumps(body if body is not None else {}).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data, {"content-type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def worker_pid(self) -> int:
        return self.get("healthz")["worker_pid"]

    def worker_state(self) -> str:
        return self.get("healthz")["worker"]["state"]


def start_server(folder: Path, *flags: str, port: int | None = None) -> Server:
    """Start app.py and wait until it answers."""
    port = port or free_port()
    log = folder / "server.log"
    command = [
        sys.executable,
        str(ROOT / "app.py"),
        "--no-browser",
        "--device",
        "cpu",
        "--port",
        str(port),
        "--outputs-dir",
        str(folder / "outputs"),
        *flags,
    ]
    with log.open("wb") as stream:
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    server = Server(f"http://127.0.0.1:{port}", folder / "outputs", process, log)

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return server.get("healthz")["status"] == "ok"
        except (OSError, ValueError):
            return False

    wait_until(answers)
    return server


def stop_server(server: Server) -> None:
    server.process.terminate()
    try:
        server.process.wait(15)
    except subprocess.TimeoutExpired:
        server.process.kill()


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = start_server(tmp_path_factory.mktemp("server"))
    wait_until(lambda: running.worker_state() == "ready")
    yield running
    stop_server(running)
