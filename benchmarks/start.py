"""Time from `python3 app.py` (second start) to the first answer, and to a worker that is ready.

`python3 -m benchmarks.start [--runs 5]`
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from benchmarks.serving import free_port

ROOT = Path(__file__).resolve().parent.parent


def fetch(url: str) -> bytes | None:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.read()
    except OSError:
        return None


def one_start(folder: Path) -> dict[str, Any]:
    port = free_port()
    begun = time.perf_counter()
    command = ["python3", str(ROOT / "app.py"), "--no-browser", "--device", "cpu", "--port", str(port), "--outputs-dir", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stdin=subprocess.DEVNULL, cwd=ROOT)
    try:
        while fetch(f"http://127.0.0.1:{port}/") is None:
            time.sleep(0.01)
        page = time.perf_counter() - begun
        while True:
            health = json.loads(fetch(f"http://127.0.0.1:{port}/healthz") or b"{}")
            if health.get("worker", {}).get("state") == "ready":
                break
            time.sleep(0.05)
        return {"page": page, "worker": time.perf_counter() - begun, "tensors": health["server_modules_with_tensors"]}
    finally:
        process.terminate()
        process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        starts = [one_start(Path(folder)) for _ in range(runs)]
    print(f"{'':34}{'median':>8}{'least':>8}{'most':>8}   of {runs} starts, Python {sys.version.split()[0]}")
    for name, title in (("page", "start to the page's first 200, s"), ("worker", "start to a worker that is ready, s")):
        values = [start[name] for start in starts]
        print(f"{title:34}{statistics.median(values):8.2f}{min(values):8.2f}{max(values):8.2f}")
    print(f"tensor modules in the server process: {starts[-1]['tensors'] or 'none'}")


if __name__ == "__main__":
    main()
