"""A folder of pictures: each comes out under its name, a bad one does not stop the rest, and a cut-off batch goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend.batches import Batch, Batches, Folders
from backend.engine import Engine
from backend.errors import BadRequest
from tests.conftest import starter_request, wait_until

NOBODY = "0" * 64
"""Stands for the pictures of the folder."""


def folder_of_pictures(folder: Path, names: tuple[str, ...]) -> Path:
    folder.mkdir()
    for number, name in enumerate(names):
        Image.effect_noise((64, 64 + 8 * number), 60).convert("RGB").save(folder / name)
    return folder


def run(engine: Engine, folders: Folders, scale: float | None = 1.0, **values: Any) -> Batch:
    request = starter_request("hills", steps=2, image={"picture": NOBODY, "denoising_strength": 0.5}, **values)
    batch = Batches(engine).start(request, folders, scale)
    wait_until(lambda: batch.state != "running")
    return batch


def test_every_picture_is_drawn_at_its_own_size_and_a_bad_one_is_listed(engine: Engine, tmp_path: Path) -> None:
    source = folder_of_pictures(tmp_path / "in", ("a.png", "c.webp"))
    (source / "b.png").write_text("This is a text.")
    (source / "notes.txt").write_text("Not a picture, and not looked at.")
    batch = run(engine, Folders(source, tmp_path / "out"))
    assert (batch.state, batch.done, batch.skipped, batch.total) == ("done", 2, 0, 3)
    assert [name for name, _ in batch.failed] == ["b.png"]
    assert "not a picture" in batch.failed[0][1]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "c.png"]
    result = Image.open(tmp_path / "out" / "c.png")
    assert result.size == (64, 72)
    assert "Denoising strength: 0.5" in result.info["parameters"]
    assert np.abs(np.asarray(result.convert("RGB")).astype(int) - np.asarray(Image.open(source / "c.webp").convert("RGB"))).mean() > 1


def test_what_is_there_already_is_left_alone_so_a_batch_goes_on(engine: Engine, tmp_path: Path) -> None:
    source = folder_of_pictures(tmp_path / "in", ("a.png", "b.png"))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"mine")
    batch = run(engine, Folders(source, tmp_path / "out"))
    assert (batch.done, batch.skipped) == (1, 1)
    assert (tmp_path / "out" / "a.png").read_bytes() == b"mine"


def test_a_folder_of_thousands_is_looked_through_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    for number in range(300):
        (tmp_path / "in" / f"{number}.png").touch()
    looked: list[Path] = []
    own = Path.iterdir
    monkeypatch.setattr(Path, "iterdir", lambda path: looked.append(path) or own(path))
    folders = Folders(tmp_path / "in", tmp_path / "out")
    results = [folders.results_of(path, 1)[0].name for path in folders.pictures]
    assert len(set(results)) == 300 and looked == [tmp_path / "in"]


def test_masks_go_by_name_and_one_that_is_missing_is_listed(engine: Engine, tmp_path: Path) -> None:
    source = folder_of_pictures(tmp_path / "in", ("a.png", "b.png", "c.png"))
    masks = tmp_path / "masks"
    masks.mkdir()
    for name, size in (("a.png", (64, 64)), ("c.png", (64, 80))):
        mask = Image.new("L", size)
        mask.paste(255, (0, 0, 32, size[1]))
        mask.save(masks / name)
    batch = run(engine, Folders(source, tmp_path / "out", masks), mask={"picture": NOBODY, "blur": 0})
    assert [name for name, _ in batch.failed] == ["b.png"]
    assert "no mask called b" in batch.failed[0][1]
    before, after = (np.asarray(Image.open(folder / "c.png").convert("RGB")) for folder in (source, tmp_path / "out"))
    assert (before[:, 32:] == after[:, 32:]).all()
    assert (before[:, :24] != after[:, :24]).any()


def test_stopping_leaves_the_rest_undone(engine: Engine, tmp_path: Path) -> None:
    source = folder_of_pictures(tmp_path / "in", tuple(f"{number}.png" for number in range(6)))
    batches = Batches(engine)
    request = starter_request("hills", steps=60, image={"picture": NOBODY, "denoising_strength": 1.0})
    batch = batches.start(request, Folders(source, tmp_path / "out"))
    wait_until(lambda: batch.done >= 1)
    batch.stop(engine)
    wait_until(lambda: batch.state != "running")
    assert batch.state == "stopped"
    assert batch.done < 6
    assert batch.failed == []
    assert len(list((tmp_path / "out").iterdir())) == batch.done


@pytest.mark.parametrize(
    ("source", "target", "field", "part"),
    [
        ("gone", "out", "source", "no folder"),
        ("empty", "out", "source", "no pictures"),
        ("in", "in", "target", "are the same"),
        ("in", "in/a.png", "target", "is a file"),
    ],
)
def test_folders_that_cannot_be_used_are_refused(tmp_path: Path, source: str, target: str, field: str, part: str) -> None:
    folder_of_pictures(tmp_path / "in", ("a.png",))
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadRequest) as refused:
        Folders(tmp_path / source, tmp_path / target)
    assert part in refused.value.fields[field]
