"""The starter model's training material: repeatable pictures, known words, held-out combinations, whole-word tokens."""

from __future__ import annotations

import random
import re

import pytest

from tools.starter.captions import caption, vocabulary
from tools.starter.dataset import training_facts
from tools.starter.facts import draw_facts, is_held_out
from tools.starter.networks import tokenizer
from tools.starter.pictures import draw
from tools.starter.scoring import held_out_prompts

MADE_UP = re.compile(r"([bcdfghklmnprstvz][aeiou]){2,4}[bcdfghklmnprstvz]?")
"""Consonant and vowel by turns, four to eight letters."""


@pytest.mark.parametrize("number", range(12))
def test_the_same_seed_draws_the_same_bytes(number: int) -> None:
    first, second = (draw(*training_facts(f"test-{number}"), 96, 64) for _ in range(2))
    assert first.size == (96, 64)
    assert first.tobytes() == second.tobytes()


def test_another_seed_draws_another_picture() -> None:
    assert len({draw(*training_facts(f"test-{number}"), 64, 64).tobytes() for number in range(8)}) == 8


def test_captions_use_known_words_and_at_times_a_made_up_one() -> None:
    rng, known, strange = random.Random(5), set(vocabulary()), 0
    for _ in range(3000):
        words = [word for word in caption(draw_facts(rng), rng).replace(",", " ").split() if word != "4k"]
        unknown = [word for word in words if word not in known]
        assert len(unknown) <= 1
        assert all(MADE_UP.fullmatch(word) for word in unknown)
        strange += len(unknown)
    assert 0.03 < strange / 3000 < 0.09


def test_training_never_sees_a_held_out_combination() -> None:
    assert not any(is_held_out(training_facts(f"test-{number}")[0]) for number in range(2000))


def test_scoring_sees_only_held_out_combinations() -> None:
    assert all(is_held_out(prompt.facts) for prompt in held_out_prompts(100))


def test_about_one_combination_in_twelve_is_held_out() -> None:
    rng = random.Random(6)
    share = sum(is_held_out(draw_facts(rng)) for _ in range(4000)) / 4000
    assert 0.06 < share < 0.13


def test_every_known_word_is_one_token() -> None:
    words = tokenizer()
    pieces = {word: words(word, add_special_tokens=False).input_ids for word in vocabulary()}
    assert [word for word, tokens in pieces.items() if len(tokens) != 1] == []
    assert len({tokens[0] for tokens in pieces.values()}) == len(pieces)


def test_an_unknown_word_is_spelled_with_several_tokens() -> None:
    words = tokenizer()
    tokens = words("zzyzx", add_special_tokens=False).input_ids
    assert len(tokens) > 1
    assert words.unk_token_id not in tokens or words.unk_token_id == words.eos_token_id
    assert str(words.decode(tokens)).strip() == "zzyzx"
