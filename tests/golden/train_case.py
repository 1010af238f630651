"""What every training adapter needs: the case's line of Keras, its arrays as tensors, and the unit of comparison."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from engine.conventions import KERAS3, TF24, TF_KERAS, Conventions
from engine.dtypes import DType, as_dtype
from engine.errors import Unsupported
from engine.gradients import RowGradient
from engine.tape import Tape, Tensor
from tests.golden.outcome import NotBuilt

LINES: Mapping[str, Conventions] = {"keras": KERAS3, "tf_keras": TF_KERAS, "tf.keras": TF24}
"""The line of Keras by the library that recorded a case."""

SMALLEST_SCALE = 1e-3
"""Below this the error of an array counts absolutely."""

# README-train.md, "Floors": for quantities to which a case gives no tolerance of its own.
# Columns: float32, float64, float16 and mixed, bfloat16 and mixed.
_KINDS = ("float32", "float64", "float16", "bfloat16")
_PARTS = (2e-3, 1e-2)
FLOORS: Mapping[str, tuple[float, ...]] = {
    "output": (4e-6, 1e-10, 4e-3, 3e-2),
    "grad_input": (4e-6, 1e-10, 4e-3, 3e-2),
    "grad_weight": (4e-6, 1e-10, 4e-3, 3e-2),
    "weights_changed": (4e-6, 1e-10, 4e-3, 3e-2),
    "layer_losses": (4e-6, 1e-10, 4e-3, 3e-2),
    "value": (4e-6, 1e-10, *_PARTS),
    "grad": (4e-6, 1e-10, *_PARTS),
    "result": (4e-6, 1e-10, *_PARTS),
    "state": (4e-6, 1e-10, *_PARTS),
    "weights": (1e-5, 1e-10, 8e-3, 6e-2),
    "slots": (1e-5, 1e-10, 8e-3, 6e-2),
    "learning_rate": (1e-5, 1e-10, 8e-3, 6e-2),
    "grad_step0": (5e-6, 1e-10, 8e-3, 8e-2),
    "grad_step1": (2e-5, 2e-5, 1e-2, 1e-1),
    "grad_first_finite": (2e-5, 2e-5, 1e-2, 1e-1),
    "loss_all": (5e-5, 2e-5, 2e-2, 1e-1),
}


@dataclass
class Findings:
    """Collects how a case's results differ from the recorded ones.

    Attributes:
        document: the case.
        arrays: its arrays.
        found: lines about the differences so far, by the quantity or the fact that differs.
    """

    document: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]
    found: dict[str, list[str]] = field(default_factory=dict)

    @property
    def differences(self) -> dict[str, str]:
        """What differs, one text for each quantity or fact."""
        return {name: "; ".join(lines) for name, lines in self.found.items()}

    def differs(self, name: str, line: str) -> None:
        """Note a difference."""
        self.found.setdefault(name, []).append(line)

    @property
    def conventions(self) -> Conventions:
        """The line of Keras that recorded the case."""
        line = LINES[self.document["producer"]["library"]]
        return replace(line, floatx=as_dtype(self.document.get("floatx", "float32")))

    def dtype_of(self, key: str) -> DType:
        """The true dtype of an array; bfloat16 is stored as float32."""
        about = self.document["npz"]["arrays"].get(key, {})
        return as_dtype(about.get("dtype", self.arrays[key].dtype))

    def tensor(self, key: str) -> Tensor:
        """An array as a constant."""
        dtype = self.dtype_of(key)
        return Tensor(self.arrays[key].astype(dtype.storage), dtype)

    def leaf(self, key: str, tape: Tape) -> Tensor:
        """An array as a tensor whose gradient can be taken, if it holds floats."""
        constant = self.tensor(key)
        return tape.leaf(constant.data, constant.dtype) if constant.dtype.is_floating else constant

    def check(self, what: str, quantity: str, got: Any, key: str, scale: float | None = None) -> None:
        """Compare a result with an array of the case, within the case's tolerance for the quantity."""
        self.check_values(what, quantity, got, self.arrays[key], scale)

    def check_tensor(self, what: str, quantity: str, got: Tensor, key: str) -> None:
        """Compare a tensor with an array of the case: dtype and values."""
        self.same(f"dtype of {what}", got.dtype.name, self.dtype_of(key).name)
        self.check(what, quantity, got.data, key)

    def check_values(self, what: str, quantity: str, got: Any, expected: Any, scale: float | None = None) -> None:
        """Compare a result with given values, within the case's tolerance for the quantity."""
        got = got.merged() if isinstance(got, RowGradient) else got
        if got is None:
            self.differs(quantity, f"{what}: nothing came out")
            return
        found, tolerance = error(got, expected, scale), self.tolerance(quantity)
        if not found <= tolerance:
            self.differs(quantity, f"{what}: error {found:.2g}, tolerance for {quantity} {tolerance:.2g}")

    def same(self, what: str, got: Any, expected: Any) -> None:
        """Compare two facts that have to be equal."""
        if got != expected:
            self.differs(what, f"{what}: expected {_short(expected)}, got {_short(got)}")

    def tolerance(self, quantity: str) -> float:
        """The case's own tolerance, else the floor of its dtype."""
        given = self.document.get("tolerance", {})
        return float(given[quantity] if quantity in given else FLOORS[quantity][_column(self.document)])


def error(got: Any, expected: Any, scale: float | None = None) -> float:
    """Return ``max |got - expected| / max(max |expected|, 1e-3)``; infinite where shapes or nonfinite entries differ.

    Args:
        got: array or number.
        expected: array or number of the same shape.
        scale: what stands for the largest expected magnitude, where another array decides.
    """
    a, b = np.asarray(got, np.float64), np.asarray(expected, np.float64)
    if a.shape != b.shape:
        return math.inf
    finite = np.isfinite(b)
    if not np.array_equal(np.isfinite(a), finite) or not np.array_equal(a[~finite], b[~finite], equal_nan=True):
        return math.inf
    a, b = a[finite], b[finite]
    largest = magnitude([b]) if scale is None else scale
    return magnitude([a - b]) / max(largest, SMALLEST_SCALE)


def magnitude(arrays: Iterable[Any]) -> float:
    """Return the largest finite magnitude of all entries, 0 if there are none."""
    parts = [np.abs(np.asarray(array, np.float64)).ravel() for array in arrays]
    flat = np.concatenate([np.zeros(1), *parts])
    return float(flat[np.isfinite(flat)].max())


@contextmanager
def building() -> Iterator[None]:
    """What the engine says it does not support makes the case unsupported."""
    try:
        yield
    except Unsupported as lacking:
        raise NotBuilt(lacking.message.split(". Accepted", maxsplit=1)[0]) from lacking


def _column(document: Mapping[str, Any]) -> int:
    keys = ("dtype_policy", "dtype", "variable_dtype", "global_policy")
    name = next((str(document[key]) for key in keys if key in document), "float32")
    return next(place for place in (1, 3, 2, 0) if _KINDS[place] in name)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:197]}..."
