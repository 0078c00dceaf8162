"""The job view: shows one job's progress, preview, pictures and errors, by polling the job routes."""

from __future__ import annotations

import time
from typing import Any

import gradio as gr

from backend.jobs import Job
from ui.style import asset


class JobView(gr.HTML):
    """What a handler returns to it is a message for its script: `followed(job)` or `refused(problem)`.

    The script lives in assets/stage.js and assets/job.js. Its event `reuse` carries the values of a Request.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(
            value=None,
            html_template=asset("stage.html"),
            js_on_load="atelier.openStage(element, props, watch, (name, data) => trigger(name, data)); /* 'reuse' */",
            apply_default_css=False,
            **options,
        )

    def postprocess(self, value: dict[str, Any] | None) -> dict[str, Any] | None:  # type: ignore[override]
        return value

    def api_info(self) -> dict[str, Any]:
        return {"type": "object"}


def followed(job: Job) -> dict[str, Any]:
    """Tell the view to follow this job."""
    return {"job": job.id, "at": time.time()}


def refused(problem: dict[str, Any]) -> dict[str, Any]:
    """Tell the view why there is no job; see Form.problem."""
    return {"problem": problem, "at": time.time()}


def accepted() -> dict[str, Any]:
    """Tell the view that what was refused before is in order now."""
    return {"problem": None, "at": time.time()}
