"""What a tab is built from."""

from __future__ import annotations

from dataclasses import dataclass

import gradio as gr
from gradio.events import Dependency

from backend.engine import Engine
from backend.library import Library, Model
from backend.settings import Settings


@dataclass(frozen=True)
class Parts:
    page: gr.Blocks
    engine: Engine
    library: Library
    settings: Settings
    picker: gr.Dropdown
    """The model picker in the header; its value is a model's name."""
    refreshed: Dependency
    """The event after which the library may hold other models."""

    def model(self, name: str | None) -> Model | None:
        """The usable model of that name, or None."""
        return next((model for model in self.library.models if model.name == name and model.usable), None)
