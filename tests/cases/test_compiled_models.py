"""What a model was compiled with (case policy-h21: the config.json of a .keras file that Keras 3.15.1 saved)."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from worker.settings import Limits
from worker.specs.check import prepare
from worker.specs.inspect_model import inspect_model
from worker.specs.inspection import Inspection, InspectRequest
from worker.specs.job import JobSpec

BODY: dict[str, Any] = json.loads((Path(__file__).parent / "models" / "compiled-h21.json").read_text(encoding="utf-8"))
COMPILED: dict[str, Any] = BODY["model"]["compile_config"]
AT = "/model/compile_config"


def inspected(body: dict[str, Any]) -> Inspection:
    return inspect_model(InspectRequest.model_validate(body), Limits())


def with_model(**members: Any) -> dict[str, Any]:
    plain = {key: value for key, value in BODY["model"].items() if key != "compile_config"}
    return {"model": {**plain, **members}}


def test_the_model_says_what_it_was_compiled_with() -> None:
    answer = inspected(BODY)
    scaling = answer.loss_scaling
    assert (scaling.kind, scaling.loss_scale, scaling.decided_by) == ("dynamic", 1024.0, "optimizer_given")
    assert (scaling.growth_steps, answer.memory.optimizer) == (500, "AdamW")
    assert "unscaled_float16" not in {found.code for found in answer.lint}
    assert [(notice.code, notice.pointer) for notice in answer.warnings] == [("compile_config_used", AT)]
    assert "AdamW in a LossScaleOptimizer" in answer.warnings[0].message


def test_an_optimizer_of_the_torch_backend_is_read_by_its_class() -> None:
    inner = COMPILED["optimizer"]["config"]["inner_optimizer"]
    assert inner["module"].startswith("keras.src.backend.torch.")
    assert inspected(BODY) == inspected(with_model(compile_config={**COMPILED, "optimizer": _plain(COMPILED)}))


def _plain(compiled: dict[str, Any]) -> dict[str, Any]:
    optimizer: dict[str, Any] = copy.deepcopy(compiled["optimizer"])
    del optimizer["config"]["inner_optimizer"]["module"]
    return optimizer


def test_the_own_compile_goes_before_it() -> None:
    answer = inspected({**BODY, "compile": {"optimizer": "sgd", "loss": "mse"}})
    assert (answer.loss_scaling.kind, answer.loss_scaling.optimizer) == ("none", "SGD")
    assert [(notice.code, notice.pointer) for notice in answer.warnings] == [("compile_config_unused", AT)]
    data = {"x": [[0.5] * 8, [0.0] * 8] * 4, "y": [[0.5] * 4, [0.0] * 4] * 4}
    job = {**BODY, "compile": {"optimizer": COMPILED["optimizer"], "loss": "mse"}, "data": data}
    prepared = prepare(JobSpec.model_validate(job), Limits())
    assert [notice.code for notice in prepared.warnings] == []
    assert (prepared.summary.optimizer, prepared.summary.loss_scale) == ("AdamW", 1024.0)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({}, None),
        ({"metrics": []}, None),
        (
            {
                "loss": {
                    "class_name": "MeanSquaredError",
                    "config": {"name": "other", "reduction": "sum_over_batch_size"},
                }
            },
            None,
        ),
        ({"loss": "mae"}, "loss"),
        ({"metrics": ["mae"]}, "metrics"),
        ({"weighted_metrics": ["mae"]}, "metrics"),
        ({"optimizer": "adamw"}, "optimizer"),
        ({"optimizer": "sgd", "loss": "mae"}, "optimizer and loss"),
    ],
)
def test_only_what_the_job_says_otherwise_is_worth_a_word(changes: dict[str, Any], parts: str | None) -> None:
    plain = copy.deepcopy(COMPILED["optimizer"])
    plain["config"]["inner_optimizer"]["config"]["learning_rate"] = 0.001
    answer = inspected({**BODY, "compile": {"optimizer": plain, "loss": "mse", **changes}})
    messages = [notice.message for notice in answer.warnings]
    assert [message.rpartition("they differ in ")[2] for message in messages] == ([f"{parts}."] if parts else [])


def test_keras_2_calls_it_training_config() -> None:
    training = {"optimizer_config": {"class_name": "Adam", "config": {"learning_rate": 0.01}}, "loss": "mse"}
    answer = inspected(with_model(training_config=training))
    assert answer.memory.optimizer == "Adam"
    assert [(notice.code, notice.pointer) for notice in answer.warnings] == [
        ("compile_config_used", "/model/training_config")
    ]


@pytest.mark.parametrize(
    ("compiled", "code", "said"),
    [
        ({"optimizer": "adam", "loss": "my_own_loss"}, "compile_config_used", "Unknown loss: 'my_own_loss'."),
        ({"optimizer": "my_own", "loss": "mse"}, "compile_config_unused", "Unknown optimizer"),
        ({"optimizer": {"class_name": "Adam", "config": {"epsilon": "a"}}}, "compile_config_unused", "epsilon"),
        ({"optimizer": 3, "loss": "mse"}, "compile_config_unused", "optimizer"),
        ({"loss": "mse"}, "compile_config_unused", "names no optimizer"),
    ],
)
def test_what_is_not_known_here_is_passed_over_and_named(compiled: dict[str, Any], code: str, said: str) -> None:
    answer = inspected(with_model(compile_config=compiled))
    (notice,) = answer.warnings
    assert (notice.code, notice.pointer) == (code, AT)
    assert said in notice.message
    assert len(notice.message) < 400
    assert (answer.memory.optimizer is not None) == (code == "compile_config_used")
    assert answer.loss_scaling.optimizer == answer.memory.optimizer


def test_a_finding_about_the_optimizer_points_into_the_model() -> None:
    optimizer = {"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": {"class_name": "SGD", "config": {}}}}
    answer = inspected({**with_model(compile_config={"optimizer": optimizer, "loss": "mse"}), "policy": "float32"})
    plain = copy.deepcopy(answer)
    assert [found.code for found in plain.lint] == []
    layers = copy.deepcopy(BODY["model"]["config"])
    layers["layers"][1]["config"]["dtype"] = "float32"
    body = with_model(compile_config={"optimizer": optimizer, "loss": "mse"}, config=layers)
    (found,) = inspected({**body, "policy": "float32"}).lint
    assert (found.code, found.pointer) == ("scaling_without_effect", f"{AT}/optimizer")
