"""Making pictures larger: the Upscale tab, and the card for it in tabs that draw."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import gradio as gr
from gradio.components import Component

from backend.enlarging import NONE, SCALE_MAX, SCALE_MIN, SIDE_MAX, Detail, Upscale
from backend.errors import AtelierError
from backend.jobs import Job
from backend.network_files import NetworkFiles
from ui.canvas import Painted
from ui.controls import Slider
from ui.drawing import PictureTab, checked_request, pictures_of, source_block
from ui.folder import folder_card
from ui.follow import JobView, followed, refused
from ui.form import ChoiceDropdown, Form
from ui.parts import QUIET, TELLING, Parts
from ui.several import FurtherPictures, gathered
from ui.sizes import picture_size

PREFIX = "ups"
NO_RESTORERS = "GFPGAN and RestoreFormer files in models/GFPGAN appear here."
SIZES = ("upscale.width", "upscale.height", "upscale.crop")


def build(parts: Parts) -> PictureTab:
    """Fill the tab."""
    with gr.Row(elem_id=f"{PREFIX}_work", elem_classes="work"):
        with gr.Column(elem_classes="left", min_width=0):
            canvas = source_block(PREFIX, "Picture to make larger", masks=False, several=True)
            further = FurtherPictures(PREFIX)
            with gr.Row(elem_classes="go"):
                generate = gr.Button("Upscale", variant="primary", elem_id=f"{PREFIX}_generate", elem_classes="generate")
                gr.Button("Stop", elem_id=f"{PREFIX}_stop", elem_classes="stop")
            with gr.Column(elem_classes="settings", min_width=0):
                widgets, told = _settings(parts)
                folder = gr.Column(min_width=0)
        with gr.Column(elem_classes="right", min_width=0):
            view = JobView(prefix=PREFIX, task="upscale", targets=parts.targets)
    tab = PictureTab("upscale", Form(PREFIX, {"image": canvas, **widgets}), view, canvas)
    _generate(parts, tab, generate, further)
    _connect(parts, tab, told)
    with folder:
        folder_card(parts, tab, sizes=())
    return tab


def _settings(parts: Parts) -> tuple[dict[str, Component], gr.HTML]:
    """By how much and with what; and the place that says what it comes to."""
    start, slider = Upscale(), Slider(PREFIX)
    with gr.Column(elem_classes="card", min_width=0):
        upscaler = _choice(parts, "Upscaler", first_choice(parts), f"{PREFIX}_upscaler")
        with gr.Row(elem_classes="pair"):
            scale = slider("Resize by", SCALE_MIN, SCALE_MAX, 0.05, start.scale, "scale")
            crop = gr.Checkbox(start.crop, label="Crop to fit", info="Where both sides are given.", elem_id=f"{PREFIX}_crop")
            width = slider("Resize width to", 0, SIDE_MAX, 8, start.width, "width", info="0: by the factor")
            height = slider("Resize height to", 0, SIDE_MAX, 8, start.height, "height", info="0: by the factor")
        told = gr.HTML("", elem_id=f"{PREFIX}_sizes", elem_classes="sizes", apply_default_css=False)
    with gr.Column(elem_classes="card", min_width=0), gr.Row(elem_classes="pair"):
        second = _choice(parts, "Upscaler 2", start.second, f"{PREFIX}_second")
        visibility = slider("Upscaler 2 visibility", 0, 1, 0.05, start.second_visibility, "second_visibility")
    with gr.Column(elem_classes="card", min_width=0), gr.Row(elem_classes="pair"):
        faces = _faces(parts, PREFIX)
    widgets: dict[str, Component] = {
        "upscale.upscaler": upscaler, "upscale.scale": scale, "upscale.width": width, "upscale.height": height, "upscale.crop": crop,
        "upscale.second": second, "upscale.second_visibility": visibility, **faces,
    }  # fmt: skip
    return widgets, told


def upscale_card(parts: Parts, prefix: str) -> dict[str, Component]:
    """For tabs that draw: what is drawn becomes larger at once, and is drawn anew tile by tile if that is wanted."""
    start, detail, slider = Upscale(scale=2.0), Detail(), Slider(f"{prefix}_upscale")
    with gr.Column(elem_classes="card", min_width=0):
        with gr.Row(elem_classes="switch-line"):
            switch = gr.Checkbox(False, label="Upscale afterwards", elem_id=f"{prefix}_upscale", elem_classes="switch")
        with gr.Column(elem_classes="switched", min_width=0), gr.Row(elem_classes="pair"):
            upscaler = _choice(parts, "Upscaler", first_choice(parts), f"{prefix}_upscale_upscaler")
            scale = slider("Upscale by", SCALE_MIN, SCALE_MAX, 0.05, start.scale, "scale")
            anew = gr.Checkbox(
                False, label="Draw details anew", info="Tile by tile, with this model and prompt.", elem_id=f"{prefix}_upscale_detail",
            )  # fmt: skip
            strength = slider("Strength of details", 0, 1, 0.01, detail.denoising_strength, "strength")
            control = _tile_controls(parts, f"{prefix}_upscale_control")
            faces = _faces(parts, f"{prefix}_upscale")
    return {
        "upscale": switch, "upscale.upscaler": upscaler, "upscale.scale": scale, "upscale.detail": anew,
        "upscale.detail.denoising_strength": strength, "upscale.detail.control": control, **faces,
    }  # fmt: skip


def _tile_controls(parts: Parts, elem_id: str) -> ChoiceDropdown:
    """ControlNets that hold the details to what is there; those made for tiles first."""

    def choices() -> list[tuple[str, str]]:
        names = [model.name for model in parts.library.controls.usable if model.kind in ("controlnet", "controlnet-union")]
        return [(NONE, ""), *((name, name) for name in sorted(names, key=lambda name: "tile" not in name.lower()))]

    made = ChoiceDropdown(
        choices(), value=Detail().control, label="Tile ControlNet", elem_id=elem_id, interactive=True, filterable=False, elem_classes="choice",
    )  # fmt: skip
    parts.refreshed.then(lambda: gr.update(choices=choices()), None, made, **QUIET)
    return made


def _faces(parts: Parts, prefix: str) -> dict[str, Component]:
    """Which network restores faces, and how much of that shows."""
    start = Upscale()
    restorer = _choice(parts, "Face restorer", start.faces, f"{prefix}_faces", lambda: parts.library.restorers)
    visibility = Slider(prefix)("Face visibility", 0, 1, 0.05, start.faces_visibility, "faces_visibility")
    return {"upscale.faces": restorer, "upscale.faces_visibility": visibility}


def _choice(parts: Parts, label: str, value: str, elem_id: str, files: Callable[[], NetworkFiles[Any]] | None = None) -> ChoiceDropdown:
    """Among the upscalers, or other files."""

    def properties() -> dict[str, Any]:
        names = [one.name for one in (files() if files else parts.library.upscalers).usable]
        return {"choices": names, "info": NO_RESTORERS if files and len(names) == 1 else ""}

    made = ChoiceDropdown(
        **properties(), value=value, label=label, elem_id=elem_id, interactive=True, filterable=False, elem_classes="choice",
    )  # fmt: skip
    parts.refreshed.then(lambda: gr.update(**properties()), None, made, **QUIET)
    return made


def first_choice(parts: Parts) -> str:
    """The first upscaler that is a model, else Lanczos."""
    return next((upscaler.name for upscaler in parts.library.upscalers.usable if upscaler.path), "Lanczos")


def _generate(parts: Parts, tab: PictureTab, generate: gr.Button, further: FurtherPictures) -> None:
    """Each picture becomes a job of its own, and the view follows all of them."""
    form = tab.form

    def submit(**values: Any) -> dict[str, Any]:
        painted, more = values.pop("image"), values.pop("further")
        first = [painted.image] if painted and painted.image else []
        jobs: list[Job] = []
        try:
            for picture in dict.fromkeys([*first, *more]) or [None]:
                request = form.request(parts.library, {**values, "image": Painted(picture)})
                jobs.append(parts.engine.submit(request))
        except AtelierError as error:
            return followed(*jobs, problem=form.problem(error)) if jobs else refused(form.problem(error))
        return followed(*jobs)

    asked = {**form.widgets, "further": further}
    js = gathered(PREFIX, list(asked).index("further"))
    generate.click(submit, outputs=tab.view, inputs_kwargs=asked, js=js, trigger_mode="multiple", **QUIET)


def _connect(parts: Parts, tab: PictureTab, told: gr.HTML) -> None:
    form, canvas = tab.form, tab.canvas
    assert canvas
    kept = {f"{PREFIX}:{name}": widget for name, widget in form.widgets.items()}
    recall = f"(...values) => atelier.recall({json.dumps(list(kept))}, values)"
    parts.page.load(None, list(kept.values()), list(kept.values()), js=recall, **QUIET)
    remember = f"(...values) => {{ atelier.remember('{PREFIX}', {form.names_json}, values); return []; }}"
    gr.on([widget.change for widget in form.widgets.values()], None, list(form.widgets.values()), [], js=remember, **QUIET)  # type: ignore[attr-defined]

    def reuse(event: gr.EventData) -> dict[Component, Any]:
        request = checked_request(event.request)
        return {**form.updates(form.filled(request)), canvas: pictures_of(parts, request)}

    tab.view.reuse(reuse, None, tab.outputs, **TELLING)

    def sizes(painted: Painted, scale: Any, width: Any, height: Any, crop: bool) -> str:
        size = picture_size(parts, painted)
        if size is None:
            return ""
        try:
            target = Upscale.model_validate({"scale": scale, "width": width or 0, "height": height or 0, "crop": crop}).size(*size)
        except ValueError:
            return ""  # said when the request is made
        return f'<span class="from-to">from {size[0]} × {size[1]} to {target[0]} × {target[1]}</span>'

    asked = [canvas, *(form.widgets[name] for name in ("upscale.scale", *SIZES))]
    options: dict[str, Any] = {**QUIET, "trigger_mode": "always_last"}
    gr.on([component.change for component in asked], sizes, asked, told, **options)  # type: ignore[attr-defined]
    canvas.picture(sizes, asked, told, **options)  # type: ignore[attr-defined]
