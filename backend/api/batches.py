"""The page's own routes for a folder of pictures: how it gets on, and stopping it."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, HTTPException

from backend.batches import Batch, Batches
from backend.engine import Engine

FAILURES_TOLD = 200


def router(engine: Engine, batches: Batches) -> APIRouter:
    """Routes under `internal/batches`."""
    routes = APIRouter(prefix="/internal/batches")

    def known(identifier: str) -> Batch:
        batch = batches.find(identifier)
        if batch is None:
            raise HTTPException(404, "This batch is no longer known. What was drawn is in its output folder.")
        return batch

    @routes.get("/{identifier}")
    async def one(identifier: str) -> dict[str, Any]:
        return view(known(identifier))

    @routes.post("/{identifier}/stop")
    async def stop(identifier: str) -> dict[str, str]:
        known(identifier).stop(engine)
        return {}

    return routes


def view(batch: Batch) -> dict[str, Any]:
    """A batch as the page reads it."""
    job = batch.job.snapshot() if batch.job else None
    return {
        "id": batch.id, "state": batch.state, "stopping": batch.stopping, "total": batch.total, "done": batch.done, "skipped": batch.skipped,
        "failed": [{"name": name, "sentence": sentence} for name, sentence in batch.failed[:FAILURES_TOLD]], "failures": len(batch.failed),
        "name": batch.name, "fraction": job.progress.fraction if job and job.progress else 0.0, "target": str(batch.folders.target),
    }  # fmt: skip
