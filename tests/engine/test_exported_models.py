"""Models built in Keras 3.15 and exported with `to_json`: they load, predict and train as they did there."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from importlib import resources
from typing import Any

import numpy as np
import pytest

from engine import model_from_config
from engine.errors import Unsupported
from engine.model import Model
from engine.tape import Array

FOLDER = resources.files("tests.recorded") / "models"
NAMES = sorted(item.name.removesuffix(".json") for item in FOLDER.iterdir() if item.name.endswith(".json"))
TOLERANCES = {"float32": (2e-6, 2e-4), "mixed_float16": (3e-3, 2e-3)}
"""Of predictions and of losses; the mixed ones of the first step only, for later ones may be skipped."""


def recorded(name: str) -> tuple[dict[str, Any], dict[str, Array]]:
    document = json.loads((FOLDER / f"{name}.json").read_text())
    with (FOLDER / f"{name}.npz").open("rb") as file, np.load(file) as arrays:
        return document, dict(arrays)


def several(arrays: dict[str, Array], prefix: str) -> list[Array]:
    found = [key for key in arrays if key.rstrip("0123456789") == prefix]
    return [arrays[f"{prefix}{index}"] for index in range(len(found))]


def loaded(name: str) -> tuple[dict[str, Any], dict[str, Array], Model]:
    document, arrays = recorded(name)
    model = model_from_config(document["model"], document["policy"])
    model.set_weights(several(arrays, "w"))
    return document, arrays, model


def outputs(model: Model, arrays: dict[str, Array]) -> list[Array]:
    made = model.predict(tuple(several(arrays, "x")))
    return made if isinstance(made, list) else [made]


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_model_predicts_and_trains_as_in_keras(name: str):
    document, arrays, model = loaded(name)
    near, loss_near = TOLERANCES[document["policy"]]
    for got, expected in zip(outputs(model, arrays), several(arrays, "before"), strict=True):
        np.testing.assert_allclose(got.astype(np.float32), expected, atol=near * np.abs(expected).max())
    losses, labels = document["loss"], several(arrays, "y")
    model.compile(document["optimizer"], losses if len(losses) > 1 else losses[0])
    x, y = tuple(several(arrays, "x")), labels if len(labels) > 1 else labels[0]
    got_losses = [model.train_on_batch(x, y)["loss"] for _ in document["losses"]]
    steps = len(got_losses) if document["policy"] == "float32" else 1
    np.testing.assert_allclose(got_losses[:steps], document["losses"][:steps], rtol=loss_near)


@pytest.mark.parametrize("name", NAMES)
def test_an_exported_model_is_written_as_it_was_read(name: str):
    document, arrays, model = loaded(name)
    written = json.loads(json.dumps(model.get_config()))
    again = model_from_config(written, document["policy"])
    again.set_weights(several(arrays, "w"))
    for got, expected in zip(outputs(again, arrays), outputs(model, arrays), strict=True):
        np.testing.assert_array_equal(got, expected)
    for ours, theirs in zip(written["config"]["layers"], document["model"]["config"]["layers"], strict=True):
        if "layers" not in theirs["config"] and theirs["class_name"] != "SpatialDropout1D":
            assert ours["config"] == without_shapes(theirs["config"])


def without_shapes(config: Any) -> Any:
    """Return a config without what Keras notes beside inner layers of how they were built."""
    if isinstance(config, dict):
        return {key: without_shapes(value) for key, value in config.items() if key != "build_config"}
    return config


def applications() -> Iterator[tuple[str, dict[str, Any]]]:
    with (FOLDER / "applications.zip").open("rb") as file, zipfile.ZipFile(file) as archive:
        for name in archive.namelist():
            yield name.removesuffix(".json"), json.loads(archive.read(name))


APPLICATIONS = dict(applications())
UNKNOWN = {"convnexttiny": "LayerScale"}
"""A class of its own that the application brings along."""


@pytest.mark.parametrize("name", sorted(set(APPLICATIONS) - set(UNKNOWN)))
def test_an_application_of_keras_loads_with_the_same_weights(name: str):
    document = APPLICATIONS[name]
    model = model_from_config(document["model"])
    assert [list(spec.shape) for spec in model.weight_specs] == document["shapes"]


@pytest.mark.parametrize("name", sorted(UNKNOWN))
def test_what_an_application_brings_along_is_named(name: str):
    with pytest.raises(Unsupported, match=UNKNOWN[name]):
        model_from_config(APPLICATIONS[name]["model"])


@pytest.mark.parametrize(("policy", "compute"), [("float32", "float32"), ("mixed_float16", "float16")])
def test_a_mobilenet_trains_a_step(policy: str, compute: str):
    model = model_from_config(APPLICATIONS["mobilenet"]["model"], policy)
    assert {layer.policy.compute_dtype for layer in model.layers if layer.class_name != "InputLayer"} == {compute}
    model.compile("adam", "sparse_categorical_crossentropy")
    x = np.random.default_rng(0).random((4, 32, 32, 3))
    before = model.get_weights()
    while model.state.skipped == model.state.step < 16:  # the first loss scales are too large in float16
        logs = model.train_on_batch(x, np.arange(4))
    assert np.isfinite(logs["loss"])
    assert sum(not np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True)) > len(before) / 2
