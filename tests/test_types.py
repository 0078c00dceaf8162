"""Requests: what is refused, and with which words."""

from __future__ import annotations

import pytest

from backend.errors import BadRequest
from backend.types import Request, make_request


@pytest.mark.parametrize(
    ("values", "field", "words"),
    [
        ({"width": 130}, "width", "128 or 136"),
        ({"height": 8}, "height", "from 64 to 2048"),
        ({"width": 4096}, "width", "from 64 to 2048"),
        ({"steps": 0}, "steps", "from 1 to 150"),
        ({"steps": 10_000}, "steps", "from 1 to 150"),
        ({"guidance": float("nan")}, "guidance", "must be a number"),
        ({"guidance": float("inf")}, "guidance", "must be a number"),
        ({"guidance": 0.5}, "guidance", "from 1 to 30"),
        ({"prompt": "x" * 100_000}, "prompt", "100,000 characters"),
        ({"prompt": "a\x00b"}, "prompt", "zero byte"),
        ({"sampler": "Euler b"}, "sampler", "not a sampler"),
        ({"sampler": "Restart"}, "sampler", "not available yet"),
        ({"scheduler": "Zigzag"}, "scheduler", "not a schedule type"),
        ({"sampler": "LCM", "scheduler": "Karras"}, "scheduler", "LCM cannot use"),
        ({"model": " "}, "model", "choose one"),
        ({"seed": 2**60}, "seed", "outside"),
        ({"batch_size": 9}, "batch_size", "from 1 to 8"),
        ({"batch_count": 0}, "batch_count", "from 1 to 100"),
        ({"steps": "many"}, "steps", "whole number"),
        ({"colour": "red"}, "colour", "not something a request can hold"),
    ],
)
def test_refused_with_a_sentence_at_the_field(values: dict[str, object], field: str, words: str) -> None:
    with pytest.raises(BadRequest) as caught:
        make_request(**{"model": "starter", **values})
    assert list(caught.value.fields) == [field]
    assert words in caught.value.fields[field]
    assert caught.value.fields[field].endswith(".")


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(BadRequest) as caught:
        make_request(model="starter", width=1, steps=0, sampler="?", guidance=99)
    assert set(caught.value.fields) == {"width", "steps", "sampler", "guidance"}


@pytest.mark.parametrize(
    ("given", "sampler", "scheduler"),
    [
        ("DPM++ 2M Karras", "DPM++ 2M", "Karras"),
        ("DPM++ SDE Karras", "DPM++ SDE", "Karras"),
        ("DPM++ 2M SDE Exponential", "DPM++ 2M SDE", "Exponential"),
        ("DPM2 a Karras", "DPM2 a", "Karras"),
        ("k_euler_a", "Euler a", "Automatic"),
        ("euler A", "Euler a", "Automatic"),
        ("Euler SGM Uniform", "Euler", "SGM Uniform"),
    ],
)
def test_old_and_other_spellings(given: str, sampler: str, scheduler: str) -> None:
    request = make_request(model="m", sampler=given)
    assert (request.sampler, request.scheduler) == (sampler, scheduler)


def test_a_schedule_that_is_asked_for_wins_over_the_combined_name() -> None:
    assert make_request(model="m", sampler="DPM++ 2M Karras", scheduler="exponential").scheduler == "Exponential"


def test_a_request_survives_json_and_cannot_be_changed() -> None:
    request = make_request(model="m", prompt="ü \n “quoted”", extras={"vignette": {"strength": 0.3, "on": True}})
    assert Request.model_validate_json(request.model_dump_json()) == request
    with pytest.raises(ValueError, match="frozen"):
        request.seed = 3  # type: ignore[misc]
