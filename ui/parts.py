"""What a tab is built from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.events import Dependency

from backend.batches import Batches
from backend.engine import Engine
from backend.library import Library, Model
from backend.settings import Settings

QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
"""Short events: at once, with no overlay, not part of the public API."""
TELLING = {**QUIET, "queue": True}
"""The same for events that may show a notice, which Gradio sends through its queue only."""


@dataclass(frozen=True)
class Target:
    """A tab that takes in pictures that were made in another one."""

    id: str
    title: str


@dataclass(frozen=True)
class Parts:
    page: gr.Blocks
    engine: Engine
    library: Library
    settings: Settings
    batches: Batches
    picker: gr.Dropdown
    """The model picker in the header; its value is a model's name."""
    refreshed: Dependency
    """The event after which the library may hold other models."""
    targets: tuple[Target, ...] = ()
    """Where pictures can be sent to."""

    def model(self, name: str | None) -> Model | None:
        """The usable model of that name, or None."""
        return next((model for model in self.library.models if model.name == name and model.usable), None)
