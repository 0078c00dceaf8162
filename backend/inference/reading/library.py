"""The way to controlnet-aux: its detectors one by one, without the rest of it."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import io
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np

PACKAGE = "controlnet_aux"


def detector(module: str, name: str) -> Any:
    """A class of one of its modules, such as ("hed", "HEDdetector")."""
    if PACKAGE not in sys.modules:
        # Its __init__ imports every detector there is, which takes seconds and fails where one of them does.
        spec = importlib.util.find_spec(PACKAGE)
        assert spec is not None, "controlnet-aux is in requirements.txt"
        sys.modules[PACKAGE] = importlib.util.module_from_spec(spec)
    with silence():
        return getattr(importlib.import_module(f"{PACKAGE}.{module}"), name)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep what its detectors print and warn about out of the terminal."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let what draws from numpy's own random numbers draw the same ones each time."""
    before = np.random.get_state()
    np.random.seed(seed)
    try:
        yield
    finally:
        np.random.set_state(before)
