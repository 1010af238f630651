"""What `/v1/models/inspect` does: reads a request stage by stage as a job is read, and looks. Nothing is allocated."""

from __future__ import annotations

from dataclasses import dataclass

from engine import conventions, optimizers
from engine.errors import EngineError
from engine.layers import InputLayer
from engine.layers.operations import Operation
from engine.model import model_from_config
from engine.numerics.memory import Bytes, memory_of
from engine.numerics.model_policy import ModelPolicy, read_model_policy
from engine.numerics.plan import LayerPlan, plan_of
from engine.numerics.scaling import LossScaling, loss_scaling
from engine.numerics.subject import Subject
from engine.policy_scope import policy_reach
from engine.training import FitOptions
from worker.settings import Limits
from worker.specs.advice import findings_of, subject_of
from worker.specs.compile_configs import look_for_compile
from worker.specs.doubts import Reading, doubts_of
from worker.specs.errors import from_engine
from worker.specs.findings import Findings
from worker.specs.inspection import (
    BytesShape,
    FindingShape,
    Inspection,
    InspectRequest,
    LayerShape,
    LossScalingShape,
    MemoryShape,
)
from worker.specs.reach import ReachShape
from worker.specs.resources import CODE, layer_places
from worker.specs.scale_limits import check_scale, scale_place
from worker.specs.sources import NO_FILES, Sources
from worker.specs.stages import (
    check_trainable,
    compile_model,
    policy_place,
    policy_scope,
    read_data,
    read_fit,
    read_model,
    scoped_model,
)

MOST_BYTES = 2**53
"""A model beyond it fits nowhere, and every JSON reader still holds its figures exactly."""


def inspect_model(request: InspectRequest, limits: Limits, sources: Sources = NO_FILES) -> Inspection:
    """Look at a model.

    Args:
        request: the model, and what is known beside it.
        limits: only those on its data and on the number of its layers hold: looking is cheap.
        sources: uploaded files that it may name.

    Raises:
        SpecError: every fault there is, each with a pointer into the request.
    """
    findings = Findings(request.given())
    reading = _read(findings, limits, sources)
    findings.raise_if_any()
    seen = _seen(findings, reading.subject) if reading else None
    findings.raise_if_any()
    if reading is None or seen is None:
        raise AssertionError("A stage of the inspection gave up without saying why")
    return _answer(reading, seen)


@dataclass(frozen=True)
class _Seen:
    plans: tuple[LayerPlan, ...]
    scaling: LossScaling
    memory: dict[str, Bytes]


def _read(findings: Findings, limits: Limits, sources: Sources) -> Reading | None:
    body = findings.body
    policy = _read_policy(findings)
    fit = read_fit(findings) or FitOptions()
    samples = read_data(findings, limits, sources) if body.get("data") is not None else None
    plain = (policy or read_model_policy(None)).plain
    before = len(findings.errors)
    model = read_model(findings, limits, plain, samples)
    line = conventions.of(body["model"])
    if model is None and len(findings.errors) == before and body.get("data") is None:
        with findings.at("model"):  # a shape is missing, and here there is no data to tell it
            model_from_config(scoped_model(body).config, plain, line, policy_scope="unset")
    optimizer = found = None
    if body.get("compile") is not None:
        if compile_model(findings, model):
            optimizer = optimizers.get(body["compile"].get("optimizer", optimizers.DEFAULT), line)
    elif model is not None and policy is not None:
        found = look_for_compile(body, model)
        optimizer = found.optimizer if found else None
    if model is None or policy is None:
        return None
    subject = subject_of(body, model, policy, optimizer, batch_size=fit.batch_size, samples=samples, made=False)
    if not _check_layers(findings, subject):
        return None
    if found is None:
        return Reading(body, subject, model, samples=samples)
    return Reading(body, subject, model, samples=samples, compiled_at=found.place, notices=(found.notice,))


def _read_policy(findings: Findings) -> ModelPolicy | None:
    place, given = policy_place(findings)
    before = len(findings.errors)
    with findings.at(*place):
        policy = read_model_policy(given)
        check_trainable(findings, policy.plain, place)
    return policy if len(findings.errors) == before else None


def _check_layers(findings: Findings, subject: Subject) -> bool:
    """Note layers whose dtype is none to train with, and a map of policies that does not fit them."""
    before = len(findings.errors)
    try:
        network = subject.network
    except EngineError as error:
        outer = () if error.path[:1] == ("policy",) else ("model",)
        findings.errors.append(from_engine(error, findings.body, *outer))
        return False
    places = layer_places(network)
    for layer in network.layers:
        if isinstance(layer, InputLayer | Operation):
            continue  # they compute nothing in a dtype of their own
        place = (*places.get(layer.name, ("model",)), "config", "dtype")
        with findings.at(*place):
            check_trainable(findings, layer.policy, place)
    return len(findings.errors) == before


def _seen(findings: Findings, subject: Subject) -> _Seen | None:
    memory = dict(memory_of(subject))
    most = max(counted.total for counted in memory.values())
    if most > MOST_BYTES:
        size = f"about 2^{most.bit_length() - 1} bytes"
        text = f"The model would take {size}; figures are exact up to 2^53. Make it smaller."
        findings.add(CODE, text, "model")
        return None
    place = scale_place(findings.body)
    with findings.at(*place):
        check_scale(findings, subject.wrapped, place)
        if not findings.errors:
            return _Seen(plan_of(subject.network), loss_scaling(subject), memory)
    return None


def _answer(reading: Reading, seen: _Seen) -> Inspection:
    subject = reading.subject
    own = BytesShape.of(seen.memory[subject.policy.name])
    optimizer = subject.optimizer
    memory = MemoryShape(
        **own.model_dump(),
        batch_size=subject.batch_size,
        optimizer=None if optimizer is None else optimizer.inner_optimizer.class_name,
        policy=subject.policy.name,
        policies={name: BytesShape.of(counted) for name, counted in seen.memory.items()},
    )
    return Inspection(
        dialect=subject.conventions.name,
        parameters=sum(plan.parameters for plan in seen.plans),
        trainable_parameters=sum(plan.trainable_parameters for plan in seen.plans),
        layers=tuple(LayerShape.of(plan) for plan in seen.plans),
        loss_scaling=LossScalingShape.of(seen.scaling),
        memory=memory,
        policy_reach=ReachShape.of(policy_reach(subject.network, policy_scope(reading.body), subject.policy)),
        lint=tuple(FindingShape.of(placed.finding, placed.pointer) for placed in findings_of(reading)),
        warnings=doubts_of(reading),
    )
