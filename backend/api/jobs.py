"""The page's own routes: following a job, its pictures, the studio's state."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Literal

from fastapi import APIRouter, HTTPException, Response
from pydantic import BaseModel, Field

from backend.engine import Engine, ended
from backend.errors import AtelierError, BadRequest
from backend.jobs import Job, Snapshot
from backend.library import Library
from backend.settings import Settings
from backend.tokens import TokenCounter
from backend.types import PROMPT_MAX, Image, Request
from backend.version import VERSION

NOT_STORED = {"cache-control": "no-store"}

Task = Literal["txt2img", "img2img", "inpaint", "controlnet", "upscale"]


class TokenQuestion(BaseModel):
    model: str
    text: str = Field(max_length=PROMPT_MAX)


def router(engine: Engine, library: Library, settings: Settings) -> APIRouter:
    """Routes under `internal/`, for the page only: they may change with it."""
    routes = APIRouter(prefix="/internal")
    counter = TokenCounter()

    def known(job_id: str) -> Job:
        job = engine.job(job_id)
        if job is None:
            raise HTTPException(404, "This job is no longer known. Its pictures are in the outputs folder.")
        return job

    @routes.get("/jobs/newest")
    async def newest() -> dict[str, str | bool | None]:
        job = engine.newest()
        return {"job": job.id, "task": task(job.request), "ended": job.ended} if job else {"job": None, "task": None, "ended": None}

    @routes.get("/job/{job_id}")
    async def job(job_id: str) -> dict[str, Any]:
        found = known(job_id)
        return view(found.snapshot(), engine.position(found))

    @routes.get("/job/{job_id}/preview.jpg")
    async def preview(job_id: str) -> Response:
        data = known(job_id).preview
        if data is None:
            return Response(status_code=204)  # the job has ended since the page asked
        return Response(data, media_type="image/jpeg", headers=NOT_STORED)

    @routes.get("/job/{job_id}/image/{index}.png")
    def image(job_id: str, index: int, download: bool = False) -> Response:
        picture = known(job_id).image(index)
        if picture is None:
            raise HTTPException(404, "There is no such picture.")
        kind = "attachment" if download else "inline"
        headers = {"content-disposition": f'{kind}; filename="{file_name(picture, index)}"', "cache-control": "private, max-age=86400"}
        return Response(picture_bytes(picture), media_type="image/png", headers=headers)

    @routes.post("/job/{job_id}/stop")
    async def stop(job_id: str) -> dict[str, str]:
        known(job_id)
        engine.cancel(job_id)
        return {}

    @routes.get("/status")
    async def status() -> dict[str, Any]:
        running = engine.running()
        return {
            "worker": engine.worker.model_dump(mode="json", exclude={"kind"}), "waiting": engine.waiting(),
            "running": running.id if running else None, "version": VERSION, "local": True,
        }  # fmt: skip

    @routes.post("/tokens")
    async def tokens(question: TokenQuestion) -> dict[str, Any]:
        model = next((model for model in library.models if model.name == question.model and model.usable), None)
        if model is None:
            return {"count": 0, "limit": 0, "unknown": []}
        counted = counter.count(model, question.text)
        return {"count": counted.count, "limit": counted.limit, "unknown": list(counted.unknown)}

    @routes.post("/open-folder")
    def open_folder() -> dict[str, str]:
        folder = settings.folders.outputs
        opener = {"win32": "explorer", "darwin": "open"}.get(sys.platform, "xdg-open")
        try:
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.Popen([opener, str(folder)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        except OSError as error:
            raise HTTPException(501, f"No file manager could be opened here. The pictures are in {folder}.") from error
        return {"path": str(folder)}

    return routes


def picture_bytes(picture: Image) -> bytes:
    """The PNG. Raises HTTPException where its file is gone."""
    if picture.data is not None:
        return picture.data
    if picture.path is None:
        raise HTTPException(410, "This picture was handed to the program that asked for it and not kept.")
    try:
        return picture.path.read_bytes()
    except OSError as error:
        raise HTTPException(410, "This picture's file was moved or deleted.") from error


def file_name(picture: Image, index: int) -> str:
    """Plain letters only, as it goes into a header."""
    name = picture.path.name if picture.path else f"{index:05d}-{picture.seed}.png"
    return "".join(letter if letter.isascii() and letter not in '"\\' and letter.isprintable() else "_" for letter in name)


def task(request: Request) -> Task:
    """What kind of work it is: which tab of the page shows it."""
    if not request.draws:
        return "upscale"
    if request.image is None:
        return "controlnet" if request.controls else "txt2img"
    return "inpaint" if request.mask or request.image.grow else "img2img"


def view(job: Snapshot, position: int) -> dict[str, Any]:
    """A job as the page reads it."""
    progress, result, failed = job.progress, job.result, job.failed
    running = progress if job.state == "running" else None
    return {
        "id": job.id, "state": job.state, "cancelling": job.cancelling, "position": position,
        "stage": running.stage if running else None,
        "step": running.step if running else 0, "steps": running.steps if running else 0,
        "image": running.image if running else 0, "images": job.request.image_count,
        "fraction": running.fraction if running else float(job.state == "done"),
        "eta_s": running.eta_s if running else None, "preview": job.preview_revision,
        "sentence": failed.sentence if failed else None, "fields": failed.fields if failed else {},
        "notes": list(result.notes) if result else [], "seconds": result.seconds if result else {},
        "peak_memory": result.peak_memory if result else 0, "model_hash": result.model_hash if result else "",
        "pictures": [_picture(job.id, number, picture) for number, picture in enumerate(job.images)],
        "request": job.request_as_run.model_dump(mode="json"), "size": job.request.hires_size,
    }  # fmt: skip


def _picture(job_id: str, number: int, picture: Image) -> dict[str, Any]:
    return {
        "url": f"internal/job/{job_id}/image/{number}.png", "seed": picture.seed, "width": picture.width, "height": picture.height,
        "infotext": picture.infotext, "name": file_name(picture, number), "saved": picture.path is not None,
    }  # fmt: skip


async def sole_picture(engine: Engine, request: Request) -> bytes:
    """The PNG of the one picture that a request makes, run through the queue and not saved. Raises AtelierError."""
    job = engine.submit(request, save=False)
    await ended(job)
    done = job.snapshot()
    if done.failed:
        raise BadRequest(done.failed.fields) if done.failed.fields else AtelierError(done.failed.sentence)
    (made,) = done.images
    job.forget_bytes()
    return picture_bytes(made)
