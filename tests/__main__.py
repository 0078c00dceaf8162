"""Run every test: `python3 -m tests`, with what pytest understands behind it."""

import os
import sys

if sys.version_info < (3, 10):
    sys.exit("Atelier needs Python 3.10 or newer, and this is Python %d.%d." % sys.version_info[:2])

from pathlib import Path

from backend.environment import ensure
from backend.errors import StartFailed

ROOT = Path(__file__).resolve().parent.parent


def main() -> int:
    os.chdir(ROOT)
    arguments = sys.argv[1:]
    try:
        ensure(ROOT / "requirements-dev.txt", ["-m", "tests"] + arguments)
    except StartFailed as problem:
        sys.exit(str(problem))

    import pytest

    return int(pytest.main(arguments))


if __name__ == "__main__":
    sys.exit(main())
