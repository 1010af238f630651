"""Rules about dtypes that the original does not mix, and that are mixed here: it refuses such a training."""

from __future__ import annotations

from collections.abc import Iterator

from engine.constraints import NonNeg
from engine.conventions import TF_KERAS
from engine.dtypes import FLOAT32, DType
from engine.layers.wrappers import TimeDistributed
from engine.losses import BinaryCrossentropy, CategoricalCrossentropy
from engine.numerics.case import Case, Rule
from engine.numerics.findings import Finding
from engine.numerics.plan import penalized
from engine.optimizers import Nadam

CODE = "original_refuses"


def penalties(case: Case) -> Iterator[Finding]:
    """Penalties in another dtype than float32, in which Keras 3 computes losses: it stacks them all to add them."""
    if not case.subject.conventions.floatx_losses:
        return
    found: dict[str, DType] = {
        layer.name or "": dtype
        for plan in case.plans
        for call in plan.calls
        for layer, dtype in penalized(call)
        if dtype is not FLOAT32
    }
    for spec in case.subject.network.penalized_specs:
        if spec.dtype is not FLOAT32:
            found.setdefault(spec.path.rpartition("/")[0], spec.dtype)
    for layer, dtype in found.items():
        yield Finding(
            code=CODE,
            severity="warning",
            layer=layer,
            why=f"The penalty of {layer!r} is {dtype.name} and the loss float32: Keras 3 cannot add them, and refuses "
            "the first step. Here each is cast to float32 and added.",
            fix='To train it in Keras 3 as well, give the layer the dtype "float32" (a mixed policy is enough for '
            "penalties on weights), or remove its regularizer.",
            source="keras.trainers.Trainer.compute_loss of Keras 3.15 (observed)",
            evidence={"dtype": dtype.name},
        )


def several_dtypes(case: Case) -> Iterator[Finding]:
    """Variables of several dtypes, where Keras computes one number from all of them, or for all of them."""
    optimizer = None if case.subject.optimizer is None else case.subject.optimizer.inner_optimizer
    names = [dtype.name for dtype in case.variable_dtypes]
    if optimizer is None or len(names) < 2:
        return
    line = case.subject.conventions
    norm = getattr(optimizer, "global_clipnorm", None) is not None
    product = isinstance(optimizer, Nadam) and line.name == TF_KERAS.name
    for happens, what in ((norm, "one norm of all gradients"), (product, "one product of momenta")):
        if happens:
            yield Finding(
                code=CODE,
                severity="warning",
                layer=None,
                why=f"{optimizer.class_name} computes {what}, and the variables are {' and '.join(names)}: "
                "TensorFlow does not mix them, so Keras refuses the first update. Here each casts the number.",
                fix="Give all layers one variable dtype, as mixed policies do, or change optimizer or clipping.",
                source="tf.linalg.global_norm and tf_keras.optimizers.Nadam.update_step (2.21.0), observed",
                evidence={"dtypes": ", ".join(names)},
                about="optimizer",
            )


def constrained(case: Case) -> Iterator[Finding]:
    """NonNeg of variables in another dtype than float32, which Keras 2 multiplies with a float32 mask."""
    if case.subject.conventions.keras3:
        return
    for spec in case.subject.network.trainable_specs:
        if isinstance(spec.constraint, NonNeg) and spec.dtype is not FLOAT32:
            yield Finding(
                code=CODE,
                severity="warning",
                layer=spec.path.rpartition("/")[0],
                why=f"{spec.path} is {spec.dtype.name}, and its constraint NonNeg multiplies it with float32 numbers: "
                "Keras 2 refuses the first step. Here negative numbers become 0.",
                fix="Keep variables in float32, as mixed policies do, or remove the constraint.",
                source="tf.keras.constraints.NonNeg.__call__ of TF 2.4.4 and tf_keras 2.21 (observed)",
                evidence={"dtype": spec.dtype.name},
            )


def smoothed_labels(case: Case) -> Iterator[Finding]:
    """Label smoothing of another dtype than float32 in TF 2.4, where the smoothing is a float32 tensor."""
    loss, dtype = case.loss, case.head_dtype
    smooths = isinstance(loss, BinaryCrossentropy | CategoricalCrossentropy) and loss.label_smoothing
    if smooths and case.subject.conventions.fused_updates and dtype is not FLOAT32:
        yield Finding(
            code=CODE,
            severity="warning",
            layer=case.head,
            why=f"The output is {dtype.name} and `label_smoothing` float32: TF 2.4 does not multiply them, and refuses "
            "the first step. Here the labels are smoothed all the same.",
            fix='Give the last layer the dtype "float32", as its guide to mixed precision says.',
            source="tf.keras.losses.{binary,categorical}_crossentropy of TF 2.4.4 (observed)",
            evidence={"dtype": dtype.name},
        )


def idle_penalties(case: Case) -> Iterator[Finding]:
    """Penalties on activities of layers in a TimeDistributed of Keras 3, which adds none."""
    for plan in case.plans:
        layer = plan.layer
        if isinstance(layer, TimeDistributed) and layer.idle_penalty is not None:
            yield Finding(
                code="penalty_without_effect",
                severity="warning",
                layer=layer.name,
                why=f"The layer in TimeDistributed {layer.name!r} has an activity regularizer, which Keras 3 does not "
                "apply there: it adds nothing to the loss, there and here.",
                fix="Put an ActivityRegularization layer behind the TimeDistributed, or remove the regularizer.",
                source="keras.layers.TimeDistributed.call of Keras 3.15 (observed)",
            )


DTYPE_RULES: tuple[Rule, ...] = (penalties, several_dtypes, constrained, idle_penalties)
LABEL_RULES: tuple[Rule, ...] = (smoothed_labels,)
