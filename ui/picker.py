"""The model picker in the header."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.events import Dependency

from backend.library import Library, Model
from backend.settings import Settings
from ui.form import ChoiceDropdown

NO_MODELS = "No models yet: put one into the models folder, then refresh"


def build_picker(library: Library, settings: Settings) -> tuple[gr.Dropdown, Dependency]:
    """A dropdown of all models, and the event of a button that looks at the disk again."""

    def looked_again(chosen: str | None) -> Any:
        library.refresh()
        gr.Info(f"{_counted(len(library.models))} found.", duration=3)
        return gr.update(**listed(library, settings, chosen))

    picker = ChoiceDropdown(
        **listed(library, settings, None), label="Model", show_label=False, elem_id="model_picker",
        interactive=True, filterable=False, container=False,
    )  # fmt: skip
    refresh = gr.Button("Look for models again", elem_id="model_refresh", elem_classes="icon refresh", size="sm")
    refreshed = refresh.click(looked_again, picker, picker, show_progress="hidden", api_visibility="private")
    return picker, refreshed


def choices(models: tuple[Model, ...]) -> list[tuple[str, str]]:
    """Label and name of each model; damaged ones say so."""
    return [(f"{model.name} · {model.family.title}" if model.usable else f"{model.name} (damaged)", model.name) for model in models]


def listed(library: Library, settings: Settings, chosen: str | None) -> dict[str, Any]:
    """The picker's choices as the library is now. What was chosen stays, where it is still there."""
    names = [model.name for model in library.models]
    if not names:
        return {"choices": [(NO_MODELS, "")], "value": ""}
    default = library.default(settings.generation.default_model)
    value = chosen if chosen in names else default.name if default else names[0]
    if chosen and value != chosen:
        gr.Warning(f"The model “{chosen}” is not here any more. “{value}” is chosen now.")
    return {"choices": choices(library.models), "value": value}


def _counted(number: int) -> str:
    return "1 model" if number == 1 else f"{number} models"
