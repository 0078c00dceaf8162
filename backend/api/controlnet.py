"""The API of A1111's ControlNet extension: what there is, and reading maps."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from fastapi import APIRouter, Response
from pydantic import AliasChoices, BaseModel, ConfigDict, Field

from backend import preprocessors
from backend.api.bodies import taken
from backend.api.control_bodies import NO_MODEL, RESOLUTION, module, resolution, setting
from backend.api.jobs import sole_picture
from backend.api.reading import models_of
from backend.api.sdapi import refusal
from backend.controlling import CONTROLS_MAX, RESOLUTION_MAX, RESOLUTION_MIN
from backend.engine import Engine
from backend.errors import AtelierError, BadRequest
from backend.inputs import Input, Inputs
from backend.library import Library
from backend.preprocessors import Preprocessor
from backend.types import SIZE_MAX, SIZE_MIN, Request, make_request

VERSION = 3
"""Of the extension's API."""


class Detect(BaseModel):
    """Unknown fields are ignored, as clients rely on."""

    model_config = ConfigDict(extra="ignore")

    controlnet_module: str | None = "none"
    controlnet_input_images: list[str] = Field(default_factory=list, validation_alias=AliasChoices("controlnet_input_images", "controlnet_images"))
    controlnet_masks: list[str | None] = Field(default_factory=list)
    controlnet_processor_res: float = RESOLUTION
    controlnet_threshold_a: float = -1
    controlnet_threshold_b: float = -1

    def to_request(self, number: int, inputs: Inputs) -> Request:
        """For one of its pictures; the map has the picture's ratio. Raises BadRequest."""
        row = module(self.controlnet_module, "controlnet_module")
        picture = taken(self.controlnet_input_images[number], inputs, "controlnet_input_images", keep=False)
        mask = self.controlnet_masks[number] if number < len(self.controlnet_masks) else None
        looked = resolution(self.controlnet_processor_res)
        width, height = map_size(row, picture, looked)
        control = {
            "pictures": [picture.id], "preprocessor": row.name, "resolution": looked, "pixel_perfect": False,
            "mask": taken(mask, inputs, "controlnet_mask", keep=False).id if mask else None,
            "threshold_a": setting(row, 0, self.controlnet_threshold_a), "threshold_b": setting(row, 1, self.controlnet_threshold_b),
        }  # fmt: skip
        return make_request(controls=[control], width=width, height=height, image={"picture": picture.id})


def map_size(row: Preprocessor, picture: Input, looked: int) -> tuple[int, int]:
    """Width and height in pixels: as it is looked at, or as it is; either way within what a result may have, where its ratio allows."""
    sides = picture.width, picture.height
    scale = looked / min(sides) if row.at_resolution else 1.0
    scale = min(max(scale, SIZE_MIN / min(sides)), SIZE_MAX / max(sides))
    return round(picture.width * scale), round(picture.height * scale)


def router(engine: Engine, library: Library) -> APIRouter:
    """Routes under `/controlnet/`."""
    routes = APIRouter(prefix="/controlnet")

    @routes.get("/version")
    async def version() -> dict[str, int]:
        return {"version": VERSION}

    @routes.get("/settings")
    async def settings() -> dict[str, int]:
        return {"control_net_unit_count": CONTROLS_MAX}

    @routes.get("/model_list")
    def model_list(update: bool = True) -> dict[str, list[str]]:
        if update:
            library.controls.refresh()
        return {"model_list": [model.name for model in library.controls.usable]}

    @routes.get("/module_list")
    async def module_list(alias_names: bool = False) -> dict[str, Any]:
        named = {row.name if alias_names else row.api_name: row for row in preprocessors.ROWS}
        return {"module_list": list(named), "module_detail": {name: _detail(row) for name, row in named.items()}}

    @routes.get("/control_types")
    def control_types() -> dict[str, Any]:
        return {"control_types": {kind.name: _type(kind, library) for kind in preprocessors.TYPES}}

    @routes.post("/detect", response_model=None)
    async def detect(body: Detect) -> dict[str, Any] | Response:
        made = []
        try:
            if not body.controlnet_input_images:
                raise BadRequest({"controlnet_input_images": "There is no picture to read a map from. Send one or more, as base64."})
            for number in range(len(body.controlnet_input_images)):
                request = await asyncio.to_thread(body.to_request, number, engine.inputs)
                made.append(base64.b64encode(await sole_picture(engine, request)).decode())
        except AtelierError as error:
            return refusal(error)
        return {"images": made, "info": "Success"}

    return routes


def _detail(row: Preprocessor) -> dict[str, Any]:
    """Its sliders, the resolution first; null where it has no use for one."""
    looked = {"name": "Resolution", "value": RESOLUTION, "min": RESOLUTION_MIN, "max": RESOLUTION_MAX} if row.at_resolution else None
    sliders = [{"name": one.label, "value": one.value, "min": one.low, "max": one.high, "step": one.step} for one in row.sliders]
    return {"model_free": False, "sliders": [looked, *sliders] if looked or sliders else []}


def _type(kind: preprocessors.ControlType, library: Library) -> dict[str, Any]:
    models = models_of(kind, library)
    return {
        "module_list": [row.name for row in preprocessors.of_type(kind)], "model_list": [NO_MODEL, *models], "default_option": kind.default,
        "default_model": models[0] if models and kind.name != "All" else NO_MODEL,
    }  # fmt: skip
