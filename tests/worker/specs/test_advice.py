"""Warnings of a job: those of the linter are the same by every route, and advice never names what the job has."""

import itertools
import re
from typing import Any

import pytest

from engine.numerics.findings import Finding
from engine.numerics.linter import lint
from tests.engine.numerics.subjects import dense, fixed, layer, policy_v1, subject
from tests.worker.specs.jobs import LIMITS, changed, prepared
from worker.specs import advice
from worker.specs.inspect_model import inspect_model
from worker.specs.inspection import InspectRequest
from worker.specs.notices import Notice

D1, D2 = "/model/config/layers/0/config", "/model/config/layers/1/config"
INNER = {"class_name": "SGD", "config": {}}


def scaled(**config: Any) -> dict[str, Any]:
    return {"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": INNER, **config}}


JOBS: list[dict[str, Any]] = [
    {},
    {"/policy": "float16"},
    {"/policy": "mixed_float16", f"{D2}/dtype": ...},
    {"/policy": policy_v1("mixed_float16", fixed(1e6)), f"{D2}/dtype": ...},
    {"/policy": policy_v1("mixed_float16", None), "/compile/optimizer": ...},
    {"/policy": "float32", "/compile/optimizer": scaled()},
    {"/policy": "bfloat16", "/model/compile_config": {"loss": "mse"}},
    {"/compile/jit_compile": True, "/compile/run_eagerly": True},
    {f"{D1}/dtype": "float16", "/policy": "float32"},
    {"/policy": "float8_from_mixed_float16"},
]


def of_linter(warnings: tuple[Notice, ...], codes: set[str]) -> list[tuple[str, str]]:
    return [(notice.code, notice.pointer) for notice in warnings if notice.code in codes]


@pytest.mark.parametrize("changes", JOBS)
def test_submit_and_inspection_say_the_same(changes: dict[str, Any]) -> None:
    looked = inspect_model(InspectRequest.model_validate(changed(changes)), LIMITS)
    grave = [found for found in looked.lint if found.severity != "info"]
    warnings = prepared(changes).warnings
    codes = {found.code for found in grave}
    assert of_linter(warnings, codes) == [(found.code, found.pointer) for found in grave]
    others = [notice for notice in warnings if notice.code not in codes]
    assert others == list(looked.warnings)


def test_a_warning_says_what_to_do_and_where() -> None:
    (notice,) = (each for each in prepared({"/policy": "float16"}).warnings if each.code == "unscaled_float16")
    assert notice.pointer == "/policy"
    assert "mixed_float16" in notice.message
    assert "LossScaleOptimizer" in notice.message


def test_layers_of_which_the_same_holds_share_a_warning() -> None:
    layers = [{"class_name": "Dense", "config": {"name": f"h{i}", "units": 4, "dtype": "float16"}} for i in range(12)]
    first = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 64], "name": "x"}}
    head = {"class_name": "Dense", "config": {"name": "d2", "units": 10, "activation": "softmax"}}
    warnings = prepared({"/model/config/layers": [first, *layers, head], "/policy": "float32"}).warnings
    (notice,) = (each for each in warnings if each.code == "unscaled_float16")
    assert notice.pointer == "/model/config/layers/1"
    assert notice.message.endswith("The same holds for 'h1', 'h2', 'h3', 'h4', 'h5' and 6 more.")


def test_infos_are_left_to_the_inspection() -> None:
    changes = {"/policy": "mixed_float16", f"{D2}/dtype": ...}
    looked = inspect_model(InspectRequest.model_validate(changed(changes)), LIMITS)
    infos = {found.code for found in looked.lint if found.severity == "info"}
    assert infos == {"softmax_low_precision"}
    assert not infos & {notice.code for notice in prepared(changes).warnings}


def test_the_worker_asks_for_no_warnings() -> None:
    job = prepared({"/policy": "float16"})
    assert "warnings" not in vars(job)
    assert job.warnings
    assert "warnings" in vars(job)


POLICIES = [
    *("float32", "float16", "bfloat16", "mixed_float16", "mixed_bfloat16"),
    *(policy_v1(name, scale) for name in ("mixed_float16", "float16") for scale in (None, "dynamic", fixed(1.0))),
    policy_v1("mixed_float16", fixed(1e6)),
]
OPTIMIZERS: list[Any] = [
    *("sgd", "adam", "nadam", "adafactor", "rmsprop"),
    *(scaled(), scaled(dynamic=False, initial_scale=1), scaled(dynamic=False, initial_scale=1e6)),
    {"class_name": "Adam", "config": {"epsilon": 1e-12}},
]
LAYERS = [
    (dense("body"), dense("head", 2)),
    (dense("body", dtype="float16"), dense("head", 2)),
    (dense("body", dtype="float32"), dense("head", 2, dtype="float32")),
    (layer("LayerNormalization", name="norm", epsilon=1e-12), dense("head", 2, activation="softmax")),
    (dense("body", activity_regularizer="l2", kernel_initializer="orthogonal"), dense("head", 2)),
]
LINES = ["tf2.4", "tf_keras", "keras3"]


def owned(policy: Any, optimizer: Any) -> set[str]:
    """What the job has already, by name: policy and optimizers. (float32 is advised as a dtype of layers.)"""
    policies = ({policy} if isinstance(policy, str) else {policy["config"]["name"]}) - {"float32"}
    if isinstance(optimizer, str):
        return {*policies, optimizer}
    inner = optimizer["config"].get("inner_optimizer", {}).get("class_name")
    return {*policies, optimizer["class_name"], *([inner] if inner else [])}


def findings_of(line: str, layers: Any, policy: Any, optimizer: Any) -> tuple[Finding, ...]:
    if line == "keras3" and isinstance(optimizer, dict) and "dynamic" in optimizer["config"]:
        return ()  # Keras 3's has no fixed scale
    return lint(subject(*layers, policy=policy, optimizer=optimizer, line=line))


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_advice_never_names_what_the_job_has(line: str, policy: Any) -> None:
    said = 0
    for layers, optimizer in itertools.product(LAYERS, OPTIMIZERS):
        for found in findings_of(line, layers, policy, optimizer):
            said += 1
            for name in owned(policy, optimizer):
                pattern = rf"(?<![\w']){re.escape(name)}(?!\w)"
                assert not re.search(pattern, found.fix, re.IGNORECASE), (name, found.code, found.fix)
    assert said


def test_a_place_that_the_request_does_not_have_is_the_request() -> None:
    request = InspectRequest.model_validate({"model": changed({})["model"], "policy": "float16"})
    (found, *_) = inspect_model(request, LIMITS).lint
    assert (found.code, found.pointer) == ("unscaled_float16", "/policy")
    assert advice.MOST_LAYERS == 5
