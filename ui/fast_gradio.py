"""Lets gradio be imported without writing type stubs, which is half of its import time."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def without_stubs() -> Iterator[None]:
    """While this is open, gradio's component classes and our own are defined without a .pyi file each.

    gradio.component_meta looks up the source file of every component class, and writes a stub beside it; where there
    is no source file (OSError) it skips that. Measured on 2 cores: 1.25 s instead of 2.3 s for `import gradio`.
    """
    find_source = inspect.getfile

    def no_source_for_components(thing: object) -> str:
        if isinstance(thing, type) and thing.__module__.startswith(("gradio.", "ui.")):
            raise OSError("no stub is wanted")
        return find_source(thing)  # type: ignore[arg-type]

    inspect.getfile = no_source_for_components
    try:
        yield
    finally:
        inspect.getfile = find_source
