"""What TF 2.4.4 refuses: observed on CPU, recorded in ``tests/recorded/refusals_tf24.json.gz``."""

from __future__ import annotations

from engine.dtypes import BFLOAT16, FLOAT64
from engine.layers.attention import OneHead
from engine.layers.convolutional import (
    Conv2D,
    Conv2DTranspose,
    DepthwiseConv2D,
    SeparableConv2D,
)
from engine.layers.embedding import Embedding
from engine.layers.layer_normalization import LayerNormalization
from engine.layers.merging import Dot
from engine.layers.normalization import BatchNormalization
from engine.layers.pooling import AveragePooling1D, AveragePooling2D, GlobalAveragePooling1D
from engine.layers.recurrent import GRU, LSTM
from engine.layers.reshaping import UpSampling2D
from engine.losses import CosineSimilarity, SparseCategoricalCrossentropy
from engine.numerics.case import Case
from engine.numerics.refusals.refusal import (
    HALF,
    ONLY_BFLOAT16,
    CompiledRefusal,
    Library,
    Refusal,
    backward,
    of,
    without_kernel,
)
from engine.numerics.refusals.tensorflow_221 import dilated_transpose_1d
from engine.numerics.refusals.uses import Use
from engine.optimizers import Adamax, RMSprop

_FUSED_EPSILON = 1.001e-5
"""The least epsilon of cuDNN's kernel, and so of the op that stands for it on CPUs."""


def normalized_dot(use: Use) -> bool:
    """Whether vectors are divided by their norm."""
    return isinstance(use.layer, Dot) and use.layer.normalize


def plain_dot(use: Use) -> bool:
    """Whether vectors are multiplied as they are."""
    return isinstance(use.layer, Dot) and not use.layer.normalize


def fused_batch(use: Use) -> bool:
    """Whether a batch normalization is fused: images, normalized over the channels."""
    return isinstance(use.layer, BatchNormalization) and use.rank == 4 and use.layer.axis in {1, 3, -1, -3}


def _fused_rows(use: Use) -> bool:
    layer = use.layer
    if not isinstance(layer, LayerNormalization) or layer.policy.variable.low_precision:
        return False
    axes = sorted(axis % use.rank for axis in layer.axis)
    return layer.epsilon >= _FUSED_EPSILON and axes == list(range(use.rank - len(axes), use.rank))


def _narrow_rows(use: Use) -> bool:
    return isinstance(use.layer, LayerNormalization) and use.variable.low_precision


def gelu(use: Use) -> bool:
    """Whether gelu is taken."""
    return "gelu" in use.activations


def _masked_scores(use: Use) -> bool:
    layer = use.layer
    if not isinstance(layer, OneHead):
        return False
    return layer.causal or bool(use.options.get("use_causal_mask")) or use.masked[1:2] == (True,)


def _masked_mean(use: Use) -> bool:
    return isinstance(use.layer, GlobalAveragePooling1D) and use.masked[:1] == (True,)


def _for_cudnn(use: Use) -> bool:
    """Whether the layer is also traced for cuDNN; a GRU under a mixed policy gets through."""
    layer = use.layer
    if not isinstance(layer, LSTM | GRU) or use.activations != ("tanh", "sigmoid"):
        return False
    plain = layer.use_bias and not layer.unroll and not layer.recurrent_dropout
    return plain and (isinstance(layer, LSTM) or (layer.reset_after and use.variable.low_precision))


def _resized(interpolation: str) -> Refusal:
    def where(use: Use) -> bool:
        return isinstance(use.layer, UpSampling2D) and use.layer.interpolation == interpolation

    if interpolation == "bilinear":
        return without_kernel("ResizeBilinearGrad", backward(where))
    error = "TypeError: Value passed to parameter 'grads' has DataType {dtype} not in list of allowed values"
    return Refusal("ResizeNearestNeighborGrad", ONLY_BFLOAT16, backward(where), error, "types")


def _grouped(use: Use) -> bool:
    return isinstance(use.layer, Conv2D) and use.layer.groups > 1


def _mismatch(op: str) -> str:
    return f"TypeError: Input 'y' of '{op}' Op has type float32 that does not match type {{dtype}} of argument 'x'"


_LAYERS: tuple[Refusal, ...] = (
    Refusal("Sub", HALF, _masked_scores, _mismatch("Sub"), "types"),
    Refusal("Mul", (*HALF, FLOAT64), _masked_mean, _mismatch("Mul"), "types"),
    Refusal(
        "Conv2D",
        (),
        _grouped,
        "UnimplementedError: The Conv2D op currently does not support grouped convolutions on the CPU",
    ),
    Refusal(
        "Conv2DBackpropInput with dilation",
        (),
        dilated_transpose_1d,
        "InvalidArgumentError: Current libxsmm and customized CPU implementations do not yet support dilation rates "
        "larger than 1",
    ),
    without_kernel("Conv2D", of(Conv2D)),
    without_kernel("Conv2DBackpropInput", of(Conv2DTranspose)),
    without_kernel("DepthwiseConv2dNative", of(DepthwiseConv2D, SeparableConv2D)),
    without_kernel("AvgPool", of(AveragePooling1D, AveragePooling2D)),
    without_kernel("BatchMatMulV2", of(OneHead)),
    without_kernel("BatchMatMulV2", plain_dot),
    without_kernel("Rsqrt", normalized_dot),
    without_kernel("FusedBatchNormV3", fused_batch),
    without_kernel("FusedBatchNormV3", _fused_rows),
    without_kernel("Rsqrt", _narrow_rows),
    without_kernel("Erf", gelu),
    _resized("bilinear"),
    _resized("nearest"),
    Refusal(
        "CudnnRNN",
        ONLY_BFLOAT16,
        _for_cudnn,
        "TypeError: Value passed to parameter 'input' has DataType bfloat16 not in list of allowed values: float16, "
        "float32, float64",
        "types",
    ),
)


def _global_bfloat16(case: Case) -> bool:
    return case.subject.policy.name == "bfloat16" and case.subject.policy_scope is not None


def _clipped(case: Case) -> bool:
    optimizer = case.subject.optimizer
    return (
        optimizer is not None
        and optimizer.inner_optimizer.global_clipnorm is not None
        and any(dtype is BFLOAT16 for dtype in case.variable_dtypes)
    )


def _learnt(case: Case, *, rows: bool) -> bool:
    """Whether bfloat16 variables are learnt whose gradients are rows, or whose gradients are not."""
    return any(
        spec.trainable and spec.dtype is BFLOAT16 and isinstance(plan.layer, Embedding) is rows
        for plan in case.plans
        for spec in plan.calls[0].call.weights
    )


def _adamax(case: Case) -> bool:
    optimizer = case.subject.optimizer
    return optimizer is not None and isinstance(optimizer.inner_optimizer, Adamax) and _learnt(case, rows=False)


def _momentum_of_rows(case: Case) -> bool:
    optimizer = case.subject.optimizer and case.subject.optimizer.inner_optimizer
    momentum = isinstance(optimizer, RMSprop) and optimizer.momentum > 0 and not optimizer.centered
    return momentum and _learnt(case, rows=True)


def _cosine(case: Case) -> bool:
    return isinstance(case.loss, CosineSimilarity) and case.head_dtype is BFLOAT16


def _sparse(case: Case) -> bool:
    return isinstance(case.loss, SparseCategoricalCrossentropy) and case.head_dtype is BFLOAT16


def _no_kernel(op: str) -> str:
    return f"InvalidArgumentError: No OpKernel was registered to support Op '{op}' ... T=DT_BFLOAT16"


_SPARSE = "SparseSoftmaxCrossEntropyWithLogits"
_COMPILED = (
    CompiledRefusal(
        "DivNoNan",
        "policy",
        BFLOAT16,
        _global_bfloat16,
        "TypeError: Value passed to parameter 'x' has DataType bfloat16 not in list of allowed values: float16, "
        "float32, float64, complex64, complex128",
        "types",
    ),
    CompiledRefusal("L2Loss", "optimizer", BFLOAT16, _clipped, _no_kernel("L2Loss")),
    CompiledRefusal("ResourceApplyAdaMax", "optimizer", BFLOAT16, _adamax, _no_kernel("ResourceApplyAdaMax")),
    CompiledRefusal(
        "ResourceSparseApplyRMSProp",
        "optimizer",
        BFLOAT16,
        _momentum_of_rows,
        _no_kernel("ResourceSparseApplyRMSProp"),
    ),
    CompiledRefusal("Rsqrt", "loss", BFLOAT16, _cosine, _no_kernel("Rsqrt")),
    CompiledRefusal(_SPARSE, "loss", BFLOAT16, _sparse, _no_kernel(_SPARSE)),
)
TENSORFLOW_24 = Library("TF 2.4.4", _LAYERS, _COMPILED)
