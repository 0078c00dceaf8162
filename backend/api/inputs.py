"""The page's own routes for pictures that go in: handing one over, and looking at it."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, HTTPException, Request, Response
from pydantic import BaseModel

from backend.api.jobs import picture_bytes
from backend.engine import Engine
from backend.errors import AtelierError, BadPicture
from backend.inputs import Input
from backend.pictures import MOST_BYTES

KEPT_FOR_GOOD = {"cache-control": "private, max-age=31536000, immutable"}


class PictureOfJob(BaseModel):
    job: str
    index: int


def router(engine: Engine) -> APIRouter:
    """Routes under `internal/inputs`. A picture is named by its pixels, so its address never shows another one."""
    routes = APIRouter(prefix="/internal/inputs")

    async def kept(data: bytes, *, mask: bool) -> dict[str, Any]:
        take = engine.inputs.take_mask if mask else engine.inputs.take
        try:
            return told(await asyncio.to_thread(take, data))
        except AtelierError as error:
            raise HTTPException(422 if isinstance(error, BadPicture) else 507, error.sentence) from error

    @routes.post("")
    async def hand_in(request: Request, mask: bool = False) -> dict[str, Any]:
        """The body is a picture file's bytes. With `mask`, greys or alpha are what counts."""
        return await kept(await body(request), mask=mask)

    @routes.post("/of-job")
    async def hand_in_result(source: PictureOfJob) -> dict[str, Any]:
        """A job's picture becomes an input without travelling through the browser."""
        job = engine.job(source.job)
        picture = job.image(source.index) if job else None
        if picture is None:
            raise HTTPException(404, "This job is no longer known. Its pictures are in the outputs folder.")
        return await kept(picture_bytes(picture), mask=False)

    @routes.get("/{identifier}.png")
    def look(identifier: str) -> Response:
        try:
            data = engine.inputs.path(identifier).read_bytes()
        except (BadPicture, OSError) as error:
            raise HTTPException(404, "This picture is not kept here any more. Please choose it again.") from error
        return Response(data, media_type="image/png", headers=KEPT_FOR_GOOD)

    return routes


async def body(request: Request) -> bytes:
    """The request's body, cut short as soon as it is too long."""
    data = bytearray()
    async for chunk in request.stream():
        data += chunk
        if len(data) > MOST_BYTES:
            raise HTTPException(413, f"The file is larger than {MOST_BYTES // 2**20} MB. Please save it smaller.")
    return bytes(data)


def told(kept: Input) -> dict[str, Any]:
    """An input as the page reads it."""
    return {"id": kept.id, "url": f"internal/inputs/{kept.id}.png", "width": kept.width, "height": kept.height, "notes": list(kept.notes)}
