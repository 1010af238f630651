"""Reverse-mode differentiation over arrays that lie on the grid of a dtype.

A :class:`Tensor` is an array with the dtype whose grid its values lie on. An :class:`Op` is a row of a table: a
forward rule, and a backward rule. :func:`apply` runs one op and records it on the tape that its inputs are on;
:meth:`Tape.gradient` walks the record backwards. Every op result and every gradient is rounded once to the grid of
its tensor, as TensorFlow's eager kernels do (design: HIPS/autograd's table of gradients).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from engine.dtypes import FLOAT32, DType
from engine.gradients import Gradient, RowGradient, added, dense, mapped
from engine.rounding import round_to

Array = NDArray[Any]
Forward = Callable[..., tuple[Array, Any]]
Backward = Callable[[DType, Array, Any, tuple[bool, ...]], tuple[Any, ...]]


@dataclass(frozen=True, slots=True, eq=False)
class Op:
    """One row of the table of operations.

    Attributes:
        name: TensorFlow's name of the op, in snake case; observers see it.
        forward: ``(dtype, *arrays, **attributes) -> (array, saved)``; the array is fresh or may be rounded in place
            unless ``on_grid``.
        backward: ``(dtype, gradient, saved, needed) -> one gradient or None per input``; must not write into the
            gradient it is given.
        on_grid: the results of inputs on the grid lie on the grid, so forward needs no rounding.
        gradient_on_grid: the same for backward.
        rounds_inside: sums inside are rounded too, so that only what it gives in float32 is exact.
    """

    name: str
    forward: Forward
    backward: Backward
    on_grid: bool = False
    gradient_on_grid: bool = False
    rounds_inside: bool = False


class Node:
    """One recorded application: what backward needs, and the gradient that has reached it so far."""

    __slots__ = ("gradient", "inputs", "op", "saved", "tape", "tensor_dtype")

    def __init__(self, tape: Tape, op: Op | None, inputs: tuple[Tensor, ...], saved: Any, dtype: DType) -> None:
        self.tape = tape
        self.op = op
        self.inputs = inputs
        self.saved = saved
        self.tensor_dtype = dtype
        self.gradient: Any = None  # an array, or one per result of an op with several


class Tensor:
    """Values on the grid of a dtype.

    Attributes:
        data: array of ``dtype.storage`` (float32 for float16, bfloat16 and float8; see DESIGN "Arithmetic").
        dtype: the dtype whose grid every value lies on.
        node: the record on a tape, or None for a constant.
        logits: for the output of a softmax or sigmoid activation, its input (Keras's ``_keras_logits``).
        mask: which steps count, bool of shape (batch, steps), or None for all of them (Keras's ``_keras_mask``).
    """

    __slots__ = ("data", "dtype", "logits", "mask", "node")

    def __init__(self, data: Array, dtype: DType, node: Node | None = None) -> None:
        self.data = data
        self.dtype = dtype
        self.node = node
        self.logits: Tensor | None = None
        self.mask: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.data.ndim

    def __repr__(self) -> str:
        return f"<Tensor {self.dtype.name}{list(self.shape)}>"


Pulse: TypeAlias = Callable[[], None]
"""Called between two ops or two batches, so that whoever waits for them can end what takes long, by raising."""


def unhurried() -> None:
    """Nobody waits."""


class Tape:
    """The record of one forward pass. Single use: :meth:`gradient` consumes it and frees what it held.

    What is looked at is run by a subclass (:mod:`engine.watching`), so that nothing is asked here.

    Attributes:
        nodes: the ops recorded so far.
        pulse: called before each op, forwards and backwards; what it raises ends the pass.
    """

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.pulse: Pulse = unhurried

    def leaf(self, data: Array, dtype: DType) -> Tensor:
        """Return a tensor to whose values gradients can be taken."""
        tensor = Tensor(data, dtype)
        tensor.node = Node(self, None, (), None, dtype)
        self.nodes.append(tensor.node)
        return tensor

    def reading(self, data: Array, dtype: DType) -> Tensor:
        """Return a variable as it is read in another dtype: ready-made, and a place where gradients gather."""
        tensor = Tensor(data, dtype)
        tensor.node = Node(self, READ, (), None, dtype)
        self.nodes.append(tensor.node)
        return tensor

    def gradient(self, target: Tensor, sources: Sequence[Tensor], seed: Array | None = None) -> list[Array | None]:
        """Return d(target)/d(source) for each source, None where the target does not depend on it.

        Args:
            target: where to start; a scalar unless a seed is given.
            sources: leaves or intermediate tensors of this tape.
            seed: gradient of something to the target, on the target's grid; ones when omitted.
        """
        found = self.gradient_or_rows(target, sources, seed)
        return [None if gradient is None else dense(gradient) for gradient in found]

    def gradient_or_rows(
        self, target: Tensor, sources: Sequence[Tensor], seed: Array | None = None
    ) -> list[Gradient | None]:
        """Return what :meth:`gradient` does, but for tables of which only rows were looked up, those rows."""
        if target.node is not None:
            target.node.gradient = np.ones_like(target.data) if seed is None else seed
        kept = {id(source.node) for source in sources}
        while self.nodes:
            node = self.nodes.pop()
            if node.gradient is not None and node.op is not None and node.op is not READ:
                self.pulse()
                self.push_back(node, node.op)
                if id(node) not in kept:
                    node.gradient = None
            node.inputs = ()
            node.saved = None
        return [None if source.node is None else source.node.gradient for source in sources]

    def record(self, op: Op, inputs: tuple[Tensor, ...], dtype: DType, attributes: Mapping[str, Any]) -> Tensor:
        """Run an op, some of whose inputs are on this tape, and note it."""
        self.pulse()
        data, saved = op.forward(dtype, *[tensor.data for tensor in inputs], **attributes)
        data = np.asarray(data)  # arithmetic on 0-d arrays returns numpy scalars
        if dtype.low_precision and not op.on_grid:
            data = round_to(data, dtype, out=data)
        node = Node(self, op, inputs, saved, dtype)
        self.nodes.append(node)
        return Tensor(data, dtype, node)

    def record_parts(self, op: Op, inputs: tuple[Tensor, ...], attributes: Mapping[str, Any]) -> list[Tensor]:
        """Run an op of several results, some of whose inputs are on this tape, and note it."""
        self.pulse()
        dtype = inputs[0].dtype
        arrays, saved = _parts(op, inputs, attributes)
        parent = Node(self, op, inputs, saved, dtype)
        self.nodes.append(parent)
        parts = []
        for position, array in enumerate(arrays):
            node = Node(self, PART, (), (parent, position, len(arrays)), dtype)
            self.nodes.append(node)
            parts.append(Tensor(array, dtype, node))
        return parts

    def push_back(self, node: Node, op: Op) -> None:
        """Give the inputs of a node their gradients, each on the grid of its tensor."""
        needed = tuple([tensor.node is not None for tensor in node.inputs])  # a list: faster than a generator
        given = node.gradient  # many ops hand it on as it is
        gradients = op.backward(node.tensor_dtype, given, node.saved, needed)
        for tensor, gradient in zip(node.inputs, gradients, strict=True):
            receiver = tensor.node
            if receiver is None or gradient is None:
                continue
            if isinstance(gradient, RowGradient):
                _receive_rows(receiver, gradient, tensor.dtype)
                continue
            on_grid = op.gradient_on_grid or (gradient is given and tensor.dtype is node.tensor_dtype)
            if tensor.dtype.low_precision and not on_grid:
                # The grid holds at every edge; what was handed on belongs to others too, and stays as it is.
                own = gradient if gradient is not given else gradient.copy()
                gradient = rounded(own, tensor.dtype)  # noqa: PLW2901
            if receiver.gradient is not None:
                gradient = rounded(dense(receiver.gradient) + gradient, tensor.dtype)  # noqa: PLW2901
            receiver.gradient = gradient


def _receive_rows(receiver: Node, gradient: RowGradient, dtype: DType) -> None:
    """Give a variable the gradient of some of its rows; what other ops made becomes dense."""
    found: Gradient = gradient if receiver.op is None else gradient.merged()
    if receiver.gradient is not None:
        found = added(receiver.gradient, found)
    receiver.gradient = mapped(partial(rounded, dtype=dtype), found)


def _collect(dtype: DType, gradient: Array, saved: Any, needed: tuple[bool, ...]) -> tuple[Array | None, ...]:
    parent, position, count = saved
    if parent.gradient is None:
        parent.gradient = [None] * count
    parent.gradient[position] = gradient
    return ()


PART = Op("part", lambda dtype: (np.empty(0), None), _collect, on_grid=True, gradient_on_grid=True)


READ = Op("read", lambda dtype: (np.empty(0), None), lambda dtype, gradient, saved, needed: ())


def apply_parts(op: Op, *inputs: Tensor, **attributes: Any) -> list[Tensor]:
    """Run an op with several results, all of the dtype of its first input.

    The op's forward returns a list of arrays in place of one; its backward is given a list of gradients, None for
    results that the target does not depend on.
    """
    for tensor in inputs:
        if tensor.node is not None:
            return tensor.node.tape.record_parts(op, inputs, attributes)
    return [Tensor(array, inputs[0].dtype) for array in _parts(op, inputs, attributes)[0]]


def _parts(op: Op, inputs: tuple[Tensor, ...], attributes: Mapping[str, Any]) -> tuple[list[Array], Any]:
    dtype = inputs[0].dtype
    results: Any
    results, saved = op.forward(dtype, *[tensor.data for tensor in inputs], **attributes)
    return (results if op.on_grid else [rounded(array, dtype) for array in results]), saved


def rounded(array: Array, dtype: DType) -> Array:
    """Return the array on the grid of the dtype, rounding in place where there is something to round.

    The array must be owned by the caller: fresh, or never read again under its old values.
    """
    if not dtype.low_precision:
        return array
    array = np.asarray(array)
    return round_to(array, dtype, out=array)


def apply(op: Op, *inputs: Tensor, dtype: DType | None = None, **attributes: Any) -> Tensor:
    """Run one op and record it if any input is on a tape.

    Args:
        op: the row of the table.
        inputs: tensors, usually of one dtype.
        dtype: dtype of the result; the first input's when omitted.
        attributes: what the op takes beside tensors (axis, shapes, labels).
    """
    result_dtype = inputs[0].dtype if dtype is None else dtype
    for tensor in inputs:
        if tensor.node is not None:
            return tensor.node.tape.record(op, inputs, result_dtype, attributes)
    data, _ = op.forward(result_dtype, *[tensor.data for tensor in inputs], **attributes)
    data = np.asarray(data)
    if result_dtype.low_precision and not op.on_grid:
        data = round_to(data, result_dtype, out=data)
    return Tensor(data, result_dtype)


def constant(values: Any, dtype: DType = FLOAT32) -> Tensor:
    """Return values as a constant tensor on the grid of the dtype."""
    array = np.array(values, dtype=dtype.storage)
    return Tensor(rounded(array, dtype), dtype)
