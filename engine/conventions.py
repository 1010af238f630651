"""Where the three Keras lines differ, as data: one record per line, picked once, passed explicitly.

Sources: ``golden/README-train.md`` ("Behaviours to know") and ``reference/mixed-precision.md``, both observed by
running TF 2.4.4, tf_keras 2.21 and Keras 3.15.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from engine.dtypes import FLOAT32, DType


@dataclass(frozen=True, slots=True)
class Conventions:
    """How one line of Keras trains.

    Attributes:
        name: "tf2.4", "tf_keras" or "keras3"; also the dialect in which configs are written.
        floatx_losses: losses cast predictions to float32 first (Keras 3); else they run in the prediction's dtype.
        autocast_all_arguments: every call argument is cast to the compute dtype (Keras 3); else only the first.
        bessel_batch_variance: batch normalization of 4-D input stores the N/(N-1) variance (Keras 2, fused kernel).
        hard_sigmoid_slope: 0.2 in Keras 2, 1/6 in Keras 3; clipped to [0, 1] around 0.5.
        clipped_binary_logs: binary crossentropy of probabilities clips and takes logs (Keras 3); else it also adds
            epsilon inside the logs (Keras 2).
        float32_reduction: losses are weighted and reduced in float32 and cast back (TF 2.4); else in their own dtype.
        mean_of_unmasked: a masked loss is averaged over the entries that count; else over all (TF 2.4).
        masked_layers: batch normalization and multi-head attention count what masks leave; not in TF 2.4.
        fused_updates: optimizers run in TF's kernels, which take 1 - beta of a float32 beta (TF 2.4); else in Python.
        idle_momentum: SGD keeps and multiplies a momentum even where it is 0 (tf_keras).
        labels_as_predicted: class numbers are cast to the prediction's dtype first, so that in float16 2049 is 2048
            (TF 2.4); else they stay integers.
        row_gradients: the gradient of an embedding stays rows, as on TensorFlow; else it is dense, as on JAX and torch.
        floatx: Keras's ``backend.floatx()``: dtype of inputs, of Keras 3's losses, of metrics.
        sum_lanes: partial sums that the CPU kernel keeps for each channel of a sum along outer axes: one in TF 2.4,
            four in TF 2.21.
        fused_terms: matrix products that the CPU kernel sums in a narrow dtype add some terms by fused multiply-adds
            (TF 2.21); else every product is rounded first (TF 2.4).
        narrow_matmul: ``tf.matmul`` sums float16 in float16, as ``tf.einsum`` does in both (TF 2.4); else in float32.
    """

    name: str
    floatx_losses: bool
    autocast_all_arguments: bool
    bessel_batch_variance: bool
    hard_sigmoid_slope: float
    clipped_binary_logs: bool
    float32_reduction: bool
    mean_of_unmasked: bool
    masked_layers: bool = True
    fused_updates: bool = False
    idle_momentum: bool = False
    labels_as_predicted: bool = False
    row_gradients: bool = True
    floatx: DType = FLOAT32
    sum_lanes: int = 4
    fused_terms: bool = True
    narrow_matmul: bool = False

    @property
    def keras3(self) -> bool:
        """Whether configs of this line use Keras 3's spelling (module, registered_name, DTypePolicy)."""
        return self.name == "keras3"


TF24 = Conventions(
    name="tf2.4",
    sum_lanes=1,
    fused_terms=False,
    narrow_matmul=True,
    masked_layers=False,
    fused_updates=True,
    labels_as_predicted=True,
    floatx_losses=False,
    autocast_all_arguments=False,
    bessel_batch_variance=True,
    hard_sigmoid_slope=0.2,
    clipped_binary_logs=False,
    float32_reduction=True,
    mean_of_unmasked=False,
)
TF_KERAS = Conventions(
    name="tf_keras",
    idle_momentum=True,
    floatx_losses=False,
    autocast_all_arguments=False,
    bessel_batch_variance=True,
    hard_sigmoid_slope=0.2,
    clipped_binary_logs=False,
    float32_reduction=False,
    mean_of_unmasked=True,
)
KERAS3 = Conventions(
    name="keras3",
    floatx_losses=True,
    autocast_all_arguments=True,
    bessel_batch_variance=False,
    hard_sigmoid_slope=1 / 6,
    clipped_binary_logs=True,
    float32_reduction=False,
    mean_of_unmasked=True,
)
CONVENTIONS: Mapping[str, Conventions] = MappingProxyType({line.name: line for line in (TF24, TF_KERAS, KERAS3)})


def of(config: Mapping[str, Any], default: Conventions = TF24) -> Conventions:
    """Return the line of Keras that wrote a model config, by its ``keras_version``, ``module`` and layer configs."""
    version = str(config.get("keras_version", ""))
    if version.startswith("3.") or "build_config" in config or "registered_name" in config:
        return KERAS3
    if version.startswith("2.4"):
        return TF24
    if version.startswith("2."):
        return TF_KERAS
    inner = config.get("config")
    layers = inner.get("layers") if isinstance(inner, Mapping) else None
    first = layers[0] if isinstance(layers, list) and layers and isinstance(layers[0], Mapping) else {}
    return KERAS3 if "registered_name" in first else default
