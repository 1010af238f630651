"""What of an accepted job is doubtful: each a notice with a stable code, so that nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from engine.callbacks import ModelCheckpoint, ReduceLROnPlateau
from engine.heads import weights_refused
from engine.layers import Layer, Shape
from engine.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    SparseCategoricalCrossentropy,
)
from engine.model import Model
from engine.numerics.subject import Subject
from engine.optimizers import LossScaleOptimizer
from engine.training import Trainer
from worker.specs.compile_configs import PLACES
from worker.specs.compile_differences import differences
from worker.specs.files.content import LABELS
from worker.specs.notices import Notice
from worker.specs.samples import Samples
from worker.specs.unused import unused_settings
from worker.specs.wording import listed as named

Body: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class Reading:
    """A request that passed.

    Attributes:
        body: as the caller wrote it.
        subject: what the linter looks at.
        model: compiled, if `compile` was given.
        trainer: None where the request is no whole job.
        samples: the data, if they are given.
        compiled_at: where in the body stands what the model is compiled with.
        notices: of those who read the request.
    """

    body: Body
    subject: Subject
    model: Model
    trainer: Trainer | None = None
    samples: Samples | None = None
    compiled_at: tuple[str | int, ...] = ("compile",)
    notices: tuple[Notice, ...] = ()


Doubt: TypeAlias = Callable[[Reading], Iterator[Notice]]

_PROBABILITY_LOSSES = (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    SparseCategoricalCrossentropy,
)
_PROBABILITY_HEADS = ("softmax", "sigmoid", "hard_sigmoid")


def doubts_of(job: Reading) -> tuple[Notice, ...]:
    """Return the notices of a request, as far as it is given; what the linter finds is no doubt of its own."""
    return (*job.notices, *(notice for doubt in DOUBTS for notice in doubt(job)))


def _optimizer_assumed(job: Reading) -> Iterator[Notice]:
    if job.body.get("compile") and "optimizer" not in job.body["compile"]:
        inner = job.model.optimizer.inner_optimizer
        text = (
            f"`compile` names no optimizer, so {inner.class_name} with learning rate {inner.learning_rate:g} is used, "
            'the default of Keras. Name the one that you mean, such as "optimizer": "adam".'
        )
        yield Notice(code="optimizer_assumed", message=text, pointer="/compile/optimizer")


def _export_dtype_replaced(job: Reading) -> Iterator[Notice]:
    policy, counts = job.subject.policy, job.subject.replaced
    names = sorted(name for name in counts if name not in {policy.name, policy.plain.name})
    if names:
        layers = sum(counts[name] for name in names)
        text = (
            f"{layers} {'layer names' if layers == 1 else 'layers name'} {' or '.join(map(repr, names))} in the "
            "config, as to_json() of Keras writes into every layer. They follow the policy of the job, "
            f"{policy.name!r}, instead. "
            'Keras would keep their own dtype; set "policy_scope" to "unset" if you want that.'
        )
        yield Notice(code="export_dtype_replaced", message=text, pointer="/policy_scope")


def _export_dtype_guessed(job: Reading) -> Iterator[Notice]:
    counts, rivals = job.subject.replaced, job.subject.rivals
    if rivals:
        text = (
            f"Some layers of the config name {' or '.join(map(repr, counts))} and others "
            f"{' or '.join(map(repr, rivals))}, and nothing tells which one the export wrote into all layers and which "
            f"was chosen for single ones. The policy of the job replaces the former; `policy_reach` lists the layers "
            'that keep their own. Set "policy_scope" to "all" or "unset", or remove the `dtype` of layers.'
        )
        yield Notice(code="export_dtype_guessed", message=text, pointer="/policy_scope")


def _label_assumed(job: Reading) -> Iterator[Notice]:
    columns = job.samples.columns if job.samples else None
    if columns is not None and columns.guessed:
        labels, inputs = (named(columns.listed(key)) for key in ("y", "x"))
        text = (
            f"No column is named {', '.join(LABELS[:-1])} or {LABELS[-1]}, so the last one, {labels}, is taken as "
            f"labels and {inputs} as inputs. Name the columns in `data.y` and `data.x` to be sure."
        )
        yield Notice(code="label_assumed", message=text, pointer="/data/y")


def _compile_config_unused(job: Reading) -> Iterator[Notice]:
    for key in PLACES:
        given = job.body["model"].get(key)
        parts = differences(key, given, job.model) if given and job.model.is_compiled else ()
        if parts:
            text = (
                f"`{key}` inside the model is not used, the job's own `compile` is; they differ in "
                f"{' and '.join(parts)}."
            )
            yield Notice(code="compile_config_unused", message=text, pointer=f"/model/{key}")


def _no_effect(job: Reading) -> Iterator[Notice]:
    given = job.body.get("compile") or {}
    for key in ("run_eagerly", "jit_compile"):
        if given.get(key):
            text = f"`{key}` changes nothing here: every run computes op by op."
            yield Notice(code="no_effect", message=text, pointer=f"/compile/{key}")
    if given.get("auto_scale_loss") is False and (why := _switch_off(job)):
        yield Notice(code="no_effect", message=f"`auto_scale_loss` {why}.", pointer="/compile/auto_scale_loss")
    yield from unused_settings(job.body)


def _switch_off(job: Reading) -> str | None:
    """Return why nothing depends on ``auto_scale_loss``."""
    if not job.subject.conventions.keras3:
        return "exists in Keras 3 only; a model of Keras 2 is scaled as its policy says"
    if isinstance(job.subject.optimizer, LossScaleOptimizer):
        return "changes nothing: the optimizer scales the loss by itself"
    if job.subject.policy.name != "mixed_float16":
        return f"changes nothing: policy {job.subject.policy.name!r} would not wrap the optimizer anyway"
    return None


def _clipped_batch(job: Reading) -> Iterator[Notice]:
    if job.trainer is None:
        return
    rows = len(job.trainer.train)
    if job.trainer.fit.batch_size > rows and "batch_size" in job.body.get("fit", {}):
        text = f"`batch_size` is more than the number of samples to train on, {rows}: each epoch is one step."
        yield Notice(code="batch_size_clipped", message=text, pointer="/fit/batch_size")


def _fixed_batch_axis(job: Reading) -> Iterator[Notice]:
    size = next((shape[0] for shape in job.model.input_shapes if shape[0] is not None), None)
    if size is not None:
        text = f"The model fixes its batch axis to {size}; here batches take the size that `fit` says."
        yield Notice(code="batch_axis_not_used", message=text, pointer="/model")


def _weights_of_rows(job: Reading) -> Iterator[Notice]:
    weights = job.samples.weights if job.samples else None
    if weights is None or not job.model.is_compiled:
        return
    for head, shape in zip(job.model.compilation.heads, job.model.output_shapes, strict=True):
        given = weights.get(head.name) if isinstance(weights, Mapping) else weights
        if head.loss is not None and given is not None and weights_refused(head.loss, shape, given.ndim):
            text = (
                f"`sample_weight` has one number a row, but {head.loss.class_name} gives several losses a row, and "
                "Keras 3 refuses to multiply them. Here the weight of a row counts for all of its losses. Repeat it "
                "for each of them, so that Keras 3 trains the model too."
            )
            yield Notice(code="original_refuses", message=text, pointer="/data/sample_weight")
            return


def _head(job: Reading) -> Iterator[Notice]:
    if not job.model.is_compiled:
        return
    graph = job.model.network.graph
    ends = zip(job.model.compilation.heads, graph.outputs, job.model.output_shapes, strict=True)
    for head, (call, _), shape in ends:
        if isinstance(head.loss, _PROBABILITY_LOSSES):
            yield from _head_doubts(head.loss, graph.calls[call].layer, shape)


def _head_doubts(loss: Any, last: Layer, shape: Shape) -> Iterator[Notice]:
    activation = getattr(last, "activation", None)
    name = "softmax" if last.class_name == "Softmax" else getattr(activation, "name", None)
    if name is None:
        return
    if name not in _PROBABILITY_HEADS and not loss.from_logits:
        text = f"{loss.class_name} expects probabilities, but the last layer is {name}. Use softmax or from_logits."
        yield Notice(code="logits_as_probabilities", message=text, pointer="/compile/loss")
    if name in _PROBABILITY_HEADS and loss.from_logits:
        text = f"{loss.class_name} with from_logits expects logits, but the last layer is {name} already."
        yield Notice(code="probabilities_as_logits", message=text, pointer="/compile/loss")
    if name == "softmax" and shape[-1] == 1:
        text = "A softmax of one unit is always 1, so nothing can be learned. Use sigmoid, or one unit a class."
        yield Notice(code="constant_output", message=text, pointer="/model")


def _idle_callbacks(job: Reading) -> Iterator[Notice]:
    if job.trainer is None:
        return
    names = job.trainer.names
    for index, callback in enumerate(job.trainer.fit.callbacks):
        monitor = getattr(callback, "monitor", None)
        # Of a metric with several results, "name/0" is the first.
        idle = monitor is not None and monitor.partition("/")[0] not in names
        if isinstance(callback, ModelCheckpoint):
            idle = idle and callback.save_best_only
        if idle and not (isinstance(callback, ReduceLROnPlateau) and monitor == "learning_rate"):
            does = "saves every time" if isinstance(callback, ModelCheckpoint) else "never acts"
            text = (
                f"{callback.class_name} watches {monitor!r}, which this job does not measure, so it {does}. There are: "
                f"{', '.join(names)}; names with `val_` need a `validation_split`."
            )
            yield Notice(code="monitor_not_measured", message=text, pointer=f"/fit/callbacks/{index}/config/monitor")


DOUBTS: tuple[Doubt, ...] = (
    _optimizer_assumed,
    _export_dtype_replaced,
    _export_dtype_guessed,
    _label_assumed,
    _idle_callbacks,
    _compile_config_unused,
    _no_effect,
    _clipped_batch,
    _fixed_batch_axis,
    _weights_of_rows,
    _head,
)
