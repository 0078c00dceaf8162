"""Files: what is inside, what they are called, and that they are whole."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from backend import images, infotext
from backend.settings import Saving
from tests.conftest import starter_request

SAVING = Saving(subfolders="[date]", file_name="[number]-[seed]", png_compression=1)
WHEN = datetime(2026, 11, 20, 12, 30, 5)


def encoded(prompt: str = "a cat") -> bytes:
    request = starter_request(prompt)
    return images.encode_png(Image.new("RGB", (16, 8), (250, 3, 7)), request, infotext.write(request, seed=1, model_hash="ab", version="v"), 1)


@pytest.mark.parametrize("prompt", ["a cat", "“猫”, 🐈", "two\nlines", "ÿ latin-1 é"])
def test_metadata_comes_back_whole(prompt: str, tmp_path: Path) -> None:
    path = images.save(encoded(prompt), starter_request(prompt), seed=1, outputs=tmp_path, saving=SAVING)
    text, request = images.read_metadata(path)
    assert request == starter_request(prompt)
    assert infotext.read(text).prompt == prompt
    with Image.open(path) as picture:
        assert picture.info["parameters"] == text
        assert np.asarray(picture).reshape(-1, 3).tolist() == [[250, 3, 7]] * 128


def test_a_picture_of_another_program_has_an_infotext_and_no_request(tmp_path: Path) -> None:
    from PIL.PngImagePlugin import PngInfo

    chunks = PngInfo()
    chunks.add_text("parameters", "a dog\nSteps: 20, Seed: 3")
    chunks.add_text("atelier", "not json")
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=chunks)
    assert images.read_metadata(tmp_path / "a.png") == ("a dog\nSteps: 20, Seed: 3", None)
    with pytest.raises(OSError, match="cannot identify"):
        images.read_metadata(b"no picture")


def test_names_and_folders_are_what_a1111_users_expect(tmp_path: Path) -> None:
    paths = [images.save(encoded(), starter_request(), seed=seed, outputs=tmp_path, saving=SAVING, when=WHEN) for seed in (7, 7, -5)]
    folder = tmp_path / "txt2img-images" / "2026-11-20"
    assert paths == [folder / "00000-7.png", folder / "00001-7.png", folder / "00002--5.png"]


def test_numbers_go_on_after_gaps_and_strangers(tmp_path: Path) -> None:
    folder = tmp_path / "txt2img-images" / "2026-11-20"
    folder.mkdir(parents=True)
    for name in ("00041-1.png", "notes.txt", "123-short.png"):
        (folder / name).touch()
    assert images.save(encoded(), starter_request(), seed=9, outputs=tmp_path, saving=SAVING, when=WHEN).name == "00042-9.png"


@pytest.mark.parametrize("prompt", ["../../etc/passwd", 'a/b\\c:d*?"<>|', "x" * 500, "...", "\x07\n"])
def test_a_prompt_in_the_name_stays_in_the_folder(prompt: str, tmp_path: Path) -> None:
    saving = Saving(subfolders="[prompt_words]/../[date]", file_name="[prompt_words]", png_compression=1)
    first, second = (images.save(encoded(), starter_request(prompt), seed=1, outputs=tmp_path, saving=saving, when=WHEN) for _ in range(2))
    assert first != second and first.exists() and second.exists()
    assert first.resolve().is_relative_to((tmp_path / "txt2img-images").resolve())
    assert len(first.name) < 200


def test_nothing_is_left_behind_when_writing_fails(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.mkdir()
    (target / "inside").touch()
    with pytest.raises(OSError):
        images.write_whole(target, b"data")
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]
