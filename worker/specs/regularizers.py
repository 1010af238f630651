"""Shapes of weight penalties."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from worker.specs.shape import Node, Number, OneOf, Spec, Text, tabulate


class L1Config(Spec):
    """What `L1.get_config()` returns."""

    l1: Number = Field(default=0.01, description="Factor of the sum of absolute values.")


class L2Config(Spec):
    """What `L2.get_config()` returns."""

    l2: Number = Field(default=0.01, description="Factor of the sum of squares.")


class L1L2Config(Spec):
    """What `L1L2.get_config()` returns."""

    l1: Number = Field(default=0.0, description="Factor of the sum of absolute values.")
    l2: Number = Field(default=0.0, description="Factor of the sum of squares.")


class L1(Node):
    """Penalty on absolute values."""

    class_name: Literal["L1"]
    config: L1Config


class L2(Node):
    """Penalty on squares."""

    class_name: Literal["L2"]
    config: L2Config


class L1L2(Node):
    """Penalty on absolute values and squares."""

    class_name: Literal["L1L2"]
    config: L1L2Config


class OrthogonalRegularizerConfig(Spec):
    """What `OrthogonalRegularizer.get_config()` returns."""

    factor: Number = Field(default=0.01, description="Of the mean absolute cosine between two rows or columns.")
    mode: Text = Field(default="rows", examples=["rows", "columns"])


class OrthogonalRegularizer(Node):
    """Penalty on rows or columns of a matrix that are not orthogonal (Keras 3)."""

    class_name: Literal["OrthogonalRegularizer"]
    config: OrthogonalRegularizerConfig


REGULARIZERS = tabulate(L1, L2, L1L2, OrthogonalRegularizer)
RegularizerValue: TypeAlias = Annotated[Node | str | None, OneOf("regularizer", REGULARIZERS, "name", "null")]
