"""Precision configs of real people: what they mean, in ``tests/cases``, held against the answers over HTTP."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.app.serving import Served, serving

CASES = Path(__file__).parent.parent / "cases"


def read_cases() -> list[dict[str, Any]]:
    names = ("policy-translate", "policy-keras", "policy-simulate", "policy-siblings")
    return [case for name in names for case in json.loads((CASES / f"{name}.json").read_text())]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(tmp_path_factory.mktemp("cases")) as running:
        yield running


@pytest.mark.parametrize("case", read_cases(), ids=lambda case: case["id"])
def test_a_config_means_what_its_system_says(service: Served, case: dict[str, Any]) -> None:
    request = case["request"]
    answer = service.http.request(request["method"], request["path"], json=request["body"])
    check(answer.status_code, answer.json(), case["right"])


def test_the_checker_knows_every_key_and_fails_on_others() -> None:
    with pytest.raises(KeyError):
        check(200, {}, {"unheard_of": 1})
    with pytest.raises(KeyError):
        check(200, {"exact": [], "approximate": []}, {"facts": {"floor": "a text that is no value"}})
    with pytest.raises(AssertionError):
        check(200, {"exact": [], "approximate": []}, {"facts": {"floor": 1.0}})


def check(status: int, answer: dict[str, Any], right: Mapping[str, Any]) -> None:
    """Hold an answer against what is right; a key that no check is for is an error."""
    if "either" not in right:
        assert status == right.get("status", 200), answer
    for key, expected in right.items():
        if key not in ("status", "note"):
            CHECKS[key](answer, expected)


def _facts(answer: dict[str, Any], expected: dict[str, Any]) -> None:
    found = {item["field"]: item["value"] for item in (*answer["exact"], *answer["approximate"])}
    for field, value in expected.items():
        if isinstance(value, str) and value not in WORDS:
            assert CONDITIONS[value](found.get(field)), (field, found.get(field))
        else:
            assert field in found, field
            assert found[field] == value, (field, found[field])


def _facts_if(half: str) -> Callable[[dict[str, Any], Any], None]:
    def checked(answer: dict[str, Any], expected: dict[str, Any]) -> None:
        found = answer[f"facts_if_{half}"]
        assert {field: found[field] for field in expected} == expected

    return checked


def _config_holds(answer: dict[str, Any], condition: str) -> None:
    assert CONFIG_CONDITIONS[condition](answer["config"]), answer["config"]


def _item(answer: dict[str, Any], expected: dict[str, Any]) -> None:
    wanted = {key: value for key, value in expected.items() if key != "in"}
    assert any(wanted.items() <= item.items() for item in answer[expected["in"]]), answer[expected["in"]]


def _never_says(answer: dict[str, Any], expected: list[str]) -> None:
    for text in expected:
        setting, _, reason = text.partition(" ... ")
        assert reason
        for item in (*answer["exact"], *answer["approximate"], *answer["dropped"]):
            assert not (setting in f"{item['source']}" and reason in item["why"]), item


def _warnings_at(answer: dict[str, Any], expected: list[str]) -> None:
    assert set(expected) <= {notice["pointer"] for notice in answer["warnings"]}, answer["warnings"]


def _warnings_exactly(answer: dict[str, Any], expected: list[str]) -> None:
    assert [notice["pointer"] for notice in answer["warnings"]] == expected


def _pointer(answer: dict[str, Any], expected: str) -> None:
    assert answer["errors"][0]["pointer"] in expected.split(" or ")


def _message_names(answer: dict[str, Any], expected: str) -> None:
    assert expected in answer["errors"][0]["message"]


def _never_names(answer: dict[str, Any], expected: str) -> None:
    assert expected not in answer["errors"][0]["message"]


def _loss_scales(answer: dict[str, Any], expected: list[float]) -> None:
    assert [step["loss_scale"] for step in answer["trajectory"]] == expected


def _member(name: str) -> Callable[[dict[str, Any], Any], None]:
    def checked(answer: dict[str, Any], expected: Any) -> None:
        found = answer[name]
        assert ({key: found[key] for key in expected} if isinstance(expected, dict) else found) == expected

    return checked


def _either(answer: dict[str, Any], expected: list[dict[str, Any]]) -> None:
    status = answer["status"] if "errors" in answer and isinstance(answer.get("status"), int) else 200
    failures = []
    for right in expected:
        try:
            check(status, answer, right)
        except AssertionError as error:
            failures.append(error)
    assert len(failures) < len(expected), failures


CHECKS: dict[str, Callable[[dict[str, Any], Any], None]] = {
    "facts": _facts,
    "facts_of_deepspeed_alone": _facts,
    "facts_if_fp16": _facts_if("fp16"),
    "facts_if_bf16": _facts_if("bf16"),
    "config_holds": _config_holds,
    "item": _item,
    "never_says": _never_says,
    "warnings_at": _warnings_at,
    "warnings_exactly": _warnings_exactly,
    "pointer": _pointer,
    "message_names": _message_names,
    "also_names": _message_names,
    "never_names": _never_names,
    "loss_scales": _loss_scales,
    "dialect": _member("dialect"),
    "optimizer": _member("optimizer"),
    "either": _either,
}
WORDS = frozenset(
    {
        *("float16", "bfloat16", "float32", "none", "fixed", "dynamic", "layers", "ops", "model", "explicit"),
        *("clamp", "stop_at", "stop_below"),
    }
)
"""Texts that are values of facts."""

CONDITIONS: dict[str, Callable[[Any], bool]] = {
    "absent, or bfloat16 (it follows compute)": lambda value: value in (None, "bfloat16"),
}


def _integer_floor(config: dict[str, Any]) -> bool:
    floor = config["fp16"]["min_loss_scale"]
    return isinstance(floor, int) and not isinstance(floor, bool) and floor >= 1


def _stands_still(config: dict[str, Any]) -> bool:
    scaler = config["grad_scaler"]
    moved = np.float32(scaler["init_scale"] * scaler["backoff_factor"])
    return bool(
        0 < scaler["backoff_factor"] < 1 and moved == scaler["init_scale"] and scaler["growth_interval"] >= 2**31 - 1
    )


def _megatron_takes(config: dict[str, Any]) -> bool:
    return bool(
        0 < config["min_loss_scale"] <= config["initial_loss_scale"]
        and config["loss_scale_window"] > 0
        and config["hysteresis"] > 0
    )


def _torch_takes(config: dict[str, Any]) -> bool:
    scaler = config["grad_scaler"]
    return bool(scaler["growth_factor"] > 1 and scaler["backoff_factor"] < 1)


def _zero_with_half_masters(config: dict[str, Any]) -> bool:
    (half,) = (half for half in ("fp16", "bf16") if config.get(half, {}).get("enabled"))
    return bool(config[half][f"{half}_master_weights_and_grads"] and config["zero_optimization"]["stage"] > 0)


CONFIG_CONDITIONS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "fp16.min_loss_scale is an integer >= 1 (1 is nearest)": _integer_floor,
    (
        "0 < grad_scaler.backoff_factor < 1 and float32(init_scale * backoff_factor) == init_scale, "
        "e.g. 0.9999999999999999; growth_interval beyond any training"
    ): _stands_still,
    "grad_scaler.init_scale 1024.0, growth_interval 500": lambda config: (
        (config["grad_scaler"]["init_scale"], config["grad_scaler"]["growth_interval"]) == (1024.0, 500)
    ),
    "megatron: 0 < min_loss_scale <= initial_loss_scale, loss_scale_window > 0, hysteresis > 0": _megatron_takes,
    "torch: growth_factor > 1, backoff_factor < 1": _torch_takes,
    "fairseq: fp16_init_scale is an integer >= 1": lambda config: (
        isinstance(config["fp16_init_scale"], int) and config["fp16_init_scale"] >= 1
    ),
    "deepspeed: half masters only with a stage of ZeRO": _zero_with_half_masters,
}
