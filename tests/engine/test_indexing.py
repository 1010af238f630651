"""Indices as Keras 3 writes them in a model: read, written, their shapes, and what is refused."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra import numpy as arrays

from engine import model_from_config
from engine.conventions import KERAS3
from engine.errors import EngineError, InvalidValue, ShapeMismatch, Unsupported
from engine.layers import indexing

SHAPE = (3, 4, 5)
WHOLE = {"class_name": "__slice__", "config": {"start": None, "stop": None, "step": None}}
ELLIPSIS = {"class_name": "__ellipsis__", "config": {}}


def cut(start: Any = None, stop: Any = None, step: Any = None) -> dict[str, Any]:
    return {"class_name": "__slice__", "config": {"start": start, "stop": stop, "step": step}}


def model(*arguments: Any, shape: tuple[int | None, ...] = (None, 4, 5)) -> dict[str, Any]:
    """Return a model of one index."""
    tensor = {"class_name": "__keras_tensor__", "config": {"shape": list(shape), "keras_history": ["x", 0, 0]}}
    entry = {
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {"name": "x", "batch_shape": list(shape)},
        "name": "x",
    }
    taken = {
        "module": "keras.src.ops.numpy",
        "class_name": "GetItem",
        "config": {"name": "part"},
        "name": "part",
        "inbound_nodes": [{"args": [tensor, *arguments], "kwargs": {}}],
    }
    ends = {"input_layers": ["x", 0, 0], "output_layers": ["part", 0, 0]}
    return {
        "module": "keras.src.models.functional",
        "class_name": "Functional",
        "config": {"name": "m", "layers": [{**entry, "inbound_nodes": []}, taken], **ends},
    }


@given(key=arrays.basic_indices(SHAPE[1:], allow_newaxis=True))
def test_shapes_are_those_of_numpy(key: Any) -> None:
    items = key if isinstance(key, tuple) else (key,)
    whole = (slice(None), *items)
    read = indexing.read(indexing.written(whole))
    assert read == whole
    assert indexing.shape_after(read, SHAPE) == np.zeros(SHAPE)[whole].shape


@pytest.mark.parametrize(
    ("key", "left"),
    [
        ([WHOLE, 0], (None, 5)),
        ([ELLIPSIS, -1], (None, 4)),
        ([WHOLE, cut(1, 3), None], (None, 2, 1, 5)),
        ([WHOLE, cut(step=-2)], (None, 2, 5)),
        (ELLIPSIS, (None, 4, 5)),
        ([], (None, 4, 5)),
    ],
)
def test_a_model_takes_what_its_index_names(key: Any, left: tuple[int | None, ...]) -> None:
    found = model_from_config(model(key), conventions=KERAS3)
    assert found.network.output_shapes == (left,)
    x = np.arange(40, dtype=np.float32).reshape(2, 4, 5)
    np.testing.assert_array_equal(found.predict(x), x[indexing.read(key)])
    again = model_from_config(found.get_config(), conventions=KERAS3)
    np.testing.assert_array_equal(again.predict(x), found.predict(x))


def test_axes_of_unknown_size_stay_unknown() -> None:
    assert indexing.shape_after((slice(None), slice(1, 3), 7), (None, None, None)) == (None, None)


def test_places_are_looked_for_where_data_have_the_size() -> None:
    found = model_from_config(model([WHOLE, 3], shape=(None, None, 5)), conventions=KERAS3)
    assert found.predict(np.ones((2, 4, 5), np.float32)).shape == (2, 5)
    with pytest.raises(ShapeMismatch, match="place 3 of 2"):
        found.predict(np.ones((2, 2, 5), np.float32))


@pytest.mark.parametrize(
    ("arguments", "error", "code", "text"),
    [
        ([[WHOLE, [0, 2]]], Unsupported, "unsupported_operation", r"got \[0, 2\]"),
        ([[WHOLE, True]], Unsupported, "unsupported_operation", "got True"),
        ([[0]], Unsupported, "unsupported_operation", "batch axis"),
        ([[cut(1)]], Unsupported, "unsupported_operation", "batch axis"),
        ([[ELLIPSIS, 0, 0, 0]], Unsupported, "unsupported_operation", "batch axis"),
        ([[None, WHOLE]], Unsupported, "unsupported_operation", "batch axis"),
        ([[WHOLE, cut(step=0)]], InvalidValue, "malformed_graph", "no step of 0"),
        ([[WHOLE, cut(1.5)]], InvalidValue, "malformed_graph", "integers or nulls"),
        ([[ELLIPSIS, 0, ELLIPSIS]], InvalidValue, "malformed_graph", "one ellipsis"),
        ([], InvalidValue, "malformed_graph", "Malformed call"),
        ([[WHOLE, 0], 5], InvalidValue, "malformed_graph", "Malformed call"),
        ([[WHOLE, {"class_name": "__slice__", "config": [1]}]], InvalidValue, "malformed_graph", "integers or nulls"),
        ([[WHOLE, {"class_name": "__slice__"}]], InvalidValue, "malformed_graph", "Malformed call"),
        ([[WHOLE, 4]], ShapeMismatch, "shape_mismatch", r"\[:, 4, :\] asks for place 4 of 4"),
        ([[WHOLE, -5]], ShapeMismatch, "shape_mismatch", "place -5 of 4"),
        ([[WHOLE, 0, cut(1, 4, 2), 0]], ShapeMismatch, "shape_mismatch", r"\[:, 0, 1:4:2, 0\] has more items"),
    ],
)
def test_other_indices_are_refused(arguments: list[Any], error: type[EngineError], code: str, text: str) -> None:
    with pytest.raises(error, match=text) as caught:
        model_from_config(model(*arguments))
    assert caught.value.code == code
    assert caught.value.path[:3] == ("config", "layers", 1)


@pytest.mark.parametrize(
    "changed",
    [lambda call: {"a": call}, lambda call: [call, call], lambda call: [{**call, "kwargs": {"key": [0]}}]],
    ids=["a mapping", "two calls", "keywords"],
)
def test_an_index_is_taken_once_and_by_its_place(changed: Callable[[Any], Any]) -> None:
    whole = model([WHOLE, 0])
    layer = whole["config"]["layers"][1]
    (call,) = layer["inbound_nodes"]
    layer["inbound_nodes"] = changed(call)
    with pytest.raises(InvalidValue, match="Malformed call") as caught:
        model_from_config(whole)
    assert caught.value.code == "malformed_graph"
