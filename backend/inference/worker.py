"""The process that owns the device: work comes in, events go out."""

from __future__ import annotations

import logging
import os
import queue
import signal
import threading
from multiprocessing.connection import Connection

import torch
import transformers
from diffusers.utils import logging as diffusers_logging
from pydantic import BaseModel, TypeAdapter
from tqdm import tqdm

from backend.errors import AtelierError, OutOfMemory, Unexpected
from backend.hashes import Hashes
from backend.inference import memory
from backend.inference.cache import ModelCache
from backend.inference.generate import generate
from backend.inference.running import Run, Studio
from backend.inference.upscale import Networks
from backend.inputs import Inputs
from backend.library import Library
from backend.settings import Settings
from backend.types import Cancel, Command, Failed, Result, Work, WorkerState

log = logging.getLogger(__name__)

_COMMAND: TypeAdapter[Command] = TypeAdapter(Command)


class Mailbox:
    """The worker's end of the pipe. A thread of its own reads it, so that a stop is heard in the middle of a step."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._sending = threading.Lock()
        self._work: queue.SimpleQueue[Work] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        threading.Thread(target=self._read, name="mailbox", daemon=True).start()

    def send(self, event: BaseModel) -> None:
        """Tell the server. Where the server is gone this process ends, as nobody is left to draw for."""
        try:
            with self._sending:
                self._pipe.send_bytes(event.model_dump_json().encode())
        except OSError:
            os._exit(0)

    def next_work(self) -> Work:
        return self._work.get()

    def is_cancelled(self, job: str) -> bool:
        return job in self._cancelled

    def forget(self, job: str) -> None:
        self._cancelled.discard(job)

    def _read(self) -> None:
        while True:
            try:
                command = _COMMAND.validate_json(self._pipe.recv_bytes())
            except (EOFError, OSError):
                os._exit(0)
            if isinstance(command, Cancel):
                self._cancelled.add(command.job)
            else:
                self._work.put(command)


def run(pipe: Connection, settings: Settings) -> None:
    """The life of the worker process; ends when the server does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C is the server's to handle
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s worker: %(message)s")
    diffusers_logging.set_verbosity_error()
    diffusers_logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    tqdm.set_lock(threading.RLock())  # its own default is a semaphore between processes, which a killed worker would leave behind
    mailbox = Mailbox(pipe)
    try:
        device = memory.choose(settings.device)
    except AtelierError as error:
        mailbox.send(WorkerState(state="broken", sentence=error.sentence))
        return
    hashes, inputs = Hashes(settings.folders.state / "hashes.json"), Inputs(settings.folders.inputs, settings.folders.passing)
    studio = Studio(settings, device, Library(settings.folders.models), ModelCache(device), Networks(device), hashes, inputs)
    _warm_up(studio)
    mailbox.send(_state(studio))
    while True:
        work = mailbox.next_work()
        mailbox.send(_state(studio).model_copy(update={"state": "busy"}))
        mailbox.send(_outcome(work, studio, mailbox))
        mailbox.forget(work.job)
        mailbox.send(_state(studio))


def _warm_up(studio: Studio) -> None:
    """Load the default model while the person still reads the page. Trouble with it is told when somebody asks for it."""
    model = studio.library.default(studio.settings.generation.default_model)
    if model is None:
        return
    try:
        studio.hashes.of(model.denoiser_files)
        with studio.cache.use(model, lambda: None):
            pass
    except AtelierError as error:
        log.warning("%s", error.sentence)


def _outcome(work: Work, studio: Studio, mailbox: Mailbox) -> Result | Failed:
    """Exactly one ending for every job, whatever happens in it."""
    run = Run(work, mailbox.send, lambda: mailbox.is_cancelled(work.job))
    try:
        studio.library.refresh()
        return generate(run, studio)
    except AtelierError as error:
        reason = error
    except Exception as error:  # noqa: BLE001  (the worker loop: one job's fault must not end the next one's)
        reason = _plain(error, studio)
    return Failed.from_error(work.job, reason, tuple(run.pictures), run.request)


def _plain(error: Exception, studio: Studio) -> AtelierError:
    """Anything else that was raised, as a sentence."""
    text = str(error)
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)) or "allocate memory" in text:
        studio.cache.drop()
        studio.networks.drop()
        studio.reader.drop()
        return OutOfMemory("The picture needs more memory than is free. Make it smaller, draw fewer images in one batch, or close other programs.")
    log.error("a fault in Atelier", exc_info=error)
    first = (text.strip().splitlines() or [""])[0][:200]
    return Unexpected(
        f"Something went wrong inside Atelier ({type(error).__name__}: {first}). The terminal has the details; the next job is not affected."
    )


def _state(studio: Studio) -> WorkerState:
    device = studio.device
    return WorkerState(state="ready", device=device.title, memory_used=device.used, memory_total=device.total, model=studio.cache.model_name)
