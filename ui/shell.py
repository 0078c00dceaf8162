"""Mounts the page on the server's application."""

from __future__ import annotations

import os
from pathlib import Path

from fastapi import FastAPI

from backend.batches import Batches
from backend.engine import Engine
from backend.library import Library
from backend.settings import Settings
from ui.fast_gradio import without_stubs

UPLOAD_MAX = "64mb"


def mount(app: FastAPI, engine: Engine, batches: Batches, library: Library, settings: Settings) -> None:
    """Build the page, and mount it at "/". Call it last: routes that are added later are not reached."""
    _prepare(settings.folders.state / "tmp")
    with without_stubs():
        import gradio

        from ui.page import build
        from ui.style import head
        from ui.theme import AtelierTheme

    gradio.mount_gradio_app(
        app,
        build(engine, batches, library, settings),
        path="/",
        theme=AtelierTheme(),
        head=head(),
        run_history=False,
        footer_links=[],
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        max_file_size=UPLOAD_MAX,
        allowed_paths=[],
        show_error=True,
        favicon_path=str(Path(__file__).parent / "assets" / "icon.svg"),
    )


def _prepare(temporary: Path) -> None:
    """What gradio reads from the environment when it is imported: no calls home, and a temporary folder of our own."""
    temporary.mkdir(parents=True, exist_ok=True)
    temporary.chmod(0o700)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(temporary)
    os.environ.pop("GRADIO_SHARE", None)
