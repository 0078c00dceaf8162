"""The upscalers that can be chosen: those that need no model, and model files found in `models/`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from backend.enlarging import PLAIN_UPSCALERS
from backend.network_files import NetworkFile, NetworkFiles

FOLDERS = ("starter/upscaler", "upscale_models", "ESRGAN", "RealESRGAN", "BSRGAN", "SwinIR", "ScuNET", "DAT", "HAT", "SPAN")
"""Sub-folders of a models folder, by A1111's and ComfyUI's names."""

USUAL_SCALE = 4


@dataclass(frozen=True)
class Upscaler(NetworkFile):
    """One way to make pictures larger."""

    kind: ClassVar[str] = "upscaler"

    @property
    def scale(self) -> int:
        """What its name says, or the usual one: files tell their own factor only when they are loaded."""
        found = re.search(r"(?<![\d])(\d)x|x(\d)(?!\d)", self.name.lower())
        return int(found[1] or found[2]) if found and self.path else USUAL_SCALE


class Upscalers(NetworkFiles[Upscaler]):
    """The upscalers found at the last scan."""

    make = Upscaler
    plain = tuple(Upscaler(name) for name in PLAIN_UPSCALERS)
    places = FOLDERS
