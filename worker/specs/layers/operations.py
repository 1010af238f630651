"""Operations on tensors that Keras 3 lists in a model like layers; those called as a layer is have its shape.

SOURCE: `keras.src.ops.operation.Operation.get_config` in Keras 3.15.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import Field

from engine.layers.operations import OPERATIONS as KNOWN
from worker.specs.layers.base import LayerNode
from worker.specs.shape import Bool, Int, Integers, Spec, Table, Text, tabulate


class OperationConfig(Spec):
    """What an operation's `get_config()` returns."""

    name: Text | None = None


class AnyConfig(OperationConfig):
    """What `Any.get_config()` returns."""

    axis: Int | Integers | None = Field(default=None, description="Along which it looks; null for all axes.")
    keepdims: Bool = False


class CastConfig(OperationConfig):
    """What `Cast.get_config()` returns."""

    dtype: Text = Field(description="Name of the dtype that comes out.", examples=["float32"])


class OperationNode(LayerNode):
    """An operation on tensors of the model, or on a tensor and a number."""

    config: OperationConfig = OperationConfig()


class AnyNode(LayerNode):
    """Whether any entry along axes is not zero."""

    config: AnyConfig = AnyConfig()


class CastNode(LayerNode):
    """The same values in another dtype."""

    config: CastConfig


_BASES: Mapping[str, type[LayerNode]] = {"Any": AnyNode, "Cast": CastNode}


def _nodes() -> Iterator[type[LayerNode]]:
    for name in KNOWN:
        members: dict[str, Any] = {"__annotations__": {"class_name": Literal[name]}, "__module__": __name__}
        yield type(name, (_BASES.get(name, OperationNode),), members)


OPERATIONS: Table = tabulate(*_nodes())
