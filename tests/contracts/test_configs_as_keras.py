"""Every `get_config()` is Keras 3.15.1's, key by key and value by value: recorded once, of layers that were built."""

import json
from importlib import resources
from typing import Any

import pytest

from engine.conventions import KERAS3
from tests.contracts.test_specs_match_engine import FAMILIES, made

RECORDED: dict[str, dict[str, list[dict[str, Any]]]] = json.loads(
    (resources.files("tests.recorded") / "configs.json").read_text()
)
CASES = [
    (family, name, number)
    for family, names in RECORDED.items()
    for name, entries in names.items()
    for number in range(len(entries))
]
OF_KERAS2 = {"ThresholdedReLU"}
SHOWN_BY_THE_MODEL = {"name", "dtype", "build_config"}
"""Keys of layers that say where they stand: a layer alone has no name or policy yet."""


def configured(family: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
    if family == "layers":
        return made(family, name, given, KERAS3).get_config(KERAS3)  # type: ignore[no-any-return]
    cls = FAMILIES[family][1][name]
    lines = {"conventions": KERAS3} if family in {"losses", "metrics", "optimizers"} else {}
    return cls.from_config(given, **lines).get_config(KERAS3)  # type: ignore[no-any-return]


def comparable(family: str, value: Any) -> Any:
    """Return a config as JSON; of layers, and of layers inside, without what the model shows."""
    if isinstance(value, dict):
        left_out = SHOWN_BY_THE_MODEL if family == "layers" else set()
        return {key: comparable(family, item) for key, item in value.items() if key not in left_out}
    return [comparable(family, item) for item in value] if isinstance(value, list | tuple) else value


@pytest.mark.parametrize("family", RECORDED)
def test_every_class_is_recorded(family: str):
    assert set(RECORDED[family]) == set(FAMILIES[family][1]) - OF_KERAS2


@pytest.mark.parametrize(("family", "name", "number"), CASES)
def test_a_config_is_what_keras_prints(family: str, name: str, number: int):
    entry = RECORDED[family][name][number]
    ours = comparable(family, json.loads(json.dumps(configured(family, name, entry["given"]))))
    assert ours == comparable(family, entry["config"])
