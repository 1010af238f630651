"""What of an accepted job is doubtful: each a notice with a stable code, so that nothing is dropped silently."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from engine.callbacks import ModelCheckpoint, ReduceLROnPlateau
from engine.layers import Layer, Shape
from engine.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    SparseCategoricalCrossentropy,
)
from engine.model import Model
from engine.policy import PolicyV1
from engine.training import Trainer
from worker.specs.notices import Notice

Body: TypeAlias = Mapping[str, Any]


@dataclass(frozen=True)
class _Job:
    """A job that passed: its body, its compiled model, its trainer."""

    body: Body
    model: Model
    trainer: Trainer


Doubt: TypeAlias = Callable[[_Job], Iterator[Notice]]

_PROBABILITY_LOSSES = (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    SparseCategoricalCrossentropy,
)
_PROBABILITY_HEADS = ("softmax", "sigmoid", "hard_sigmoid")


def doubts_of(body: Body, model: Model, trainer: Trainer) -> tuple[Notice, ...]:
    """Return the notices of a job.

    Args:
        body: the job as the caller wrote it.
        model: compiled.
        trainer: of the job.
    """
    job = _Job(body, model, trainer)
    return tuple(notice for doubt in DOUBTS for notice in doubt(job))


def _policy_texts(job: _Job) -> Iterator[Notice]:
    for text in job.model.policy.warnings:
        yield Notice(code="loss_scale_not_useful", message=text, pointer="/policy")


def _unscaled_half(job: _Job) -> Iterator[Notice]:
    if job.model.policy.compute_dtype == "float16" and not job.model.optimizer.rule.checked:
        text = (
            f"Policy {job.model.policy.name!r} computes in float16, and the loss is not scaled dynamically: small "
            "gradients vanish, and overflowing ones reach the weights. Use mixed_float16 or a LossScaleOptimizer."
        )
        yield Notice(code="unscaled_float16", message=text, pointer="/policy")


def _policy_scale_unused(job: _Job) -> Iterator[Notice]:
    policy = job.model.policy
    given = job.body["compile"].get("optimizer")
    wrapped = isinstance(given, Mapping) and str(given["class_name"]).startswith("LossScaleOptimizer")
    if wrapped and isinstance(policy, PolicyV1) and policy.loss_scale is not None and not policy.is_default:
        text = "The optimizer scales the loss already, so the loss scale of the policy is not used, as in Keras."
        yield Notice(code="policy_loss_scale_unused", message=text, pointer="/policy/config/loss_scale")


def _compile_config_unused(job: _Job) -> Iterator[Notice]:
    if job.body["model"].get("compile_config"):
        text = "`compile_config` inside the model is not used; the job's own `compile` is."
        yield Notice(code="compile_config_unused", message=text, pointer="/model/compile_config")


def _no_effect(job: _Job) -> Iterator[Notice]:
    for key in ("run_eagerly", "jit_compile"):
        if job.body["compile"].get(key):
            text = f"`{key}` changes nothing here: every run computes op by op."
            yield Notice(code="no_effect", message=text, pointer=f"/compile/{key}")
    switch = job.body["compile"].get("auto_scale_loss")
    if switch is False and not job.model.network.conventions.keras3:
        text = "`auto_scale_loss` exists in Keras 3 only; a model of Keras 2 is scaled as its policy says."
        yield Notice(code="no_effect", message=text, pointer="/compile/auto_scale_loss")


def _clipped_batch(job: _Job) -> Iterator[Notice]:
    rows = len(job.trainer.train)
    if job.trainer.fit.batch_size > rows and "batch_size" in job.body.get("fit", {}):
        text = f"`batch_size` is more than the number of samples to train on, {rows}: each epoch is one step."
        yield Notice(code="batch_size_clipped", message=text, pointer="/fit/batch_size")


def _fixed_batch_axis(job: _Job) -> Iterator[Notice]:
    size = next((shape[0] for shape in job.model.input_shapes if shape[0] is not None), None)
    if size is not None:
        text = f"The model fixes its batch axis to {size}; here batches take the size that `fit` says."
        yield Notice(code="batch_axis_not_used", message=text, pointer="/model")


def _head(job: _Job) -> Iterator[Notice]:
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


def _idle_callbacks(job: _Job) -> Iterator[Notice]:
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
    _idle_callbacks,
    _policy_texts,
    _unscaled_half,
    _policy_scale_unused,
    _compile_config_unused,
    _no_effect,
    _clipped_batch,
    _fixed_batch_axis,
    _head,
)
