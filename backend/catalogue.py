"""The catalogue of what can be added with one click: configs/catalogue.toml, and the weights that preprocessors need."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pydantic import ValidationError

from backend import preprocessors
from backend.errors import StartFailed
from backend.preprocessors import Weights
from backend.settings import ROOT
from backend.sources import Source

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]  (installed where Python is older)

FILE = ROOT / "configs" / "catalogue.toml"
_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


class Catalogue:
    """The rows, read once."""

    def __init__(self, file: Path = FILE) -> None:
        """Raises StartFailed with a sentence where the file cannot be read."""
        try:
            table = tomllib.loads(file.read_text("utf-8"))
            addresses: dict[str, str] = table.get("addresses", {})
            rows = [Source.model_validate(row) for row in table.get("entry", ())]
        except (OSError, ValidationError, tomllib.TOMLDecodeError) as error:
            raise StartFailed(f"configs/{file.name} cannot be used: {str(error).splitlines()[0]}. Please mend it.") from error
        self.sources: tuple[Source, ...] = (*rows, *_of_preprocessors(addresses))
        self._by_id = {source.id: source for source in self.sources}
        if len(self._by_id) != len(self.sources) or "" in self._by_id:
            raise StartFailed(f"configs/{file.name} cannot be used: each entry needs an id of its own. Please mend it.")

    def find(self, identifier: str) -> Source | None:
        return self._by_id.get(identifier)


def is_here(source: Source, folders: tuple[Path, ...]) -> bool:
    """Whether it lies in one of the models folders, under the name that a download gives it."""
    row = next((row for row in preprocessors.ROWS if any(weights.file == source.name for weights in row.weights)), None)
    if source.kind == "preprocessor" and row:
        return source.name in preprocessors.installed(row, folders)
    return any((folder / source.place / source.name).exists() for folder in folders) if source.name else False


def _of_preprocessors(addresses: dict[str, str]) -> list[Source]:
    """One row for each file of weights; those whose source has no address are left out."""
    users: dict[str, list[str]] = {}
    needed: dict[str, Weights] = {}
    for row in preprocessors.ROWS:
        for weights in row.weights:
            needed[weights.file] = weights
            users.setdefault(weights.file, []).append(row.title)
    made = []
    for file, weights in needed.items():
        address = addresses.get(file, "")
        if not address and not _REPOSITORY.fullmatch(weights.repository):
            continue
        where = {"address": address} if address else {"repository": weights.repository, "files": (file,)}
        made.append(
            Source.model_validate({
                "id": f"preprocessor-{file}", "title": users[file][0], "kind": "preprocessor", "bytes": weights.megabytes * 2**20,
                "licence": weights.licence, "name": file, "sentence": f"Weights for: {', '.join(users[file])}.", **where,
            })
        )  # fmt: skip
    return made
