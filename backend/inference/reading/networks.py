"""The preprocessors that are networks: how controlnet-aux's detectors are loaded from given files, and asked.

Each `load_...` takes the row's files by the row's names for them, and the device. They run where torch.load reads weights alone.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from backend.inference.reading.fitting import padded
from backend.inference.reading.library import detector
from backend.inference.reading.look import Look, Pixels
from backend.inference.reading.weights import swapped

STEP = 64
"""The detectors bring pictures to multiples of this; handed one of such a size, they leave it as it is."""

Files = dict[str, Path]


def _loaded(module: str, name: str, files: Files, device: torch.device) -> Any:
    """A detector with one file of weights."""
    (path,) = files.values()
    return detector(module, name).from_pretrained(str(path.parent), filename=path.name).to(device)


def _asked(look: Look, *, keeps_size: bool = False, **settings: Any) -> Pixels:
    """What the detector makes of the picture, padded to its step and cut back. `keeps_size`: it takes no size of its map."""
    height, width = look.picture.shape[:2]
    picture = padded(look.picture, STEP)
    side = min(picture.shape[:2])
    if not keeps_size:
        settings["image_resolution"] = side
    return look.network(picture, detect_resolution=side, output_type="np", **settings)[:height, :width]


# soft edges, scribbles, lines


def load_hed(files: Files, device: torch.device) -> Any:
    return _loaded("hed", "HEDdetector", files, device)


def hed(look: Look) -> Pixels:
    return _asked(look)


def hed_safe(look: Look) -> Pixels:
    return _asked(look, safe=True)


def hed_scribble(look: Look) -> Pixels:
    return _asked(look, scribble=True)


def load_pidinet(files: Files, device: torch.device) -> Any:
    return _loaded("pidi", "PidiNetDetector", files, device)


def pidinet(look: Look) -> Pixels:
    return _asked(look)


def pidinet_safe(look: Look) -> Pixels:
    return _asked(look, safe=True)


def pidinet_scribble(look: Look) -> Pixels:
    return _asked(look, scribble=True)


def pidinet_sketch(look: Look) -> Pixels:
    return _asked(look, apply_filter=True)


def load_teed(files: Files, device: torch.device) -> Any:
    made = _loaded("teed", "TEEDdetector", files, device)
    made.model.eval()
    return made


def teed(look: Look) -> Pixels:
    return _asked(look, keeps_size=True, safe_steps=round(look.a))


def load_anyline(files: Files, device: torch.device) -> Any:
    made = _loaded("anyline", "AnylineDetector", files, device)
    made.model.eval()
    return made


def anyline(look: Look) -> Pixels:
    return _asked(look, keeps_size=True)


def load_mlsd(files: Files, device: torch.device) -> Any:
    return _loaded("mlsd", "MLSDdetector", files, device)


def mlsd(look: Look) -> Pixels:
    return _asked(look, thr_v=look.a, thr_d=look.b)


def load_lineart(files: Files, device: torch.device) -> Any:
    """With the one network that the row names, where controlnet-aux would load both."""
    (path,) = files.values()
    network = detector("lineart", "Generator")(3, 1, 3)
    network.load_state_dict(torch.load(path))
    network.eval()
    return detector("lineart", "LineartDetector")(network, network).to(device)


def lineart(look: Look) -> Pixels:
    return _asked(look)


def load_lineart_anime(files: Files, device: torch.device) -> Any:
    return _loaded("lineart_anime", "LineartAnimeDetector", files, device)


def lineart_anime(look: Look) -> Pixels:
    return _asked(look)


# depth, surfaces


def load_midas(files: Files, device: torch.device) -> Any:
    return _loaded("midas", "MidasDetector", files, device)


def midas_depth(look: Look) -> Pixels:
    return _asked(look)


def midas_normal(look: Look) -> Pixels:
    height, width = look.picture.shape[:2]
    picture = padded(look.picture, STEP)
    side = min(picture.shape[:2])
    made = look.network(picture, depth_and_normal=True, bg_th=look.a, detect_resolution=side, image_resolution=side, output_type="np")
    return made[1][:height, :width]


def load_zoe(files: Files, device: torch.device) -> Any:
    return _loaded("zoe", "ZoeDetector", files, device)


def zoe(look: Look) -> Pixels:
    return _asked(look)


def load_leres(files: Files, device: torch.device) -> Any:
    """With the second network, which adds detail, only where the row names it."""
    network = detector("leres", "RelDepthModel")(backbone="resnext101")
    held = torch.load(files["res101.pth"])["depth_model"]
    network.load_state_dict(detector("leres", "strip_prefix_if_present")(held, "module."))
    network.eval()
    finer = _leres_boost(files["latest_net_G.pth"], device) if "latest_net_G.pth" in files else None
    return detector("leres", "LeresDetector")(network, finer).to(device)


def _leres_boost(path: Path, device: torch.device) -> Any:
    with swapped(sys, "argv", ["leres"]):  # its options would be read from Atelier's own flags
        options = detector("leres", "TestOptions")().parse()
    options.gpu_ids = [device.index or 0] if device.type == "cuda" else []
    made = detector("leres", "Pix2Pix4DepthModel")(options)
    made.save_dir = str(path.parent)
    made.load_networks("latest")
    made.eval()
    return made


def leres(look: Look) -> Pixels:
    return _asked(look, thr_a=look.a, thr_b=look.b)


def leres_boosted(look: Look) -> Pixels:
    return _asked(look, thr_a=look.a, thr_b=look.b, boost=True)


def load_normal_bae(files: Files, device: torch.device) -> Any:
    return _loaded("normalbae", "NormalBaeDetector", files, device)


def normal_bae(look: Look) -> Pixels:
    return _asked(look)


# people


def load_openpose(files: Files, device: torch.device) -> Any:
    """With those of its three networks that the row names."""
    parts = {
        part: detector(f"open_pose.{part}", part.capitalize())(str(files[file])).to(device)
        for part, file in (("body", "body_pose_model.pth"), ("hand", "hand_pose_model.pth"), ("face", "facenet.pth"))
        if file in files
    }
    return detector("open_pose", "OpenposeDetector")(parts["body"], parts.get("hand"), parts.get("face"))


def pose(look: Look) -> Pixels:
    return _asked(look)


def pose_hands(look: Look) -> Pixels:
    return _asked(look, include_hand=True)


def pose_face(look: Look) -> Pixels:
    return _asked(look, include_face=True)


def pose_face_only(look: Look) -> Pixels:
    return _asked(look, include_body=False, include_face=True)


def pose_full(look: Look) -> Pixels:
    return _asked(look, include_hand=True, include_face=True)


def load_dwpose(files: Files, device: torch.device) -> Any:
    found, pose_file = files.values()
    return detector("dwpose", "DWposeDetector")(det_ckpt=str(found), pose_ckpt=str(pose_file), device=str(device))


def dwpose(look: Look) -> Pixels:
    return _asked(look)


def mediapipe_face(look: Look) -> Pixels:
    made = detector("mediapipe_face", "MediapipeFaceDetector")()
    return _asked(Look(look.picture, network=made), max_faces=round(look.a), min_confidence=look.b)


# parts


def load_sam(files: Files, device: torch.device) -> Any:
    (path,) = files.values()
    kind = "vit_t" if "mobile_sam.pt" in files else "vit_h"
    network = detector("segment_anything.build_sam", "sam_model_registry")[kind](checkpoint=str(path))
    return detector("segment_anything", "SamAutomaticMaskGenerator")(network.to(device))


def segments(look: Look) -> Pixels:
    """Each part that is found in a colour of its own, the largest first; black where none is."""
    colours, made = np.random.default_rng(0), np.zeros_like(look.picture)
    for found in sorted(look.network.generate(look.picture), key=lambda part: -part["area"]):
        made[found["segmentation"]] = colours.integers(32, 256, 3, np.uint8)
    return made
