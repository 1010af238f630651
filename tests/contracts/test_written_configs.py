"""What is written for tf_keras and TF 2.4 is what these libraries have read: recorded once, layers and whole models."""

import gzip
import json
from importlib import resources
from typing import Any

import pytest

from engine import layers, model_from_config
from engine.conventions import CONVENTIONS
from tests.contracts.test_configs_as_keras import RECORDED as GIVEN
from tests.contracts.test_specs_match_engine import REQUIRED, made

FOLDER = resources.files("tests.recorded")
LINES = {"tf_keras": "tf_keras", "tf2.4": "tf24"}
"""Names of the lines, and of the exports that belong to them."""
KINDS = ("mlp", "cnn", "branch", "nested", "wrappers", "attention")
ABSENT = {
    "tf_keras": {"GroupQueryAttention", "RMSNormalization"},
    "tf2.4": {
        *("DepthwiseConv1D", "GroupNormalization", "GroupQueryAttention", "Identity", "RMSNormalization"),
        "UnitNormalization",
    },
}
UNKNOWN: dict[str, list[Any]] = {
    "tf_keras": [],
    "tf2.4": [
        *({"score_mode": "concat"}, {"keepdims": True}, {"keepdims": True}),
        {"axis": None, "mean": 0.5, "variance": 2.0, "invert": True},
    ],
}
"""Settings that TF 2.4 has not: they are written all the same, and it refuses them with its own words."""


def layer(line: str, name: str, given: dict[str, Any]) -> dict[str, Any]:
    written = layers.serialize(made("layers", name, given, CONVENTIONS[line]), CONVENTIONS[line])
    return {"class_name": name, "given": given, "written": json.loads(json.dumps(written))}


def model(line: str, kind: str) -> dict[str, Any]:
    export = json.loads((FOLDER / "exports" / f"{LINES[line]}__{kind}__float32.json").read_text())
    written = model_from_config(export, conventions=CONVENTIONS[line]).get_config()
    return {"class_name": written["class_name"], "model": kind, "written": json.loads(json.dumps(written))}


def everything() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for line in LINES:
        pairs = [
            (name, entry["given"])
            for name in layers.LAYERS
            for entry in GIVEN["layers"].get(name, [{"given": REQUIRED.get(name, {})}])
        ]
        found[line] = [layer(line, *pair) for pair in pairs] + [model(line, kind) for kind in KINDS]
    return found


def recorded() -> dict[str, list[dict[str, Any]]]:
    return json.loads(gzip.decompress((FOLDER / "written_configs.json.gz").read_bytes()))  # type: ignore[no-any-return]


@pytest.mark.parametrize("line", LINES)
def test_what_is_written_is_what_the_library_has_read(line):
    readable = {json.dumps(entry["written"], sort_keys=True) for entry in recorded()[line]}
    refused = [
        entry
        for entry in everything()[line]
        if entry["class_name"] not in ABSENT[line]
        if json.dumps(entry["written"], sort_keys=True) not in readable
    ]
    assert [entry.get("given") for entry in refused] == UNKNOWN[line]


def test_attention_of_tf_keras_is_written_with_the_shapes_that_build_it():
    written = model("tf_keras", "attention")["written"]["config"]["layers"]
    (config,) = (layer["config"] for layer in written if layer["class_name"] == "MultiHeadAttention")
    assert config["query_shape"] == config["key_shape"] == config["value_shape"] == [None, 6, 8]
