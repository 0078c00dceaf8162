"""What pip complains about, in words for the person at the screen. The installing itself is tried in test_environment."""

from __future__ import annotations

import pytest

from backend.installing import explain_pip


@pytest.mark.parametrize(
    ("complaints", "begins", "ends"),
    [
        (
            ["ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device\n", "\n"],
            "The disk is full",
            "[Errno 28] No space left on device",
        ),
        (
            [
                "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(...: [Errno 101] Network is unreachable')'\n",
                "ERROR: Could not find a version that satisfies the requirement torch==2.14.1 (from versions: none)\n",
                "ERROR: No matching distribution found for torch==2.14.1\n",
            ],
            "The packages cannot be fetched, because there is no connection",
            "ERROR: No matching distribution found for torch==2.14.1",
        ),
        (
            ["ERROR: Cannot install a and b because these package versions have conflicting dependencies.\n"],
            "The packages could not be",
            "dependencies.",
        ),
        ([], "The packages could not be installed.", "nothing"),
    ],
)
def test_what_pip_complains_about_becomes_a_sentence(complaints: list[str], begins: str, ends: str) -> None:
    sentence = explain_pip(complaints)
    assert sentence.startswith(begins)
    assert sentence.endswith(ends)
