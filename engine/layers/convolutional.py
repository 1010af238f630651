"""Convolutions over sequences and images, channels last."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from engine import constraints, initializers, ops, regularizers
from engine.configured import optional, positive_integer, refuse, setting, unsupported_unless
from engine.constraints import Constraint
from engine.errors import InvalidValue, ShapeMismatch
from engine.initializers import GlorotUniform, Initializer
from engine.layers.base import Shape
from engine.layers.entering import Integers
from engine.layers.operands import FLOATS_AND_INT32, check_match, check_taken
from engine.layers.readers import causal_padding, data_format, lowered, padding, sizes
from engine.layers.weighted import Weighted
from engine.ops.windows import Pair, output_length
from engine.regularizers import Regularizer
from engine.run import Run
from engine.tape import Tensor
from engine.weights import WeightSpec


@dataclass(frozen=True, kw_only=True)
class Windowed(Weighted):
    """Base: where the window goes, and how sequences become images of height 1."""

    integers: ClassVar[Integers] = "refused"

    rank: ClassVar[int] = 2
    kernel_name: ClassVar[str] = "Conv2D"
    """TF's name of the op."""

    activity_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    kernel_size: tuple[int, ...] = setting(sizes(2))
    strides: tuple[int, ...] = setting(sizes(2), 1)
    padding: str = setting(lowered(padding), "valid")
    data_format: str = setting(data_format, "channels_last")
    dilation_rate: tuple[int, ...] = setting(sizes(2), 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            message = (
                f"`strides` > 1 does not go with `dilation_rate` > 1, got {self.strides} and {self.dilation_rate}."
            )
            raise InvalidValue(message, path=("dilation_rate",))

    def _channels(self, shape: Shape) -> int:
        if len(shape) != self.rank + 2 or shape[-1] is None:
            raise ShapeMismatch(
                f"{self.class_name} {self.name!r} needs an input of {self.rank + 2} axes (batch first, a known number "
                f"of channels last), got shape {list(shape)}."
            )
        return shape[-1]

    def _places(self, shape: Shape) -> tuple[int | None, ...]:
        parts = zip(shape[1:-1], self.kernel_size, self.strides, self.dilation_rate, strict=True)
        return tuple(
            output_length(length, kernel, stride, rate, self.padding) for length, kernel, stride, rate in parts
        )

    def _image(self, x: Tensor) -> Tensor:
        if not self.conventions.keras3:
            check_taken("input", x.dtype, FLOATS_AND_INT32)
            check_match(self.kernel_name, "filter", self.policy.compute, "input", x.dtype)
        return x if self.rank == 2 else ops.reshape(x, (x.shape[0], 1, *x.shape[1:]))

    def _kernel(self, kernel: Tensor) -> Tensor:
        return kernel if self.rank == 2 else ops.reshape(kernel, (1, *kernel.shape))

    def _sequence(self, y: Tensor) -> Tensor:
        return y if self.rank == 2 else ops.reshape(y, (y.shape[0], *y.shape[2:]))

    def _pair(self, values: tuple[int, ...]) -> Pair:
        return (values[0], values[1]) if self.rank == 2 else (1, values[0])


@dataclass(frozen=True, kw_only=True)
class Conv2D(Windowed):
    """Cross-correlation of images. Source: ``keras.layers.Conv2D``.

    Input (batch, height, width, channels); kernel (height, width, channels / groups, filters), bias (filters,).
    """

    filters: int = setting(positive_integer)
    groups: int = setting(positive_integer, 1)
    quantization_config: None = setting(unsupported_unless(None), None, only="set")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.filters % self.groups:
            message = f"`filters` must be a multiple of `groups`, got {self.filters} and {self.groups}."
            raise InvalidValue(message, path=("groups",))

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Kernel and, with ``use_bias``, bias."""
        channels = self._channels(shapes[0])
        if channels % self.groups:
            message = f"{channels} input channels cannot be cut into {self.groups} groups."
            raise ShapeMismatch(message, path=("groups",))
        return self.kernel_and_bias((*self.kernel_size, channels // self.groups, self.filters), (self.filters,))

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """Places of the window, then filters."""
        self._channels(shapes[0])
        return (shapes[0][0], *self._places(shapes[0]), self.filters)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Convolve, add the bias, activate."""
        strides, rate = self._pair(self.strides), self._pair(self.dilation_rate)
        kernel = self._kernel(self.weight(run, "kernel"))
        fused = self.conventions.fused_terms
        y = ops.conv(self._image(inputs[0]), kernel, strides, rate, self.padding, self.groups, fused=fused)
        return self.finished(run, self._sequence(y))


@dataclass(frozen=True, kw_only=True)
class Conv1D(Conv2D):
    """Cross-correlation of sequences; padding "causal" looks only back. Source: ``keras.layers.Conv1D``."""

    rank: ClassVar[int] = 1

    kernel_size: tuple[int, ...] = setting(sizes(1))
    strides: tuple[int, ...] = setting(sizes(1), 1)
    padding: str = setting(lowered(causal_padding), "valid")
    dilation_rate: tuple[int, ...] = setting(sizes(1), 1)


@dataclass(frozen=True, kw_only=True)
class Depthwise(Windowed):
    """Base of layers with one kernel a channel."""

    kernel_name: ClassVar[str] = "DepthwiseConv2dNative"

    # The kernel's own settings have names of their own; Keras 3 no longer takes the inherited ones.
    kernel_initializer: Initializer = setting(
        initializers.read, GlorotUniform(), write=initializers.write, only="keras2"
    )
    kernel_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write, only="keras2")
    kernel_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write, only="keras2")
    groups: int = setting(unsupported_unless(1), 1, only="set")
    depth_multiplier: int = setting(positive_integer, 1)
    depthwise_initializer: Initializer = setting(initializers.read, GlorotUniform(), write=initializers.write)
    depthwise_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    depthwise_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)

    def _depthwise_spec(self, shape: Shape) -> WeightSpec:
        size = (*self.kernel_size, self._channels(shape), self.depth_multiplier)
        spec = self.spec(self._depthwise_name(), size, self.depthwise_initializer, self.depthwise_regularizer)
        return dataclasses.replace(spec, constraint=self.depthwise_constraint)

    def _depthwise_name(self) -> str:
        return "depthwise_kernel"

    def _depthwise(self, run: Run, x: Tensor) -> Tensor:
        kernel = self._kernel(self.weight(run, self._depthwise_name()))
        strides, rate = self._pair(self.strides), self._pair(self.dilation_rate)
        fused = self.conventions.fused_terms
        return ops.depthwise_conv(self._image(x), kernel, strides, rate, self.padding, fused=fused)


@dataclass(frozen=True, kw_only=True)
class DepthwiseConv2D(Depthwise):
    """Each channel convolved by itself. Source: ``keras.layers.DepthwiseConv2D``.

    Kernel (height, width, channels, depth_multiplier), bias (channels * depth_multiplier,).
    """

    def _depthwise_name(self) -> str:
        return "kernel" if self.conventions.keras3 else "depthwise_kernel"

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Kernel and, with ``use_bias``, bias."""
        kernel = self._depthwise_spec(shapes[0])
        outputs = self._channels(shapes[0]) * self.depth_multiplier
        bias = self.spec("bias", (outputs,), self.bias_initializer, self.bias_regularizer)
        return (kernel, bias) if self.use_bias else (kernel,)

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """Places of the window, then channels times multiplier."""
        outputs = self._channels(shapes[0]) * self.depth_multiplier
        return (shapes[0][0], *self._places(shapes[0]), outputs)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Convolve each channel, add the bias, activate."""
        return self.finished(run, self._sequence(self._depthwise(run, inputs[0])))


@dataclass(frozen=True, kw_only=True)
class DepthwiseConv1D(DepthwiseConv2D):
    """Each channel of a sequence convolved by itself. Source: ``keras.layers.DepthwiseConv1D``."""

    rank: ClassVar[int] = 1

    kernel_size: tuple[int, ...] = setting(sizes(1))
    strides: tuple[int, ...] = setting(sizes(1), 1)
    padding: str = setting(lowered(causal_padding), "valid")
    dilation_rate: tuple[int, ...] = setting(sizes(1), 1)


@dataclass(frozen=True, kw_only=True)
class SeparableConv2D(Depthwise):
    """A depthwise convolution, then a mixture of its channels. Source: ``keras.layers.SeparableConv2D``.

    Depthwise kernel (height, width, channels, multiplier), pointwise kernel (1, 1, channels * multiplier, filters).
    """

    filters: int = setting(positive_integer)
    pointwise_initializer: Initializer = setting(initializers.read, GlorotUniform(), write=initializers.write)
    pointwise_regularizer: Regularizer | None = setting(regularizers.get, None, write=regularizers.write)
    pointwise_constraint: Constraint | None = setting(constraints.get, None, write=constraints.write)

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Depthwise kernel, pointwise kernel and, with ``use_bias``, bias."""
        mixed = self._channels(shapes[0]) * self.depth_multiplier
        size = (*(1 for _ in self.kernel_size), mixed, self.filters)
        pointwise = self.spec("pointwise_kernel", size, self.pointwise_initializer, self.pointwise_regularizer)
        bias = self.spec("bias", (self.filters,), self.bias_initializer, self.bias_regularizer)
        return (self._depthwise_spec(shapes[0]), pointwise, *((bias,) if self.use_bias else ()))

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """Places of the window, then filters."""
        self._channels(shapes[0])
        return (shapes[0][0], *self._places(shapes[0]), self.filters)

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Convolve each channel, mix, add the bias, activate."""
        kernel = self._kernel(self.weight(run, "pointwise_kernel"))
        seen, fused = self._depthwise(run, inputs[0]), self.conventions.fused_terms
        mixed = ops.conv(seen, kernel, (1, 1), (1, 1), "valid", fused=fused)
        return self.finished(run, self._sequence(mixed))


@dataclass(frozen=True, kw_only=True)
class SeparableConv1D(SeparableConv2D):
    """SeparableConv2D for sequences. Source: ``keras.layers.SeparableConv1D``."""

    rank: ClassVar[int] = 1

    kernel_size: tuple[int, ...] = setting(sizes(1))
    strides: tuple[int, ...] = setting(sizes(1), 1)
    padding: str = setting(lowered(causal_padding), "valid")
    dilation_rate: tuple[int, ...] = setting(sizes(1), 1)


def _output_padding(rank: int) -> Any:
    def read(key: str, value: Any) -> tuple[int, ...]:
        items = list(value) if isinstance(value, list | tuple) else [value] * rank
        if len(items) != rank or not all(isinstance(item, int) and item >= 0 for item in items):
            raise refuse(key, f"an integer not below 0 or a list of {rank}", value)
        return tuple(items)

    return optional(read)


@dataclass(frozen=True, kw_only=True)
class Conv2DTranspose(Windowed):
    """The transpose of a convolution (Zeiler 2010). Source: ``keras.layers.Conv2DTranspose``.

    Kernel (height, width, filters, channels), bias (filters,).
    """

    filters: int = setting(positive_integer)
    output_padding: tuple[int, ...] | None = setting(_output_padding(2), None)
    groups: int = setting(unsupported_unless(1), 1, only="set")

    def __post_init__(self) -> None:
        super().__post_init__()
        if any(extra >= stride for extra, stride in zip(self.output_padding or (), self.strides, strict=False)):
            message = (
                f"`output_padding` must be below `strides` along every axis, got {list(self.output_padding or ())} and "
                f"strides {list(self.strides)}. Accepted is at most {[stride - 1 for stride in self.strides]}, or null."
            )
            raise InvalidValue(message, path=("output_padding",))

    def weight_specs(self, *shapes: Shape) -> tuple[WeightSpec, ...]:
        """Kernel and, with ``use_bias``, bias."""
        return self.kernel_and_bias((*self.kernel_size, self.filters, self._channels(shapes[0])), (self.filters,))

    def _length(self, axis: int, places: int | None) -> int | None:
        """Return the length whose convolution has so many places (``deconv_output_length`` of Keras)."""
        if places is None:
            return None
        stride, span = self.strides[axis], (self.kernel_size[axis] - 1) * self.dilation_rate[axis] + 1
        if self.output_padding is None:
            return places * stride + (max(span - stride, 0) if self.padding == "valid" else 0)
        cut = span // 2 if self.padding == "same" else 0
        return (places - 1) * stride + span - 2 * cut + self.output_padding[axis]

    def compute_output_shape(self, *shapes: Shape) -> Shape:
        """Lengths whose convolution has the input's places, then filters."""
        self._channels(shapes[0])
        lengths = tuple(self._length(axis, places) for axis, places in enumerate(shapes[0][1:-1]))
        self._check_lengths(lengths, shapes[0])
        return (shapes[0][0], *lengths, self.filters)

    def _check_lengths(self, lengths: tuple[int | None, ...], shape: Shape) -> None:
        # Even kernels with the padding "same": TensorFlow finds out when it computes, and refuses.
        if None not in lengths and self._places((None, *lengths, None)) != shape[1:-1]:
            message = (
                f"{self.class_name} {self.name!r} with kernel_size {list(self.kernel_size)}, strides "
                f"{list(self.strides)} and output_padding {list(self.output_padding or ())} would give lengths "
                f"{list(lengths)}, whose convolution has not the {list(shape[1:-1])} places of the input. Leave "
                "`output_padding` out, or take a larger one."
            )
            raise ShapeMismatch(message, path=("output_padding",))

    def call(self, run: Run, *inputs: Tensor) -> Tensor:
        """Spread every place over its window, add the bias, activate."""
        size = tuple(length or 0 for length in self.compute_output_shape(inputs[0].shape)[1:-1])
        kernel = self._kernel(self.weight(run, "kernel"))
        strides, rate = self._pair(self.strides), self._pair(self.dilation_rate)
        image, size, fused = self._image(inputs[0]), self._pair(size), self.conventions.fused_terms
        y = ops.conv_transpose(image, kernel, size, strides, rate, self.padding, fused=fused)
        return self.finished(run, self._sequence(y))


@dataclass(frozen=True, kw_only=True)
class Conv1DTranspose(Conv2DTranspose):
    """Conv2DTranspose for sequences. Source: ``keras.layers.Conv1DTranspose``."""

    rank: ClassVar[int] = 1

    kernel_size: tuple[int, ...] = setting(sizes(1))
    strides: tuple[int, ...] = setting(sizes(1), 1)
    dilation_rate: tuple[int, ...] = setting(sizes(1), 1)
    output_padding: tuple[int, ...] | None = setting(_output_padding(1), None)
