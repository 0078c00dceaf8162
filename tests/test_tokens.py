"""Counting tokens without tensors gives what the real tokenizer gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import CLIPTokenizer, Qwen2Tokenizer

from backend import settings
from backend.library import Model, inspect
from backend.tokens import TokenCounter

STARTER = settings.ROOT / "models" / "starter"
TEXTS = [
    "",
    "a red house by snowy mountains at sunset",
    "Zebra's 4k, (masterpiece:1.2)!!",
    "don't  stop\n\nnow",
    "ünï 猫 🐈",
    "<|endoftext|> a",
    "x" * 300,
]


@pytest.mark.parametrize("text", TEXTS)
def test_as_many_as_the_real_tokenizer_finds(text: str) -> None:
    real = CLIPTokenizer.from_pretrained(STARTER / "tokenizer")
    expected = len(real(text.replace("<|endoftext|>", " ")).input_ids) - 2
    assert TokenCounter().count(inspect(STARTER), text).count == expected


@pytest.mark.parametrize("text", TEXTS)
def test_the_older_two_file_layout_counts_alike(text: str, tmp_path: Path) -> None:
    """Most Stable Diffusion folders hold vocab.json and merges.txt and no tokenizer.json."""
    layout = json.loads((STARTER / "tokenizer" / "tokenizer.json").read_text("utf-8"))["model"]
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "vocab.json").write_text(json.dumps(layout["vocab"]), "utf-8")
    merges = "\n".join(" ".join(pair) if isinstance(pair, list) else pair for pair in layout["merges"])
    (tmp_path / "tokenizer" / "merges.txt").write_text("#version: 0.2\n" + merges, "utf-8")
    model = Model(name="old", path=tmp_path, family_id="sd1")
    assert TokenCounter().count(model, text).count == TokenCounter().count(inspect(STARTER), text).count


def test_words_a_teaching_model_does_not_know_are_named() -> None:
    counted = TokenCounter().count(inspect(STARTER), "a red zebra by the sea, ZEBRA and 3 unicorns")
    assert counted.unknown == ("zebra", "unicorns")
    assert counted.limit == 75


def test_a_model_without_a_tokenizer_counts_nothing(tmp_path: Path) -> None:
    assert TokenCounter().count(Model(name="x", path=tmp_path, family_id="sd1"), "a cat").count == 0


@pytest.mark.parametrize("text", [text for text in TEXTS if "<|" not in text])
def test_qwens_two_files_are_counted_as_qwen_counts(text: str, tmp_path: Path) -> None:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(vocab_size=400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    made.train_from_iterator(TEXTS, trainer)
    layout = json.loads(made.to_str())["model"]
    merges: Any = [tuple(pair) if isinstance(pair, list) else tuple(pair.split(" ")) for pair in layout["merges"]]
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "vocab.json").write_text(json.dumps(layout["vocab"]), "utf-8")
    (tmp_path / "tokenizer" / "merges.txt").write_text("#version: 0.2\n" + "\n".join(map(" ".join, merges)), "utf-8")
    real = Qwen2Tokenizer(vocab=layout["vocab"], merges=merges)
    counted = TokenCounter().count(Model(name="q", path=tmp_path, family_id="qwen-image"), text)
    assert (counted.count, counted.limit) == (len(real(text).input_ids), 512)
