"""Draw the training pictures, train the starter model with its ControlNet and write them to `models/starter/`; with --evaluate, score them.

One command, resumable: `python3 tools/train_starter.py`. It continues from the checkpoints in `.training/`.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def main() -> None:
    from tools.starter.training import Plan, control, train

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=ROOT / "models" / "starter", help="where the model is written or read")
    parser.add_argument("--evaluate", action="store_true", help="score the model in --folder on 300 prompts it never trained on")
    parser.add_argument("--control", action="store_true", help="train the ControlNet alone, for the model in --folder")
    for field in fields(Plan):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default)
    options = parser.parse_args()
    plan = Plan(**{field.name: getattr(options, field.name) for field in fields(Plan)})
    if options.evaluate:
        from tools.starter.scoring import evaluate

        evaluate(options.folder, plan)
    elif options.control:
        control(plan, options.folder)
    else:
        train(plan, options.folder)


if __name__ == "__main__":
    main()
