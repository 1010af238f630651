"""A tape and a run that show each tensor, and compute what the plain ones do.

They only wrap the ops that they pass on to the tape and the run they inherit from, so that looking on cannot change a
bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from engine.conventions import Conventions
from engine.dtypes import FLOAT32, DType
from engine.gradients import RowGradient, dense, values_of
from engine.observation import Phase, View
from engine.run import Noise, Run
from engine.tape import Array, Node, Op, Tape, Tensor, rounded
from engine.weights import WeightSpec


@dataclass(frozen=True, slots=True)
class _Held:
    """A result that is shown when it is known whether it is what a layer gives, or led to it."""

    node: Node
    op: str
    dtype: DType
    values: Array
    shadow: Array


class WatchedTape(Tape):
    """A tape that shows what it records, and the gradients that it takes.

    Attributes:
        layers: names of the layers whose calls have begun and not ended, outermost first.
        phase: of the step.
    """

    def __init__(self, view: View) -> None:
        super().__init__()
        self.layers: list[str] = []
        self.phase: Phase = "forward"
        self._view = view
        self._held: _Held | None = None
        self._idle: set[Node] = set()  # nodes of data, to which nobody wants gradients
        self._named: dict[Node, tuple[str, str]] = {}  # layer and name of variables and data, also when cast
        self._made_in: dict[Node, str] = {}
        self._outputs: set[Node] = set()

    def begin(self, tensor: Tensor, layer: str, name: str, op: str) -> None:
        """Show a tensor that nothing computed."""
        self._flush()
        self._view.show(self.phase, layer, op, name, tensor.dtype, tensor.data)
        if tensor.node is not None:
            self._named[tensor.node] = (layer, name)

    def given(self, layer: str, tensor: Tensor) -> Tensor:
        """Return data as a tensor of this tape, so that what is made of it is seen; it gets no gradient."""
        node = Node(self, None, (), None, tensor.dtype)
        self.nodes.append(node)
        self._idle.add(node)
        entered = Tensor(tensor.data, tensor.dtype, node)
        self.begin(entered, layer, "input", "input")
        return entered

    def finish(self, output: Any, name: str) -> None:
        """Show the result that was held back: under this name if it is (part of) the output."""
        parts = output if isinstance(output, list) else [output]
        nodes = {part.node for part in parts if isinstance(part, Tensor) and part.node is not None}
        if name == "activation":
            self._outputs |= nodes
        else:
            self._named |= dict.fromkeys(nodes, ("", name))
        self._flush(name if self._held is not None and self._held.node in nodes else "intermediate")

    def finish_last(self, name: str) -> None:
        """Show the result that was held back, if any, under a name."""
        if self._held is not None:
            self._named[self._held.node] = ("", name)
        self._flush(name)

    def reach(self, phase: Phase) -> None:
        """Begin another phase."""
        self._flush()
        self.phase = phase

    def _flush(self, name: str = "intermediate") -> None:
        held, self._held = self._held, None
        if held is not None:
            layer = self._made_in[held.node]
            self._view.show(self.phase, layer, held.op, name, held.dtype, held.values, held.shadow)

    def record(self, op: Op, inputs: tuple[Tensor, ...], dtype: DType, attributes: Mapping[str, Any]) -> Tensor:
        """Run an op, note it and show its result."""
        self._flush()
        spy = _SpiedForward(op)
        result = super().record(self._spied(op, spy, inputs), inputs, dtype, attributes)
        assert result.node is not None, "it was just recorded"
        shadow, spy.shadows = spy.shadows[0], []  # not kept longer than until it is shown
        self._note(result.node, inputs)
        source = self._named.get(inputs[0].node) if op.name == "cast" and inputs[0].node is not None else None
        if source is not None:
            self._named[result.node] = source
            self._view.show(self.phase, source[0], op.name, source[1], dtype, result.data, shadow)
        else:
            self._held = _Held(result.node, op.name, dtype, result.data, shadow)
        return result

    def record_parts(self, op: Op, inputs: tuple[Tensor, ...], attributes: Mapping[str, Any]) -> list[Tensor]:
        """Run an op of several results, note it and show them."""
        self._flush()
        spy = _SpiedForward(op)
        parts = super().record_parts(self._spied(op, spy, inputs), inputs, attributes)
        shadows, spy.shadows = spy.shadows, []
        for part, shadow in zip(parts, shadows, strict=True):
            assert part.node is not None, "it was just recorded"
            self._note(part.node, inputs)
            self._flush()
            self._held = _Held(part.node, op.name, part.dtype, part.data, shadow)
        return parts

    def _spied(self, op: Op, forward: _SpiedForward, inputs: tuple[Tensor, ...]) -> Op:
        wanted = tuple(self.wanted(tensor) for tensor in inputs)
        rounds = tuple(tensor.dtype.low_precision and not op.gradient_on_grid for tensor in inputs)
        return replace(op, forward=forward, backward=_SpiedBackward(op, wanted, rounds))

    def _note(self, node: Node, inputs: tuple[Tensor, ...]) -> None:
        self._made_in[node] = self.layers[-1] if self.layers else ""
        if not any(self.wanted(tensor) for tensor in inputs):
            self._idle.add(node)

    def wanted(self, tensor: Tensor) -> bool:
        """Whether the unwatched step takes a gradient to the tensor."""
        return tensor.node is not None and tensor.node not in self._idle

    def push_back(self, node: Node, op: Op) -> None:
        """Give the inputs of a node their gradients, and show them."""
        inputs = node.inputs
        before = {tensor.node: tensor.node.gradient for tensor in inputs if tensor.node is not None}
        super().push_back(node, op)
        spied = op.backward
        if not isinstance(spied, _SpiedBackward):
            return
        for tensor, gradient, shadow in zip(inputs, spied.gradients, spied.shadows, strict=True):
            receiver = tensor.node
            if receiver is None or gradient is None:
                continue
            if isinstance(gradient, RowGradient) or isinstance(receiver.gradient, RowGradient):
                self._show_gradient(receiver, op.name, tensor.dtype, values_of(receiver.gradient))
                continue
            self._show_gradient(receiver, op.name, tensor.dtype, gradient, shadow)
            if before[receiver] is not None:
                whole = dense(before[receiver]) + gradient
                self._show_gradient(receiver, "sum", tensor.dtype, rounded(whole.copy(), tensor.dtype), whole)
                before[receiver] = rounded(whole.copy(), tensor.dtype)
            else:
                before[receiver] = gradient
        node.op = None  # what it keeps is as large as the step; the node itself stays known until the end

    def _show_gradient(self, receiver: Node, op: str, dtype: DType, values: Array, shadow: Array | None = None) -> None:
        layer, name = self._named.get(receiver, (self._made_in.get(receiver, ""), ""))
        if not name:
            name = "output" if receiver in self._outputs else "intermediate"
        self._view.show(self.phase, layer, op, f"{name}_gradient", dtype, values, shadow)


class _SpiedForward:
    """The forward rule of an op, which keeps its results as they were before they are rounded."""

    def __init__(self, op: Op) -> None:
        self._op = op
        self.shadows: list[Array] = []

    def __call__(self, dtype: DType, *arrays: Array, **attributes: Any) -> tuple[Any, Any]:
        exact = None
        if dtype.low_precision and self._op.on_grid:
            # It rounds inside, if at all: what it would return in a dtype that needs no rounding.
            exact = _listed(self._op.forward(FLOAT32, *arrays, **attributes)[0])
        result, saved = self._op.forward(dtype, *arrays, **attributes)
        if exact is None:
            exact = [np.array(array) if dtype.low_precision else np.asarray(array) for array in _listed(result)]
        self.shadows = exact
        return result, saved


class _SpiedBackward:
    """The backward rule of an op, which keeps its results, and what they were before they are rounded in place."""

    def __init__(self, op: Op, wanted: tuple[bool, ...], rounds: tuple[bool, ...]) -> None:
        self._op = op
        self._wanted = wanted
        self._rounds = rounds
        self.gradients: list[Any] = []
        self.shadows: list[Any] = []

    def __call__(self, dtype: DType, gradient: Any, saved: Any, needed: tuple[bool, ...]) -> tuple[Any, ...]:
        found = self._op.backward(dtype, gradient, saved, self._wanted)
        # What is handed on as it came is copied, so that it can be rounded in place as all else.
        owned = [g.copy() if g is gradient and rounds else g for g, rounds in zip(found, self._rounds, strict=True)]
        self.gradients = [
            (g if isinstance(g, RowGradient) else np.asarray(g)) if wanted and g is not None else None
            for g, wanted in zip(owned, self._wanted, strict=True)
        ]
        self.shadows = [
            g.copy() if isinstance(g, np.ndarray) and rounds else g
            for g, rounds in zip(self.gradients, self._rounds, strict=True)
        ]
        return tuple(self.gradients)


def _listed(result: Any) -> list[Any]:
    return list(result) if isinstance(result, list | tuple) else [result]


class WatchedRun(Run):
    """A run that names what its tape shows."""

    def __init__(
        self,
        specs: Iterable[WeightSpec],
        arrays: Mapping[str, Array],
        tape: WatchedTape,
        conventions: Conventions,
        noise: Noise,
    ) -> None:
        self._watched = tape
        self._specs = {spec.path: spec for spec in specs}
        super().__init__(self._specs.values(), arrays, training=True, tape=tape, conventions=conventions, noise=noise)

    def variable(self, spec: WeightSpec, array: Array) -> Tensor:
        """Return the tensor of a variable, and show it."""
        tensor = super().variable(spec, array)
        self._watched.begin(tensor, spec.layer, spec.name, "variable")
        return tensor

    def enter(self, layer: str) -> None:
        """Name what comes next after the layer."""
        super().enter(layer)
        self._watched.layers.append(layer)

    def leave(self, output: Any) -> None:
        """Show the output under the name of the layer."""
        self._watched.finish(output, "activation")
        self._watched.layers.pop()

    def given(self, layer: str, tensor: Tensor) -> Tensor:
        """Return the data as a tensor that is seen."""
        return self._watched.given(layer, tensor)

    def forward_done(self) -> None:
        """Show the new moving statistics; the loss begins."""
        for path, array in self.updates.items():
            spec = self._specs[path]
            self._watched.begin(Tensor(array, spec.dtype), spec.layer, spec.name, "assign")
        self._watched.reach("loss")

    def loss_done(self, loss: Tensor) -> None:
        """Show the total loss."""
        self._watched.finish(loss, "loss")

    def backward_begins(self) -> None:
        """Show the scaled loss."""
        self._watched.finish_last("scaled_loss")
        self._watched.reach("backward")
