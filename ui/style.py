"""Puts the page's style sheets and scripts together."""

from __future__ import annotations

from pathlib import Path

ASSETS = Path(__file__).parent / "assets"
STYLES = ("page.css", "form.css", "stage.css", "batch.css", "canvas.css", "units.css", "several.css", "models.css")
SCRIPTS = (
    "core.js",
    "status.js",
    "form.js",
    "tabs.js",
    "keys.js",
    "job.js",
    "about.js",
    "stage.js",
    "batch.js",
    "canvas_mask.js",
    "canvas_png.js",
    "canvas_view.js",
    "canvas_grow.js",
    "canvas_tools.js",
    "canvas_page.js",
    "canvas.js",
    "units_known.js",
    "units_field.js",
    "units_pictures.js",
    "units_draw.js",
    "units_unit.js",
    "units.js",
    "several.js",
    "models_rows.js",
    "models.js",
)
"""In this order; core.js first."""


def asset(name: str) -> str:
    return (ASSETS / name).read_text("utf-8")


def head() -> str:
    """Goes into the page's <head>, style sheets too: what Gradio is given as `css` it rewrites, and breaks
    rules within @media and selectors such as `:is(a, b)`."""
    styles = "\n".join(f"<style>\n{asset(name)}</style>" for name in STYLES)
    scripts = "\n".join(f"<script>\n{asset(name)}</script>" for name in SCRIPTS)
    return styles + scripts
