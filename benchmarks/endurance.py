"""A hundred jobs one after the other: does anything grow, does anything slow down?

Also the first picture from a cold start, and the thirtieth. `python3 -m benchmarks.endurance [--jobs 100]`
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import psutil

from benchmarks.serving import Served, served

PROMPTS = (
    "a red circle on a blue background",
    "snowy mountains at night",
    "a white sailboat on the sea at sunset",
    "a yellow star on a black background",
)


def resident(process: int) -> float:
    """Megabytes of memory that the process alone holds."""
    return psutil.Process(process).memory_full_info().uss / 1e6


def draw(atelier: Served, number: int) -> float:
    begun = time.perf_counter()
    atelier.txt2img(
        prompt=PROMPTS[number % len(PROMPTS)],
        seed=number,
        steps=10,
        cfg_scale=5,
        width=128,
        height=128,
        sampler_name="DPM++ 2M",
        save_images=number % 2 == 0,
    )
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=100)
    jobs = parser.parse_args().jobs
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as atelier:
        seconds = [draw(atelier, 0)]
        cold = time.perf_counter() - begun
        worker = atelier.get("healthz")["worker_pid"]
        print(f"cold start to the first picture {cold:.2f} s, of which drawing {seconds[0]:.2f} s")
        print(f"{'after job':>10}{'server MB':>12}{'worker MB':>12}{'s a picture':>14}")
        for number in range(1, jobs + 1):
            seconds.append(draw(atelier, number))
            if number in (1, 10, 30) or number % 25 == 0:
                recent = statistics.median(seconds[-10:])
                print(f"{number:10}{resident(atelier.pid):12.1f}{resident(worker):12.1f}{recent:14.3f}", flush=True)
        same = worker == atelier.get("healthz")["worker_pid"]
        print(f"the thirtieth picture {seconds[30]:.3f} s, the last {seconds[-1]:.3f} s; the worker is the same process: {same}")


if __name__ == "__main__":
    main()
