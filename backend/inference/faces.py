"""Finds the faces in a picture, and says how each lies: as the places of a square that a face restorer was made for."""

from __future__ import annotations

import math
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from backend.errors import DamagedModel

SIDE = 512
"""Pixels to each side of the square."""

LANDMARKS = np.array([(193.0, 240.0), (319.0, 240.0), (256.5, 314.0), (201.0, 371.5), (313.0, 371.0)])
"""Where eyes, nose and corners of the mouth of an average face are in the square, as FFHQ's faces are cut (facexlib's template, rounded)."""

LOOK_SIDE = 480
"""The picture is looked at no larger than this, so that a face counts from about a twentieth of the picture's longer side on."""

LEAST = 24
"""Pixels of the smallest face that the cascade knows."""

NEIGHBOURS = 10
"""So many windows must agree on a face."""

OTHER_VIEW = 0.85
"""A face must also be found in the picture this much smaller, and in its mirror image: what is none is rarely taken for one thrice."""

SAME = 0.3
"""Two boxes are of the same face when they share this much of what they cover together."""

YUNET_SIDE = 640
"""What YuNet's files are made for."""

YUNET_SURE = 0.7

Box = tuple[float, float, float]
"""Left, top and side of a square, pixels of the picture."""


def find(picture: Pillow.Image, detector: Path | None) -> list[np.ndarray]:
    """For each face of an RGB picture a 3 x 3 matrix that takes places in the square to places in the picture.

    `detector`: a YuNet file, which finds faces in any pose and their eyes; without one a cascade finds those that look into
    the camera. Raises DamagedModel.
    """
    return by_yunet(picture, detector) if detector else by_cascade(picture)


def by_cascade(picture: Pillow.Image) -> list[np.ndarray]:
    """Upright frontal faces (local binary patterns: S. Liao et al., "Learning Multi-scale Block Local Binary Patterns", 2007)."""
    found = _boxes(picture, LOOK_SIDE)
    views = []
    if found:
        views = [[(picture.width - left - side, top, side) for left, top, side in _boxes(ImageOps.mirror(picture), LOOK_SIDE)]]
        views.append(_boxes(picture, round(min(LOOK_SIDE, max(picture.size)) * OTHER_VIEW)))
    return [_around(box) for box in found if all(any(_shared(box, other) > SAME for other in view) for view in views)]


@cache
def _cascade() -> Any:
    from skimage.data import lbp_frontal_face_cascade_filename  # seconds to import, and most pictures need no face
    from skimage.feature import Cascade

    return Cascade(lbp_frontal_face_cascade_filename())


def _boxes(picture: Pillow.Image, most: int) -> list[Box]:
    """What the cascade takes for faces in the picture, looked at with `most` pixels to its longer side."""
    scale = min(1.0, most / max(picture.size))
    size = (max(1, round(picture.width * scale)), max(1, round(picture.height * scale)))
    if min(size) < LEAST:
        return []
    seen = np.asarray(picture.convert("RGB").resize(size, Pillow.Resampling.BOX))
    found = _cascade().detect_multi_scale(
        img=seen, scale_factor=1.1, step_ratio=1, min_size=(LEAST, LEAST), max_size=(max(size), max(size)), min_neighbor_number=NEIGHBOURS
    )
    return [(box["c"] / scale, box["r"] / scale, box["width"] / scale) for box in found]


def _shared(one: Box, other: Box) -> float:
    """Share of what two boxes cover together that both cover."""
    across, down = (min(one[axis] + one[2], other[axis] + other[2]) - max(one[axis], other[axis]) for axis in (0, 1))
    both = max(0.0, across) * max(0.0, down)
    return both / (one[2] ** 2 + other[2] ** 2 - both)


def _around(box: Box) -> np.ndarray:
    """The square about a box of the cascade, which has the eyes at two fifths of its height, 0.42 of its side apart."""
    left, top, side = box
    scale = 0.42 * side / (LANDMARKS[1, 0] - LANDMARKS[0, 0])
    across, down = left + side / 2 - scale * SIDE / 2, top + 0.4 * side - scale * LANDMARKS[0, 1]
    return np.array([(scale, 0.0, across), (0.0, scale, down), (0.0, 0.0, 1.0)])


def by_yunet(picture: Pillow.Image, detector: Path) -> list[np.ndarray]:
    """Faces in any pose, turned upright by their eyes, nose and mouth (W. Wu et al., "YuNet: A Tiny Millisecond-level Face Detector", 2023)."""
    import cv2

    seen = ImageOps.contain(picture.convert("RGB"), (YUNET_SIDE, YUNET_SIDE))
    board = Pillow.new("RGB", (YUNET_SIDE, YUNET_SIDE))
    board.paste(seen)
    try:
        looking = cv2.FaceDetectorYN.create(str(detector), "", (YUNET_SIDE, YUNET_SIDE), YUNET_SURE)
        rows = looking.detect(np.ascontiguousarray(np.asarray(board)[..., ::-1]))[1]
    except cv2.error as error:
        raise DamagedModel(f"The face detector {detector.name} cannot be used: it is damaged, or no YuNet. Copy it again, or remove it.") from error
    scale = picture.width / seen.width
    return [] if rows is None else [upright(row[4:14].reshape(5, 2) * scale) for row in rows]


def upright(points: np.ndarray) -> np.ndarray:
    """The similarity transform, 3 x 3, that takes LANDMARKS to `points`, 5 x 2, with the least squared error."""
    ones, none = np.ones(len(points)), np.zeros(len(points))
    x, y = LANDMARKS.T
    rows = np.concatenate([np.stack([x, -y, ones, none], axis=1), np.stack([y, x, none, ones], axis=1)])
    a, b, across, down = np.linalg.lstsq(rows, points.T.ravel().astype(float), rcond=None)[0]
    return np.array([(a, -b, across), (b, a, down), (0.0, 0.0, 1.0)])


def scale_of(place: np.ndarray) -> float:
    """Pixels of the picture to one of the square."""
    return math.hypot(place[0, 0], place[1, 0])
