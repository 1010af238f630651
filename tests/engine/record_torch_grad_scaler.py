"""Records how torch's GradScaler moves its scale: ``python record_torch_grad_scaler.py > data/torch_grad_scaler.json``.

Needs torch (recorded with 2.13.0, CPU), which is no dependency of the project.
"""

import itertools
import json
import random
import sys
from typing import Any

import torch  # type: ignore[import-not-found]

INITIAL = (1.0, 16.0, 65536.0, 1e38, 2.0**127, 1e-38, 12345.678, 0.3)
GROWTH = (1.1, 2.0, 3.0, 10.0)
BACKOFF = (0.1, 0.5, 0.9)
INTERVALS = (1, 3)


def record(settings: dict[str, float], finite: str) -> dict[str, Any]:
    """Return the scale and the tracker after every step; "1" is a finite step."""
    scaler = torch.amp.GradScaler("cpu", **settings)
    parameter = torch.nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([parameter], lr=0.0)
    scales, trackers = [], []
    for step in finite:
        parameter.grad = torch.full((2,), 1.0 if step == "1" else float("inf"))
        scaler.scale(torch.ones(()))
        scaler.step(optimizer)
        scaler.update()
        state = scaler.state_dict()
        scales.append(float(state["scale"]))
        trackers.append(int(state["_growth_tracker"]))
    return {"settings": settings, "finite": finite, "scale": scales, "growth_tracker": trackers}


def main() -> None:
    """Write all recordings to standard output."""
    source = random.Random(20)
    runs = [record({}, "1110000111")]
    for init, growth, backoff, interval in itertools.product(INITIAL, GROWTH, BACKOFF, INTERVALS):
        settings = {
            "init_scale": init,
            "growth_factor": growth,
            "backoff_factor": backoff,
            "growth_interval": interval,
        }
        runs.append(record(settings, "".join("1" if source.random() < 0.7 else "0" for _ in range(14))))
    json.dump({"producer": f"torch {torch.__version__}, torch.amp.GradScaler('cpu')", "runs": runs}, sys.stdout)


if __name__ == "__main__":
    main()
