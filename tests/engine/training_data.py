"""Data of the recorded trainings: made anew from the seed, by whoever records and whoever compares."""

from typing import Any

import numpy as np

ROWS = 24
SHAPES: dict[str, tuple[int, ...]] = {
    "mlp": (8,),
    "graph": (8,),
    "images": (8, 7, 2),
    "steps": (6, 4),
    "attention": (5, 6),
    "sequence": (9, 3),
}
TASKS = ("classes", "one_hot", "binary", "numbers", "logits", "labels")


def rows(seed: int, family: str, task: str) -> tuple[Any, Any]:
    """Return x and y. Some steps of sequences are zero, so that a Masking layer leaves them out."""
    rng = np.random.default_rng([seed, 1])
    x = rng.normal(size=(ROWS, *SHAPES[family])).astype("float32")
    if family == "steps":
        x[rng.random((ROWS, 6)) < 0.2] = 0
    labels: dict[str, Any] = {
        "classes": rng.integers(0, 4, ROWS).astype("int32"),
        "one_hot": np.eye(3, dtype="float32")[rng.integers(0, 3, ROWS)],
        "binary": rng.integers(0, 2, (ROWS, 1)).astype("float32"),
        "numbers": rng.normal(size=(ROWS, 2)).astype("float32"),
        "logits": rng.integers(0, 4, ROWS).astype("int32"),
        "labels": rng.integers(0, 2, (ROWS, 3)).astype("float32"),
    }
    return x, labels[task]


def weights(seed: int, task: str) -> tuple[Any, dict[int, float] | None]:
    """Return sample weights or class weights, of some seeds."""
    rng = np.random.default_rng([seed, 2])
    kind, by_row = rng.random(), rng.random(ROWS).astype("float32")
    if kind < 0.25:
        return by_row, None
    if kind < 0.5 and task in {"classes", "logits"}:
        return None, {label: float(rng.random() + 0.5) for label in range(4)}
    return None, None
