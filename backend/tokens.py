"""Counting a prompt's tokens with no tensors, and finding the words that a teaching model has never seen."""

from __future__ import annotations

import json
import re
import threading
from dataclasses import dataclass
from pathlib import Path

from tokenizers import BertWordPieceTokenizer, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

from backend.library import Model

_CLIP_WORDS = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
"""How CLIP cuts text into words before byte-pair encoding."""

_QWEN_WORDS = Regex(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
"""And how Qwen does."""

_SPECIAL = re.compile(r"<\|startoftext\|>|<\|endoftext\|>")


CLIP_TOKENS = 75


@dataclass(frozen=True)
class Count:
    """What a prompt comes to for one model."""

    count: int
    limit: int
    unknown: tuple[str, ...] = ()
    """Words that are not in the model's word list, in order; empty for models that have none."""


class TokenCounter:
    """Keeps the tokenizers that were used; they are small and never change."""

    def __init__(self) -> None:
        self._tokenizers: dict[Path, Tokenizer | None] = {}
        self._lock = threading.Lock()

    def count(self, model: Model, text: str) -> Count:
        folder, limit = model.path / model.family.tokenizer, model.family.prompt_tokens
        if not folder.is_dir():  # left out, as the family may
            folder, limit = model.path / "tokenizer", CLIP_TOKENS
        tokenizer = self._tokenizer(folder)
        ids = tokenizer.encode(_SPECIAL.sub(" ", text), add_special_tokens=False).ids if tokenizer else []
        return Count(len(ids), limit, unknown_words(model, text))

    def _tokenizer(self, folder: Path) -> Tokenizer | None:
        with self._lock:
            if folder not in self._tokenizers:
                self._tokenizers[folder] = _load(folder)
            return self._tokenizers[folder]


def unknown_words(model: Model, text: str) -> tuple[str, ...]:
    """Words of the text that the model's list lacks, each once. Single letters and numbers are left alone."""
    known = set(model.words)
    words = re.findall(r"[^\W\d_]{2,}", text.lower())
    return tuple(dict.fromkeys(word for word in words if known and word not in known))


def _load(folder: Path) -> Tokenizer | None:
    """The tokenizer of a folder, from tokenizer.json, BERT's vocab.txt, or CLIP's vocab.json and merges.txt; None where there is none."""
    try:
        if (folder / "tokenizer.json").is_file():
            tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
            tokenizer.no_truncation()
            tokenizer.no_padding()
            return tokenizer
        if (folder / "vocab.txt").is_file():
            return BertWordPieceTokenizer.from_file(str(folder / "vocab.txt"))._tokenizer
        vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
        lines = (folder / "merges.txt").read_text("utf-8").splitlines()
    except (OSError, ValueError):
        return None
    pairs = [line.split() for line in lines if not line.startswith("#version")]
    merges = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2]
    if not any(word.endswith("</w>") for word in vocabulary):
        return _byte_level(vocabulary, merges)
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_CLIP_WORDS, behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _byte_level(vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    """Qwen's, in whose vocabulary a space belongs to the word after it."""
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(_QWEN_WORDS, behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return tokenizer
