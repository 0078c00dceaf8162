"""The page as a whole: header, tabs, status line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import gradio as gr

from backend.batches import Batches
from backend.engine import Engine
from backend.library import Library
from backend.settings import Settings
from ui import controlnet, drawing, img2img, inpaint, models, sending, txt2img, upscaling
from ui.drawing import DrawingTab, PictureTab
from ui.parts import QUIET, Parts, Target
from ui.picker import build_picker
from ui.style import asset


@dataclass(frozen=True)
class Tab:
    """One tab: its elem_id, its title, and the function that fills it."""

    id: str
    title: str
    build: Callable[[Parts], PictureTab | None]
    takes_pictures: bool = False
    """Whether the pictures of other tabs can be sent to it; it then has a canvas, or units."""

    @property
    def name(self) -> str:
        """The title within a sentence: names keep their capitals."""
        return self.title.lower() if self.title.istitle() else self.title


TABS: tuple[Tab, ...] = (
    Tab("txt2img", "txt2img", txt2img.build),
    Tab("img2img", "img2img", img2img.build, takes_pictures=True),
    Tab("inpaint", "Inpaint", inpaint.build, takes_pictures=True),
    Tab("controlnet", "ControlNet", controlnet.build, takes_pictures=True),
    Tab("upscale", "Upscale", upscaling.build, takes_pictures=True),
    Tab("models", "Models", models.build),
)
"""To add a tab, write one file with a `build`, and add one line here."""


def build(engine: Engine, batches: Batches, library: Library, settings: Settings) -> gr.Blocks:
    """The whole page, not yet mounted."""
    with gr.Blocks(title="Atelier", analytics_enabled=False, fill_width=True, delete_cache=(3600, 86400)) as page:
        with gr.Row(elem_id="topbar"):
            gr.HTML(asset("brand.html"), elem_id="brand", apply_default_css=False)
            picker, refreshed = build_picker(library, settings)
            gr.HTML(asset("theme_toggle.html"), elem_id="theme", apply_default_css=False)
        targets = tuple(Target(tab.id, tab.name) for tab in TABS if tab.takes_pictures)
        parts = Parts(
            page=page, engine=engine, batches=batches, library=library, settings=settings, picker=picker, refreshed=refreshed, targets=targets,
        )  # fmt: skip
        with gr.Tabs(elem_id="tabs") as tabs:
            built = [_tab(tab, parts) for tab in TABS]
        drawing.connect(parts, [tab for tab in built if isinstance(tab, DrawingTab)])
        sending.connect(parts, tabs, [tab for tab in built if tab], [tab.id for tab in TABS if tab.takes_pictures])
        gr.HTML(asset("status.html"), elem_id="statusbar", apply_default_css=False)
    return page


def _tab(tab: Tab, parts: Parts) -> PictureTab | None:
    with gr.Tab(tab.title, id=tab.id, elem_id=f"tab_{tab.id}") as opened:
        made = tab.build(parts)
    opened.select(None, None, None, js=f"() => {{ atelier.opened('{tab.id}'); return []; }}", **QUIET)
    return made
