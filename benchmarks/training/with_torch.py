"""PyTorch's side: autocast, and for float16 a GradScaler, as its own recipe for mixed precision says."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.training.models import CLASSES, LEARNING_RATE
from benchmarks.training.serving import Run, Spec, serve

NARROW = MappingProxyType({"mixed_float16": torch.float16, "mixed_bfloat16": torch.bfloat16})


def build(spec: Spec) -> Run:
    """Return what trains: forward under autocast, backward, and a step of the optimizer."""
    torch.manual_seed(0)
    model = MODELS[spec["kind"]](spec)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    scaler = torch.amp.GradScaler("cpu", enabled=spec["policy"] == "mixed_float16")
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.standard_normal((spec["batch"], *_channels_first(spec)), np.float32))
    y = torch.from_numpy(rng.integers(0, CLASSES, spec["batch"]))

    def run(steps: int) -> float:
        loss: Any = 0.0
        for _ in range(steps):
            optimizer.zero_grad()
            with _autocast(spec["policy"]):
                loss = nn.functional.cross_entropy(model(x), y)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
        return float(loss.detach())

    return run


def _autocast(policy: str) -> AbstractContextManager[Any]:
    narrow = NARROW.get(policy)
    return nullcontext() if narrow is None else torch.autocast(device_type="cpu", dtype=narrow)


def _channels_first(spec: Spec) -> tuple[int, ...]:
    shape = tuple(spec["shape"])
    return (shape[-1], *shape[:-1]) if spec["kind"] == "cnn" else shape


def _mlp(spec: Spec) -> nn.Module:
    widths = [spec["shape"][0], *spec["sizes"]]
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], CLASSES))


def _cnn(spec: Spec) -> nn.Module:
    first, second, dense = spec["sizes"]
    return nn.Sequential(
        *(nn.Conv2d(1, first, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(first, second, 3), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(second * 25, dense), nn.ReLU(), nn.Linear(dense, CLASSES)),
    )


class _Lstm(nn.Module):
    def __init__(self, spec: Spec) -> None:
        super().__init__()
        self.lstm = nn.LSTM(spec["shape"][-1], spec["sizes"][0], batch_first=True)
        self.head = nn.Linear(spec["sizes"][0], CLASSES)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[0][:, -1])


class _Block(nn.Module):
    def __init__(self, spec: Spec) -> None:
        super().__init__()
        width, (heads, inner) = spec["shape"][-1], spec["sizes"]
        self.attention = nn.MultiheadAttention(width, heads, batch_first=True)
        self.norms = nn.ModuleList([nn.LayerNorm(width, eps=1e-3), nn.LayerNorm(width, eps=1e-3)])
        self.dense = nn.Sequential(nn.Linear(width, inner), nn.ReLU(), nn.Linear(inner, width))
        self.head = nn.Linear(width, CLASSES)

    def forward(self, x: Any) -> Any:
        normed = self.norms[0](x + self.attention(x, x, x, need_weights=False)[0])
        return self.head(self.norms[1](normed + self.dense(normed)).mean(dim=1))


MODELS: Mapping[str, Callable[[Spec], nn.Module]] = MappingProxyType(
    {"mlp": _mlp, "cnn": _cnn, "lstm": _Lstm, "transformer": _Block}
)


if __name__ == "__main__":
    torch.set_num_threads(int(sys.argv[1]))
    torch.set_num_interop_threads(1)
    serve(build)
