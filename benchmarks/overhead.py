"""The same picture through Atelier's API and through a bare diffusers pipeline, in turns, in one run.

Both sides end with the bytes of a PNG. The bare side runs in this process with nothing around it: no previews, no
progress, no server. `python3 -m benchmarks.overhead [--runs 15] [--steps 20]`
"""

# diffusers and transformers annotate their arguments more narrowly than they take them.
# pyright: reportArgumentType=false, reportAttributeAccessIssue=false

from __future__ import annotations

import argparse
import base64
import io
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import diffusers
import torch

from benchmarks.serving import ROOT, served

PROMPT, SEED, GUIDANCE, SIDE = "a red house by snowy mountains at sunset", 7, 5.0, 128


def bare(steps: int):
    """A function that draws the picture and returns its PNG."""
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(ROOT / "models" / "starter", dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = diffusers.DPMSolverMultistepScheduler.from_config(pipe.scheduler.config, use_karras_sigmas=True)

    def draw() -> bytes:
        generator = torch.Generator().manual_seed(SEED)
        picture = pipe(
            PROMPT, negative_prompt="", height=SIDE, width=SIDE, num_inference_steps=steps, guidance_scale=GUIDANCE, generator=generator
        ).images[0]
        buffer = io.BytesIO()
        picture.save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--steps", type=int, default=20)
    options = parser.parse_args()
    draw = bare(options.steps)
    body = {
        "prompt": PROMPT, "seed": SEED, "steps": options.steps, "cfg_scale": GUIDANCE, "width": SIDE, "height": SIDE,
        "sampler_name": "DPM++ 2M", "scheduler": "karras",
    }  # fmt: skip
    ours: list[float] = []
    theirs: list[float] = []
    stages: list[dict[str, float]] = []
    data = expected = b""
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as atelier:
        for number in range(options.runs + 3):
            begun = time.perf_counter()
            answer = atelier.txt2img(**body)
            data = base64.b64decode(answer["images"][0])
            middle = time.perf_counter()
            expected = draw()
            end = time.perf_counter()
            if number >= 3:  # the first ones warm both sides up
                ours.append(middle - begun)
                theirs.append(end - middle)
                stages.append(json.loads(answer["info"])["seconds"])
    from PIL import Image

    same = Image.open(io.BytesIO(data)).tobytes() == Image.open(io.BytesIO(expected)).tobytes()
    ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
    print(f"{options.steps} steps, {SIDE}x{SIDE}, CPU with {torch.get_num_threads()} threads, medians of {options.runs} pairs")
    print(f"bare diffusers pipeline   {statistics.median(theirs):7.3f} s")
    print(f"Atelier, over HTTP        {statistics.median(ours):7.3f} s")
    print(f"ratio (median of pairs)   {ratio:7.3f}      pixels the same: {same}")
    for stage in stages[0]:
        print(f"  of it {stage:8}          {statistics.median(s[stage] for s in stages):7.3f} s")
    rest = statistics.median(total - sum(s.values()) for total, s in zip(ours, stages, strict=True))
    print(f"  of it HTTP, queue, pipe  {rest:7.3f} s")


if __name__ == "__main__":
    main()
