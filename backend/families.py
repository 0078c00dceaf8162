"""The table of model families: one row says how to know a kind of model, what runs it and what it can do.

Code is named as strings ("module:Name"), so that reading the table loads no tensors. To add a family, add a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.errors import BadRequest
from backend.samplers import SAMPLERS
from backend.types import Request


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """What the form starts with for this family."""

    width: int = 512
    height: int = 512
    steps: int = 20
    guidance: float = 7.0
    sampler: str = "DPM++ 2M"
    scheduler: str = "Automatic"


@dataclass(frozen=True, kw_only=True)
class Family:
    """One row."""

    id: str
    title: str
    pipeline_names: tuple[str, ...]
    """Values of `_class_name` in model_index.json that belong to this family."""
    detect: Mapping[str, object]
    """Values that must stand in component configs, as "component.key"."""
    pipelines: Mapping[str, str]
    """Task to the pipeline class that runs it."""
    conditioning: str
    """The function that turns prompts into embeddings: (pipe, request) -> Conditioning."""
    latents: str
    """Names the space that its latents are in; models that share one can continue each other's pictures."""
    control: str = ""
    """How control units act on its denoiser: a context manager (denoiser, controls, guided, calls); "" where none can."""
    denoiser: str = "unet"
    """Name of the component that is called at every step; its weights give the model its hash."""
    supports: frozenset[str] = frozenset({"negative_prompt", "guidance"})
    samplers: tuple[str, ...] = tuple(row.name for row in SAMPLERS)
    defaults: Defaults = field(default_factory=Defaults)
    size_step: int = 8
    """Width and height must be multiples of this."""
    call: Mapping[str, object] = field(default_factory=dict)
    """Further arguments of its pipeline's call, the same for every request."""
    prompt_tokens: int = 75
    """What the text encoder reads, without start and end marks."""
    ratios: tuple[tuple[int, int], ...] = ((1, 1), (4, 3), (3, 2), (16, 9), (3, 4), (2, 3), (9, 16))
    preview_factors: tuple[tuple[float, float, float], ...] = ()
    """Three numbers for each latent channel: its part in red, green and blue of a cheap preview, -1 to 1;
    the last row is the offset. Empty: previews are decoded by the VAE itself, as it is small enough."""
    why_not: Mapping[str, str] = field(default_factory=dict)
    """For what it does not support: the reason, as the form shows it."""

    @property
    def task(self) -> str:
        """How its pipeline is run: "txt2img", or "refine" for one that only continues what another began."""
        return "txt2img" if "txt2img" in self.pipelines else "refine"


_CLIP = "backend.inference.conditioning:encode_clip"
_ON_UNET = "backend.inference.control:on_unet"
_SD_PIPELINES = {"txt2img": "diffusers:StableDiffusionPipeline"}
_SD_NAMES = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline")

_SD_PREVIEW = (
    (0.298, 0.207, 0.208), (0.187, 0.286, 0.173), (-0.158, 0.189, 0.264), (-0.184, -0.271, -0.473),
    (0.0, 0.0, 0.0),
)  # fmt: skip
"""Fitted by InvokeAI (Apache-2.0) to Stable Diffusion 1's latents."""

_SDXL_PREVIEW = (
    (0.4706, 0.4706, 0.4706), (-0.4706, -0.0392, 0.0784), (0.1961, 0.1176, -0.0392), (-0.5490, -0.3922, -0.2745),
    (0.1765, 0.0980, 0.0196),
)  # fmt: skip
"""From "Explaining the SDXL latent space" (T. A. Vass): (60, -60, 25, -70), ... per 127.5, offsets 150, 140, 130."""

FAMILIES: tuple[Family, ...] = (
    Family(
        id="starter", title="Atelier starter", pipeline_names=_SD_NAMES, detect={"unet.cross_attention_dim": 160},
        pipelines=_SD_PIPELINES, conditioning=_CLIP, control=_ON_UNET, latents="starter",
        defaults=Defaults(width=128, height=128, steps=20, guidance=5.0),
    ),
    Family(
        id="sd1", title="Stable Diffusion 1.x", pipeline_names=_SD_NAMES, detect={"unet.cross_attention_dim": 768},
        pipelines=_SD_PIPELINES, conditioning=_CLIP, control=_ON_UNET, latents="sd", preview_factors=_SD_PREVIEW,
        defaults=Defaults(sampler="Euler a"),
    ),
    Family(
        id="sd2", title="Stable Diffusion 2.x", pipeline_names=_SD_NAMES, detect={"unet.cross_attention_dim": 1024},
        pipelines=_SD_PIPELINES, conditioning=_CLIP, control=_ON_UNET, latents="sd", preview_factors=_SD_PREVIEW,
        defaults=Defaults(width=768, height=768),
    ),
    Family(
        id="sdxl", title="Stable Diffusion XL", pipeline_names=("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
        detect={"unet.cross_attention_dim": 2048}, pipelines={"txt2img": "diffusers:StableDiffusionXLPipeline"}, control=_ON_UNET,
        conditioning="backend.inference.conditioning:encode_clip_pair", latents="sdxl", preview_factors=_SDXL_PREVIEW,
        defaults=Defaults(width=1024, height=1024, guidance=5.0, sampler="Euler a"),
    ),
    Family(
        id="hunyuan-dit", title="Hunyuan-DiT", pipeline_names=("HunyuanDiTPipeline",), detect={},
        pipelines={"txt2img": "diffusers:HunyuanDiTPipeline"}, conditioning="backend.inference.conditioning:encode_hunyuan_dit",
        latents="hunyuan-dit", denoiser="transformer", preview_factors=_SDXL_PREVIEW, size_step=16,
        call={"use_resolution_binning": False},  # sizes are not pulled to the nearest one of a list in silence
        defaults=Defaults(width=1024, height=1024, steps=30, guidance=6.0),
    ),
    Family(
        id="sdxl-refiner", title="Stable Diffusion XL refiner", pipeline_names=("StableDiffusionXLImg2ImgPipeline",),
        detect={"unet.cross_attention_dim": 1280}, pipelines={"refine": "diffusers:StableDiffusionXLImg2ImgPipeline"},
        conditioning="backend.inference.conditioning:encode_clip_pair", latents="sdxl", preview_factors=_SDXL_PREVIEW,
        defaults=Defaults(width=1024, height=1024, guidance=5.0, sampler="Euler a"),
    ),
)  # fmt: skip


def family(identifier: str) -> Family:
    """The row of that id. Raises KeyError for an id that no row has."""
    return {row.id: row for row in FAMILIES}[identifier]


def find_family(pipeline_name: str, configs: Mapping[str, Mapping[str, object]]) -> Family | None:
    """The first row that fits a diffusers folder.

    `pipeline_name` is `_class_name` of model_index.json, `configs` each component's own config.json.
    """

    def holds(row: Family) -> bool:
        pairs = ((key.split(".", 1), value) for key, value in row.detect.items())
        return all(configs.get(component, {}).get(name) == value for (component, name), value in pairs)

    return next((row for row in FAMILIES if pipeline_name in row.pipeline_names and holds(row)), None)


def _wrong_later(request: Request, row: Family, later: Family) -> dict[str, str]:
    """What is wrong with the hires pass of a request, which `row` begins and `later` draws."""
    wrong, hires = dict[str, str](), request.hires
    assert hires is not None
    if later.latents != row.latents:
        wrong["hires.model"] = f"A {later.title} model cannot go on from pictures of {row.title}. Choose one of the same kind."
    if (sampler := hires.sampler or request.sampler) not in later.samplers:
        wrong["hires.sampler"] = f"{later.title} cannot use {sampler}. It can use: {', '.join(later.samplers)}."
    if any(pixels % later.size_step for pixels in request.hires_size):
        sizes = "{} x {}".format(*request.hires_size)
        wrong["hires"] = f"{later.title} needs sizes in multiples of {later.size_step}; the second pass would have {sizes}."
    return wrong


def check(request: Request, row: Family, refiner: Family | None = None, later: Family | None = None) -> None:
    """Raise BadRequest with a sentence for each value of the request that this family cannot use, its refiner's, or that of its hires pass."""
    wrong: dict[str, str] = {}
    if row.task == "refine":
        wrong["model"] = f"{row.title} models only finish what another model began. Choose another model, and this one as its refiner."
    if refiner and refiner.latents != row.latents:
        wrong["refiner.model"] = f"A {refiner.title} model cannot finish pictures of {row.title}. Choose one of the same kind."
    if request.sampler not in row.samplers:
        wrong["sampler"] = f"{row.title} cannot use {request.sampler}. It can use: {', '.join(row.samplers)}."
    if request.hires:
        wrong |= _wrong_later(request, row, later or row)
    for name in ("width", "height"):
        pixels = getattr(request, name)
        if pixels % row.size_step and request.image is None:
            wrong[name] = f"{row.title} needs sizes in multiples of {row.size_step}; {pixels} is not."
    if request.controls and not row.control:
        wrong["controls"] = row.why_not.get("controls", f"{row.title} cannot be controlled. Please switch its control units off.")
    if request.negative_prompt and "negative_prompt" not in row.supports:
        wrong["negative_prompt"] = row.why_not.get("negative_prompt", f"{row.title} takes no negative prompt. Please empty it.")
    if wrong:
        raise BadRequest(wrong)
