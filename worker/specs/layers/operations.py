"""Operations on tensors that Keras 3 lists in a model like layers; those called as a layer is have its shape.

SOURCE: `keras.src.ops.operation.Operation.get_config` in Keras 3.15.1.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

from engine.layers.operations import OPERATIONS as KNOWN
from worker.specs.layers.base import LayerNode
from worker.specs.shape import Spec, Table, Text, tabulate


class OperationConfig(Spec):
    """What an operation's `get_config()` returns."""

    name: Text | None = None


class OperationNode(LayerNode):
    """An operation on tensors of the model, or on a tensor and a number."""

    config: OperationConfig = OperationConfig()


def _nodes() -> Iterator[type[OperationNode]]:
    for name in KNOWN:
        members: dict[str, Any] = {"__annotations__": {"class_name": Literal[name]}, "__module__": __name__}
        yield type(name, (OperationNode,), members)


OPERATIONS: Table = tabulate(*_nodes())
