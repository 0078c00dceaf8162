"""The hub's access token: kept in a file that only its owner can read, and told to nobody but the hub."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from backend.errors import BadRequest, SaveFailed

VARIABLE = "HF_TOKEN"
_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,256}")


class HubToken:
    """What was entered in the page, else what the environment holds."""

    def __init__(self, file: Path) -> None:
        """`file` lies in the state folder, which is not served; its "tmp" sub-folder is."""
        self._file = file

    @property
    def origin(self) -> Literal["entered", "environment", ""]:
        return "entered" if self._entered() else "environment" if self._given() else ""

    def value(self) -> str:
        """ "" where there is none."""
        return self._entered() or self._given()

    def _entered(self) -> str:
        try:
            return self._file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return ""

    def _given(self) -> str:
        text = os.environ.get(VARIABLE, "").strip()
        return text if _TOKEN.fullmatch(text) else ""

    def keep(self, text: str) -> None:
        """Keep it, or forget the one that is kept where it is empty. Raises BadRequest, whose sentence does not repeat it."""
        text = text.strip()
        if text and not _TOKEN.fullmatch(text):
            raise BadRequest({"token": "This is not an access token. The hub’s begin with hf_ and hold letters and digits only."})
        try:
            self._file.unlink(missing_ok=True)
            if text:
                self._file.parent.mkdir(parents=True, exist_ok=True)
                with os.fdopen(os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as stream:
                    stream.write(text)
        except OSError as error:
            raise SaveFailed(f"The access token could not be kept ({error.strerror}). Set {VARIABLE} before you start Atelier instead.") from error
