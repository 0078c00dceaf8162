"""The FastAPI app: every route of ours behind the guard. The page is mounted on it afterwards."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from fastapi import FastAPI

from backend.access import Guard
from backend.api import batches as batch_routes
from backend.api import controlnet, controls, extras, health, inputs, jobs, models, sdapi
from backend.batches import Batches
from backend.downloads import settled
from backend.engine import Engine
from backend.library import Library
from backend.settings import Settings

ENGINE_DELAY_S = 0.3
"""The worker's imports wait this long, so that the first page is not slowed down by them."""


def create(engine: Engine, batches: Batches, library: Library, settings: Settings) -> FastAPI:
    """The app, with the engine starting shortly after it serves."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        asyncio.get_running_loop().call_later(ENGINE_DELAY_S, engine.start)
        yield

    app = FastAPI(title="Atelier", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan)
    for routes in (
        health.router(engine),
        jobs.router(engine, library, settings),
        inputs.router(engine),
        batch_routes.router(engine, batches),
        sdapi.router(engine, library, settings),
        extras.router(engine, library),
        controls.router(engine, library, settings),
        controlnet.router(engine, library),
        models.router(settled(settings, library), library),
    ):
        app.include_router(routes)
    app.add_middleware(Guard)
    return app
