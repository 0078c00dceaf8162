"""What crosses the layers: requests on the way down, events and results on the way up."""

from __future__ import annotations

import contextlib
import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, ValidationInfo, field_validator, model_validator

from backend.controlling import CONTROLS_MAX, Control
from backend.enlarging import Upscale
from backend.errors import AtelierError, BadRequest
from backend.painting import Hires, ImageInput, MaskInput, Refiner
from backend.samplers import AUTOMATIC, find_sampler, find_schedule, resolve_schedule, split_combined

SIZE_STEP = 8
SIZE_MIN, SIZE_MAX = 64, 2048
HIRES_SIZE_MAX = 4096
STEPS_MAX = 150
GUIDANCE_MAX = 30.0
PROMPT_MAX = 20_000
BATCH_COUNT_MAX, BATCH_SIZE_MAX = 100, 8
SEED_MAX = 2**53
"""Seeds stay exact in a browser's numbers up to here, and on the negative side alike."""
RANDOM_SEED = -1


_RANGES = {"steps": ("Sampling steps", 1, STEPS_MAX), "seed": ("Seed", -SEED_MAX, SEED_MAX), "batch_count": ("Batch count", 1, BATCH_COUNT_MAX)}
"""A field to what people call it, and its least and greatest values."""


class Request(BaseModel):
    """Everything that affects pixels. With its seed resolved, a request alone reproduces its images."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    prompt: str = ""
    negative_prompt: str = ""
    image: ImageInput | None = None
    """The picture to start from, if any."""
    upscale: Upscale | None = None
    """Makes the finished picture larger."""
    controls: tuple[Control, ...] = ()
    """What else the picture follows, at most CONTROLS_MAX."""
    model: str = Field(default="", validate_default=True)
    """Name of a model in the library. With none, nothing is drawn: the picture to start from is only made larger, or maps are
    read from the pictures of the controls."""
    width: int = 512
    """Pixels, 64 to 2048, a multiple of 8 unless the request starts from a picture."""
    height: int = 512
    seed: int = RANDOM_SEED
    """Seed of the first image; image number i of the job has seed + i. -1 draws one when the job starts."""
    steps: int = 20
    """1 to 150."""
    sampler: str = "DPM++ 2M"
    scheduler: str = "Automatic"
    """Schedule type."""
    guidance: float = 7.0
    """Classifier-free guidance scale (A1111's CFG scale), 1 to 30."""
    batch_count: int = 1
    """Batches one after the other, 1 to 100."""
    batch_size: int = Field(default=1, validate_default=True)
    """Images drawn together in one batch, 1 to 8."""
    one_by_one: bool = False
    """Run the images of a batch singly: slower, and each is then the same to the bit as alone."""
    mask: MaskInput | None = None
    """Which parts of that picture may change; all of it where there is none."""
    hires: Hires | None = None
    """A second, larger pass over what was drawn."""
    refiner: Refiner | None = None
    """Another model for the last steps."""
    extras: dict[str, dict[str, JsonValue]] = Field(default_factory=dict)
    """Each extension's own named values, by extension name."""

    @field_validator("prompt", "negative_prompt")
    @classmethod
    def _prompt_length(cls, text: str) -> str:
        if len(text) > PROMPT_MAX:
            raise ValueError(f"The prompt has {len(text):,} characters; {PROMPT_MAX:,} is the most. Please shorten it.")
        if "\x00" in text:
            raise ValueError("The prompt holds a zero byte, which cannot be stored in a picture. Please remove it.")
        return text

    @field_validator("controls")
    @classmethod
    def _few_controls(cls, controls: tuple[Control, ...]) -> tuple[Control, ...]:
        if len(controls) > CONTROLS_MAX:
            raise ValueError(f"{len(controls)} control units are asked for; {CONTROLS_MAX} is the most.")
        return controls

    @field_validator("model")
    @classmethod
    def _model_named(cls, name: str, others: ValidationInfo) -> str:
        if name.strip():
            return name
        if "controls" not in others.data:
            return name  # what is wrong with those is said at their own fields
        image, upscale, controls = (others.data.get(part) for part in ("image", "upscale", "controls"))
        if not (image and upscale) and not controls:
            raise ValueError("No model is chosen. Please choose one.")
        if controls and any(control.model for control in controls):
            raise ValueError("A control acts on a model, and none is chosen. Please choose one.")
        if upscale and upscale.detail:
            raise ValueError("Details are drawn by a model, and none is chosen. Please choose one.")
        return name

    @field_validator("width", "height")
    @classmethod
    def _size(cls, pixels: int, others: ValidationInfo) -> int:
        if not SIZE_MIN <= pixels <= SIZE_MAX:
            raise ValueError(f"Width and height go from {SIZE_MIN} to {SIZE_MAX} pixels; {pixels} is outside.")
        if pixels % SIZE_STEP and others.data.get("image") is None:
            low = pixels // SIZE_STEP * SIZE_STEP
            raise ValueError(f"Width and height must be multiples of {SIZE_STEP}; {pixels} is not. {low} or {low + SIZE_STEP} would do.")
        return pixels

    @field_validator(*_RANGES)
    @classmethod
    def _in_range(cls, number: int, field: ValidationInfo) -> int:
        return _within(*_RANGES[field.field_name or ""], number)

    @field_validator("batch_size")
    @classmethod
    def _batch_size(cls, size: int, others: ValidationInfo) -> int:
        image = others.data.get("image")
        if image and len(image.pictures) > _within("Batch size", 1, BATCH_SIZE_MAX, size):
            raise ValueError(f"{len(image.pictures)} pictures to start from need a batch size of as many or more; it is {size}.")
        if image and image.more and others.data.get("model") == "":
            raise ValueError("Pictures are made larger one by one. Send each in a request of its own, or choose a model to draw with.")
        return _within("Batch size", 1, BATCH_SIZE_MAX, size)

    @field_validator("guidance")
    @classmethod
    def _guidance(cls, scale: float) -> float:
        if not math.isfinite(scale):
            raise ValueError("CFG scale must be a number.")
        if not 1 <= scale <= GUIDANCE_MAX:
            raise ValueError(f"CFG scale goes from 1 to {GUIDANCE_MAX:g}; {scale:g} is outside.")
        return scale

    @model_validator(mode="before")
    @classmethod
    def _split_old_names(cls, values: object) -> object:
        """Names such as "DPM++ 2M Karras" hold both; what cannot be split is left to the fields' own checks."""
        if not isinstance(values, dict):
            return values
        sampler, scheduler = values.get("sampler"), values.get("scheduler", "Automatic")
        if not isinstance(sampler, str) or not isinstance(scheduler, str):
            return values
        with contextlib.suppress(BadRequest):
            sampler, scheduler = split_combined(sampler, scheduler)
        return {**values, "sampler": sampler, "scheduler": scheduler}

    @field_validator("sampler")
    @classmethod
    def _sampler_known(cls, name: str) -> str:
        try:
            return find_sampler(name).name
        except BadRequest as error:
            raise ValueError(error.sentence) from error

    @field_validator("scheduler")
    @classmethod
    def _scheduler_fits(cls, name: str, others: ValidationInfo) -> str:
        try:
            schedule = find_schedule(name)
            if "sampler" in others.data:
                resolve_schedule(find_sampler(others.data["sampler"]), schedule.name)
        except BadRequest as error:
            raise ValueError(error.sentence) from error
        return schedule.name

    @field_validator("mask")
    @classmethod
    def _mask_on_picture(cls, mask: MaskInput | None, others: ValidationInfo) -> MaskInput | None:
        if mask and others.data.get("image") is None:
            raise ValueError("There is a mask but no picture under it. Please choose a picture.")
        image = others.data.get("image")
        if mask and mask.picture is None and image and not image.grow:
            raise ValueError("Nothing is masked, and the picture does not grow. Please paint over what should change.")
        if mask and mask.picture is None and mask.invert:
            raise ValueError("There is no mask to turn round, only new borders. Please paint one, or choose “Inpaint masked”.")
        return mask

    @field_validator("hires")
    @classmethod
    def _hires_fits(cls, hires: Hires | None, others: ValidationInfo) -> Hires | None:
        if hires is None:
            return None
        if others.data.get("image"):
            raise ValueError("Hires fix is for pictures that are drawn from nothing. For a picture of your own choose a larger size.")
        try:
            sampler, scheduler = split_combined(hires.sampler or others.data.get("sampler", ""), hires.scheduler or AUTOMATIC)
            resolve_schedule(find_sampler(sampler), scheduler)
        except BadRequest as error:
            raise ValueError(error.sentence) from error
        if {"width", "height"} <= others.data.keys():
            target = hires.size(others.data["width"], others.data["height"])
            if max(target) > HIRES_SIZE_MAX:
                raise ValueError(f"Hires fix would make {target[0]} x {target[1]} pixels; {HIRES_SIZE_MAX} is the most for a side.")
        return hires.model_copy(update={"sampler": sampler, "scheduler": scheduler}) if hires.sampler else hires

    @property
    def draws(self) -> bool:
        """Whether a model draws, or a picture is only made larger, or maps are only read."""
        return bool(self.model)

    @property
    def reads(self) -> bool:
        """Whether it only reads maps from the pictures of its controls."""
        return not self.model and bool(self.controls)

    @property
    def hires_size(self) -> tuple[int, int]:
        """Width and height of the second pass, multiples of 8; the first pass's own where there is no second."""
        return self.hires.size(self.width, self.height) if self.hires else (self.width, self.height)

    @property
    def image_count(self) -> int:
        return self.batch_count * self.batch_size

    def picture_for(self, number: int) -> int:
        """Which of the pictures to start from image `number` of the job has, both from 0."""
        return number % self.batch_size % len(self.image.pictures) if self.image else 0

    def alone(self, seed: int) -> Request:
        """The request for the image of this seed and no other."""
        image = self.image
        if image and image.more:
            image = image.model_copy(update={"picture": image.pictures[self.picture_for(seed - self.seed)], "more": ()})
        return self.model_copy(update={"seed": seed, "batch_count": 1, "batch_size": 1, "image": image})


def _within(what: str, low: int, high: int, number: int) -> int:
    if not low <= number <= high:
        raise ValueError(f"{what} must be from {low:,} to {high:,}; {number:,} is outside.")
    return number


def make_request(**values: object) -> Request:
    """A checked request. Raises BadRequest with one sentence for each field that cannot be used."""
    try:
        return Request.model_validate(values)
    except ValidationError as error:
        raise BadRequest(sentences(error)) from error


_PLAIN = {
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_parsing": "must be a number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "string_type": "must be text",
    "bool_parsing": "must be true or false",
    "missing": "is missing",
    "extra_forbidden": "is not something a request can hold",
}


def sentences(error: ValidationError) -> dict[str, str]:
    """pydantic's findings as one plain sentence for each field; a part's field is named as in "mask.blur"."""
    found: dict[str, str] = {}
    for finding in error.errors(include_url=False):
        name = ".".join(str(part) for part in finding["loc"]) or "request"
        if finding["type"] == "value_error":
            text = finding["msg"].removeprefix("Value error, ")
        else:
            text = f"{name.replace('_', ' ').replace('.', ' ').capitalize()} {_PLAIN.get(finding['type'], 'cannot be used: ' + finding['msg'])}."
        found.setdefault(name, text)
    return found


class Image(BaseModel):
    """One finished picture."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    seed: int
    width: int
    height: int
    infotext: str
    """A1111's text of this picture, as in its `parameters` chunk."""
    path: Path | None = None
    """Where it was saved; None where the caller asked for bytes only, or saving failed."""
    data: bytes | None = None
    """The PNG itself, where there is no path."""


class Result(BaseModel):
    """A request as it was run, and what came of it."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["result"] = "result"
    job: str
    request: Request
    """With its seed resolved."""
    images: tuple[Image, ...]
    seconds: dict[str, float]
    """By stage: load, encode, control, denoise, upscale, detail, faces, decode, save."""
    peak_memory: int
    """Bytes: the device's peak allocation in this job, or on a CPU the worker's peak resident memory."""
    model_hash: str
    versions: dict[str, str]
    notes: tuple[str, ...] = ()
    """What the person should know, such as words the model does not have."""


class Progress(BaseModel):
    """Where a running job stands."""

    model_config = ConfigDict(frozen=True, ser_json_bytes="base64", val_json_bytes="base64")

    kind: Literal["progress"] = "progress"
    job: str
    stage: Literal["load", "encode", "control", "denoise", "upscale", "decode", "save"]
    step: int = 0
    """Steps done in this batch."""
    steps: int = 0
    image: int = 0
    """Number of the first image in the batch being drawn, from 0."""
    images: int = 1
    fraction: float = 0.0
    """Of the whole job, 0 to 1."""
    eta_s: float | None = None
    preview: bytes | None = None
    """A JPEG of the picture as it stands, when there is a newer one."""


class Failed(BaseModel):
    """The job ended without a result."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["failed"] = "failed"
    job: str
    error: str
    """Name of the error's class."""
    sentence: str
    fields: dict[str, str] = Field(default_factory=dict)
    images: tuple[Image, ...] = ()
    """Pictures that were finished before it failed."""
    request: Request | None = None
    """With its seed resolved, where it got that far."""

    @classmethod
    def from_error(cls, job: str, error: AtelierError, images: tuple[Image, ...] = (), request: Request | None = None) -> Failed:
        fields = error.fields if isinstance(error, BadRequest) else {}
        return cls(job=job, error=type(error).__name__, sentence=error.sentence, fields=fields, images=images, request=request)


class WorkerState(BaseModel):
    """What the worker says of itself when something about it changes."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["worker"] = "worker"
    state: Literal["starting", "ready", "busy", "restarting", "broken"] = "starting"
    device: str = ""
    """As people call it: "CPU", "NVIDIA GeForce RTX 3060"."""
    memory_used: int = 0
    """Bytes in use on the device by the worker; on a CPU its resident memory."""
    memory_total: int = 0
    model: str = ""
    """Name of the model that is loaded, if any."""
    sentence: str = ""
    """Why it is broken or restarting."""


class Work(BaseModel):
    """Going down: draw this."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["work"] = "work"
    job: str
    request: Request
    save: bool = True


class Cancel(BaseModel):
    """Going down: stop that job at the next step."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["cancel"] = "cancel"
    job: str


Event = Annotated[Progress | Result | Failed | WorkerState, Field(discriminator="kind")]
Command = Annotated[Work | Cancel, Field(discriminator="kind")]
