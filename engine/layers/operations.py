"""Operations on tensors (``x + y``, ``x * 0.5``, ``x != 0``) that Keras 3 lists in a model like layers.

They cast nothing: like ``keras.ops`` they work in the dtypes that come, two dtypes meeting in the one that holds both.
A Functional model whose layers take a mask lists what computes it in such operations too (``any(x != 0, -1)`` before
what follows a Masking layer).
Source: ``keras.src.ops.numpy`` of Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from engine import ops
from engine.configured import boolean, optional, setting
from engine.conventions import KERAS3, Conventions
from engine.dtypes import BOOL, FLOAT32, FLOAT64, DType
from engine.errors import ShapeMismatch
from engine.layers import indexing
from engine.layers.base import Layer, Shape
from engine.layers.readers import along, axis_or_axes
from engine.run import Run
from engine.tape import Tensor, constant

MODULES = ("keras.src.ops", "keras.ops")
Compute = Callable[..., Tensor]


@dataclass(frozen=True, kw_only=True)
class Operation(Layer):
    """An operation on one tensor or two, one of which may be a number."""

    autocast: bool = setting(lambda _, value: bool(value), False, only="set")
    operands: ClassVar[int] = 2
    compares: ClassVar[bool] = False
    """Whether the result is true or false."""
    options: ClassVar[tuple[str, ...]] = ("constants",)
    origin: ClassVar[tuple[str, str | None]] = ("keras.src.ops.numpy", None)

    settings: ClassVar[tuple[str, ...]] = ()
    """What its config holds beside its name."""

    def get_config(self, conventions: Conventions = KERAS3) -> dict[str, Any]:
        """Return its name and settings, which is all that Keras writes."""
        whole = super().get_config(conventions)
        return {"name": self.name, **{key: whole[key] for key in self.settings}}

    @property
    def arity(self) -> tuple[int, int]:  # type: ignore[override]
        """One tensor at least; what is not a tensor is a number."""
        return 1, self.operands

    def entering_dtype(self, dtype: DType) -> DType:
        """As it is."""
        return dtype

    def output_dtype(self, *entered: DType) -> DType:
        """The one that holds all that come, or bool."""
        return BOOL if self.compares else _common(entered)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The shapes spread over each other."""
        rank = max(len(shape) for shape in shapes)
        columns = zip(*((1,) * (rank - len(shape)) + tuple(shape) for shape in shapes), strict=True)
        return tuple(self._size(sizes, shapes) for sizes in columns)

    def _size(self, sizes: tuple[int | None, ...], shapes: Sequence[Shape]) -> int | None:
        known = {size for size in sizes if size not in {1, None}}
        if len(known) > 1:
            shown = " and ".join(str(list(shape)) for shape in shapes)
            raise ShapeMismatch(f"{self.class_name} {self.name!r} cannot spread {shown} over each other.")
        return known.pop() if known else None if None in sizes else 1

    @property
    def further_arguments(self) -> tuple[Any, ...]:
        """What is written behind the tensors of its call."""
        return ()

    def call(self, run: Run, *inputs: Tensor, constants: Sequence[tuple[int, float]] = ()) -> Tensor:
        """Compute."""
        dtype = _common([x.dtype for x in inputs], constants)
        given: list[Any] = [ops.cast(x, dtype) for x in inputs]
        for place, number in constants:
            given.insert(place, constant(number, dtype))
        if len(given) != self.operands:
            raise ShapeMismatch(f"{self.class_name} {self.name!r} takes {self.operands} arguments, got {len(given)}.")
        return self.compute(*given)

    compute: ClassVar[Compute] = staticmethod(ops.add)


def _common(dtypes: Sequence[DType], constants: Sequence[tuple[int, float]] = ()) -> DType:
    """Return the dtype in which tensors of these dtypes meet; a fraction makes integers float32."""
    floats = [dtype for dtype in dict.fromkeys(dtypes) if dtype.is_floating]
    if floats:
        return floats[0] if len(floats) == 1 else FLOAT64 if FLOAT64 in floats else FLOAT32
    fractions = any(isinstance(number, float) for _, number in constants)
    return FLOAT32 if fractions else max(dtypes, key=lambda dtype: dtype.bits)


@dataclass(frozen=True, kw_only=True)
class AnyTrue(Operation):
    """Whether any entry along axes is not zero. Source: ``keras.ops.any``."""

    class_name: ClassVar[str] = "Any"
    operands: ClassVar[int] = 1
    compares: ClassVar[bool] = True
    settings: ClassVar[tuple[str, ...]] = ("axis", "keepdims")

    axis: int | tuple[int, ...] | None = setting(optional(axis_or_axes), None)
    keepdims: bool = setting(boolean, False)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The shape without the axes, or with 1 in their place."""
        count = len(shapes[0])
        given = range(count) if self.axis is None else along(self.axis)
        if any(not -count <= place < count for place in given):
            message = f"Any {self.name!r} has axis {self.axis}, but what it is given has {count} axes."
            raise ShapeMismatch(message, path=("axis",))
        gone = {place % count for place in given}
        kept = [1 if place in gone else size for place, size in enumerate(shapes[0])]
        return tuple(size for place, size in enumerate(kept) if self.keepdims or place not in gone)

    def call(self, run: Run, *inputs: Tensor, constants: Sequence[tuple[int, float]] = ()) -> Tensor:
        """Look along the axes."""
        return Tensor(np.asarray(np.any(inputs[0].data, axis=self.axis, keepdims=self.keepdims)), BOOL)


@dataclass(frozen=True, kw_only=True)
class Cast(Operation):
    """The same values in another dtype. Source: ``keras.ops.cast``."""

    operands: ClassVar[int] = 1
    settings: ClassVar[tuple[str, ...]] = ("dtype",)
    origin: ClassVar[tuple[str, str | None]] = ("keras.src.ops.core", None)

    def get_config(self, conventions: Conventions = KERAS3) -> dict[str, Any]:
        """Return its name and the name of the dtype."""
        return {"name": self.name, "dtype": self.policy.compute_dtype}

    def output_dtype(self, *entered: DType) -> DType:
        """The one that it casts to."""
        return self.policy.compute

    def call(self, run: Run, *inputs: Tensor, constants: Sequence[tuple[int, float]] = ()) -> Tensor:
        """Cast."""
        return ops.cast(inputs[0], self.policy.compute)


@dataclass(frozen=True, kw_only=True)
class GetItem(Operation):
    """Some places along axes (``x[:, 0]``). Source: ``keras.src.ops.numpy.GetItem``.

    Keras writes the index into the call; an operation is called once, so that it is held here.
    """

    operands: ClassVar[int] = 1
    options: ClassVar[tuple[str, ...]] = ()

    key: indexing.Key = ()

    @property
    def further_arguments(self) -> tuple[Any, ...]:
        """The index."""
        return (indexing.written(self.key),)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The shape without what the index leaves out."""
        return indexing.shape_after(self.key, shapes[0])

    def call(self, run: Run, *inputs: Tensor, constants: Sequence[tuple[int, float]] = ()) -> Tensor:
        """Take what the index names."""
        self.compute_output_shape(inputs[0].shape)  # now that sizes are known which the config leaves open
        return ops.take(inputs[0], self.key)


def _truth(function: np.ufunc) -> Compute:
    return lambda *given: Tensor(function(*(x.data for x in given)), BOOL)


def _made(name: str, compute: Compute, operands: int = 2, *, compares: bool = False) -> type[Operation]:
    text = f"``keras.ops.{name.lower()}``."
    members = {"compute": staticmethod(compute), "operands": operands, "compares": compares, "__doc__": text}
    return type(name, (Operation,), members)


OPERATIONS: Mapping[str, type[Operation]] = MappingProxyType(
    {
        name: _made(name, compute, operands, compares=compares)
        for name, compute, operands, compares in (
            ("Add", ops.add, 2, False),
            ("Subtract", ops.subtract, 2, False),
            ("Multiply", ops.multiply, 2, False),
            ("Divide", ops.divide, 2, False),
            ("TrueDivide", ops.divide, 2, False),
            ("Maximum", ops.maximum, 2, False),
            ("Minimum", ops.minimum, 2, False),
            ("Negative", ops.negative, 1, False),
            ("Absolute", ops.absolute, 1, False),
            ("Abs", ops.absolute, 1, False),
            ("Square", ops.square, 1, False),
            ("Log", ops.log, 1, False),
            ("Exp", ops.exponential, 1, False),
            ("Tanh", ops.tanh, 1, False),
            ("Equal", _truth(np.equal), 2, True),
            ("NotEqual", _truth(np.not_equal), 2, True),
            ("Greater", _truth(np.greater), 2, True),
            ("GreaterEqual", _truth(np.greater_equal), 2, True),
            ("Less", _truth(np.less), 2, True),
            ("LessEqual", _truth(np.less_equal), 2, True),
            ("LogicalAnd", _truth(np.logical_and), 2, True),
            ("LogicalOr", _truth(np.logical_or), 2, True),
            ("LogicalNot", _truth(np.logical_not), 1, True),
        )
    }
    | {"Any": AnyTrue, "Cast": Cast, "GetItem": GetItem}
)
"""Every operation by the name of its class in Keras."""


def is_operation(item: Mapping[str, Any]) -> bool:
    """Return whether a serialized object is an operation that is known."""
    return str(item.get("module") or "").startswith(MODULES) and item.get("class_name") in OPERATIONS
