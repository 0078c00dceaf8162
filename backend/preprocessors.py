"""The preprocessors: what can be read from a picture for a control model to follow, one row each."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from backend.controlling import NO_PREPROCESSOR, Control
from backend.errors import BadRequest
from backend.types import Request

FOLDERS = ("ControlNet/annotators", "controlnet/annotators", "annotators", "controlnet_annotators", "ControlNetPreprocessor", "ControlNet")
"""Sub-folders of a models folder in which weights are looked for, and two folders deep below them."""

ANNOTATORS = "lllyasviel/Annotators"
BY_HAND = "backend.inference.reading.plain:"
BY_NETWORK = "backend.inference.reading.networks:"

Group = str
"""Name of a control type, as A1111's ControlNet extension has them."""


@dataclass(frozen=True)
class Slider:
    """One of the two settings that a preprocessor can have."""

    label: str
    low: float
    high: float
    step: float
    value: float


@dataclass(frozen=True)
class Weights:
    """A file that a preprocessor needs."""

    file: str
    megabytes: int
    """In units of 2**20 bytes, rounded up."""
    licence: str
    """Of the weights, as their authors give it."""
    repository: str = ANNOTATORS
    also: tuple[str, ...] = ()
    """Other names under which the same kind of file is found."""


@dataclass(frozen=True)
class Preprocessor:
    """One way to read a map from a picture."""

    name: str
    """As the users of A1111's extension know it, and as a request names it."""
    title: str
    group: Group
    code: str = BY_HAND + "same"
    """"module:function", from a Look to the map's pixels."""
    sliders: tuple[Slider, ...] = ()
    weights: tuple[Weights, ...] = ()
    load: str = ""
    """"module:function", from the weights' files to what `code` gets as its network."""
    packages: tuple[str, ...] = ()
    """What must be installed besides."""
    aliases: tuple[str, ...] = ()
    """Other names: those of A1111's API first, then controlnet-aux's."""
    at_resolution: bool = True
    """Whether it looks at the picture at the unit's resolution; else at the size of the result."""
    needs_mask: bool = False
    lines: bool = False
    """Whether its map is of lines one pixel wide, which stay that when the map is made larger."""
    flat: bool = False
    """Whether its map is of flat colours that each mean something."""
    also_in: tuple[Group, ...] = ()
    note: str = ""
    """What the person should know of its map."""

    @property
    def api_name(self) -> str:
        """What A1111's API calls it."""
        return self.aliases[0] if self.aliases else self.name

    def setting(self, number: int, given: float | None) -> float:
        """The value of slider `number` (0 or 1): what is given, else the slider's own; 0 where it has none."""
        if number >= len(self.sliders):
            return 0.0
        return self.sliders[number].value if given is None else given


@dataclass(frozen=True)
class ControlType:
    """One of the extension's control types: which preprocessors and models go together."""

    name: Group
    default: str = NO_PREPROCESSOR
    words: tuple[str, ...] = ()
    """Parts of a control model's name that tell its type."""


TYPES = (
    ControlType("All"),
    ControlType("Canny", "canny", ("canny",)),
    ControlType("Depth", "depth_midas", ("depth",)),
    ControlType("NormalMap", "normal_bae", ("normal",)),
    ControlType("OpenPose", "openpose_full", ("openpose",)),
    ControlType("MLSD", "mlsd", ("mlsd",)),
    ControlType("Lineart", "lineart_standard", ("lineart", "anyline", "mistoline")),
    ControlType("SoftEdge", "softedge_pidinet", ("softedge", "hed", "teed", "mistoline")),
    ControlType("Scribble", "scribble_pidinet", ("scribble", "sketch")),
    ControlType("Segmentation", "seg_sam_mobile", ("seg",)),
    ControlType("Shuffle", "shuffle", ("shuffle",)),
    ControlType("Tile", "tile_resample", ("tile",)),
    ControlType("Blur", "blur_gaussian", ("blur", "tile")),
    ControlType("Inpaint", "inpaint_global_harmonious", ("inpaint", "lama")),
    ControlType("Recolor", "recolor_luminance", ("recolor",)),
    ControlType("T2I-Adapter", "t2ia_color_grid", ("t2i_adapter", "t2iadapter", "t2i-adapter", "t2ia")),
    ControlType("IP-Adapter", "ip-adapter-auto", ("ip-adapter", "ip_adapter", "ipadapter")),
)
"""In the extension's order."""

_HED = (Weights("ControlNetHED.pth", 29, "Apache-2.0"),)
_PIDI = (Weights("table5_pidinet.pth", 3, "for research; ask its authors before commercial use"),)
_BODY = Weights("body_pose_model.pth", 200, "CMU OpenPose: not for commercial use")
_HANDS = Weights("hand_pose_model.pth", 141, "CMU OpenPose: not for commercial use")
_FACE = Weights("facenet.pth", 147, "CMU OpenPose: not for commercial use")
_MIDAS = (Weights("dpt_hybrid-midas-501f0c75.pt", 470, "MIT"),)
_LERES = Weights("res101.pth", 506, "for research; ask its authors before commercial use")
_BOOST = Weights("latest_net_G.pth", 304, "for research; ask its authors before commercial use")
_MASK_NOTE = "The control model is told that what is masked is unknown; here it is shown in black."
_DEPTH_PERCENT = (Slider("Remove Near %", 0, 100, 0.1, 0), Slider("Remove Background %", 0, 100, 0.1, 0))
_HED_LOAD, _PIDI_LOAD, _POSE_LOAD = BY_NETWORK + "load_hed", BY_NETWORK + "load_pidinet", BY_NETWORK + "load_openpose"
_LERES_LOAD, _LINEART_LOAD, _SAM_LOAD = BY_NETWORK + "load_leres", BY_NETWORK + "load_lineart", BY_NETWORK + "load_sam"
_IP = "IP-Adapter"

ROWS = (
    Preprocessor(NO_PREPROCESSOR, "None: the picture is a map already", "All", at_resolution=False),
    Preprocessor("invert", "Invert: from white background and black lines", "All", BY_HAND + "invert", at_resolution=False,
                 aliases=("invert", "invert (from white bg & black line)", "lineart_invert"), also_in=("Canny", "Lineart", "Scribble", "MLSD")),
    Preprocessor("threshold", "Threshold: light and dark", "All", BY_HAND + "threshold",
                 (Slider("Binarization Threshold", 0, 255, 1, 127),), aliases=("threshold", "binary")),
    # edges
    Preprocessor("canny", "Canny edges", "Canny", BY_HAND + "canny",
                 (Slider("Low Threshold", 1, 255, 1, 100), Slider("High Threshold", 1, 255, 1, 200)), lines=True, also_in=("T2I-Adapter",)),
    Preprocessor("softedge_hed", "Soft edges (HED)", "SoftEdge", BY_NETWORK + "hed", (), _HED, _HED_LOAD, aliases=("hed",)),
    Preprocessor("softedge_hedsafe", "Soft edges (HED, safe)", "SoftEdge", BY_NETWORK + "hed_safe", (), _HED, _HED_LOAD,
                 aliases=("hed_safe", "softedge_hed_safe")),
    Preprocessor("softedge_pidinet", "Soft edges (PiDiNet)", "SoftEdge", BY_NETWORK + "pidinet", (), _PIDI, _PIDI_LOAD,
                 aliases=("pidinet", "softedge_pidi")),
    Preprocessor("softedge_pidisafe", "Soft edges (PiDiNet, safe)", "SoftEdge", BY_NETWORK + "pidinet_safe", (), _PIDI, _PIDI_LOAD,
                 aliases=("pidinet_safe", "softedge_pidsafe", "softedge_pidinetsafe")),
    Preprocessor("softedge_teed", "Soft edges (TEED)", "SoftEdge", BY_NETWORK + "teed", (Slider("Safe Steps", 0, 10, 1, 2),),
                 (Weights("5_model.pth", 1, "MIT", "fal-ai/teed", ("7_model.pth",)),), BY_NETWORK + "load_teed", aliases=("te_hed", "teed")),
    Preprocessor("softedge_anyline", "Lines of any kind (Anyline)", "SoftEdge", BY_NETWORK + "anyline", (),
                 (Weights("MTEED.pth", 1, "OpenRAIL++-M", "TheMistoAI/MistoLine"),), BY_NETWORK + "load_anyline", aliases=("anyline",),
                 also_in=("Lineart",)),
    Preprocessor("scribble_hed", "Scribble (HED)", "Scribble", BY_NETWORK + "hed_scribble", (), _HED, _HED_LOAD,
                 aliases=("scribble_hed", "fake_scribble")),
    Preprocessor("scribble_pidinet", "Scribble (PiDiNet)", "Scribble", BY_NETWORK + "pidinet_scribble", (), _PIDI, _PIDI_LOAD,
                 aliases=("pidinet_scribble",)),
    Preprocessor("scribble_xdog", "Scribble (XDoG)", "Scribble", BY_HAND + "xdog", (Slider("XDoG Threshold", 1, 64, 1, 32),)),
    Preprocessor("t2ia_sketch_pidi", "Sketch for T2I-Adapters (PiDiNet)", "T2I-Adapter", BY_NETWORK + "pidinet_sketch", (), _PIDI, _PIDI_LOAD,
                 aliases=("pidinet_sketch",), also_in=("Scribble",)),
    Preprocessor("mlsd", "Straight lines (M-LSD)", "MLSD", BY_NETWORK + "mlsd",
                 (Slider("MLSD Value Threshold", 0.01, 2, 0.01, 0.1), Slider("MLSD Distance Threshold", 0.01, 20, 0.01, 0.1)),
                 (Weights("mlsd_large_512_fp32.pth", 7, "Apache-2.0"),), BY_NETWORK + "load_mlsd", lines=True),
    Preprocessor("lineart_standard", "Line art, from white background and black lines", "Lineart", BY_HAND + "lineart_standard",
                 aliases=("lineart_standard", "lineart_standard (from white bg & black line)")),
    Preprocessor("lineart_realistic", "Line art (realistic)", "Lineart", BY_NETWORK + "lineart", (), (Weights("sk_model.pth", 17, "MIT"),),
                 _LINEART_LOAD, aliases=("lineart",)),
    Preprocessor("lineart_coarse", "Line art (coarse)", "Lineart", BY_NETWORK + "lineart", (), (Weights("sk_model2.pth", 17, "MIT"),), _LINEART_LOAD),
    Preprocessor("lineart_anime", "Line art (anime)", "Lineart", BY_NETWORK + "lineart_anime", (), (Weights("netG.pth", 208, "MIT"),),
                 BY_NETWORK + "load_lineart_anime"),
    # depth, surfaces, poses, parts
    Preprocessor("depth_midas", "Depth (MiDaS)", "Depth", BY_NETWORK + "midas_depth", (), _MIDAS, BY_NETWORK + "load_midas",
                 aliases=("depth", "midas"), also_in=("T2I-Adapter",)),
    Preprocessor("depth_zoe", "Depth (ZoeDepth)", "Depth", BY_NETWORK + "zoe", (), (Weights("ZoeD_M12_N.pt", 1378, "MIT"),), BY_NETWORK + "load_zoe",
                 aliases=("depth_zoe", "zoe")),
    Preprocessor("depth_leres", "Depth (LeReS)", "Depth", BY_NETWORK + "leres", _DEPTH_PERCENT, (_LERES,), _LERES_LOAD,
                 aliases=("depth_leres", "leres")),
    Preprocessor("depth_leres++", "Depth (LeReS++, finer and slow)", "Depth", BY_NETWORK + "leres_boosted", _DEPTH_PERCENT, (_LERES, _BOOST),
                 _LERES_LOAD, aliases=("depth_leres++", "leres++")),
    Preprocessor("normal_bae", "Surface normals (Bae)", "NormalMap", BY_NETWORK + "normal_bae", (), (Weights("scannet.pt", 278, "MIT"),),
                 BY_NETWORK + "load_normal_bae", aliases=("normal_bae", "normalbae")),
    Preprocessor("normal_midas", "Surface normals (MiDaS)", "NormalMap", BY_NETWORK + "midas_normal",
                 (Slider("Normal Background Threshold", 0, 1, 0.01, 0.4),), _MIDAS, BY_NETWORK + "load_midas", aliases=("normal_map",)),
    Preprocessor("openpose", "Pose: body (OpenPose)", "OpenPose", BY_NETWORK + "pose", (), (_BODY,), _POSE_LOAD, also_in=("T2I-Adapter",)),
    Preprocessor("openpose_hand", "Pose: body and hands (OpenPose)", "OpenPose", BY_NETWORK + "pose_hands", (), (_BODY, _HANDS), _POSE_LOAD),
    Preprocessor("openpose_face", "Pose: body and face (OpenPose)", "OpenPose", BY_NETWORK + "pose_face", (), (_BODY, _FACE), _POSE_LOAD),
    Preprocessor("openpose_faceonly", "Pose: face alone (OpenPose)", "OpenPose", BY_NETWORK + "pose_face_only", (), (_BODY, _FACE), _POSE_LOAD),
    Preprocessor("openpose_full", "Pose: body, hands and face (OpenPose)", "OpenPose", BY_NETWORK + "pose_full", (), (_BODY, _HANDS, _FACE),
                 _POSE_LOAD),
    Preprocessor("dw_openpose_full", "Pose: body, hands and face (DWPose)", "OpenPose", BY_NETWORK + "dwpose", (),
                 (Weights("yolox_l_8x8_300e_coco_20211126_140236-d3bd2b23.pth", 207, "Apache-2.0", "OpenMMLab's model zoo of YOLOX"),
                  Weights("dw-ll_ucoco_384.pth", 388, "Apache-2.0", "wanghaofan/dw-ll_ucoco_384")),
                 BY_NETWORK + "load_dwpose", ("mmcv", "mmpose", "mmdet"), aliases=("dw_openpose_full", "dwpose")),
    Preprocessor("mediapipe_face", "Face mesh (MediaPipe)", "OpenPose", BY_NETWORK + "mediapipe_face",
                 (Slider("Max Faces", 1, 10, 1, 1), Slider("Min Face Confidence", 0.01, 1, 0.01, 0.5)), packages=("mediapipe",)),
    Preprocessor("seg_sam", "Segmentation (SAM)", "Segmentation", BY_NETWORK + "segments", (),
                 (Weights("sam_vit_h_4b8939.pth", 2446, "Apache-2.0", "ybelkada/segment-anything"),), _SAM_LOAD,
                 aliases=("sam", "segment_anything", "segmentation_sam"), flat=True,
                 note="Its colours tell parts apart but do not name them, as models trained on ADE20K's colours expect."),
    Preprocessor("seg_sam_mobile", "Segmentation (MobileSAM, small)", "Segmentation", BY_NETWORK + "segments", (),
                 (Weights("mobile_sam.pt", 39, "Apache-2.0", "dhkim2810/MobileSAM"),), _SAM_LOAD, aliases=("mobile_sam",), flat=True,
                 note="Its colours tell parts apart but do not name them, as models trained on ADE20K's colours expect."),
    # the picture itself
    Preprocessor("tile_resample", "Tile: the picture, coarser", "Tile", BY_HAND + "coarser", (Slider("Down Sampling Rate", 1, 8, 0.01, 1),),
                 at_resolution=False, aliases=("tile_resample", "tile")),
    Preprocessor("tile_colorfix", "Tile (colour fix)", "Tile", at_resolution=False, sliders=(Slider("Variation", 3, 32, 1, 8),),
                 note="The map is the picture itself; the result's colours are not brought back to it afterwards in this version."),
    Preprocessor("tile_colorfix+sharp", "Tile (colour fix, sharp)", "Tile", at_resolution=False,
                 sliders=(Slider("Variation", 3, 32, 1, 8), Slider("Sharpness", 0, 2, 0.01, 1)),
                 note="The map is the picture itself; the result's colours are not brought back to it afterwards in this version."),
    Preprocessor("blur_gaussian", "Blur", "Blur", BY_HAND + "blur", (Slider("Sigma", 0.01, 64, 0.01, 9),), aliases=("blur_gaussian", "blur"),
                 also_in=("Tile",)),
    Preprocessor("shuffle", "Shuffle: its colours without its shapes", "Shuffle", BY_HAND + "shuffle", aliases=("shuffle", "content_shuffle")),
    Preprocessor("t2ia_color_grid", "Colour grid", "T2I-Adapter", BY_HAND + "color_grid", aliases=("color", "color_grid"), flat=True),
    Preprocessor("recolor_luminance", "Recolour: lightness as the eye sees it", "Recolor", BY_HAND + "luminance",
                 (Slider("Gamma Correction", 0.1, 2, 0.001, 1),), at_resolution=False),
    Preprocessor("recolor_intensity", "Recolour: brightest channel", "Recolor", BY_HAND + "intensity",
                 (Slider("Gamma Correction", 0.1, 2, 0.001, 1),), at_resolution=False),
    Preprocessor("inpaint_global_harmonious", "Inpaint, in harmony with the whole", "Inpaint", BY_HAND + "masked", at_resolution=False,
                 needs_mask=True, aliases=("inpaint",), note=_MASK_NOTE),
    Preprocessor("inpaint_only", "Inpaint, and nothing else", "Inpaint", BY_HAND + "masked", at_resolution=False, needs_mask=True, note=_MASK_NOTE),
    # for models that look at the picture themselves
    Preprocessor("ip-adapter-auto", "IP-Adapter: the picture as it is", _IP, at_resolution=False, aliases=("ip-adapter-auto", "ip-adapter")),
    Preprocessor("ip-adapter_clip_h", "IP-Adapter (CLIP-ViT-H)", _IP, at_resolution=False, aliases=("ip-adapter_clip_h", "ip-adapter_clip_sd15")),
    Preprocessor("ip-adapter_clip_sdxl_plus_vith", "IP-Adapter (CLIP-ViT-H, SDXL plus)", _IP, at_resolution=False),
    Preprocessor("ip-adapter_clip_g", "IP-Adapter (CLIP-ViT-bigG)", _IP, at_resolution=False, aliases=("ip-adapter_clip_g", "ip-adapter_clip_sdxl")),
)  # fmt: skip

NOT_HERE = {
    "seg_ufade20k": "UniFormer", "segmentation": "UniFormer", "seg_ofade20k": "OneFormer", "oneformer_ade20k": "OneFormer",
    "seg_ofcoco": "OneFormer", "oneformer_coco": "OneFormer", "seg_anime_face": "AnimeFaceSegmentation", "depth_anything": "Depth Anything",
    "depth_anything_v2": "Depth Anything", "depth_hand_refiner": "MeshGraphormer", "densepose": "DensePose", "animal_openpose": "RTMPose",
    "lineart_anime_denoise": "its own network", "inpaint_only+lama": "LaMa", "ip-adapter_face_id": "InsightFace",
    "ip-adapter_face_id_plus": "InsightFace", "instant_id_face_embedding": "InsightFace", "instant_id_face_keypoints": "InsightFace",
    "reference_only": "reference attention", "reference_adain": "reference attention", "reference_adain+attn": "reference attention",
    "revision_clipvision": "Revision", "t2ia_style_clipvision": "CLIP vision",
}  # fmt: skip
"""Preprocessors of A1111's extension that are not built yet, and what they would need."""


@cache
def _by_name() -> dict[str, Preprocessor]:
    named = {alias.lower(): row for row in ROWS for alias in row.aliases}
    return named | {row.name.lower(): row for row in ROWS}


def find(name: str) -> Preprocessor:
    """The row of that name or alias, in any case. Raises BadRequest for the field "preprocessor"."""
    wanted = name.strip().lower() or NO_PREPROCESSOR
    row = _by_name().get(wanted)
    if row:
        return row
    if wanted in NOT_HERE:
        raise BadRequest({"preprocessor": f"The preprocessor {wanted} ({NOT_HERE[wanted]}) is not available in this version. Choose another."})
    known = ", ".join(row.name for row in ROWS)
    raise BadRequest({"preprocessor": f"There is no preprocessor named “{name[:80]}”. Those here: {known}."})


def of_type(kind: ControlType) -> tuple[Preprocessor, ...]:
    """The preprocessors of a control type; "none" is in each."""
    if kind.name == "All":
        return ROWS
    return tuple(row for row in ROWS if row.name == NO_PREPROCESSOR or kind.name in (row.group, *row.also_in))


def installed(row: Preprocessor, folders: tuple[Path, ...]) -> dict[str, Path]:
    """The row's weight files that lie in one of the models folders, by the names that the row has for them."""
    found = {}
    for needed in row.weights:
        path = _found((needed.file, *needed.also), folders)
        if path:
            found[needed.file] = path
    return found


def _found(names: tuple[str, ...], folders: tuple[Path, ...]) -> Path | None:
    for place in (folder / name for folder in folders for name in FOLDERS):
        for pattern in (pattern for name in names for pattern in (name, f"*/{name}", f"*/*/{name}")):
            path = next((path for path in sorted(place.glob(pattern)) if path.is_file()), None)
            if path:
                return path
    return None


def why_not(row: Preprocessor, folders: tuple[Path, ...]) -> str:
    """One sentence that says why it cannot be used; empty where it can."""
    absent = [name for name in row.packages if importlib.util.find_spec(name) is None]
    if absent:
        them = "it" if len(absent) == 1 else "them"
        return (
            f"{row.title} needs {'the package' if len(absent) == 1 else 'the packages'} {_listed(absent)}, which Atelier does not bring along. "
            f"Install {them} into its environment (.venv) and start it again, or choose another preprocessor."
        )
    here = installed(row, folders)
    missing = [needed for needed in row.weights if needed.file not in here]
    if not missing:
        return ""
    total = sum(needed.megabytes for needed in missing)
    sources = _listed(list(dict.fromkeys(needed.repository for needed in missing)))
    return (
        f"{row.title} needs {total:,} MB of weights ({_listed([needed.file for needed in missing])}, from {sources}), which are not installed. "
        f"Put the {'file' if len(missing) == 1 else 'files'} into models/{FOLDERS[0]}."
    )


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def check(control: Control, folders: tuple[Path, ...], *, picture: bool, mask: bool) -> None:
    """Whether a map can be read for this unit. `picture` and `mask`: whether the request itself has one that would be taken.

    Raises BadRequest with the unit's fields.
    """
    row = find(control.preprocessor)
    wrong = {}
    problem = why_not(row, folders)
    if problem:
        wrong["preprocessor"] = problem
    if not control.pictures and not picture:
        wrong["pictures"] = "The control unit has no picture. Please choose one."
    if row.needs_mask and not control.mask and not mask:
        wrong["mask"] = f"{row.title} reads a mask, and there is none. Please paint one."
    for name, slider, value in zip(("threshold_a", "threshold_b"), row.sliders, (control.threshold_a, control.threshold_b), strict=False):
        if value is not None and not slider.low <= value <= slider.high:
            wrong[name] = f"{slider.label} goes from {slider.low:g} to {slider.high:g}; {value:g} is outside."
    if wrong:
        raise BadRequest(wrong)


def check_all(request: Request, folders: tuple[Path, ...]) -> None:
    """Whether maps can be read for all of a request's units. Raises BadRequest with fields such as "controls.0.preprocessor"."""
    wrong: dict[str, str] = {}
    for number, control in enumerate(request.controls):
        try:
            check(control, folders, picture=request.image is not None, mask=request.mask is not None)
        except BadRequest as error:
            wrong |= of_unit(number, error).fields
    if wrong:
        raise BadRequest(wrong)


def of_unit(number: int, error: BadRequest) -> BadRequest:
    """What is wrong with a unit, by the names that its fields have in the request."""
    return BadRequest({f"controls.{number}.{name}": sentence for name, sentence in error.fields.items()})
