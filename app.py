"""Start Atelier: parse the flags, build the parts, serve. Standard library only until the environment is ready."""

import sys

if sys.version_info < (3, 10):  # in words that any Python 3 can read
    sys.exit("Atelier needs Python 3.10 or newer; this is {}.{}. Please start it with a newer one.".format(*sys.version_info[:2]))

import os
import socket
import threading
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from backend import environment, flags
from backend.errors import StartFailed

if TYPE_CHECKING:
    from fastapi import FastAPI

    from backend.engine import Engine
    from backend.settings import Settings

ROOT = Path(__file__).resolve().parent
PORTS_TRIED = 20

QUIET_AND_LOCAL = {
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DISABLE_TELEMETRY": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Threads that wait give their core away: without it a worker beside another busy program is many times slower.
    "OMP_WAIT_POLICY": "PASSIVE",
}
"""Nothing leaves the machine unasked, in this process and in the worker, which inherits it."""


def bind(host: str, port: int, *, exactly: bool) -> socket.socket:
    """A listening socket on this port, or unless `exactly` on the next free one. Browsers that come early just wait."""
    for candidate in range(port, port + (1 if exactly else PORTS_TRIED)):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if os.name == "posix":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, candidate))
            listener.listen(128)
        except OSError:
            listener.close()
            continue
        return listener
    if exactly:
        raise StartFailed(f"Port {port} is in use by another program, perhaps another Atelier. Choose another with --port, or leave --port out.")
    raise StartFailed(f"Ports {port} to {port + PORTS_TRIED - 1} are all in use. Choose one with --port.")


def has_screen() -> bool:
    """Whether a browser with windows can open; without one, Python would start a text browser in this terminal."""
    return not sys.platform.startswith("linux") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def build(settings: "Settings") -> "tuple[FastAPI, Engine]":
    """The app with all its routes, and the engine behind it, not started yet."""
    from backend.api.app import create
    from backend.batches import Batches
    from backend.engine import Engine
    from backend.library import Library
    from ui import shell

    library = Library(settings.folders.models)
    engine = Engine(settings, library)
    batches = Batches(engine)
    app = create(engine, batches, library, settings)
    shell.mount(app, engine, batches, library, settings)  # last: it answers every path that is left
    return app, engine


def serve(chosen: flags.Flags) -> None:
    from backend import settings as all_settings

    settings = all_settings.load(models=chosen.models_dirs, outputs=chosen.outputs_dir, device=chosen.device, offline=chosen.offline)
    port = chosen.port or settings.server.port
    listener = bind(settings.server.host, port, exactly=chosen.port is not None)
    taken = listener.getsockname()[1]
    for notice in chosen.notices:
        print(notice)
    if taken != port:
        print(f"Port {port} is in use, so this Atelier answers on {taken}.")
    address = f"http://{settings.server.host}:{taken}"
    print(f"Atelier: {address}   (Ctrl+C ends it)", flush=True)
    if chosen.browser and has_screen():
        threading.Thread(target=webbrowser.open, args=[address], daemon=True).start()

    import logging

    import uvicorn

    logging.basicConfig(level=chosen.loglevel, format="%(levelname)s %(name)s: %(message)s")
    for chatty in ("httpx", "httpcore", "asyncio", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    app, engine = build(settings)
    try:
        uvicorn.Server(uvicorn.Config(app, log_level="warning", access_log=False, timeout_graceful_shutdown=3)).run(sockets=[listener])
    finally:
        engine.stop()


def main() -> None:
    try:
        chosen = flags.parse(sys.argv[1:])
        environment.ensure(ROOT / "requirements.txt", [str(Path(__file__).resolve()), *sys.argv[1:]])
        os.environ.update({name: value for name, value in QUIET_AND_LOCAL.items() if name not in os.environ})
        serve(chosen)
    except StartFailed as problem:
        sys.exit(str(problem))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
