"""Every route that takes JSON: twice the body takes about twice the work at most, whatever stands in it."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from app.main import create_app
from app.settings import AppSettings
from tests.app.serving import JOBS, SPEC, checkers
from tests.work import calls_of
from worker.jobs import database
from worker.settings import WorkerSettings

VALUES: dict[str, Callable[[int], Any]] = {
    "numbers": lambda n: [1.5] * n,
    "nulls": lambda n: [None] * n,
    "objects": lambda n: [{"a": 1}] * n,
    "rows": lambda n: [[1.0, 2.0]] * n,
    "classes": lambda n: [{"class_name": "Dense", "config": {"k": 1}}] * n,
    "keys": lambda n: {f"k{index}": index for index in range(n)},
    "a text": lambda n: "x" * n,
    "patterns": lambda n: {f"(a|b)*{index}": "float32" for index in range(n)},
}


def _mapped(value: Any) -> dict[str, Any]:
    return {"class_name": "DTypePolicyMap", "config": {"default_policy": None, "policy_map": value}}


def _stack(value: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "s", "layers": value}}


HOLES: dict[str, list[Callable[[Any], Any]]] = {
    "/v1/policies/validate": [lambda v: {"policy": v}, lambda v: {"policy": _mapped(v)}],
    "/v1/policies/serialize": [lambda v: {"policy": v}, lambda v: v],
    "/v1/policies/deserialize": [lambda v: {"config": v}, lambda v: {"config": _mapped(v)}],
    "/v1/loss-scales/validate": [lambda v: {"loss_scale": v}],
    "/v1/loss-scales/serialize": [lambda v: {"loss_scale": v}],
    "/v1/loss-scales/deserialize": [lambda v: {"config": v}],
    "/v1/loss-scales/simulate": [
        lambda v: {"loss_scale": "dynamic", "steps": v},
        lambda v: {"loss_scale": "dynamic", "finite": v},
        lambda v: {"loss_scale": v, "finite": [True]},
    ],
    "/v1/optimizers/serialize": [lambda v: {"optimizer": v}],
    "/v1/optimizers/deserialize": [lambda v: {"config": v}],
    "/v1/translate": [lambda v: {"from": "deepspeed", "to": "torch", "config": v}],
    "/v1/models/inspect": [
        lambda v: {"model": _stack(v), "policy": "float32"},
        lambda v: {"model": SPEC["model"], "policy": _mapped(v)},
        lambda v: {"model": SPEC["model"], "policy": "float32", "data": {"x": v, "y": v}},
    ],
    f"{JOBS}?dry_run=true": [
        lambda v: {**SPEC, "model": _stack(v)},
        lambda v: {**SPEC, "metadata": v},
        lambda v: {**SPEC, "data": {"x": v, "y": v}},
        lambda v: {**SPEC, "compile": {"loss": v, "metrics": v, "loss_weights": v}},
    ],
    f"{JOBS}/job-0/predict": [lambda v: {"x": v}],
    "/v1/fine_tuning/jobs": [
        lambda v: {"model": "m", "training_file": "digits", "halfstep": v},
        lambda v: {"model": "m", "training_file": "digits", "halfstep": {"model": _stack(v)}},
    ],
    "/v1/sweeps?dry_run=true": [
        lambda v: {"job": v, "grid": {"/seed": [1, 2]}},
        lambda v: {"job": {**SPEC, "data": {"x": v, "y": v}}, "grid": {"/seed": [1, 2]}},
        lambda v: {"job": SPEC, "grid": {"/policy": v}},
    ],
    "/v1/webhooks": [lambda v: {"url": "https://example.com/", "secret": "s", "events": v}],
}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> FastAPI:
    folder = tmp_path_factory.mktemp("data")
    shared = WorkerSettings(data_dir=folder, broker_url=f"unix://{folder}/away?db=0")
    database.migrate(shared.database_url)
    return create_app(AppSettings(), shared, checkers())


def test_every_route_with_a_body_is_here(app: FastAPI) -> None:
    taking = {
        path
        for path, operations in app.openapi()["paths"].items()
        for operation in operations.values()
        if "application/json" in operation.get("requestBody", {}).get("content", {})
    }
    assert {path.partition("?")[0].replace("job-0", "{job_id}") for path in HOLES} == taking


def _asked(app: FastAPI, path: str, body: Any) -> None:
    async def ask() -> None:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            answer = await client.post(path, json=body)
        assert answer.status_code < 500, answer.text

    asyncio.run(ask())


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("path", HOLES)
def test_twice_the_body_takes_twice_the_work(app: FastAPI, path: str, value: str) -> None:
    for make in HOLES[path]:
        _asked(app, path, make(VALUES[value](2)))
        small, large = (calls_of(partial(_asked, app, path, make(VALUES[value](n)))) for n in (600, 1200))
        assert large <= 2.3 * small
