"""Whether a job can be trained, found out before it is queued and before anything is allocated.

The API calls this on every submit, and the worker on every slice: one function, so that they cannot differ.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from engine import datasets, optimizers
from engine.errors import EngineError
from engine.model import Model
from engine.numerics.model_policy import read_model_policy
from engine.optimizers import Optimizer
from engine.policy import Policy
from engine.policy_scope import PolicyReach, policy_reach
from engine.schedules import Schedule
from engine.training import FitOptions, Trainer
from worker.settings import Limits
from worker.specs.advice import subject_of, warnings_of
from worker.specs.doubts import Reading
from worker.specs.entries import check_data
from worker.specs.errors import from_engine
from worker.specs.findings import Findings
from worker.specs.graph import check_graph
from worker.specs.job import JobSpec
from worker.specs.labels import check_labels
from worker.specs.notices import Notice
from worker.specs.resources import check_fit, check_metrics, check_network, check_work, needed_bytes
from worker.specs.samples import Samples
from worker.specs.savings import check_savings
from worker.specs.scale_limits import check_scale, scale_place
from worker.specs.sources import NO_FILES, Sources
from worker.specs.stages import (
    compile_model,
    data_place,
    policy_place,
    policy_scope,
    read_data,
    read_fit,
    read_model,
    read_policy,
)


@dataclass(frozen=True)
class Summary:
    """What a job amounts to, in plain numbers.

    Attributes:
        policy: name of the model's policy.
        loss_scale: of the first step; 1.0 where the loss is not scaled.
        parameters: of all variables.
        trainable_parameters: of those that training changes.
        layers: of the model.
        samples: rows to train on.
        validation_samples: rows kept for validation.
        batch_size: rows of a full step.
        steps_per_epoch: steps of one epoch, the short last one included.
        epochs: passes over the rows.
        total_steps: of the whole job.
        optimizer: class of the optimizer, without the LossScaleOptimizer around it.
        learning_rate: of the first step; None where the optimizer chooses its own.
        x_columns: of an uploaded table, those that are inputs; None of other data. Of many the first are listed.
        y_columns: those that are labels, likewise.
    """

    policy: str
    loss_scale: float
    parameters: int
    trainable_parameters: int
    layers: int
    samples: int
    validation_samples: int
    batch_size: int
    steps_per_epoch: int
    epochs: int
    total_steps: int
    optimizer: str
    learning_rate: float | None
    x_columns: tuple[str, ...] | None
    y_columns: tuple[str, ...] | None


@dataclass(frozen=True)
class Prepared:
    """A job that can be trained.

    Attributes:
        trainer: holds model, data and options; no variable exists before its `initial_state()`.
        model: compiled.
        summary: what the job amounts to.
        body: the job as the caller wrote it.
        samples: the data.
    """

    trainer: Trainer
    model: Model
    summary: Summary
    body: Mapping[str, Any]
    samples: Samples

    @property
    def reach(self) -> PolicyReach:
        """Which layers follow the policy."""
        return policy_reach(self.model.network, policy_scope(self.body))

    @property
    def needed_bytes(self) -> int:
        """The most memory that its training may take."""
        return needed_bytes(self.model, self.samples, self.summary.batch_size)

    @cached_property
    def warnings(self) -> tuple[Notice, ...]:
        """What is accepted but doubtful. Found when it is asked for: the worker checks every slice and never asks."""
        line = self.model.network.conventions
        subject = subject_of(
            self.body,
            self.model,
            read_model_policy(policy_place(Findings(dict(self.body)))[1]),
            optimizers.get(self.body["compile"].get("optimizer", optimizers.DEFAULT), line),
            batch_size=self.summary.batch_size,
            samples=self.samples,
            made=True,
        )
        return warnings_of(Reading(self.body, subject, self.model, self.trainer, self.samples))


def prepare(spec: JobSpec, limits: Limits, sources: Sources = NO_FILES) -> Prepared:
    """Return the trainer of a job.

    Args:
        spec: the job.
        limits: what one job may ask for.
        sources: uploaded files that the job may name.

    Raises:
        SpecError: every fault there is, each with a pointer into the job. Nothing was allocated but the data.
    """
    findings = Findings(spec.given())
    policy = read_policy(findings)
    fit = read_fit(findings)
    samples = read_data(findings, limits, sources)
    model = read_model(findings, limits, policy or Policy("float32"), samples)
    compiled = compile_model(findings, model)
    if model is not None:
        _check_sizes(findings, limits, model, fit, samples)
        if compiled:
            check_metrics(findings, limits, model)
            check_scale(findings, model.optimizer, scale_place(findings.body))
    trainer = None
    if model is not None and samples is not None and compiled and fit is not None:
        trainer = _trainer(findings, limits, model, samples, fit)
    findings.raise_if_any()
    if trainer is None or model is None or samples is None:
        raise AssertionError("A stage of the check gave up without saying why")
    return Prepared(trainer, model, _summary(model, trainer, samples), findings.body, samples)


def _check_sizes(
    findings: Findings, limits: Limits, model: Model, fit: FitOptions | None, samples: Samples | None
) -> None:
    options = fit or FitOptions()
    rows = len(samples) if samples else 1
    if fit and samples:
        check_fit(findings, limits, fit, rows)
    check_graph(findings, model)
    check_network(findings, limits, model.network, min(options.batch_size, rows))


def _trainer(findings: Findings, limits: Limits, model: Model, samples: Samples, fit: FitOptions) -> Trainer | None:
    place = data_place(findings)
    before = len(findings.errors)
    with findings.at("fit"):
        datasets.split(len(samples), fit.validation_split)
    if len(findings.errors) > before:
        return None
    with findings.at(*place):
        if not check_data(findings, model.network, samples.x, place):
            return None
        try:
            trainer = Trainer(model, samples.x, samples.y, fit, int(findings.body.get("seed", 0)), samples.weights)
        except EngineError as error:
            if error.path[:1] not in _OF_FIT:
                raise
            findings.errors.append(from_engine(error, findings.body, "fit"))
            return None
        check_labels(findings, model, samples, place)
        check_savings(findings, limits, trainer)
        check_work(findings, limits, model.network, min(fit.batch_size, len(samples)), len(trainer.validation))
        return trainer
    return None


_OF_FIT = (("callbacks",), ("class_weight",))
"""Arguments of `fit` that are held against the data, so that their faults are found with those of the data."""


def _summary(model: Model, trainer: Trainer, samples: Samples) -> Summary:
    inner = model.optimizer.inner_optimizer
    return Summary(
        policy=model.policy.name,
        loss_scale=float(model.optimizer.rule.initial_scale),
        parameters=model.count_params(),
        trainable_parameters=sum(spec.size for spec in model.network.trainable_specs),
        layers=len(model.layers),
        samples=len(trainer.train),
        validation_samples=len(trainer.validation),
        batch_size=min(trainer.fit.batch_size, len(trainer.train)),
        steps_per_epoch=trainer.steps_per_epoch,
        epochs=trainer.fit.epochs,
        total_steps=trainer.total_steps,
        optimizer=inner.class_name,
        learning_rate=_first_rate(inner),
        x_columns=None if samples.columns is None else samples.columns.listed("x"),
        y_columns=None if samples.columns is None else samples.columns.listed("y"),
    )


def _first_rate(optimizer: Optimizer) -> float | None:
    rate = optimizer.learning_rate
    if isinstance(rate, Schedule):
        rate = float(rate(0))
    return rate if math.isfinite(rate) else None
