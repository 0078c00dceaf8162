"""The queue, and the supervision of the worker process that draws."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import threading
from collections import OrderedDict, deque
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess

from pydantic import TypeAdapter

from backend import preprocessors
from backend.control_models import check_fit
from backend.errors import AtelierError, BadRequest, Cancelled, WorkerDied
from backend.families import check
from backend.inputs import Inputs
from backend.jobs import Job
from backend.library import Library, Model
from backend.painting import LATENT_UPSCALERS
from backend.settings import Settings
from backend.types import Cancel, Event, Failed, Progress, Request, Work, WorkerState

log = logging.getLogger(__name__)

START_TRIES = 3
"""A worker that dies this often without ever getting ready is given up, until somebody asks for another try."""

_EVENT: TypeAdapter[Event] = TypeAdapter(Event)


def _run_worker(pipe: Connection, settings_json: str) -> None:
    """Entry of the worker process. Imported here and nowhere else, so that the server never loads torch."""
    from backend.inference.worker import run

    run(pipe, Settings.model_validate_json(settings_json))


class Engine:
    """Takes requests, runs them one after the other, and starts a new worker when one dies."""

    def __init__(self, settings: Settings, library: Library) -> None:
        self._settings, self._library = settings, library
        self.inputs = Inputs(settings.folders.inputs, settings.folders.passing)
        self._lock = threading.RLock()
        self._queue: deque[Job] = deque()
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._running: Job | None = None
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None
        self._worker = WorkerState()
        self._failed_starts = 0
        self._stopping = False
        self._wake_in, self._wake_out = multiprocessing.Pipe(duplex=False)
        self._thread = threading.Thread(target=self._supervise, name="engine", daemon=True)

    # What callers use

    def start(self) -> None:
        """Start the worker; returns at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the worker. Jobs that have not run are failed with a sentence."""
        with self._lock:
            self._stopping = True
            process = self._process
            waiting = [*self._queue, *([self._running] if self._running else [])]
            self._queue.clear()
        self._wake()
        for job in waiting:
            job.finish(Failed.from_error(job.id, Cancelled("Atelier was shut down before this job ended.")))
        if process and process.is_alive():
            process.terminate()
            process.join(5)
            if process.is_alive():
                process.kill()
        if self._thread.is_alive():
            self._thread.join(5)

    def submit(self, request: Request, *, save: bool = True) -> Job:
        """Put a request into the queue. Raises UnknownModel, DamagedModel or BadRequest at once, with a sentence."""
        job = Job(self._checked(request), save=save)
        with self._lock:
            if len(self._queue) >= self._settings.generation.queue_limit:
                raise BadRequest({"request": f"The queue is full ({len(self._queue)} jobs wait). Please try again when some are done."})
            self._queue.insert(self._place(job), job)
            self._jobs[job.id] = job
            self._forget_old_jobs()
        self._wake()
        return job

    def _place(self, job: Job) -> int:
        """Where in the queue a new job waits: last, but maps are read before anything is drawn, as that is short."""
        if not job.request.reads:
            return len(self._queue)
        return next((place for place, other in enumerate(self._queue) if not other.request.reads), len(self._queue))

    def _checked(self, request: Request) -> Request:
        """The request with its model's own name, once everything that it names is there and fits."""
        for field, name in upscalers_of(request):
            try:
                self._library.upscalers.find(name)
            except AtelierError as error:
                raise BadRequest({field: error.sentence}) from error
        if request.upscale:
            try:
                self._library.restorers.find(request.upscale.faces)
            except AtelierError as error:
                raise BadRequest({"upscale.faces": error.sentence}) from error
        self.inputs.check(request)
        preprocessors.check_all(request, self._settings.folders.models)
        if not request.draws:
            return request
        if request.upscale:
            try:
                request.upscale.size(*request.hires_size)
            except ValueError as error:
                raise BadRequest({"upscale": str(error)}) from error
        model = self._library.find(request.model)
        refiner = self._library.find(request.refiner.model) if request.refiner else None
        later = self._other(request.hires.model, "hires.model") if request.hires and request.hires.model else None
        check(request, model.family, refiner.family if refiner else None, later.family if later else None)
        families = {one.family.id: one.family for one in (model, later) if one}
        unfit = {name: sentence for row in families.values() for name, sentence in check_fit(request, row, self._library.controls).items()}
        if unfit:
            raise BadRequest(unfit)
        return request.model_copy(update={"model": model.name})

    def _other(self, name: str, field: str) -> Model:
        """Raises BadRequest at the field that names it."""
        try:
            return self._library.find(name)
        except AtelierError as error:
            raise BadRequest({field: error.sentence}) from error

    def cancel(self, job_id: str) -> bool:
        """Stop a job: at once where it waits, at its next step where it runs. False where there is nothing to stop."""
        with self._lock:
            job = self._jobs.get(job_id)
            if job is None or job.ended:
                return False
            job.mark_cancelling()
            if job in self._queue:
                self._queue.remove(job)
            elif self._pipe and job is self._running:
                self._send(Cancel(job=job.id))
                return True
        job.finish(Failed.from_error(job.id, Cancelled("Stopped before it began.")))
        return True

    def job(self, job_id: str) -> Job | None:
        return self._jobs.get(job_id)

    def newest(self) -> Job | None:
        """The running job, else the newest that waits or has ended; pictures that a program asked for alone are not shown."""
        with self._lock:
            if self._running and self._running.save:
                return self._running
            return next((job for job in reversed(self._jobs.values()) if job.save), None)

    def running(self) -> Job | None:
        return self._running

    def waiting(self) -> int:
        """How many jobs wait behind the running one."""
        return len(self._queue)

    def position(self, job: Job) -> int:
        """How many jobs come before this one; 0 for one that runs or has ended."""
        with self._lock:
            if job not in self._queue:
                return 0
            return self._queue.index(job) + (1 if self._running else 0)

    @property
    def worker(self) -> WorkerState:
        return self._worker

    @property
    def worker_pid(self) -> int | None:
        return self._process.pid if self._process else None

    # The supervising thread

    def _supervise(self) -> None:
        while not self._stopping:
            self._start_worker()
            self._listen()
            self._after_death()

    def _start_worker(self) -> None:
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        process = context.Process(target=_run_worker, args=(theirs, self._settings.model_dump_json()), name="atelier-worker", daemon=True)
        process.start()
        theirs.close()
        with self._lock:
            self._process, self._pipe = process, ours

    def _listen(self) -> None:
        """Hand out work and take in events until the worker is gone."""
        pipe = self._pipe
        assert pipe is not None
        while not self._stopping:
            self._hand_out()
            for source in wait([pipe, self._wake_in]):
                try:
                    message = self._wake_in.recv_bytes() if source is self._wake_in else pipe.recv_bytes()
                except (EOFError, OSError):
                    return
                if source is pipe:
                    self._take_in(_EVENT.validate_json(message))

    def _wake(self) -> None:
        """Let the supervising thread look at the queue."""
        self._wake_out.send_bytes(b"!")

    def _hand_out(self) -> None:
        with self._lock:
            if self._running or not self._queue or self._worker.state != "ready":
                return
            job = self._queue.popleft()
            self._running = job
            job.start()
            self._send(Work(job=job.id, request=job.request, save=job.save))

    def _send(self, message: Work | Cancel) -> None:
        assert self._pipe is not None
        try:
            self._pipe.send_bytes(message.model_dump_json().encode())
        except OSError:
            log.debug("the worker is gone; its job is dealt with when the listener sees it")

    def _take_in(self, event: Event) -> None:
        if isinstance(event, WorkerState):
            self._worker = event
            if event.state == "ready":
                self._failed_starts = 0
            return
        job = self._jobs.get(event.job)
        if isinstance(event, Progress):
            if job:
                job.advance(event)
            return
        with self._lock:
            self._running = None
        if job:
            job.finish(event)

    def _after_death(self) -> None:
        """Fail the job that was running, and say why the worker is gone."""
        if self._stopping or self._process is None:
            return
        self._process.join(10)
        told = self._worker.sentence if self._worker.state == "broken" else ""
        reason = told or _reason(self._process.exitcode)
        was_ready = self._worker.state in ("ready", "busy")
        self._failed_starts = 0 if was_ready else START_TRIES if told else self._failed_starts + 1
        with self._lock:
            job, self._running, self._pipe = self._running, None, None
            self._worker = self._worker.model_copy(update={"state": "restarting", "sentence": reason, "model": ""})
        log.warning("worker: %s", reason)
        if job:
            job.finish(
                Failed.from_error(
                    job.id, WorkerDied(f"{reason} This job is lost, the next ones go on. Try it again, perhaps with a smaller picture.")
                )
            )
        if self._failed_starts >= START_TRIES:
            self._give_up(told or f"The worker does not start: {reason} The terminal that Atelier runs in says more.")

    def _give_up(self, sentence: str) -> None:
        """After several failed starts: fail what waits, then try again only when somebody submits a job."""
        self._worker = self._worker.model_copy(update={"state": "broken", "sentence": sentence})
        with self._lock:
            waiting = list(self._queue)
            self._queue.clear()
        for job in waiting:
            job.finish(Failed.from_error(job.id, WorkerDied(sentence)))
        while not self._queue and not self._stopping:
            self._wake_in.recv_bytes()
        self._failed_starts = 0

    def _forget_old_jobs(self) -> None:
        ended = [job_id for job_id, job in self._jobs.items() if job.ended]
        for job_id in ended[: max(0, len(ended) - self._settings.generation.kept_jobs)]:
            del self._jobs[job_id]


def upscalers_of(request: Request) -> list[tuple[str, str]]:
    """The upscalers that a request names, each with the field that does."""
    named = []
    if request.upscale:
        named += [("upscale.upscaler", request.upscale.upscaler), ("upscale.second", request.upscale.second)]
    if request.hires and request.hires.upscaler not in LATENT_UPSCALERS:
        named.append(("hires.upscaler", request.hires.upscaler))
    return named


def _reason(exit_code: int | None) -> str:
    if exit_code == -9:
        return "The worker process was killed, most likely because the machine ran out of memory."
    if exit_code == -11:
        return "The worker process crashed (a fault in native code)."
    return f"The worker process ended unexpectedly (exit code {exit_code})."


async def ended(job: Job) -> None:
    """Wait for a job's end without holding a thread."""
    loop, done = asyncio.get_running_loop(), asyncio.Event()

    def tell() -> None:
        loop.call_soon_threadsafe(done.set)

    job.when_ended(tell)
    await done.wait()
