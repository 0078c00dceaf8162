"""The Models tab: what lies in the models folders, and what can be added to them."""

from __future__ import annotations

import gradio as gr

from ui.parts import QUIET, Parts
from ui.style import asset


class ModelsView(gr.HTML):
    """Has no value: the scripts in assets/models*.js ask our own routes, and only while the tab is open."""

    def __init__(self) -> None:
        super().__init__(
            value=None,
            elem_id="models_view",
            html_template=asset("models.html"),
            js_on_load="atelier.openModels(element);",
            apply_default_css=False,
        )


def build(parts: Parts) -> None:
    """Fill the tab."""
    ModelsView()
    parts.refreshed.then(None, None, [], js="() => { atelier.modelsAgain(); return []; }", **QUIET)
