"""The table of model families: one row says how to know a kind of model, what runs it and what it can do.

Code is named as strings ("module:Name"), so that reading the table loads no tensors. To add a family, add a row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from backend.errors import BadRequest
from backend.samplers import FLOW_SAMPLERS, FLOW_SCHEDULES, SAMPLERS, SCHEDULES
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
    """Values that must stand in component configs, as "component.key"; "model_index" and "scheduler" are among them."""
    pipelines: Mapping[str, str]
    """Task to the pipeline class that runs it."""
    conditioning: str
    """The function that turns prompts into embeddings: (pipe, request) -> Conditioning."""
    latents: str
    """Names the space that its latents are in, noise and all; models that share one can continue each other's pictures."""
    control: str = ""
    """How control units act on its denoiser: a context manager (denoiser, controls, guided, calls, done); "" where none can."""
    denoiser: str = "unet"
    """Name of the component that is called at every step; its weights give the model its hash."""
    supports: frozenset[str] = frozenset({"negative_prompt", "guidance"})
    flow: bool = False
    """Whether it learned by flow matching, on a straight line from noise to picture; solvers for others make no picture of it."""
    samplers: tuple[str, ...] = tuple(row.name for row in SAMPLERS)
    defaults: Defaults = field(default_factory=Defaults)
    own_size: bool = True
    """Whether `sample_size` in its denoiser's config says for what size this very model was made."""
    size_step: int = 8
    """Width and height must be multiples of this."""
    side_max: int = 0
    """The longest side in pixels that it has places for; 0 where there is no such bound."""
    pixels_max: int = 0
    """The most pixels that it has places for; 0 where there is no such bound."""
    steps_min: int = 1
    call: Mapping[str, object] = field(default_factory=dict)
    """Further arguments of its pipeline's call, the same for every request."""
    guidance_name: str = "guidance_scale"
    """The argument of its pipeline's call that the CFG scale goes into."""
    guidance_offset: float = 0.0
    """What that argument is less than the CFG scale, at which 1 means none: 1 for a pipeline where 0 means none."""
    layout: str = "backend.inference.latents:Plain"
    """How its pipeline takes latents."""
    fit: str = ""
    """A function that makes a pipeline ready for a size: (pipe, height, width) -> None; empty where it needs nothing."""
    old_callback: bool = False
    """Whether its pipeline tells of steps in diffusers' first way, by `callback`."""
    wide: bool = False
    """Whether its numbers go beyond what fp16 holds: at 16 bit it runs in bfloat16."""
    needless: frozenset[str] = frozenset()
    """Parts that a folder may leave out."""
    prompt_tokens: int = 75
    """What the text encoder reads, without start and end marks."""
    tokenizer: str = "tokenizer"
    """The part that counts them."""
    ratios: tuple[tuple[int, int], ...] = ((1, 1), (4, 3), (3, 2), (16, 9), (3, 4), (2, 3), (9, 16))
    preview_factors: tuple[tuple[float, float, float], ...] = ()
    """Three numbers for each latent channel: its part in red, green and blue of a cheap preview, -1 to 1;
    the last row is the offset. Empty: previews are decoded by the VAE itself, as it is small enough."""
    why_not: Mapping[str, str] = field(default_factory=dict)
    """For what it does not support: the reason, as the form shows it."""

    @property
    def schedules(self) -> tuple[str, ...]:
        """Names of the schedule types that it can use."""
        return FLOW_SCHEDULES if self.flow else tuple(row.name for row in SCHEDULES)

    @property
    def task(self) -> str:
        """How its pipeline is run: "txt2img", or "refine" for one that only continues what another began."""
        return "txt2img" if "txt2img" in self.pipelines else "refine"


_CLIP = "backend.inference.conditioning:encode_clip"
_ON_UNET = "backend.inference.control:on_unet"
_ON_FLUX, _ON_SD3, _ON_QWEN, _ON_Z_IMAGE = (f"backend.inference.controlled_transformers:on_{name}" for name in ("flux", "sd3", "qwen", "z_image"))
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

_SD3_PREVIEW = (
    (-0.0524, 0.0325, 0.0749), (-0.0581, 0.0076, 0.0573), (0.1614, 0.0127, -0.0377), (0.1442, 0.0846, 0.1594),
    (0.0489, 0.0056, -0.0669), (0.0519, 0.1922, 0.0626), (0.1539, 0.0482, 0.0710), (-0.0860, 0.0901, 0.1089),
    (-0.1240, -0.0677, 0.0034), (-0.0440, 0.0783, 0.0226), (0.0310, 0.0638, 0.0775), (-0.0132, 0.0855, -0.0877),
    (0.0646, 0.0591, 0.1326), (-0.0786, -0.0226, -0.1276), (-0.0992, -0.0801, -0.0626), (-0.0339, -0.0804, -0.0608),
    (0.0, 0.0, 0.0),
)  # fmt: skip
"""Fitted by InvokeAI (Apache-2.0) to Stable Diffusion 3.5's latents, which are in the same space as Stable Diffusion 3's."""

_FLUX_PREVIEW = (
    (-0.0412, 0.0149, 0.0521), (0.0056, 0.0291, 0.0768), (0.0342, -0.0681, -0.0427), (-0.0258, 0.0092, 0.0463),
    (0.0863, 0.0784, 0.0547), (-0.0017, 0.0402, 0.0158), (0.0501, 0.1058, 0.1152), (-0.0209, -0.0218, -0.0329),
    (-0.0314, 0.0083, 0.0896), (0.0851, 0.0665, -0.0472), (-0.0534, 0.0238, -0.0024), (0.0452, -0.0026, 0.0048),
    (0.0892, 0.0831, 0.0881), (-0.1117, -0.0304, -0.0789), (0.0027, -0.0479, -0.0043), (-0.1146, -0.0827, -0.0598),
    (0.0, 0.0, 0.0),
)  # fmt: skip
"""Fitted by InvokeAI (Apache-2.0) to Flux.1's latents, a space that other families have taken over."""

_SD3_PIPELINES = {"txt2img": "diffusers:StableDiffusion3Pipeline"}
_SD3_NAMES = ("StableDiffusion3Pipeline", "StableDiffusion3Img2ImgPipeline", "StableDiffusion3InpaintPipeline")
_SD3_NEEDLESS = frozenset({"text_encoder_3", "tokenizer_3"})
_FLUX_PIPELINES = {"txt2img": "diffusers:FluxPipeline"}
_FLUX_NAMES = ("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline")
_Z_IMAGE_PIPELINES = {"txt2img": "diffusers:ZImagePipeline"}
_Z_IMAGE_NAMES = ("ZImagePipeline", "ZImageImg2ImgPipeline", "ZImageInpaintPipeline")
_KLEIN_PIPELINES = {"txt2img": "diffusers:Flux2KleinPipeline"}
_KLEIN_NAMES = ("Flux2KleinPipeline", "Flux2KleinInpaintPipeline")
_ROWS = "backend.inference.latents:Rows"
_PACKED = "backend.inference.latents:Packed"
_ONE_PASS = (
    "{} learned to follow its CFG scale in a single pass, in which a negative prompt has no place. Say in the prompt what is to be there instead."
)

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
        defaults=Defaults(width=1024, height=1024, guidance=5.0, sampler="Euler a"), needless=frozenset({"text_encoder", "tokenizer"}),
    ),
    Family(
        id="sd3-medium", title="Stable Diffusion 3 medium", pipeline_names=_SD3_NAMES, detect={"transformer.qk_norm": None},
        pipelines=_SD3_PIPELINES, conditioning="backend.inference.conditioning:encode_sd3", latents="sd3", denoiser="transformer", control=_ON_SD3,
        flow=True, samplers=FLOW_SAMPLERS, defaults=Defaults(width=1024, height=1024, steps=28, guidance=7.0, sampler="Euler"),
        size_step=16, side_max=3072, needless=_SD3_NEEDLESS, prompt_tokens=255, tokenizer="tokenizer_3", preview_factors=_SD3_PREVIEW,
    ),
    Family(
        id="sd3.5-medium", title="Stable Diffusion 3.5 medium", pipeline_names=_SD3_NAMES,
        detect={"transformer.qk_norm": "rms_norm", "transformer.pos_embed_max_size": 384},
        pipelines=_SD3_PIPELINES, conditioning="backend.inference.conditioning:encode_sd3", latents="sd3", denoiser="transformer", control=_ON_SD3,
        flow=True, samplers=FLOW_SAMPLERS, defaults=Defaults(width=1024, height=1024, steps=40, guidance=4.5, sampler="Euler"),
        size_step=16, wide=True, needless=_SD3_NEEDLESS, prompt_tokens=255, tokenizer="tokenizer_3", preview_factors=_SD3_PREVIEW,
    ),
    Family(
        id="sd3.5-large", title="Stable Diffusion 3.5 large", pipeline_names=_SD3_NAMES, detect={"transformer.qk_norm": "rms_norm"},
        pipelines=_SD3_PIPELINES, conditioning="backend.inference.conditioning:encode_sd3", latents="sd3", denoiser="transformer", control=_ON_SD3,
        flow=True, samplers=FLOW_SAMPLERS, defaults=Defaults(width=1024, height=1024, steps=28, guidance=3.5, sampler="Euler"),
        size_step=16, side_max=3072, wide=True, needless=_SD3_NEEDLESS, prompt_tokens=255, tokenizer="tokenizer_3",
        preview_factors=_SD3_PREVIEW,
    ),
    Family(
        id="flux-schnell", title="Flux.1 schnell", pipeline_names=_FLUX_NAMES, detect={"transformer.guidance_embeds": False},
        pipelines=_FLUX_PIPELINES, conditioning="backend.inference.conditioning:encode_flux_schnell", latents="flux-schnell",
        denoiser="transformer", control=_ON_FLUX, supports=frozenset(), flow=True, samplers=FLOW_SAMPLERS, layout=_PACKED,
        defaults=Defaults(width=1024, height=1024, steps=4, guidance=1.0, sampler="Euler"), size_step=16, wide=True,
        call={"max_sequence_length": 256}, prompt_tokens=255, tokenizer="tokenizer_2", preview_factors=_FLUX_PREVIEW,
        why_not={
            "guidance": "Flux.1 schnell learned to draw in few steps without guidance.",
            "negative_prompt": "Flux.1 schnell draws without guidance, so there is nothing to lead it away from.",
        },
    ),
    Family(
        id="flux-dev", title="Flux.1 dev", pipeline_names=_FLUX_NAMES, detect={"transformer.guidance_embeds": True},
        pipelines=_FLUX_PIPELINES, conditioning="backend.inference.conditioning:encode_flux", latents="flux-dev",
        denoiser="transformer", control=_ON_FLUX, supports=frozenset({"guidance"}), flow=True, samplers=FLOW_SAMPLERS, layout=_PACKED,
        defaults=Defaults(width=1024, height=1024, steps=28, guidance=3.5, sampler="Euler"), size_step=16, wide=True,
        prompt_tokens=511, tokenizer="tokenizer_2", preview_factors=_FLUX_PREVIEW, why_not={"negative_prompt": _ONE_PASS.format("Flux.1 dev")},
    ),
    Family(
        id="pixart-alpha", title="PixArt-alpha", pipeline_names=("PixArtAlphaPipeline",), detect={},
        pipelines={"txt2img": "diffusers:PixArtAlphaPipeline"}, conditioning="backend.inference.conditioning:encode_pixart_alpha",
        latents="pixart-alpha", denoiser="transformer", defaults=Defaults(width=1024, height=1024, guidance=4.5), size_step=16, steps_min=2,
        old_callback=True, call={"use_resolution_binning": False, "clean_caption": False}, prompt_tokens=119, preview_factors=_SD_PREVIEW,
    ),
    Family(
        id="pixart-sigma", title="PixArt-sigma", pipeline_names=("PixArtSigmaPipeline",), detect={},
        pipelines={"txt2img": "diffusers:PixArtSigmaPipeline"}, conditioning="backend.inference.conditioning:encode_pixart_sigma",
        latents="pixart-sigma", denoiser="transformer", defaults=Defaults(width=1024, height=1024, guidance=4.5), size_step=16, steps_min=2,
        old_callback=True, call={"use_resolution_binning": False, "clean_caption": False}, prompt_tokens=299, preview_factors=_SDXL_PREVIEW,
    ),
    Family(
        id="hidream", title="HiDream-I1", pipeline_names=("HiDreamImagePipeline",), detect={},
        pipelines={"txt2img": "diffusers:HiDreamImagePipeline"}, conditioning="backend.inference.conditioning:encode_hidream",
        latents="hidream", denoiser="transformer", flow=True, samplers=FLOW_SAMPLERS, fit="backend.inference.calling:keep_size",
        defaults=Defaults(width=1024, height=1024, steps=50, guidance=5.0, sampler="Euler"), size_step=16, pixels_max=1024 * 1024,
        wide=True, prompt_tokens=127, tokenizer="tokenizer_3", preview_factors=_FLUX_PREVIEW,
    ),
    Family(
        id="qwen-image", title="Qwen-Image", pipeline_names=("QwenImagePipeline", "QwenImageImg2ImgPipeline", "QwenImageInpaintPipeline"),
        detect={}, pipelines={"txt2img": "diffusers:QwenImagePipeline"}, conditioning="backend.inference.conditioning:encode_qwen",
        latents="qwen", denoiser="transformer", control=_ON_QWEN, flow=True, samplers=FLOW_SAMPLERS, layout=_PACKED, guidance_name="true_cfg_scale",
        defaults=Defaults(width=1328, height=1328, steps=50, guidance=4.0, sampler="Euler"), size_step=16, wide=True, prompt_tokens=512,
    ),
    Family(
        id="z-image-turbo", title="Z-Image Turbo", pipeline_names=_Z_IMAGE_NAMES, detect={"scheduler.shift": 3.0},
        pipelines=_Z_IMAGE_PIPELINES, conditioning="backend.inference.conditioning:encode_z_image", latents="z-image-turbo",
        denoiser="transformer", control=_ON_Z_IMAGE, flow=True, samplers=FLOW_SAMPLERS, guidance_offset=1.0,
        defaults=Defaults(width=1024, height=1024, steps=9, guidance=1.0, sampler="Euler"), size_step=16, wide=True, prompt_tokens=509,
        preview_factors=_FLUX_PREVIEW,
    ),
    Family(
        id="z-image", title="Z-Image", pipeline_names=_Z_IMAGE_NAMES, detect={}, pipelines=_Z_IMAGE_PIPELINES,
        conditioning="backend.inference.conditioning:encode_z_image", latents="z-image", denoiser="transformer", control=_ON_Z_IMAGE, flow=True,
        samplers=FLOW_SAMPLERS, guidance_offset=1.0, defaults=Defaults(width=1024, height=1024, steps=50, guidance=5.0, sampler="Euler"),
        size_step=16, wide=True, prompt_tokens=509, preview_factors=_FLUX_PREVIEW,
    ),
    Family(
        id="chroma", title="Chroma", pipeline_names=("ChromaPipeline", "ChromaImg2ImgPipeline", "ChromaInpaintPipeline"), detect={},
        pipelines={"txt2img": "diffusers:ChromaPipeline"}, conditioning="backend.inference.conditioning:encode_chroma", latents="chroma",
        denoiser="transformer", flow=True, samplers=FLOW_SAMPLERS, layout=_PACKED,
        defaults=Defaults(width=1024, height=1024, steps=35, guidance=5.0, sampler="Euler"), size_step=16, wide=True, prompt_tokens=511,
        preview_factors=_FLUX_PREVIEW,
    ),
    Family(
        id="sana", title="Sana", pipeline_names=("SanaPipeline",), detect={}, pipelines={"txt2img": "diffusers:SanaPipeline"},
        conditioning="backend.inference.conditioning:encode_sana", latents="sana", denoiser="transformer", flow=True,
        samplers=FLOW_SAMPLERS, defaults=Defaults(width=1024, height=1024, guidance=4.5, sampler="DPM++ 2M"), size_step=32, wide=True,
        call={"use_resolution_binning": False, "clean_caption": False}, prompt_tokens=298,
    ),
    Family(
        id="lumina2", title="Lumina-Image 2", pipeline_names=("Lumina2Pipeline", "Lumina2Text2ImgPipeline"), detect={},
        pipelines={"txt2img": "diffusers:Lumina2Pipeline"}, conditioning="backend.inference.conditioning:encode_lumina2", latents="lumina2",
        denoiser="transformer", flow=True, samplers=FLOW_SAMPLERS,
        defaults=Defaults(width=1024, height=1024, steps=30, guidance=4.0, sampler="Euler"), size_step=16, wide=True,
        prompt_tokens=226, preview_factors=_FLUX_PREVIEW,
    ),
    Family(
        id="auraflow", title="AuraFlow", pipeline_names=("AuraFlowPipeline",), detect={}, pipelines={"txt2img": "diffusers:AuraFlowPipeline"},
        conditioning="backend.inference.conditioning:encode_auraflow", latents="auraflow", denoiser="transformer", flow=True,
        samplers=FLOW_SAMPLERS, defaults=Defaults(width=1024, height=1024, steps=50, guidance=3.5, sampler="Euler"), own_size=False,
        size_step=16, side_max=1536, prompt_tokens=255, preview_factors=_SDXL_PREVIEW,
    ),
    Family(
        id="flux2-klein", title="Flux.2 klein", pipeline_names=_KLEIN_NAMES, detect={"model_index.is_distilled": True},
        pipelines=_KLEIN_PIPELINES, conditioning="backend.inference.conditioning:encode_klein", latents="flux2", denoiser="transformer",
        supports=frozenset(), flow=True, samplers=FLOW_SAMPLERS, layout=_ROWS,
        defaults=Defaults(width=1024, height=1024, steps=4, guidance=1.0, sampler="Euler"), size_step=16, wide=True, prompt_tokens=509,
        why_not={
            "guidance": "Flux.2 klein learned to draw in few steps without guidance.",
            "negative_prompt": "Flux.2 klein draws without guidance, so there is nothing to lead it away from.",
        },
    ),
    Family(
        id="flux2-klein-base", title="Flux.2 klein base", pipeline_names=_KLEIN_NAMES, detect={}, pipelines=_KLEIN_PIPELINES,
        conditioning="backend.inference.conditioning:encode_klein", latents="flux2", denoiser="transformer", flow=True,
        samplers=FLOW_SAMPLERS, layout=_ROWS, defaults=Defaults(width=1024, height=1024, steps=50, guidance=4.0, sampler="Euler"),
        size_step=16, wide=True, prompt_tokens=509,
    ),
    Family(
        id="flux2-dev", title="Flux.2 dev", pipeline_names=("Flux2Pipeline",), detect={}, pipelines={"txt2img": "diffusers:Flux2Pipeline"},
        conditioning="backend.inference.conditioning:encode_flux2", latents="flux2", denoiser="transformer",
        supports=frozenset({"guidance"}), flow=True, samplers=FLOW_SAMPLERS, layout=_ROWS,
        defaults=Defaults(width=1024, height=1024, steps=50, guidance=4.0, sampler="Euler"), size_step=16, wide=True, prompt_tokens=470,
        why_not={"negative_prompt": _ONE_PASS.format("Flux.2 dev")},
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
    if hires.scheduler and hires.scheduler not in later.schedules:
        wrong["hires.scheduler"] = f"{later.title} cannot use the schedule type {hires.scheduler}. It can use: {', '.join(later.schedules)}."
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
    hires = request.hires
    if hires:
        wrong |= _wrong_later(request, row, later or row)
    if request.scheduler not in row.schedules:
        wrong["scheduler"] = f"{row.title} cannot use the schedule type {request.scheduler}. It can use: {', '.join(row.schedules)}."
    if request.steps < row.steps_min:
        wrong["steps"] = f"{row.title} needs {row.steps_min} steps at least."
    for name in ("width", "height"):
        pixels = getattr(request, name)
        if pixels % row.size_step and request.image is None:
            wrong[name] = f"{row.title} needs sizes in multiples of {row.size_step}; {pixels} is not."
    if request.controls and not row.control:
        wrong["controls"] = row.why_not.get("controls", f"{row.title} cannot be controlled. Please switch its control units off.")
    width, height = request.hires_size if hires else (request.width, request.height)
    if row.side_max and max(width, height) > row.side_max:
        wrong["hires" if hires else "width" if width > height else "height"] = f"{row.title} cannot draw a side of more than {row.side_max} pixels."
    width, height = (-(-side // row.size_step) * row.size_step for side in (width, height))
    if row.pixels_max and width * height > row.pixels_max:
        most = f"{row.pixels_max / 1e6:.2f} million pixels"
        wrong["hires" if hires else "height"] = f"{row.title} draws at most {most} at once; {width} x {height} are {width * height / 1e6:.2f}."
    if request.negative_prompt and "negative_prompt" not in row.supports:
        wrong["negative_prompt"] = row.why_not.get("negative_prompt", f"{row.title} takes no negative prompt. Please empty it.")
    if wrong:
        raise BadRequest(wrong)
