"""What painting a mask costs: script for each move of the pointer, and the way from the canvas to a mask on the server.

A page of its own with one canvas in a headless Chromium without a graphics card. `python3 -m benchmarks.mask_round_trip [--strokes 6]`
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import uvicorn
from fastapi import FastAPI
from PIL import Image

from backend.api import inputs as inputs_api
from backend.engine import Engine
from backend.inputs import Inputs
from backend.painting import Borders
from benchmarks.serving import free_port
from ui.fast_gradio import without_stubs

SIZES = (1024, 4096)
BRUSHES = (40, 400)
MOVES = 60
"""Pointer moves in one stroke."""

MEASURE = """() => {
  window.spent = [];
  const listen = EventTarget.prototype.addEventListener;
  EventTarget.prototype.addEventListener = function (name, work, options) {
    const timed = name !== "pointermove" ? work : function (event) {
      const begun = performance.now();
      work.call(this, event);
      window.spent.push(performance.now() - begun);
    };
    return listen.call(this, name, timed, options);
  };
}"""
"""Runs before the page's own scripts and times their handlers of pointer moves."""

MEASURE_FRAMES = """() => {
  window.drawn = [];
  const { draw } = atelier.CanvasView.prototype;
  atelier.CanvasView.prototype.draw = function () {
    const begun = performance.now();
    draw.call(this);
    window.drawn.push(performance.now() - begun);
  };
}"""


@dataclass
class CanvasPage:
    """A small page with a canvas `#mask`, a canvas without tools `#photo` on a second tab, and what their handlers received."""

    url: str
    inputs: Inputs
    results: dict[str, bytes] = field(default_factory=dict)
    """Job's name to the PNG of its only picture."""

    received: list[Any] = field(default_factory=list)
    events: list[Any] = field(default_factory=list)
    to_show: Any = None
    """What the buttons `#show` and `#show_photo` return to the canvases."""


@contextlib.contextmanager
def canvas_page(folder: Path) -> Iterator[CanvasPage]:
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_TEMP_DIR"] = str(folder / "gradio")
    page = CanvasPage(f"http://127.0.0.1:{free_port()}/", Inputs(folder / "inputs", folder / "passing"))
    server = uvicorn.Server(uvicorn.Config(_app(page), host="127.0.0.1", port=int(page.url.rsplit(":", 1)[1].strip("/")), log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield page
    finally:
        server.should_exit = True
        thread.join(10)


def _app(page: CanvasPage) -> FastAPI:
    with without_stubs():
        import gradio as gr

        from ui.canvas import MaskCanvas
        from ui.style import head
        from ui.theme import AtelierTheme

    def job(name: str) -> Any:
        data = page.results.get(name)
        return SimpleNamespace(image=lambda index: SimpleNamespace(data=data) if index == 0 else None) if data else None

    app = FastAPI()
    app.include_router(inputs_api.router(cast("Engine", SimpleNamespace(inputs=page.inputs, job=job))))
    with gr.Blocks(title="Canvas", analytics_enabled=False, fill_width=True) as blocks:
        with gr.Tabs():
            with gr.Tab("Inpaint"):
                canvas = MaskCanvas(elem_id="mask", label="Picture and mask")
                go = gr.Button("Generate", elem_id="go")
                show = gr.Button("Show", elem_id="show")
                show_photo = gr.Button("Show on the other tab", elem_id="show_photo")
            with gr.Tab("Photo"):
                photo = MaskCanvas(elem_id="photo", label="Picture to start from", masks=False)
                gr.Textbox(label="Prompt", elem_id="words")
                send = gr.Button("Generate", elem_id="go_photo")
        go.click(page.received.append, canvas, None, js="() => atelier.canvases.mask.ready()")
        send.click(page.received.append, photo, None, js="() => atelier.canvases.photo.ready()")
        show.click(lambda: page.to_show, None, canvas)
        show_photo.click(lambda: page.to_show, None, photo)
        canvas.picture(page.events.append, canvas, None)
    gr.mount_gradio_app(
        app, blocks, path="/", theme=AtelierTheme(), head=head(), ssr_mode=False, footer_links=[], run_history=False, mcp_server=False
    )
    return app


def measure(page: CanvasPage, side: int, strokes: int) -> None:
    from playwright.sync_api import sync_playwright

    from ui.canvas import Painted

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        file = Path(folder) / "picture.png"
        Image.effect_noise((side, side), 60).convert("RGB").save(file, compress_level=1)
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"])
        tab = browser.new_page(viewport={"width": 1440, "height": 900})
        tab.add_init_script(f"({MEASURE})()")
        tab.goto(page.url)
        tab.locator("#mask .choose-picture").set_input_files(file)
        tab.locator("#mask .canvas[data-mode=picture]").wait_for()
        tab.evaluate(MEASURE_FRAMES)
        box = tab.locator("#mask img.picture").bounding_box()
        assert box
        for brush in BRUSHES:
            tab.evaluate("size => { atelier.canvases.mask.state.size = size; window.spent = []; window.drawn = []; }", brush)
            trips = []
            for stroke in range(strokes):
                y = box["y"] + box["height"] * (stroke + 1) / (strokes + 1)
                tab.mouse.move(box["x"] + 8, y)
                tab.mouse.down()
                tab.mouse.move(box["x"] + box["width"] - 8, y + 30, steps=MOVES)
                tab.mouse.up()
                begun = time.perf_counter()
                mask = tab.evaluate("atelier.canvases.mask.ready()")["mask"]
                page.inputs.open(mask).tobytes()
                trips.append(time.perf_counter() - begun)
                assert Painted(None, mask, Borders()).mask
            spent, drawn = tab.evaluate("[window.spent, window.drawn]")
            print(
                f"{side:5} x {side:<5} {brush:5}   {statistics.median(spent):8.2f} {max(spent):8.2f}   "
                f"{statistics.median(drawn):8.2f} {max(drawn):8.2f}   {1000 * statistics.median(trips):8.0f} {1000 * max(trips):8.0f}",
                flush=True,
            )
        browser.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strokes", type=int, default=6)
    options = parser.parse_args()
    print("picture        brush    pointer move, ms     frame drawn, ms      ready() and decoded, ms")
    print("               pixels     median      max     median      max     median      max")
    for side in SIZES:
        with tempfile.TemporaryDirectory() as folder, canvas_page(Path(folder)) as page:
            measure(page, side, options.strokes)


if __name__ == "__main__":
    main()
