"""What can be fetched, and under which names it may come in: nothing from outside is trusted to name a file."""

from __future__ import annotations

import ipaddress
import re
import unicodedata
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel, ConfigDict, Field, field_validator

from backend.errors import AtelierError, BadRequest

Kind = Literal["checkpoint", "controlnet", "ip-adapter", "image-encoder", "upscaler", "preprocessor", "vae", "text-encoder"]

FOLDERS: dict[Kind, str] = {
    "checkpoint": "Stable-diffusion", "controlnet": "ControlNet", "ip-adapter": "ControlNet", "image-encoder": "clip_vision",
    "upscaler": "upscale_models", "preprocessor": "ControlNet/annotators", "vae": "VAE", "text-encoder": "text_encoder",
}  # fmt: skip
"""Where each kind goes, below the models folder."""

TITLES: dict[Kind, str] = {
    "checkpoint": "Models", "controlnet": "ControlNets", "ip-adapter": "IP-Adapters", "image-encoder": "Image encoders",
    "upscaler": "Upscalers", "preprocessor": "Preprocessors", "vae": "VAEs", "text-encoder": "Text encoders",
}  # fmt: skip
"""In the order in which the page shows them."""

WEIGHTS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt", ".onnx", ".gguf")
TEXTS = (".json", ".txt", ".model", ".yaml")
"""Endings of what a model consists of; no other file is fetched. None of them is ever run."""

NAME_MAX = 150
_NAME = re.compile(r"\w[\w .()\[\]{}+,=@#&'!~-]*")
_RESERVED = re.compile(r"(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|$)", re.IGNORECASE)
"""Names that Windows keeps for devices."""
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
HUB = "https://huggingface.co"


class Source(BaseModel):
    """One thing to fetch: a row of the catalogue, or what somebody typed in. Frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = ""
    """The catalogue's name for it; empty for what was typed in."""
    title: str
    kind: Kind
    family: str = ""
    """Id of the family of models that it is, or is for."""
    repository: str = ""
    """"owner/name" on the hub; or there is an `address`."""
    files: tuple[str, ...] = ()
    """Paths in the repository; none: all that makes a model of its kind."""
    address: str = ""
    sha256: str = ""
    """Of the file at `address`, or of the only one of `files`; the hub tells those of its own."""
    bytes: int = Field(default=0, ge=0)
    """As published; 0 where that is not known."""
    licence: str = ""
    gated: bool = False
    """Whether the hub asks for a token whose owner accepted the licence."""
    folder: str = ""
    """Below the models folder; empty: the kind's own."""
    name: str = ""
    """Of the folder or file that it becomes; empty: as its source calls it."""
    memory_gb: int = 0
    """The size of graphics card, in GB, for which it is meant; 0 where that says nothing."""
    sentence: str = ""

    @field_validator("folder")
    @classmethod
    def _inside(cls, value: str) -> str:
        return checked_path(value) if value else value

    @property
    def place(self) -> str:
        return self.folder or FOLDERS[self.kind]

    @property
    def where(self) -> str:
        """Its source for people, without what may be a secret in an address."""
        if self.repository:
            return f"{self.repository}: {', '.join(self.files)}" if len(self.files) == 1 else self.repository
        parts = urlsplit(self.address)
        return f"{parts.hostname}{parts.path}"


def checked_name(name: str, endings: tuple[str, ...] = ()) -> str:
    """The name, if a file or folder may be called that on any system, with one of these endings if any are given. Raises AtelierError."""
    name = unicodedata.normalize("NFC", name)
    shown = ascii(name[:80])[1:-1] if not name.isprintable() else name[:80]
    if len(name) > NAME_MAX or not _NAME.fullmatch(name) or name[-1] in " ." or _RESERVED.match(name):
        raise AtelierError(f"“{shown}” is not a name that a file may have here, so it was not fetched. Fetch it by hand and rename it.")
    if endings and not name.lower().endswith(endings):
        raise AtelierError(f"“{shown}” is not a kind of file that models come in ({', '.join(endings)}), so it was not fetched.")
    return name


def checked_path(path: str) -> str:
    """A relative path with forward slashes, each part of which is a name. Raises AtelierError."""
    for part in path.split("/"):
        checked_name(part)
    return path


def typed(text: str, kind: str) -> Source:
    """What somebody typed in: "owner/name", "owner/name/path/to/file", a page of the hub, or an https address. Raises BadRequest."""
    text = text.strip()
    if kind not in FOLDERS:
        raise BadRequest({"kind": f"There is no kind of model called “{kind[:40]}”. Please choose one."})
    known: Kind = next(one for one in FOLDERS if one == kind)
    if not text:
        raise BadRequest({"text": "Please type a repository (owner/name) or an address (https://…)."})
    if "://" in text:
        return _address(text, known)
    return _repository(text.replace(" ", "/"), known)


def _repository(text: str, kind: Kind) -> Source:
    parts = [part for part in text.split("/") if part]
    repository, file = "/".join(parts[:2]), "/".join(parts[2:])
    if not _REPOSITORY.fullmatch(repository) or ".." in text:
        raise BadRequest({"text": f"“{text[:80]}” is neither a repository (owner/name) nor an address that begins with https://."})
    try:
        if file:
            checked_name(PurePosixPath(checked_path(file)).name, WEIGHTS)
    except AtelierError as error:
        raise BadRequest({"text": error.sentence}) from error
    return Source(title=PurePosixPath(file).name or parts[1], kind=kind, repository=repository, files=(file,) if file else ())


def _address(text: str, kind: Kind) -> Source:
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError as error:
        raise BadRequest({"text": f"“{text[:80]}” is not an address that can be read."}) from error
    if host in ("huggingface.co", "www.huggingface.co", "hf.co"):
        return _repository(_on_the_hub(parts.path), kind)
    if not permitted(text):
        raise BadRequest({"text": "Only addresses that begin with https:// are fetched, without a name and password in them."})
    name = unquote(PurePosixPath(parts.path).name)
    return Source(title=name[:80] or host, kind=kind, address=text)


def _on_the_hub(path: str) -> str:
    """ "/owner/name/resolve/main/file" or "blob" -> "owner/name/file"."""
    parts = unquote(path).strip("/").split("/")
    if len(parts) > 4 and parts[2] in ("resolve", "blob", "raw"):
        return "/".join((*parts[:2], *parts[4:]))
    return "/".join(parts[:2])


def permitted(address: str, first: str | None = None) -> bool:
    """Whether something may be fetched from there: by https, or on this machine itself, to which no other address may lead (`first`)."""
    try:
        parts = urlsplit(address)
        here = is_loopback(parts.hostname or "")
        began_here = here if first is None else is_loopback(urlsplit(first).hostname or "")
    except ValueError:
        return False
    if not parts.hostname or parts.username or parts.password or (here and not began_here):
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and here)


def is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
