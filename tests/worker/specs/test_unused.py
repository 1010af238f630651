"""Settings without effect: named with their place, once for many layers, never for what an export prints by default."""

import json
from typing import Any

import pytest

from engine.conventions import CONVENTIONS
from engine.layers import LAYERS
from tests.contracts.sources import ROOT
from tests.contracts.test_specs_match_engine import config_of
from tests.worker.specs.jobs import D1, changed, prepared
from worker.specs.notices import Notice
from worker.specs.unused import TABLE, unused_settings

SHAPE = "/model/config/layers/1/config/batch_input_shape"
ADAM = "/compile/optimizer/config"
LSTM = {"class_name": "LSTM", "config": {"units": 2, "unroll": True}}


def told(changes: dict[str, Any]) -> list[Notice]:
    return [notice for notice in prepared(changes).warnings if notice.code == "no_effect"]


@pytest.mark.parametrize(
    ("changes", "pointers"),
    [
        ({}, []),
        ({f"{ADAM}/ema_momentum": 0.5}, [f"{ADAM}/ema_momentum"]),
        ({f"{ADAM}/ema_momentum": 0.99}, []),
        ({f"{ADAM}/jit_compile": True}, [f"{ADAM}/jit_compile"]),
        ({"/compile/run_eagerly": True}, ["/compile/run_eagerly"]),
        (
            {"/compile/optimizer": {"class_name": "SGD", "config": {"nesterov": True}}},
            ["/compile/optimizer/config/nesterov"],
        ),
        ({"/compile/optimizer": {"class_name": "SGD", "config": {"nesterov": True, "momentum": 0.9}}}, []),
        (
            {"/fit/callbacks": [{"class_name": "EarlyStopping", "config": {"verbose": 1}}]},
            ["/fit/callbacks/0/config/verbose"],
        ),
        ({"/fit/class_weight": {"3": 2.0, "77": 2.0}}, ["/fit/class_weight/77"]),
        ({"/fit/class_weight": {"3": 2.0}}, []),
        ({SHAPE: [None, 9]}, [SHAPE]),
        ({"/compile/auto_scale_loss": False}, ["/compile/auto_scale_loss"]),
        ({"/compile/auto_scale_loss": False, "/model/keras_version": "3.15.1", "/policy": "mixed_float16"}, []),
        (
            {"/compile/auto_scale_loss": False, "/model/keras_version": "3.15.1", "/policy": "mixed_bfloat16"},
            ["/compile/auto_scale_loss"],
        ),
    ],
)  # fmt: skip
def test_what_changes_nothing_is_named_where_it_stands(changes: dict[str, Any], pointers: list[str]) -> None:
    assert [notice.pointer for notice in told(changes)] == pointers


def test_the_same_setting_of_many_layers_is_told_once() -> None:
    body = {"model": {"class_name": "Sequential", "config": {"layers": [LSTM] * 40}}}
    (notice,) = unused_settings(body)
    assert notice.pointer == "/model/config/layers/0/config/unroll"
    assert "39 more places" in notice.message


def test_layers_inside_others_are_looked_at() -> None:
    inner = {"class_name": "Bidirectional", "config": {"layer": LSTM}}
    nested = {"class_name": "Sequential", "config": {"layers": [inner]}, "compile_config": {"loss": "mse"}}
    body = {"model": {"class_name": "Sequential", "config": {"layers": [nested]}}}
    at = "/model/config/layers/0"
    assert {notice.pointer for notice in unused_settings(body)} == {
        f"{at}/compile_config",
        f"{at}/config/layers/0/config/layer/config/unroll",
    }


@pytest.mark.parametrize("line", CONVENTIONS.values(), ids=list(CONVENTIONS))
@pytest.mark.parametrize("name", sorted(set(TABLE) & set(LAYERS)))
def test_what_keras_prints_by_default_is_not_named(name: str, line: Any) -> None:
    node = {"class_name": name, "config": config_of("layers", name, line)}
    assert list(unused_settings({"model": {"class_name": "Sequential", "config": {"layers": [node]}}})) == []


def test_exports_of_the_real_libraries_name_nothing() -> None:
    exports = sorted((ROOT / "tests" / "recorded" / "exports").glob("*.json"))
    found = {path.name: list(unused_settings({"model": json.loads(path.read_text())})) for path in exports}
    assert len(found) > 10
    assert {name: notices for name, notices in found.items() if notices} == {}


def test_a_first_layer_has_its_shape_from_its_config() -> None:
    assert prepared({f"{D1}/config/batch_input_shape": [None, 64]}).model.input_shapes == ((None, 64),)
    assert changed({})["model"]["config"]["layers"][0]["config"]["batch_input_shape"] == [None, 64]
