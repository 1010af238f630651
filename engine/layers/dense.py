"""Fully connected layers: Dense and its generalization EinsumDense."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from engine import ops, regularizers
from engine.configured import dimensions, optional, positive_integer, refuse, setting, text, unsupported_unless
from engine.dtypes import DType
from engine.errors import InvalidValue, ShapeMismatch
from engine.layers import float8
from engine.layers.base import Shape, last_axis
from engine.layers.entering import Integers
from engine.layers.float8 import factors_of
from engine.layers.weighted import Weighted
from engine.ops.einsum import BY_MATMUL, parse_einsum, renamed
from engine.regularizers import Regularizer
from engine.run import Run
from engine.tape import Tensor
from engine.weights import WeightSpec


@dataclass(frozen=True)
class Dense(Weighted):
    """``activation(inputs @ kernel + bias)``. Source: ``keras.layers.Dense``.

    Input shape (batch, ..., n), output shape (batch, ..., units); kernel (n, units), bias (units,).
    The product is rounded to the compute dtype, then the biased sum, then the activation.
    """

    supports_masking: ClassVar[bool] = True
    multiplies_in_float8: ClassVar[bool] = True

    units: int = setting(positive_integer)
    quantization_config: Mapping[str, Any] | None = setting(float8.quantization, None, only="keras3")
    lora_rank: None = setting(unsupported_unless(None), None, only="set")

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Kernel and, with ``use_bias``, bias; before them, in float8, the scales."""
        wanted = self.kernel_and_bias((last_axis(self, shapes[0]), self.units), (self.units,))
        return (*factors_of(self).weight_specs(self), *wanted)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """The last axis becomes ``units``."""
        last_axis(self, shapes[0])
        return (*shapes[0][:-1], self.units)

    def output_dtype(self, *entered: DType) -> DType:
        """The compute dtype, whatever enters."""
        return self.policy.compute

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Multiply, add the bias, activate."""
        # Integers too: of the layers with a kernel, only Dense converts what autocasting left alone.
        x = ops.cast(inputs[0], self.policy.compute)
        factors = factors_of(self)
        left, right = factors.inputs(self, run, x), factors.kernel(self, run)
        product = ops.matmul(left, right, narrow=self.conventions.narrow_matmul)
        return self.finished(run, factors.product(self, run, product))

    def bias(self, run: Run) -> Tensor:
        """Return the bias as it is added."""
        return factors_of(self).bias(self, run)


def _sizes(key: str, value: Any) -> Shape:
    return dimensions(key, [value] if isinstance(value, int) else value)


def _equation(key: str, value: Any) -> str:
    equation = text(key, value)
    parts = equation.replace(" ", "").split("->")
    if len(parts) != 2 or len(parts[0].split(",")) != 2:
        raise refuse(key, "an equation such as 'abc,cd->abd'", value)
    return equation


@dataclass(frozen=True, kw_only=True)
class EinsumDense(Weighted):
    """``activation(einsum(equation, inputs, kernel) + bias)``. Source: ``keras.layers.EinsumDense``.

    ``output_shape`` gives the output without its batch axis; None entries are taken from the input. ``bias_axes``
    names the output indices along which the bias varies.
    """

    integers: ClassVar[Integers] = "cast"

    multiplies_in_float8: ClassVar[bool] = True

    activity_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    equation: str = setting(_equation)
    output_shape: Shape = setting(_sizes)
    bias_axes: str | None = setting(optional(text), None)
    use_bias: bool = field(default=True, kw_only=True, repr=False)  # no setting here: bias_axes says it
    quantization_config: Mapping[str, Any] | None = setting(float8.quantization, None, only="keras3")
    gptq_unpacked_column_size: None = setting(unsupported_unless(None), None, only="set")
    lora_rank: None = setting(unsupported_unless(None), None, only="set")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "use_bias", self.bias_axes is not None)

    def _sizes_of_indices(self, shape: Shape) -> tuple[tuple[str, str, str], dict[str, int | None]]:
        """Return the spelled-out terms, and the size of every index."""
        kernel_rank = len(self.equation.replace(" ", "").split("->")[0].split(",")[1])
        left, right, out = parse_einsum(self.equation, (len(shape), kernel_rank))
        if len(left) != len(shape):
            message = f"Equation {self.equation!r} wants an input of {len(left)} axes, got shape {list(shape)}."
            raise ShapeMismatch(message, path=("equation",))
        sizes: dict[str, int | None] = dict(zip(left, shape, strict=True))
        given = (None,) * (len(out) - len(self.output_shape)) + self.output_shape
        for index, size in zip(out, given, strict=True):
            known = sizes.get(index)
            if size is not None and known is not None and size != known:
                message = f"Index {index!r} of {self.equation!r} is {known} in the input, but {size} in output_shape."
                raise ShapeMismatch(message, path=("output_shape",))
            sizes[index] = known if size is None else size
        missing = [index for index in right if sizes.get(index) is None]
        if missing:
            message = f"The size of index {missing[0]!r} of {self.equation!r} is not known; give it in output_shape."
            raise InvalidValue(message, code="unknown_size", path=("output_shape",))
        return (left, right, out), sizes

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Kernel of the equation's second term and, with ``bias_axes``, a bias that broadcasts to the output.

        Before them, in float8, the scales.
        """
        (_, right, out), sizes = self._sizes_of_indices(shapes[0])
        axes = self.bias_axes or ""
        first = min((out.index(index) for index in axes if index in out), default=len(out))
        bias = tuple(sizes[index] or 1 if index in axes else 1 for index in out[first:])
        wanted = self.kernel_and_bias(tuple(sizes[index] or 0 for index in right), bias)
        return (*factors_of(self).weight_specs(self), *wanted)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """Sizes of the equation's output."""
        (_, _, out), sizes = self._sizes_of_indices(shapes[0])
        return tuple(sizes[index] for index in out)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Multiply, add the bias, activate."""
        factors = factors_of(self)
        y = factors.product(self, run, self._product(factors.inputs(self, run, inputs[0]), factors.kernel(self, run)))
        if self.bias_axes is not None:
            y = ops.add(y, factors.bias(self, run))
        return self.activation(y, self.conventions)

    def _product(self, x: Tensor, kernel: Tensor) -> Tensor:
        """Return the product: by ``tf.einsum`` in Keras 2; Keras 3 takes ``tf.matmul`` for the usual equations."""
        terms = parse_einsum(self.equation, (x.ndim, kernel.ndim))
        fused = self.conventions.fused_terms
        if not self.conventions.keras3:
            return ops.einsum(self.equation, x, kernel, narrow=True, fused=fused)
        if renamed(terms) == "abc,cd->abd":
            return ops.matmul_each(x, kernel)
        return ops.einsum(self.equation, x, kernel, narrow=renamed(terms) not in BY_MATMUL, fused=fused)
