"""A1111's API, through the same queue as the page. Bodies and answers are A1111's; its silent corrections are not."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from typing import Any

from fastapi import APIRouter, HTTPException, Response
from fastapi.responses import JSONResponse

from backend.api.bodies import OPTION_MODEL, Img2Img, Txt2Img
from backend.api.jobs import picture_bytes
from backend.engine import Engine, ended
from backend.errors import AtelierError, BadRequest, DamagedModel, UnknownModel
from backend.hashes import Hashes
from backend.jobs import Snapshot
from backend.library import Library, Model
from backend.painting import LATENT_UPSCALERS
from backend.samplers import SAMPLERS, SCHEDULES
from backend.settings import Settings
from backend.types import Request
from backend.version import VERSION

IDLE_STATE = {
    "skipped": False, "interrupted": False, "stopping_generation": False, "job": "", "job_count": 0, "job_timestamp": "0",
    "job_no": 0, "sampling_step": 0, "sampling_steps": 0,
}  # fmt: skip


def refusal(error: AtelierError) -> JSONResponse:
    """A1111's shape of an error, with a sentence for each field: 422 for what the caller can mend, else 500."""
    fields = error.fields if isinstance(error, BadRequest) else {}
    status = 422 if isinstance(error, (BadRequest, UnknownModel, DamagedModel)) else 500
    return JSONResponse({"error": type(error).__name__, "detail": error.sentence, "body": "", "errors": error.sentence, "fields": fields}, status)


def router(engine: Engine, library: Library, settings: Settings) -> APIRouter:
    """Routes under `/sdapi/v1/`."""
    routes = APIRouter(prefix="/sdapi/v1")
    hashes_file = settings.folders.state / "hashes.json"

    def default_model() -> str:
        model = library.default(settings.generation.default_model)
        if model is None:
            raise UnknownModel("There is no usable model. Put one into models/ and try again.")
        return model.name

    async def drawn(body: Txt2Img | Img2Img) -> dict[str, Any] | Response:
        try:
            request = await asyncio.to_thread(body.to_request, default_model(), engine.inputs)
            job = engine.submit(request, save=body.save_images)
        except AtelierError as error:
            return refusal(error)
        await ended(job)
        done = job.snapshot()
        if done.failed and not (done.state == "cancelled" and done.images):
            status = 422 if done.failed.fields else 500
            return JSONResponse({"error": done.failed.error, "detail": done.failed.sentence, "body": "", "errors": done.failed.sentence}, status)
        pictures = [base64.b64encode(picture_bytes(picture)).decode() for picture in done.images] if body.send_images else []
        job.forget_bytes()
        return {"images": pictures, "parameters": body.echo(), "info": json.dumps(_info(done))}

    @routes.post("/txt2img", response_model=None)
    async def txt2img(body: Txt2Img) -> dict[str, Any] | Response:
        return await drawn(body)

    @routes.post("/img2img", response_model=None)
    async def img2img(body: Img2Img) -> dict[str, Any] | Response:
        return await drawn(body)

    @routes.get("/latent-upscale-modes")
    async def latent_upscale_modes() -> list[dict[str, str]]:
        return [{"name": name} for name in LATENT_UPSCALERS]

    @routes.get("/progress")
    async def progress(skip_current_image: bool = False) -> dict[str, Any]:
        job = engine.running()
        if job is None:
            return {"progress": 0.0, "eta_relative": 0.0, "state": IDLE_STATE, "current_image": None, "textinfo": None, "current_task": None}
        now = job.snapshot()
        at = now.progress
        state = {
            **IDLE_STATE, "interrupted": now.cancelling, "job": job.id, "job_count": now.request.batch_count + engine.waiting(),
            "job_no": at.image // now.request.batch_size if at else 0, "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.localtime(now.created)),
            "sampling_step": at.step if at else 0, "sampling_steps": at.steps if at else 0,
        }  # fmt: skip
        preview = None if skip_current_image else job.preview
        return {
            "progress": max(0.01, at.fraction if at else 0.0), "eta_relative": (at.eta_s if at else None) or 0.0, "state": state,
            "current_image": base64.b64encode(preview).decode() if preview else None, "textinfo": None, "current_task": job.id,
        }  # fmt: skip

    @routes.post("/interrupt")
    async def interrupt() -> dict[str, str]:
        job = engine.running()
        if job:
            engine.cancel(job.id)
        return {}

    @routes.get("/sd-models")
    def sd_models() -> list[dict[str, Any]]:
        hashes = Hashes(hashes_file)
        return [_model(model, hashes) for model in library.models if model.usable]

    @routes.get("/samplers")
    async def samplers() -> list[dict[str, Any]]:
        return [
            {"name": row.name, "aliases": list(row.aliases), "options": {"scheduler": row.automatic.lower().replace(" ", "_")}} for row in SAMPLERS
        ]

    @routes.get("/schedulers")
    async def schedulers() -> list[dict[str, Any]]:
        return [
            {"name": row.api_name, "label": row.name, "aliases": list(row.aliases) or None, "default_rho": row.rho, "need_inner_model": False}
            for row in SCHEDULES
        ]

    @routes.get("/options")
    def options() -> dict[str, Any]:
        model = library.default(settings.generation.default_model)
        title = _model(model, Hashes(hashes_file))["title"] if model else ""
        return {
            OPTION_MODEL: title, "sd_checkpoint_hash": "", "sd_vae": "Automatic", "CLIP_stop_at_last_layers": 1, "samples_format": "png",
            "samples_save": True, "randn_source": "CPU", "outdir_txt2img_samples": str(settings.folders.outputs / "txt2img-images"),
        }  # fmt: skip

    @routes.post("/options")
    def set_options() -> Response:
        raise HTTPException(501, "Options cannot be set in this version. Name the model with each request in override_settings.sd_model_checkpoint.")

    return routes


def _model(model: Model, hashes: Hashes) -> dict[str, Any]:
    digest = hashes.known(model.denoiser_files)
    title = f"{model.name} [{digest[:10]}]" if digest else model.name
    return {
        "title": title, "model_name": model.name, "hash": digest[:10] if digest else None, "sha256": digest,
        "filename": str(model.path), "config": None,
    }  # fmt: skip


def _strength(request: Request) -> float | None:
    part = request.image or request.hires
    return part.denoising_strength if part else None


def _info(job: Snapshot) -> dict[str, Any]:
    """A1111's `info`, which travels as a JSON string."""
    request = job.request_as_run
    pictures = job.images
    return {
        "prompt": request.prompt, "all_prompts": [request.prompt] * len(pictures), "negative_prompt": request.negative_prompt,
        "all_negative_prompts": [request.negative_prompt] * len(pictures), "seed": pictures[0].seed if pictures else request.seed,
        "all_seeds": [picture.seed for picture in pictures], "subseed": -1, "all_subseeds": [-1] * len(pictures), "subseed_strength": 0,
        "width": request.width, "height": request.height, "sampler_name": request.sampler, "cfg_scale": request.guidance, "steps": request.steps,
        "batch_size": request.batch_size, "restore_faces": False, "face_restoration_model": None, "sd_model_name": request.model,
        "sd_model_hash": job.result.model_hash if job.result else "", "sd_vae_name": None, "sd_vae_hash": None, "seed_resize_from_w": -1,
        "seed_resize_from_h": -1, "denoising_strength": _strength(request), "extra_generation_params": {"Schedule type": request.scheduler},
        "index_of_first_image": 0, "infotexts": [picture.infotext for picture in pictures], "styles": [],
        "job_timestamp": time.strftime("%Y%m%d%H%M%S", time.localtime(job.created)), "clip_skip": 1,
        "is_using_inpainting_conditioning": False, "version": f"atelier {VERSION}",
        "notes": list(job.result.notes) if job.result else [], "seconds": job.result.seconds if job.result else {},
    }  # fmt: skip
