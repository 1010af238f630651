"""One thing that a library does not compute: the op, the dtypes, where it is needed, and the error."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from engine.dtypes import BFLOAT16, FLOAT16, DType
from engine.layers import Layer
from engine.numerics.case import Case
from engine.numerics.findings import About
from engine.numerics.refusals.uses import Use

Where: TypeAlias = Callable[[Use], bool]
Cause: TypeAlias = Literal["kernel", "types"]
"""No kernel in the build for CPUs, which a GPU may have; or dtypes that the op does not take on any device."""

HALF: tuple[DType, ...] = (FLOAT16, BFLOAT16)
ONLY_BFLOAT16: tuple[DType, ...] = (BFLOAT16,)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that a library refuses.

    Attributes:
        op: of TensorFlow, that is needed.
        dtypes: of the layer's computation; empty for all of them.
        where: which uses need the op.
        error: class and message of what is raised, with ``{dtype}`` in it.
        cause: whether a kernel is missing on CPUs, or the types are refused everywhere.
    """

    op: str
    dtypes: tuple[DType, ...]
    where: Where
    error: str
    cause: Cause = "kernel"

    def holds(self, use: Use) -> bool:
        """Whether it stops this use."""
        return (not self.dtypes or use.compute in self.dtypes) and self.where(use)


def of(*kinds: type[Layer]) -> Where:
    """Return the test for layers of some classes."""
    return lambda use: isinstance(use.layer, kinds)


def backward(where: Where) -> Where:
    """Return the test for uses whose inputs need a gradient."""
    return lambda use: use.differentiated and where(use)


def without_kernel(op: str, where: Where) -> Refusal:
    """Return the refusal of bfloat16 by an op that has no kernel for it."""
    error = f"No OpKernel was registered to support Op '{op}' ... T=DT_BFLOAT16"
    return Refusal(op, ONLY_BFLOAT16, where, f"InvalidArgumentError: {error} (eagerly NotFoundError)")


@dataclass(frozen=True, slots=True)
class CompiledRefusal:
    """Something about the training, and not about one layer, that a library refuses.

    Attributes:
        op: of TensorFlow, that is needed.
        about: the setting that asks for it.
        dtype: in which it would be computed.
        where: which models and settings need the op.
        error: class and message of what is raised.
        cause: whether a kernel is missing on CPUs, or the types are refused everywhere.
    """

    op: str
    about: About
    dtype: DType
    where: Callable[[Case], bool]
    error: str
    cause: Cause = "kernel"


@dataclass(frozen=True, slots=True)
class Library:
    """What one library refuses.

    Attributes:
        name: with the version that was observed.
        layers: uses of layers.
        compiled: losses, optimizers and policies.
    """

    name: str
    layers: tuple[Refusal, ...]
    compiled: tuple[CompiledRefusal, ...]
