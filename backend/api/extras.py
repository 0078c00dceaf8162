"""A1111's API for making pictures larger: its extras routes, and the lists of upscalers and face restorers."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict

from backend.api.bodies import Whole, taken
from backend.api.jobs import sole_picture
from backend.api.sdapi import refusal
from backend.engine import Engine
from backend.enlarging import NONE
from backend.errors import AtelierError, BadRequest
from backend.inputs import Inputs
from backend.library import Library
from backend.restorers import Restorer
from backend.types import Request, make_request
from backend.upscalers import Upscaler

BY_FACTOR, TO_SIZE = 0, 1


class Extras(BaseModel):
    """What both routes have. Unknown fields are ignored, as clients rely on."""

    model_config = ConfigDict(extra="ignore")

    resize_mode: Whole = BY_FACTOR
    show_extras_results: bool = True
    gfpgan_visibility: float = 0.0
    codeformer_visibility: float = 0.0
    codeformer_weight: float = 0.0
    upscaling_resize: float = 2.0
    upscaling_resize_w: Whole = 512
    upscaling_resize_h: Whole = 512
    upscaling_crop: bool = True
    upscaler_1: str | None = NONE
    upscaler_2: str | None = NONE
    extras_upscaler_2_visibility: float = 0.0
    upscale_first: bool = False

    def to_request(self, picture: str, inputs: Inputs, gfpgan: Restorer | None) -> Request:
        """For one picture, base64, with the GFPGAN that is here, if any. Raises BadRequest."""
        wrong = {}
        if self.gfpgan_visibility and gfpgan is None:
            wrong["gfpgan_visibility"] = "There is no GFPGAN here. Put its file into models/GFPGAN/, or send 0."
        if self.codeformer_visibility:
            wrong["codeformer_visibility"] = "CodeFormer is not available, as it may not be used commercially. Send 0, and gfpgan_visibility instead."
        if self.resize_mode not in (BY_FACTOR, TO_SIZE):
            wrong["resize_mode"] = f"resize_mode is {self.resize_mode}. It can be 0 (by a factor) or 1 (to a size)."
        if wrong:
            raise BadRequest(wrong)
        how: dict[str, object] = {"upscaler": NONE, "scale": 1.0}  # with no upscaler the picture keeps its size, as in A1111
        if self.upscaler_1 not in (None, "", NONE):
            how = {
                "upscaler": self.upscaler_1, "scale": self.upscaling_resize, "crop": self.upscaling_crop,
                "second": self.upscaler_2 or NONE, "second_visibility": self.extras_upscaler_2_visibility,
            }  # fmt: skip
            if self.resize_mode == TO_SIZE:
                how |= {"width": self.upscaling_resize_w, "height": self.upscaling_resize_h}
        if gfpgan and self.gfpgan_visibility:
            how |= {"faces": gfpgan.name, "faces_visibility": self.gfpgan_visibility}
        return make_request(image={"picture": taken(picture, inputs, "image", keep=False).id}, upscale=how)


class SinglePicture(Extras):
    image: str = ""


class FileData(BaseModel):
    data: str
    name: str = ""


class SeveralPictures(Extras):
    imageList: list[FileData]  # noqa: N815  (A1111's name)


def router(engine: Engine, library: Library) -> APIRouter:
    """Routes under `/sdapi/v1/`."""
    routes = APIRouter(prefix="/sdapi/v1")

    async def enlarged(body: Extras, picture: str) -> str:
        """The result as base64. Raises AtelierError."""
        request = await asyncio.to_thread(body.to_request, picture, engine.inputs, library.restorers.gfpgan)
        return base64.b64encode(await sole_picture(engine, request)).decode()

    @routes.post("/extra-single-image", response_model=None)
    async def extra_single_image(body: SinglePicture) -> dict[str, Any] | Response:
        try:
            return {"html_info": "", "image": await enlarged(body, body.image)}
        except AtelierError as error:
            return refusal(error)

    @routes.post("/extra-batch-images", response_model=None)
    async def extra_batch_images(body: SeveralPictures) -> dict[str, Any] | Response:
        if not body.imageList:
            return JSONResponse({"error": "BadRequest", "detail": "imageList is empty. Send one picture or more.", "body": "", "errors": ""}, 422)
        made = []
        for number, file in enumerate(body.imageList):
            try:
                made.append(await enlarged(body, file.data))
            except AtelierError as error:
                return refusal(BadRequest({f"imageList.{number}": f"{file.name or f'Picture {number + 1}'}: {error.sentence}"}))
        return {"html_info": "", "images": made}

    @routes.get("/upscalers")
    def upscalers() -> list[dict[str, Any]]:
        return [_told(upscaler) for upscaler in library.upscalers.usable]

    @routes.get("/face-restorers")
    def face_restorers() -> list[dict[str, Any]]:
        return [{"name": restorer.name, "cmd_dir": str(restorer.path.parent)} for restorer in library.restorers.usable if restorer.path]

    return routes


def _told(upscaler: Upscaler) -> dict[str, Any]:
    path = str(upscaler.path) if upscaler.path else None
    return {"name": upscaler.name, "model_name": upscaler.path.stem if upscaler.path else None, "model_path": path, "model_url": None,
            "scale": upscaler.scale}  # fmt: skip
