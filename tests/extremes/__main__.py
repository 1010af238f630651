"""``python -m tests.extremes layers|losses --python PYTHON --library NAME``: extreme numbers beside Keras."""

from __future__ import annotations

import argparse
import sys

from tests.extremes import layers, losses

PARTS = {"layers": layers.main, "losses": losses.main}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tests.extremes")
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--python", default=sys.executable, help="interpreter that has the library")
    parser.add_argument("--library", required=True, choices=("keras3", "tf_keras", "tf2.4"))
    parser.add_argument("--only", default="", help="cases whose name holds this text")
    parser.add_argument(
        "--answers", default="", help="where the library's answers are kept: a file of losses, a folder of layers"
    )
    given = parser.parse_args()
    sys.exit(bool(PARTS[given.part](given.python, given.library, given.only, given.answers)))
