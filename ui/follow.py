"""The job view: shows one job's progress, preview, pictures and errors, by polling the job routes."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from html import escape
from typing import Any

import gradio as gr

from backend.jobs import Job
from ui.parts import Target
from ui.style import asset

EVENTS = "/* 'reuse' 'send' */"
"""Gradio finds the names of a component's own events by their quotes."""


class JobView(gr.HTML):
    """What a handler returns to it is a message for its script: `followed(*jobs)` or `refused(problem)`.

    The script lives in assets/stage.js and assets/job.js. Its event `reuse` carries the values of a Request, its event
    `send` those, the tab that a picture goes to, and under which name it is kept.
    """

    def __init__(self, *, prefix: str, task: str, targets: Sequence[Target] = (), **options: Any) -> None:
        """`task`: the jobs that a page shows here which was opened afresh; see backend/api/jobs.py."""
        super().__init__(
            value=None,
            elem_id=f"{prefix}_view",
            html_template=asset("stage.html").replace("{sends}", _sends(targets)),
            # Not as properties of its own: Gradio loses those when an event writes to it before its tab was opened.
            js_on_load=f"atelier.openStage(element, {json.dumps([prefix, task])}, props, watch, (name, data) => trigger(name, data)); {EVENTS}",
            apply_default_css=False,
            **options,
        )

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:  # type: ignore[override]
        return value

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}


def followed(*jobs: Job, problem: dict[str, Any] | None = None) -> dict[str, Any]:
    """Tell the view to follow these jobs, one after the other, and why there are no more where one was refused."""
    return {"jobs": [job.id for job in jobs], "problem": problem, "at": time.time()}


def refused(problem: dict[str, Any]) -> dict[str, Any]:
    """Tell the view why there is no job; see Form.problem."""
    return {"problem": problem, "at": time.time()}


def accepted() -> dict[str, Any]:
    """Tell the view that what was refused before is in order now."""
    return {"problem": None, "at": time.time()}


def _sends(targets: Sequence[Target]) -> str:
    """A button for each tab that a picture can go to."""
    return "".join(
        f'<button type="button" class="deed" data-deed="send" data-tab="{escape(target.id)}" aria-label="Send to {escape(target.title)}">'
        f"{escape(target.title)}</button>"
        for target in targets
    )
