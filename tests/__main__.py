"""Run every test: `python3 -m tests`, two files at a time; or, with what pytest understands behind it, those asked for."""

import os
import sys

if sys.version_info < (3, 10):
    sys.exit("Atelier needs Python 3.10 or newer, and this is Python %d.%d." % sys.version_info[:2])

from pathlib import Path

from backend.environment import ensure
from backend.errors import StartFailed

ROOT = Path(__file__).resolve().parent.parent

EVERYTHING = ["--numprocesses=2", "--dist=loadfile"]
"""Much of the time a test waits for a page or a worker. Each process has a server of its own."""


def main() -> int:
    os.chdir(ROOT)
    arguments = sys.argv[1:]
    try:
        ensure(ROOT / "requirements-dev.txt", ["-m", "tests"] + arguments)
    except StartFailed as problem:
        sys.exit(str(problem))

    import pytest

    return int(pytest.main(arguments or EVERYTHING))


if __name__ == "__main__":
    sys.exit(main())
