"""`/healthz`: is the page up, and how is the worker?"""

from __future__ import annotations

import sys
from typing import Any

from fastapi import APIRouter

from backend.engine import Engine
from backend.version import VERSION

TENSOR_MODULES = ("torch", "diffusers", "transformers")


def router(engine: Engine) -> APIRouter:
    """Answers 200 as soon as the page is up, whatever the worker's state."""
    routes = APIRouter()

    @routes.get("/healthz")
    async def healthz() -> dict[str, Any]:
        return {
            "status": "ok", "version": VERSION, "worker": engine.worker.model_dump(mode="json", exclude={"kind"}),
            "worker_pid": engine.worker_pid, "waiting": engine.waiting(),
            "server_modules_with_tensors": [name for name in TENSOR_MODULES if name in sys.modules],
        }  # fmt: skip

    return routes
