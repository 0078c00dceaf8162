"""Draw large pictures, train the starter upscaler on them and write it to `models/starter/upscaler/`; with --evaluate, score it.

One command, resumable: `python3 tools/train_upscaler.py`. It continues from the checkpoint in `.training/`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def main() -> None:
    from tools.starter.upscaling import UpscalerPlan, evaluate, train

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "models" / "starter" / "upscaler", help="where it is written or read")
    parser.add_argument("--evaluate", action="store_true", help="measure it beside bicubic on pictures it never trained on")
    for field in fields(UpscalerPlan):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    options = parser.parse_args()
    if not options.evaluate:
        train(UpscalerPlan(**{field.name: getattr(options, field.name) for field in fields(UpscalerPlan)}), options.folder)
    scores = evaluate(options.folder)
    print(f"{scores['psnr_db']} dB, bicubic {scores['bicubic_psnr_db']} dB: {scores['ahead_db']} dB ahead, on {scores['pictures']} pictures")


if __name__ == "__main__":
    main()
