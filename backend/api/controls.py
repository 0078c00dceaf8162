"""The page's own routes for control units: what there is to choose from, and a look at a map."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel

from backend import preprocessors
from backend.api.inputs import told
from backend.api.jobs import sole_picture
from backend.api.reading import models_of
from backend.controlling import NO_PREPROCESSOR
from backend.engine import Engine
from backend.errors import AtelierError
from backend.library import Library
from backend.preprocessors import ControlType, Preprocessor
from backend.settings import Settings
from backend.types import make_request


class MapQuestion(BaseModel):
    """Values are checked as a request's, so that what is wrong with them is said in sentences."""

    control: dict[str, Any]
    """The fields of a Control."""
    width: Any = 512
    height: Any = 512
    """Of the result, and so of the map."""
    image: Any = None
    """Id of the picture that the request starts from, which a unit without one takes."""
    mask: Any = None
    """The fields of the request's own MaskInput."""


def router(engine: Engine, library: Library, settings: Settings) -> APIRouter:
    """Routes under `internal/`, for the page only: they may change with it."""
    routes = APIRouter(prefix="/internal")

    @routes.get("/controls")
    def controls() -> dict[str, Any]:
        problems = {row.name: preprocessors.why_not(row, settings.folders.models) for row in preprocessors.ROWS}
        return {
            "preprocessors": [_row(row, problems[row.name]) for row in preprocessors.ROWS],
            "models": [
                {"name": model.name, "kind": model.kind, "families": model.families, "problem": model.problem} for model in library.controls.all
            ],
            "types": {kind.name: _type(kind, library, problems) for kind in preprocessors.TYPES},
        }

    @routes.post("/control-map")
    async def control_map(question: MapQuestion) -> dict[str, Any]:
        """The map is kept for a day, like the pictures that programs hand in."""
        try:
            request = make_request(
                controls=[{**question.control, "model": ""}], width=question.width, height=question.height,
                image={"picture": question.image} if question.image else None, mask=question.mask,
            )  # fmt: skip
            kept = await asyncio.to_thread(engine.inputs.take, await sole_picture(engine, request), keep=False)
        except AtelierError as error:
            raise HTTPException(422, error.sentence) from error
        note = preprocessors.find(request.controls[0].preprocessor).note
        return {**told(kept), "notes": [note] if note else []}

    return routes


def _row(row: Preprocessor, problem: str) -> dict[str, Any]:
    sliders = [{"label": one.label, "min": one.low, "max": one.high, "step": one.step, "value": one.value} for one in row.sliders]
    return {
        "name": row.name, "title": row.title, "group": row.group, "sliders": sliders, "ready": not problem, "why_not": problem,
        "at_resolution": row.at_resolution, "needs_mask": row.needs_mask, "note": row.note,
        "licences": sorted({needed.licence for needed in row.weights}),
    }  # fmt: skip


def _type(kind: ControlType, library: Library, problems: dict[str, str]) -> dict[str, Any]:
    """The defaults are such as can be used at once, where there are any."""
    rows, models = [row.name for row in preprocessors.of_type(kind)], models_of(kind, library)
    ready = [name for name in (kind.default, *rows) if not problems[name] and (name != NO_PREPROCESSOR or name == kind.default)]
    return {
        "preprocessors": rows, "models": models, "default_preprocessor": ready[0] if ready else NO_PREPROCESSOR,
        "default_model": models[0] if models and kind.name != "All" else "",
    }  # fmt: skip
