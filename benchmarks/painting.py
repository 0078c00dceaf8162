"""What image to image costs over text to image at equal steps, and inpainting "Only masked" against "Whole picture".

Each pair is measured in turns, in one run, through the API, with the starter model on the CPU.
`python3 -m benchmarks.painting [--runs 9]`
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from benchmarks.serving import Served, served

PROMPT = "snowy mountains at sunset"
STEPS = 20
LARGE = 512
"""Side of the picture that is inpainted, in pixels."""

WARM_UPS = 2


def png(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return base64.b64encode(buffer.getvalue()).decode()


def timed(atelier: Served, path: str, body: dict[str, Any]) -> tuple[float, dict[str, float]]:
    """Seconds from request to answer, and the worker's own by stage."""
    begun = time.perf_counter()
    answer = atelier.post(path, {"prompt": PROMPT, "cfg_scale": 5, "seed": 5, "sampler_name": "DPM++ 2M", **body})
    return time.perf_counter() - begun, json.loads(answer["info"])["seconds"]


def medians(measured: list[tuple[float, dict[str, float]]]) -> tuple[float, dict[str, float]]:
    kept = measured[WARM_UPS:]
    return statistics.median(one for one, _ in kept), {name: statistics.median(stages.get(name, 0.0) for _, stages in kept) for name in kept[0][1]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs + WARM_UPS
    small, large = Image.effect_noise((128, 128), 60).convert("RGB"), Image.effect_noise((LARGE, LARGE), 60).convert("RGB")
    mask = Image.new("L", large.size)
    ImageDraw.Draw(mask).ellipse((180, 180, 260, 260), fill=255)
    # Half the strength runs half the steps, so both run STEPS.
    text = {"width": 128, "height": 128, "steps": STEPS}
    image = {"width": 128, "height": 128, "steps": 2 * STEPS, "denoising_strength": 0.5, "init_images": [png(small)]}
    painted = {"steps": STEPS, "denoising_strength": 1.0, "init_images": [png(large)], "mask": png(mask), "inpainting_fill": 1}
    whole = {**painted, "width": LARGE, "height": LARGE, "inpaint_full_res": False}
    only = {**painted, "width": 128, "height": 128, "inpaint_full_res": True, "inpaint_full_res_padding": 24}
    rows: dict[str, list[tuple[float, dict[str, float]]]] = {"text to image": [], "image to image": [], "whole picture": [], "only masked": []}
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as atelier:
        for _ in range(runs):
            rows["text to image"].append(timed(atelier, "sdapi/v1/txt2img", text))
            rows["image to image"].append(timed(atelier, "sdapi/v1/img2img", image))
            rows["whole picture"].append(timed(atelier, "sdapi/v1/img2img", whole))
            rows["only masked"].append(timed(atelier, "sdapi/v1/img2img", only))
    print(f"{STEPS} steps run in each; medians of {runs - WARM_UPS} turns, seconds")
    print(f"{'':30}{'in all':>10}{'encode':>10}{'denoise':>10}{'decode':>10}")
    found = {name: medians(measured) for name, measured in rows.items()}
    for name, (total, stages) in found.items():
        print(f"{name:30}{total:10.3f}" + "".join(f"{stages.get(stage, 0.0):10.3f}" for stage in ("encode", "denoise", "decode")))
    (plain, plain_stages), (other, other_stages) = found["text to image"], found["image to image"]
    beyond = other - plain - (other_stages["encode"] - plain_stages["encode"])
    print(f"image to image over text to image, beyond the one encode: {beyond:+.3f} s ({beyond / plain:+.1%})")
    print(f"only masked (128 of {LARGE}) takes {found['only masked'][0] / found['whole picture'][0]:.2f} of the whole picture's time")


if __name__ == "__main__":
    main()
