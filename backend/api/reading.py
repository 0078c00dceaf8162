"""Which control models go with which control type: what the page's and the ControlNet extension's routes have in common."""

from __future__ import annotations

from backend.control_models import ControlModel
from backend.library import Library
from backend.preprocessors import ControlType

KINDS = {"T2I-Adapter": "t2i-adapter", "IP-Adapter": "ip-adapter"}
"""The control types that are kinds of models, whatever those read."""


def models_of(kind: ControlType, library: Library) -> list[str]:
    """The names of the models that go with a control type: told by their kind, else by their names."""
    return [model.name for model in library.controls.usable if _fits(kind, model)]


def _fits(kind: ControlType, model: ControlModel) -> bool:
    if kind.name == "All":
        return True
    if kind.name in KINDS:
        return model.kind == KINDS[kind.name]
    if model.kind == "ip-adapter":
        return False
    return model.kind == "controlnet-union" or any(word in model.name.lower() for word in kind.words)
