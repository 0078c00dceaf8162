"""A folder of pictures, each drawn anew by the same request, one after the other."""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

from backend.engine import Engine
from backend.errors import AtelierError, BadRequest
from backend.images import write_whole
from backend.jobs import Job
from backend.types import SIZE_MAX, SIZE_MIN, Request

ENDINGS = frozenset({".png", ".jpg", ".jpeg", ".webp", ".avif", ".gif", ".bmp", ".tif", ".tiff"})
SCALE_MIN, SCALE_MAX = 0.05, 4.0
KEPT = 20
"""Finished batches that can still be asked for."""


@dataclass(frozen=True)
class Folders:
    """Where a batch reads and writes. Raises BadRequest, with a sentence for each folder that cannot be used."""

    source: Path
    target: Path
    masks: Path | None = None
    """Masks under the pictures' names, or a single one for all."""

    def __post_init__(self) -> None:
        wrong = {}
        if not self.source.is_dir():
            wrong["source"] = f"There is no folder {self.source}. Please check the input folder."
        elif not self.pictures:
            wrong["source"] = f"There are no pictures in {self.source}. PNG, JPEG, WebP, AVIF, GIF, BMP and TIFF files count."
        if self.target.exists() and not self.target.is_dir():
            wrong["target"] = f"{self.target} is a file. Please choose a folder for the results."
        elif self.target.resolve() == self.source.resolve():
            wrong["target"] = "Input and output folder are the same, so results would replace your pictures. Please choose another output folder."
        if self.masks is not None and not self.masks.is_dir():
            wrong["masks"] = f"There is no folder {self.masks}. Please check the mask folder, or leave it empty."
        elif self.masks is not None and not pictures_in(self.masks):
            wrong["masks"] = f"There are no masks in {self.masks}."
        if wrong:
            raise BadRequest(wrong)

    def mask_for(self, picture: Path) -> Path:
        """The mask of that picture. Raises BadRequest where there is none."""
        found = self._masks.get(picture.stem) or (next(iter(self._masks.values())) if len(self._masks) == 1 else None)
        if found is None:
            raise BadRequest({"masks": f"There is no mask called {picture.stem} in the mask folder."})
        return found

    def results_of(self, picture: Path, count: int) -> list[Path]:
        """The files that a picture's results go to: its own name, with its ending where another has the same, numbered where there are several."""
        name = picture.stem if self._stems[picture.stem] == 1 else picture.name
        if count == 1:
            return [self.target / f"{name}.png"]
        return [self.target / f"{name}-{number:02d}.png" for number in range(1, count + 1)]

    @cached_property
    def pictures(self) -> list[Path]:
        """As the folder was when it was first asked."""
        return pictures_in(self.source)

    @cached_property
    def _masks(self) -> dict[str, Path]:
        """Masks by their names without endings, as the folder was when it was first asked."""
        return {path.stem: path for path in reversed(pictures_in(self.masks) if self.masks else [])}

    @cached_property
    def _stems(self) -> Counter[str]:
        """How many pictures have each name without its ending."""
        return Counter(path.stem for path in self.pictures)


def pictures_in(folder: Path) -> list[Path]:
    """Picture files right in the folder, by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file())


@dataclass
class Batch:
    """One folder under way."""

    id: str
    request: Request
    folders: Folders
    scale: float | None
    """Each picture's own size times this; None takes the request's size for all."""
    total: int
    state: Literal["running", "done", "stopped"] = "running"
    done: int = 0
    skipped: int = 0
    """Pictures whose results were there already."""
    failed: list[tuple[str, str]] = field(default_factory=list)
    """File name and sentence."""
    name: str = ""
    """The file that is worked on."""
    job: Job | None = None
    _stop: threading.Event = field(default_factory=threading.Event)

    def stop(self, engine: Engine) -> None:
        """Stop the picture that is being drawn, and leave the rest."""
        self._stop.set()
        if self.job:
            engine.cancel(self.job.id)

    @property
    def stopping(self) -> bool:
        return self._stop.is_set()


class Batches:
    """All batches since the start. Each has a thread that feeds the queue one job at a time, so that others get their turn."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._batches: dict[str, Batch] = {}

    def start(self, request: Request, folders: Folders, scale: float | None = None) -> Batch:
        """Begin. Results that stand in the target folder already are left as they are, so a batch that was cut off goes on.

        The request's own picture and mask stand for those of the folders. Raises BadRequest.
        """
        if request.image is None or (folders.masks is not None) != (request.mask is not None and request.mask.picture is not None):
            raise BadRequest({"request": "A batch needs a request that starts from a picture, with a mask where there is a mask folder."})
        if scale is not None and not SCALE_MIN <= scale <= SCALE_MAX:
            raise BadRequest({"scale": f"The factor goes from {SCALE_MIN:g} to {SCALE_MAX:g}; {scale:g} is outside."})
        batch = Batch(secrets.token_hex(8), request, folders, scale, len(folders.pictures))
        self._batches[batch.id] = batch
        for old in [known for known in self._batches.values() if known.state != "running"][:-KEPT]:
            del self._batches[old.id]
        threading.Thread(target=self._run, args=[batch], name=f"batch {batch.id}", daemon=True).start()
        return batch

    def find(self, identifier: str) -> Batch | None:
        return self._batches.get(identifier)

    def _run(self, batch: Batch) -> None:
        for path in batch.folders.pictures:
            if batch.stopping:
                break
            batch.name = path.name
            if batch.folders.results_of(path, batch.request.image_count)[-1].exists():
                batch.skipped += 1
                continue
            try:
                self._draw(batch, path)
                batch.done += 1
            except AtelierError as error:
                if not batch.stopping:
                    batch.failed.append((path.name, error.sentence))
            except OSError as error:
                batch.failed.append((path.name, f"The file could not be read or written ({error.strerror or error})."))
        batch.name, batch.job = "", None
        batch.state = "stopped" if batch.stopping else "done"

    def _draw(self, batch: Batch, path: Path) -> None:
        inputs, request = self._engine.inputs, batch.request
        assert request.image
        taken = inputs.take(path.read_bytes(), keep=False)
        changes: dict[str, object] = {"image": request.image.model_copy(update={"picture": taken.id})}
        if request.mask and request.mask.picture:
            mask = inputs.take_mask(batch.folders.mask_for(path).read_bytes(), keep=False)
            changes["mask"] = request.mask.model_copy(update={"picture": mask.id})
        if batch.scale is not None:
            size = [round(side * batch.scale) for side in (taken.width, taken.height)]
            if not all(SIZE_MIN <= side <= SIZE_MAX for side in size):
                raise BadRequest({"size": f"It would become {size[0]} x {size[1]} pixels; sides go from {SIZE_MIN} to {SIZE_MAX}."})
            changes |= {"width": size[0], "height": size[1]}
        batch.job = self._engine.submit(request.model_copy(update=changes), save=False)
        batch.job.wait()
        ended = batch.job.snapshot()
        if ended.failed:
            raise _Lost(ended.failed.sentence)
        batch.folders.target.mkdir(parents=True, exist_ok=True)
        for result, picture in zip(batch.folders.results_of(path, len(ended.images)), ended.images, strict=True):
            assert picture.data is not None
            write_whole(result, picture.data)
        batch.job.forget_bytes()


class _Lost(AtelierError):
    """The job of one picture failed, in that job's own words."""
