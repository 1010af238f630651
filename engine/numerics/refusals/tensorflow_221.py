"""What Keras 3.15.1 and tf_keras 2.21.0 refuse on TensorFlow 2.21: observed on CPU, recorded in ``tests/recorded``."""

from __future__ import annotations

from engine.dtypes import BFLOAT16, FLOAT16, DType
from engine.layers.activation import Softmax
from engine.layers.convolutional import Conv1DTranspose, Conv2DTranspose, SeparableConv1D
from engine.layers.embedding import Embedding
from engine.layers.layer_normalization import GroupNormalization
from engine.layers.wrappers import TimeDistributed
from engine.metrics.accuracy import SparseTopKCategoricalAccuracy, TopKCategoricalAccuracy
from engine.metrics.overlap import Overlap
from engine.numerics.case import Case
from engine.numerics.refusals.refusal import CompiledRefusal, Library, Refusal
from engine.numerics.refusals.uses import Use
from engine.optimizers import Adafactor
from engine.regularizers import OrthogonalRegularizer

_DILATED = "InvalidArgumentError: Current CPU implementations do not yet support dilation rates larger than 1"


def dilated_transpose(use: Use) -> bool:
    """Whether a transposed convolution is dilated."""
    return isinstance(use.layer, Conv2DTranspose) and max(use.layer.dilation_rate) > 1


def dilated_transpose_1d(use: Use) -> bool:
    """Whether one of sequences is: Keras 2 computes that of images by other ops."""
    return isinstance(use.layer, Conv1DTranspose) and max(use.layer.dilation_rate) > 1


def _causal_separable(use: Use) -> bool:
    return isinstance(use.layer, SeparableConv1D) and use.layer.padding == "causal"


def _orthogonal_outputs(use: Use) -> bool:
    return isinstance(getattr(use.layer, "activity_regularizer", None), OrthogonalRegularizer)


_OPEN_ROWS = Refusal(
    "OrthogonalRegularizer of outputs",
    (),
    _orthogonal_outputs,
    "TypeError: Arguments `num_rows` and `num_columns` must be positive integer values. Received: num_rows=None",
    "types",
)


def _adafactor_of_rows(case: Case) -> bool:
    """Whether Adafactor updates float16 rows: its NaN send Keras to rows that the gradient does not have."""
    optimizer = case.subject.optimizer
    rows = (spec for plan in case.plans if isinstance(plan.layer, Embedding) for spec in plan.calls[0].call.weights)
    learnt = any(spec.trainable and spec.dtype is FLOAT16 for spec in rows)
    return optimizer is not None and isinstance(optimizer.inner_optimizer, Adafactor) and learnt


KERAS_3 = Library(
    "Keras 3.15.1 on TensorFlow 2.21",
    (
        Refusal("Conv2DBackpropInput with dilation", (), dilated_transpose, _DILATED),
        Refusal(
            "a causal SeparableConv1D",
            (),
            _causal_separable,
            "ValueError: The `padding` argument must be a list/tuple or one of {{'valid', 'same'}}. Received: causal",
            "types",
        ),
    ),
    (
        CompiledRefusal(
            "the union of rows of an Embedding",
            "optimizer",
            FLOAT16,
            _adafactor_of_rows,
            "InvalidArgumentError: indices[2] = 10 is not in [0, 9)",
            "types",
        ),
    ),
)


def _overlap_in_bfloat16(case: Case) -> bool:
    """Whether an overlap of classes is counted in bfloat16: metrics of Keras 2 take the dtype of the global policy."""
    subject = case.subject
    asked = subject.policy_scope is not None and subject.policy.name == "bfloat16"
    return asked and any(isinstance(metric, Overlap) for metric in subject.metrics)


def _ranked_in(dtype: DType) -> CompiledRefusal:
    def where(case: Case) -> bool:
        asked = case.subject.policy_scope is not None and case.subject.policy.name == dtype.name
        return asked and any(isinstance(metric, _RANKED) for metric in case.metrics)

    error = f"TypeError: Input 'predictions' of 'InTopKV2' Op has type {dtype.name} that does not match float32"
    return CompiledRefusal("InTopKV2", "policy", dtype, where, error, "types")


def _masked_inside(use: Use) -> bool:
    """Whether a mask of steps reaches, one a row, a layer in TimeDistributed that takes one a feature."""
    inner = use.layer.layer if isinstance(use.layer, TimeDistributed) else None
    return isinstance(inner, Softmax | GroupNormalization) and any(use.masked)


_RANKED = (SparseTopKCategoricalAccuracy, TopKCategoricalAccuracy)
TF_KERAS = Library(
    "tf_keras 2.21 on TensorFlow 2.21",
    (
        Refusal("Conv2DBackpropInput with dilation", (), dilated_transpose_1d, _DILATED),
        _OPEN_ROWS,
        Refusal(
            "a mask of steps for the layer inside",
            (),
            _masked_inside,
            "InvalidArgumentError: Incompatible shapes: [rows] vs. [rows, features]",
            "types",
        ),
    ),
    (
        _ranked_in(FLOAT16),
        _ranked_in(BFLOAT16),
        CompiledRefusal(
            "DiagPart",
            "policy",
            BFLOAT16,
            _overlap_in_bfloat16,
            "InvalidArgumentError: No OpKernel was registered to support Op 'DiagPart' ... T=DT_BFLOAT16 (IoU metrics)",
        ),
    ),
)
