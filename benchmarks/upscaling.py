"""Making a picture of 1024x1024 four times as large: seconds, and how much memory the worker takes on for it.

The limits beside it: what the arithmetic alone takes (the network on one tile, times the tiles), and what the finished
pixels alone take. `python3 -m benchmarks.upscaling [--side 1024] [--runs 3]`
"""

from __future__ import annotations

import argparse
import base64
import io
import statistics
import tempfile
import threading
import time
from pathlib import Path

import psutil
import torch
from PIL import Image

from backend.inference import memory
from backend.inference.tiling import places
from backend.inference.upscale import OVERLAP, TILE, Networks, run
from backend.library import Library
from benchmarks.serving import ROOT, Served, served

NAME = "Starter 4x"


class Watch(threading.Thread):
    """The highest resident memory of a process, looked at every 10 ms."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.process, self.peak, self.ended = psutil.Process(pid), 0, threading.Event()
        self.before = self.process.memory_info().rss

    def run(self) -> None:
        while not self.ended.wait(0.01):
            self.peak = max(self.peak, self.process.memory_info().rss)


def timed(atelier: Served, data: str) -> float:
    begun = time.perf_counter()
    atelier.post("sdapi/v1/extra-single-image", {"image": data, "upscaler_1": NAME, "upscaling_resize": 4})
    return time.perf_counter() - begun


@torch.inference_mode()
def arithmetic(side: int, runs: int) -> float:
    """Seconds for the network alone on as many tiles as the picture takes."""
    upscalers = Library((ROOT / "models",)).upscalers
    network = Networks(memory.choose("cpu")).get(upscalers.find(NAME))
    tile, spent = torch.rand(1, 3, TILE, TILE), []
    for _ in range(runs + 1):
        begun = time.perf_counter()
        run(network.descriptor, tile)
        spent.append(time.perf_counter() - begun)
    return statistics.median(spent[1:]) * len(places(side, side, TILE, OVERLAP))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=1024)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    side, buffer = options.side, io.BytesIO()
    Image.effect_noise((side, side), 60).convert("RGB").save(buffer, "PNG", compress_level=1)
    data = base64.b64encode(buffer.getvalue()).decode()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as atelier:
        atelier.post("sdapi/v1/extra-single-image", {"image": data, "upscaler_1": "Lanczos", "upscaling_resize": 1})
        watch = Watch(atelier.get("healthz")["worker_pid"])
        watch.start()
        seconds = [timed(atelier, data) for _ in range(options.runs)]
        watch.ended.set()
    alone, pixels = arithmetic(side, options.runs), (4 * side) ** 2 * 3
    print(f"{side} x {side} to {4 * side} x {4 * side}, {NAME}, {len(places(side, side, TILE, OVERLAP))} tiles of {TILE}")
    print(f"request to PNG          {statistics.median(seconds):7.2f} s   median of {options.runs}")
    print(f"the network alone       {alone:7.2f} s   ratio {statistics.median(seconds) / alone:.2f}")
    more = (watch.peak - watch.before) / 2**20
    print(f"worker before           {watch.before / 2**20:7.0f} MB")
    print(f"worker at its highest   {watch.peak / 2**20:7.0f} MB, {more:.0f} MB more; the result's pixels are {pixels / 2**20:.0f} MB")


if __name__ == "__main__":
    main()
