"""Bodies of many faults: they are found, worded and counted up to a bound, whatever the length of the body."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from app.fine_tuning import FineTuningRequest
from app.sweep_checks import SweepRequest
from tests.work import calls_of
from tests.worker.specs.jobs import JOB
from worker.specs.bounds import LONGEST_KEY, MOST_FAULTS
from worker.specs.errors import FieldError, SpecError, read
from worker.specs.inspection import InspectRequest
from worker.specs.job import JobSpec
from worker.specs.shape import Spec

Body = tuple[type[Spec], dict[str, Any]]


def _job(**changes: Any) -> Body:
    return JobSpec, {**JOB, **changes}


def _layers(layers: list[Any]) -> Body:
    return _job(model={"class_name": "Sequential", "config": {"layers": layers}})


def _unknown(count: int) -> dict[str, Any]:
    return {f"k{index}": index for index in range(count)}


def _nested(count: int) -> list[Any]:
    inner = {"class_name": "Sequential", "config": {"layers": [1] * 100}}
    return [{"class_name": "Sequential", "config": {"layers": [inner] * 30}}] * (count // 3000)


BODIES: dict[str, Callable[[int], Body]] = {
    "layers that are none": lambda n: _layers([1] * n),
    "layers of no class": lambda n: _layers([{"class_name": "Nope", "config": {}}] * n),
    "layers with unknown keys": lambda n: _layers([{"class_name": "Dense", "config": _unknown(200)}] * (n // 200)),
    "layers with wrong values": lambda n: _layers([{"class_name": "Dense", "config": {"units": "x"}}] * n),
    "models in models": lambda n: _layers(_nested(n)),
    "calls too deep": lambda n: _layers(
        [{"class_name": "Dense", "config": {"units": 1}, "inbound_nodes": [_deep()] * n}]
    ),
    "unknown keys": lambda n: _job(**_unknown(n)),
    "labels": lambda n: _job(metadata=_unknown(n)),
    "metrics": lambda n: _job(compile={"loss": "mse", "metrics": [1] * n}),
    "losses by name": lambda n: _job(compile={"loss": dict.fromkeys(_unknown(n), 1)}),
    "class weights": lambda n: _job(fit={"class_weight": _unknown(n)}),
    "columns": lambda n: _job(data={"file": "file-1", "x": [1] * n}),
    "callbacks": lambda n: _job(fit={"callbacks": [1] * n}),
    "webhooks": lambda n: _job(webhooks=[1] * n),
    "what Keras printed": lambda n: _job(model={**JOB["model"], "compile_config": dict.fromkeys(_unknown(n), _deep())}),
    "a sweep's grid": lambda n: (SweepRequest, {"job": {}, "grid": {"/policy": [_deep()] * n}}),
    "a sweep's axes": lambda n: (SweepRequest, {"job": {}, "grid": _unknown(n)}),
    "a fine-tuning job": lambda n: (FineTuningRequest, {"model": 1, "training_file": 1, **_unknown(n)}),
    "members of ours": lambda n: (
        FineTuningRequest,
        {"model": "m", "training_file": "f", "halfstep": dict.fromkeys(_unknown(n), _deep())},
    ),
    "an inspection": lambda n: (InspectRequest, {"model": _layers([None] * n)[1]["model"], "policy": "float32"}),
}


def _deep() -> Any:
    value: Any = 0
    for _ in range(40):
        value = [value]
    return value


def _faults(root: type[Spec], body: dict[str, Any]) -> tuple[FieldError, ...]:
    with pytest.raises(SpecError) as caught:
        read(root, body)
    return caught.value.errors


@pytest.mark.parametrize("name", BODIES)
def test_faults_are_worded_up_to_a_bound(name: str) -> None:
    faults = _faults(*BODIES[name](20_000))
    assert 1 <= len(faults) <= MOST_FAULTS
    assert all(len(fault.message) < 4000 for fault in faults)


@pytest.mark.parametrize("name", BODIES)
def test_work_does_not_grow_with_the_faults(name: str) -> None:
    """Beyond the bounds a longer body costs no more calls; the least bound is far below 20,000."""
    before, after = (calls_of(partial(_faults, *BODIES[name](count))) for count in (20_000, 40_000))
    assert after <= before * 1.2
    assert before < 200_000


def test_faults_of_a_short_body_are_all_named() -> None:
    layers = [{"class_name": "Dense", "config": {"units": "x"}}, {"class_name": "Nope"}, 1]
    places = [
        fault.pointer
        for fault in _faults(*_job(model={"class_name": "Sequential", "config": {"layers": layers}}, seed="x"))
    ]
    assert places == [
        "/model/config/layers/0/config/units",
        "/model/config/layers/1/class_name",
        "/model/config/layers/2",
        "/seed",
    ]


def test_a_long_key_is_not_repeated_by_every_fault_behind_it() -> None:
    key = "k" * 100_000
    loss = {key: {"class_name": "MeanSquaredError", "config": _unknown(90)}}
    faults = _faults(*_job(compile={"loss": loss}))
    assert {fault.pointer for fault in faults} == {"/compile/loss"}
    (unknown,) = _faults(*_job(**{key: 1}))
    assert unknown.pointer == ""
    assert len(unknown.message) < LONGEST_KEY * 4


def test_lists_say_what_they_may_hold() -> None:
    (fault,) = _faults(*_job(metadata=_unknown(17)))
    assert fault.code == "too_long"
    assert fault.message == "`metadata` must have at most 16 entries. Received: 17."


def test_rows_inside_a_job_are_not_copied_and_not_looked_at_one_number_after_another() -> None:
    rows = [[0.5] * 200] * 1000
    spec = read(JobSpec, {**JOB, "data": {"x": rows, "y": [1] * 1000}})
    assert isinstance(spec, JobSpec)
    assert spec.given()["data"]["x"] is rows
    assert spec.given() == spec.model_dump(mode="json", exclude_unset=True)
    assert calls_of(spec.given) < 1000
    assert calls_of(partial(read, JobSpec, {**JOB, "data": {"x": rows, "y": [1] * 1000}})) < 20 * len(rows)
