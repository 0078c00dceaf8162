"""The bodies of A1111's API that ask for pictures, with its defaults, which are not the page's."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from backend.api.control_bodies import controls_of
from backend.errors import BadPicture, BadRequest
from backend.inputs import Input, Inputs
from backend.painting import MASKED_CONTENTS, RESIZE_MODES
from backend.types import Request, make_request

OPTION_MODEL = "sd_model_checkpoint"


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]


class Drawing(BaseModel):
    """What both bodies have. Unknown fields are ignored, as clients rely on."""

    model_config = ConfigDict(extra="ignore")

    prompt: str = ""
    negative_prompt: str | None = ""
    seed: Whole | None = -1
    sampler_name: str | None = None
    sampler_index: str | None = "Euler"
    scheduler: str | None = None
    batch_size: Whole | None = 1
    n_iter: Whole | None = 1
    steps: Whole | None = 50
    cfg_scale: float | None = 7.0
    width: Whole | None = 512
    height: Whole | None = 512
    denoising_strength: float | None = None
    override_settings: dict[str, Any] | None = Field(default_factory=dict)
    send_images: bool = True
    save_images: bool = False
    refiner_checkpoint: str | None = None
    refiner_switch_at: float | None = None
    styles: list[str] | None = None
    script_name: str | None = None
    alwayson_scripts: dict[str, Any] | None = Field(default=None, exclude=True)

    def not_yet(self) -> dict[str, str]:
        """Sentences on what is asked for and not built yet; ignoring those would give another picture than the one wanted."""
        wrong = {}
        if self.script_name:
            wrong["script_name"] = f"The script “{self.script_name[:60]}” is not here. Send script_name: null."
        if self.styles:
            wrong["styles"] = "Styles are not available in this version. Send an empty list."
        return wrong

    def shared(self, model: str) -> dict[str, object]:
        """The values of a Request that both bodies have. Raises BadRequest."""
        wrong = self.not_yet()
        if wrong:
            raise BadRequest(wrong)
        overrides = self.override_settings or {}
        given = {
            "prompt": self.prompt, "negative_prompt": self.negative_prompt, "seed": self.seed, "steps": self.steps, "width": self.width,
            "height": self.height, "guidance": self.cfg_scale, "batch_size": self.batch_size, "batch_count": self.n_iter,
            "sampler": self.sampler_name or self.sampler_index or "Euler", "scheduler": self.scheduler or "Automatic",
            "model": str(overrides.get(OPTION_MODEL) or model),
        }  # fmt: skip
        if self.refiner_checkpoint not in (None, "", "None"):
            given["refiner"] = {"model": self.refiner_checkpoint, "switch_at": 0.8 if self.refiner_switch_at is None else self.refiner_switch_at}
        return {name: value for name, value in given.items() if value is not None}

    def controls(self, inputs: Inputs) -> dict[str, object]:
        """The request's control units, if any. Raises BadRequest."""
        return controls_of(self.alwayson_scripts, lambda text, field: taken(text, inputs, field, keep=self.save_images))

    def echo(self) -> dict[str, Any]:
        """The body as the answer gives it back."""
        return self.model_dump(mode="json")


class Txt2Img(Drawing):
    enable_hr: bool = False
    hr_scale: float | None = 2.0
    hr_upscaler: str | None = None
    hr_second_pass_steps: Whole | None = 0
    hr_resize_x: Whole | None = 0
    hr_resize_y: Whole | None = 0
    hr_checkpoint_name: str | None = None
    hr_sampler_name: str | None = None
    hr_scheduler: str | None = None
    hr_prompt: str | None = ""
    hr_negative_prompt: str | None = ""

    def not_yet(self) -> dict[str, str]:
        wrong = super().not_yet()
        if self.enable_hr and self.hr_checkpoint_name not in (None, "", "Use same checkpoint"):
            wrong["hr_checkpoint_name"] = "Hires fix with another model is not available in this version. Send hr_checkpoint_name: null."
        return wrong

    def to_request(self, model: str, inputs: Inputs) -> Request:
        """Raises BadRequest."""
        values = self.shared(model) | self.controls(inputs)
        if self.enable_hr:
            same = (None, "", "Use same sampler", "Use same scheduler")
            values["hires"] = {
                "upscaler": self.hr_upscaler or "Latent", "scale": self.hr_scale or 2.0, "width": self.hr_resize_x or 0,
                "height": self.hr_resize_y or 0, "steps": self.hr_second_pass_steps or 0,
                "denoising_strength": 0.75 if self.denoising_strength is None else self.denoising_strength,
                "sampler": "" if self.hr_sampler_name in same else self.hr_sampler_name,
                "scheduler": "" if self.hr_scheduler in same else self.hr_scheduler,
                "prompt": self.hr_prompt or "", "negative_prompt": self.hr_negative_prompt or "",
            }  # fmt: skip
        return make_request(**values)


class Img2Img(Drawing):
    denoising_strength: float | None = 0.75
    init_images: list[str] | None = None
    resize_mode: Whole | None = 0
    mask: str | None = None
    mask_blur: Whole | None = None
    mask_blur_x: Whole | None = 4
    mask_blur_y: Whole | None = 4
    inpainting_fill: Whole | None = 0
    inpaint_full_res: bool | None = True
    inpaint_full_res_padding: Whole | None = 0
    inpainting_mask_invert: Whole | None = 0
    initial_noise_multiplier: float | None = None
    include_init_images: bool = False

    def not_yet(self) -> dict[str, str]:
        wrong = super().not_yet()
        if self.initial_noise_multiplier not in (None, 1.0):
            wrong["initial_noise_multiplier"] = "Another noise multiplier than 1 is not available in this version. Send null."
        if self.mask_blur is None and self.mask_blur_x != self.mask_blur_y:
            wrong["mask_blur_x"] = "The mask's blur is the same both ways in this version. Send mask_blur alone."
        if self.init_images and len(self.init_images) > 1:
            wrong["init_images"] = "One picture at a time can be worked on in this version. Send one init_image with each call."
        return wrong

    def to_request(self, model: str, inputs: Inputs) -> Request:
        """Raises BadRequest."""
        values = self.shared(model) | self.controls(inputs)
        if not self.init_images:
            raise BadRequest({"init_images": "There is no picture to start from. Send one in init_images, as base64."})
        picture = taken(self.init_images[0], inputs, "init_images", keep=self.save_images)
        values["image"] = {
            "picture": picture.id, "denoising_strength": 0.75 if self.denoising_strength is None else self.denoising_strength,
            "resize_mode": _choice(RESIZE_MODES, self.resize_mode or 0, "resize_mode"),
        }  # fmt: skip
        if self.mask:
            blur = self.mask_blur if self.mask_blur is not None else self.mask_blur_x
            values["mask"] = {
                "picture": taken(self.mask, inputs, "mask", keep=self.save_images).id, "blur": 4 if blur is None else blur,
                "invert": bool(self.inpainting_mask_invert),
                "content": _choice(MASKED_CONTENTS, self.inpainting_fill or 0, "inpainting_fill"),
                "area": "Whole picture" if self.inpaint_full_res is False else "Only masked", "padding": self.inpaint_full_res_padding or 0,
            }  # fmt: skip
        return make_request(**values)

    def echo(self) -> dict[str, Any]:
        left_out = {} if self.include_init_images else {"init_images": None, "mask": None}
        return {**super().echo(), **left_out}


def _choice(names: tuple[str, ...], number: int, field: str) -> str:
    if not 0 <= number < len(names):
        known = ", ".join(f"{place} ({name})" for place, name in enumerate(names))
        raise BadRequest({field: f"{field} is {number}. It can be: {known}."})
    return names[number]


def taken(text: str, inputs: Inputs, field: str, *, keep: bool) -> Input:
    """Take in a picture that came as base64, with or without a data: prefix. Nothing is ever fetched from an address."""
    if text.startswith(("http://", "https://")):
        raise BadRequest({field: f"{field} holds an address. Pictures are not fetched from elsewhere; please send the picture itself, as base64."})
    head, comma, rest = text.partition(",")
    try:
        data = base64.b64decode(rest if comma and head.startswith("data:") else text, validate=True)
        return inputs.take_mask(data, keep=keep) if field.endswith("mask") else inputs.take(data, keep=keep)
    except (binascii.Error, ValueError) as error:
        raise BadRequest({field: f"{field} is not base64, so it cannot be read as a picture."}) from error
    except BadPicture as error:
        raise BadRequest({field: error.sentence}) from error
