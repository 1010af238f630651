"""Shapes of what weights are brought back to after each update."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from worker.specs.shape import Integers, Node, Number, OneOf, Spec, tabulate


class NonNegConfig(Spec):
    """What `NonNeg.get_config()` returns."""


class MaxNormConfig(Spec):
    """What `MaxNorm.get_config()` returns."""

    max_value: Number = Field(default=2, description="Largest norm.")
    axis: Integers = Field(default=0, description="Axes along which norms are taken.")


class UnitNormConfig(Spec):
    """What `UnitNorm.get_config()` returns."""

    axis: Integers = Field(default=0, description="Axes along which norms are taken.")


class MinMaxNormConfig(Spec):
    """What `MinMaxNorm.get_config()` returns."""

    min_value: Number = Field(default=0.0, description="Smallest norm.")
    max_value: Number = Field(default=1.0, description="Largest norm.")
    rate: Number = Field(default=1.0, description="Share of the way that each update goes.")
    axis: Integers = Field(default=0, description="Axes along which norms are taken.")


class NonNeg(Node):
    """No weight below 0."""

    class_name: Literal["NonNeg"]
    config: NonNegConfig = NonNegConfig()


class MaxNorm(Node):
    """Norms at most so large."""

    class_name: Literal["MaxNorm"]
    config: MaxNormConfig = MaxNormConfig()


class UnitNorm(Node):
    """Norms of 1."""

    class_name: Literal["UnitNorm"]
    config: UnitNormConfig = UnitNormConfig()


class MinMaxNorm(Node):
    """Norms within bounds."""

    class_name: Literal["MinMaxNorm"]
    config: MinMaxNormConfig = MinMaxNormConfig()


CONSTRAINTS = tabulate(MaxNorm, MinMaxNorm, NonNeg, UnitNorm)
ConstraintValue: TypeAlias = Annotated[Node | str | None, OneOf("constraint", CONSTRAINTS, "name", "null")]
