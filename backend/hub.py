"""Chooses which files of a hub repository make the model that somebody asked for."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from backend.errors import AtelierError
from backend.library import NOT_NEEDED
from backend.settings import ROOT
from backend.sources import HUB, TEXTS, WEIGHTS, Source, checked_name, checked_path

log = logging.getLogger(__name__)

SAFE = ".safetensors"
FP16 = ".fp16"
DENOISERS = ("unet", "transformer", "prior")
PLAIN_NAMES = ("diffusion_pytorch_model", "model", "pytorch_model", "adapter_model")
"""File names that say nothing once the file is taken out of its repository."""
LOOK_S = 0.1

CHILD = {
    "HF_HUB_OFFLINE": "0", "TRANSFORMERS_OFFLINE": "0", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1",
    "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_PROGRESS_BARS": "1",
}  # fmt: skip
SECRETS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


@dataclass(frozen=True)
class RemoteFile:
    """One file to fetch."""

    address: str
    target: str
    """Relative to where the model goes, with forward slashes; "" where only the answer tells its name."""
    bytes: int | None = None
    sha256: str = ""
    git_sha1: str = ""
    """Git's hash of a small file: SHA-1 of "blob", its length, a zero byte and its content."""


@dataclass(frozen=True)
class Choice:
    """What is fetched."""

    files: tuple[RemoteFile, ...]
    name: str = ""
    """Of the folder that they become; "" for a single file."""
    licence: str = ""
    gated: bool = False

    @property
    def bytes(self) -> int | None:
        """None where one of them is of unknown size."""
        sizes = [file.bytes for file in self.files]
        return None if None in sizes else sum(size or 0 for size in sizes)


def choice_of(source: Source, token: str, endpoint: str, check: Callable[[], None]) -> Choice:
    """What to fetch for it. Asks the hub where it lies there. Raises AtelierError; `check` is called while waiting, and may raise."""
    if source.address:
        name = source.name or PurePosixPath(source.address.split("?")[0]).name
        known = name if name.lower().endswith(WEIGHTS) else ""
        return Choice(
            (RemoteFile(source.address, known and checked_name(known, WEIGHTS), (source.bytes or None) if source.sha256 else None, source.sha256),)
        )
    answer = _asked(source.repository, token, endpoint, check)
    if "error" in answer:
        raise AtelierError(refusal(source.repository, str(answer["error"]), token, int(answer.get("status", 0))))
    return choose(source, answer)


def _asked(repository: str, token: str, endpoint: str, check: Callable[[], None]) -> dict[str, Any]:
    environment = {name: value for name, value in os.environ.items() if name not in SECRETS} | CHILD
    question = json.dumps({"repository": repository, "endpoint": endpoint, "token": token})
    command = [sys.executable, "-m", "backend.hub_listing"]
    pipes = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipes, stdout=pipes, stderr=pipes, text=True, encoding="utf-8") as child:
        asked: str | None = question
        while True:
            try:
                said, complaint = child.communicate(asked, timeout=LOOK_S)
                break
            except subprocess.TimeoutExpired:
                asked = None
                try:
                    check()
                except AtelierError:
                    child.kill()
                    raise
    if child.returncode:
        log.warning("the hub could not be asked about %s: %s", repository, (complaint.strip().splitlines() or ["no reason given"])[-1])
        raise AtelierError(f"The hub ({endpoint.split('://')[-1]}) could not be reached. Check this computer’s connection, then press Retry.")
    return json.loads(said)


def refusal(repository: str, reason: str, token: str, status: int = 0) -> str:
    """Why the hub gives nothing, and what to do."""
    page = f"{HUB}/{repository}"
    if reason == "gated" and token:
        return f"The account that your token belongs to has not accepted the licence of {repository} yet. Accept it on {page}, then press Retry."
    if reason == "gated":
        return (
            f"{repository} is given only to those who accepted its licence. Accept it on {page}, make a token that can read "
            f"on {HUB}/settings/tokens, enter it under “Access token”, then press Retry."
        )
    if reason == "unknown":
        hint = "" if token else ", and if it is private, enter an access token"
        return f"The hub shows no repository {repository}. Check its spelling{hint}."
    if status == 401:
        return "The hub does not know this access token. Make a new one on " + HUB + "/settings/tokens and enter it."
    return f"The hub refused to tell about {repository} (status {status}). Wait a little, then press Retry."


def choose(source: Source, answer: dict[str, Any]) -> Choice:
    """The files of a repository, as `hub_listing` told of it, that make this source. Raises AtelierError."""
    held = {file["path"]: file for file in answer["files"]}
    parts = {part: value for part, value in answer.get("parts", {}).items() if isinstance(value, list) and part not in NOT_NEEDED}
    own = source.repository.split("/")[-1]
    if source.files:
        paths = [_held(source.repository, path, held) for path in source.files]
    elif parts and source.kind == "checkpoint":
        paths = _pipeline(source.repository, list(held), [part for part, value in parts.items() if value and value[0]])
    else:
        paths = _single(source, [path for path in held if path.lower().endswith(WEIGHTS)], {path for path in held if "/" not in path})
    whole = len(paths) > 1
    shape = (lambda path: path) if not source.files else (lambda path: PurePosixPath(path).name)
    files = []
    for path in paths:
        target = shape(path) if whole else source.name or _telling(PurePosixPath(path).name, own)
        checked_name(PurePosixPath(checked_path(target)).name, (*WEIGHTS, *TEXTS))
        size = held[path]["bytes"]
        files.append(RemoteFile(held[path]["address"], target, size, held[path]["sha256"] or "", held[path]["git_sha1"] or ""))
    name = checked_name(source.name or own) if whole else ""
    return Choice(tuple(files), name, source.licence or answer.get("licence", ""), bool(answer.get("gated")))


def _held(repository: str, wanted: str, held: Collection[str]) -> str:
    """The path, or the only one that ends in it where it stands deeper."""
    if wanted in held:
        return wanted
    deeper = [path for path in held if path.endswith(f"/{wanted}")]
    if len(deeper) == 1:
        return deeper[0]
    raise AtelierError(f"{repository} holds no file {wanted} (any more). Look at {HUB}/{repository} for what it is called now.")


def _telling(name: str, repository: str) -> str:
    path = PurePosixPath(name)
    return repository + path.suffix if path.stem in PLAIN_NAMES else name


def _pipeline(repository: str, held: list[str], parts: list[str]) -> list[str]:
    """A diffusers folder: its parts, each with its weights as safetensors; in half precision where its denoiser comes in that."""
    half = any(path.startswith(tuple(f"{part}/" for part in DENOISERS)) and FP16 in path and path.endswith(SAFE) for path in held)
    chosen = ["model_index.json"]
    for part in parts:
        inside = [path for path in held if path.startswith(f"{part}/") and path.count("/") == 1]
        told = [path for path in inside if path.endswith((SAFE, f"{SAFE}.index.json", ".index.fp16.json")) and "non_ema" not in path]
        halves, wholes = [path for path in told if FP16 in path], [path for path in told if FP16 not in path]
        weights = (halves or wholes) if half else (wholes or halves)
        pickled = any(path.endswith((".bin", ".ckpt", ".pt")) for path in inside)
        if not weights and pickled:
            raise AtelierError(f"{repository} has its part “{part}” as a .bin file only, which can run code. Look for a copy with safetensors files.")
        texts = [path for path in inside if path.endswith(TEXTS) and ".index." not in path]
        chosen += [*texts, *weights]
    return chosen


def _single(source: Source, weights: list[str], top: set[str]) -> list[str]:
    """A model of one file, with its config.json where it has one beside it."""
    safe = [path for path in weights if path.endswith(SAFE)] or weights
    for name in (f"diffusion_pytorch_model{SAFE}", f"diffusion_pytorch_model{FP16}{SAFE}", f"model{SAFE}"):
        if {"config.json", name} <= top and source.kind in ("controlnet", "image-encoder", "vae"):
            return ["config.json", name]
    if len(safe) == 1:
        return safe
    if not safe:
        raise AtelierError(f"{source.repository} holds no weights, so there is nothing to fetch. Check its name on {HUB}/{source.repository}.")
    some = ", ".join(safe[:6]) + (" …" if len(safe) > 6 else "")
    raise AtelierError(f"{source.repository} holds several files: {some}. Add the one you want, as {source.repository}/{safe[0]}.")
