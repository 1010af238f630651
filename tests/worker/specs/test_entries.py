"""Integers enter a model through an Embedding, whose table has a row for each."""

import copy
from typing import Any

import numpy as np
import pytest

from engine.training import StepRecord
from tests.worker.specs.jobs import LIMITS
from worker.specs.check import Prepared, prepare
from worker.specs.errors import SpecError
from worker.specs.job import JobSpec

EMBEDDING = {"class_name": "Embedding", "config": {"name": "words", "input_dim": 10, "output_dim": 4}}
HEAD = [
    {"class_name": "Flatten", "config": {"name": "flat"}},
    {"class_name": "Dense", "config": {"name": "head", "units": 2, "activation": "softmax"}},
]
X = [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 0, 1]]
X_PLACE = "/data/x"


def entry(dtype: str | None) -> dict[str, Any]:
    config = {"name": "in", "batch_input_shape": [None, 3]}
    return {"class_name": "InputLayer", "config": config if dtype is None else config | {"dtype": dtype}}


def job(*layers: dict[str, Any], x: Any = X, policy: str = "float32") -> Prepared:
    model = {"class_name": "Sequential", "config": {"name": "m", "layers": copy.deepcopy(list(layers))}}
    body = {
        "model": model,
        "policy": policy,
        "compile": {"loss": "sparse_categorical_crossentropy", "optimizer": "adam"},
        "data": {"x": x, "y": [row % 2 for row in range(len(x))]},
    }
    return prepare(JobSpec.model_validate(body), LIMITS)


def faults(*layers: dict[str, Any], **keywords: Any) -> list[tuple[str, str, str]]:
    with pytest.raises(SpecError) as caught:
        job(*layers, **keywords)
    return [(error.code, error.pointer, error.message) for error in caught.value.errors]


def value_at(index: tuple[int, int], value: float) -> list[list[float]]:
    x: list[list[float]] = copy.deepcopy(X)
    x[index[0]][index[1]] = value
    return x


@pytest.mark.parametrize("dtype", [None, "float32", "int32", "int64", "uint8"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16", "float16"])
def test_a_model_of_words_trains(dtype, policy):
    trainer = job(entry(dtype), EMBEDDING, *HEAD, policy=policy).trainer
    state, record = trainer.advance(trainer.initial_state())
    assert isinstance(record, StepRecord)
    assert np.isfinite(record.loss)
    assert state.iterations == 1


def test_a_model_without_an_input_layer_takes_its_shape_from_the_data():
    assert job(EMBEDDING, *HEAD).model.input_shapes == ((None, 3),)


@pytest.mark.parametrize("dtype", [None, "int32"])
@pytest.mark.parametrize(("value", "told"), [(10, "10"), (-1, "-1"), (10**12, "1000000000000")])
def test_a_number_without_a_row_is_named(dtype, value, told):
    ((code, pointer, message),) = faults(entry(dtype), EMBEDDING, *HEAD, x=value_at((2, 1), value))
    assert (code, pointer) == ("data_invalid", f"{X_PLACE}/2/1")
    assert message.startswith(f"`x[2][1]` (row 2, column 1) is {told}, but ")


def test_the_message_says_what_the_table_has_and_what_to_do():
    ((_, _, message),) = faults(EMBEDDING, *HEAD, x=[[0, 1], [2, 11], [3, 12]])
    assert message == (
        "`x[1][1]` (row 1, column 1) is 11, but Embedding 'words' looks up whole numbers from 0 to 9. Correct them or "
        "raise `input_dim`. There are 2 such rows."
    )


@pytest.mark.parametrize(
    ("dtype", "words"), [(None, "'words' looks up whole numbers"), ("int32", "the model takes int32 data: whole")]
)
def test_a_fraction_is_no_row(dtype, words):
    ((code, pointer, message),) = faults(entry(dtype), EMBEDDING, *HEAD, x=value_at((1, 2), 2.5))
    assert (code, pointer) == ("data_invalid", f"{X_PLACE}/1/2")
    assert "(row 1, column 2) is 2.5" in message
    assert words in message


@pytest.mark.parametrize(
    ("dtype", "value", "ends"), [("uint8", -1, "0 to 255"), ("int8", 128, "-128 to 127"), ("bool", 2, "0 to 1")]
)
def test_a_number_that_the_dtype_of_the_input_cannot_hold_is_named(dtype, value, ends):
    x = [[0, 1, 0], [1, value, 0]]
    ((code, pointer, message),) = faults(entry(dtype), EMBEDDING, *HEAD, x=x)
    assert (code, pointer) == ("data_invalid", f"{X_PLACE}/1/1")
    assert f"whole numbers from {ends}." in message


def test_a_data_set_of_fractions_does_not_fit_an_embedding():
    model = {"class_name": "Sequential", "config": {"layers": [EMBEDDING, *HEAD]}}
    body = {"model": model, "compile": {"loss": "sparse_categorical_crossentropy"}, "data": {"dataset": "digits"}}
    with pytest.raises(SpecError) as caught:
        prepare(JobSpec.model_validate(body), LIMITS)
    (error,) = caught.value.errors
    assert error.pointer == "/data/dataset"
    assert "looks up whole numbers" in error.message


@pytest.mark.parametrize(
    "between",
    [
        {"class_name": "Reshape", "config": {"target_shape": [3, 1]}},
        {"class_name": "RepeatVector", "config": {"n": 2}},
    ],
)
def test_numbers_are_followed_through_layers_that_only_move_them(between):
    assert job(entry("int32"), between, EMBEDDING, *HEAD).summary.parameters > 0
    ((_, pointer, _),) = faults(entry("int32"), between, EMBEDDING, *HEAD, x=value_at((3, 2), 10))
    assert pointer == f"{X_PLACE}/3/2"


def test_a_wrapped_embedding_is_checked_too():
    wrapped = {"class_name": "TimeDistributed", "config": {"name": "each", "layer": EMBEDDING}}
    shaped = {"class_name": "Reshape", "config": {"target_shape": [3, 1]}}
    ((code, pointer, message),) = faults(entry("int32"), shaped, wrapped, *HEAD, x=value_at((0, 0), 10))
    assert (code, pointer) == ("data_invalid", f"{X_PLACE}/0/0")
    assert "Embedding 'each'" in message


@pytest.mark.parametrize(("policy", "between"), [("float32", []), ("mixed_float16", [HEAD[0]])])
def test_a_number_that_a_coarse_dtype_rounds_is_named(policy, between):
    first = entry("float32" if between else "float16")
    wide = {"class_name": "Embedding", "config": {"name": "words", "input_dim": 3000, "output_dim": 2}}
    last = {"class_name": "Flatten", "config": {"name": "last"}}
    ((code, pointer, message),) = faults(first, *between, wide, last, HEAD[1], x=value_at((1, 0), 2049), policy=policy)
    assert (code, pointer) == ("data_invalid", f"{X_PLACE}/1/0")
    assert "which float16 cannot tell from its neighbours" in message
    assert (
        job(entry("int32"), *between, wide, last, HEAD[1], x=value_at((1, 0), 2049), policy=policy).summary.parameters
        > 0
    )


def test_integers_into_a_layer_that_does_not_convert_them_are_refused():
    ((code, pointer, message),) = faults(entry("int32"), {"class_name": "ELU", "config": {"name": "bend"}}, HEAD[1])
    assert (code, pointer) == ("unsupported", "/model/config/layers/1")
    assert message == (
        "ELU 'bend' would compute with int32 data. Integers enter a model through an Embedding, or a layer that "
        "converts them, such as Rescaling or Dense; for other layers give the input a floating-point dtype."
    )


@pytest.mark.parametrize("dtype", ["int32", "uint8"])
@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
def test_integers_into_a_layer_that_converts_them_train_like_floats(dtype, policy):
    scaled = {"class_name": "Rescaling", "config": {"name": "scaled", "scale": 0.25, "offset": -1.0}}
    weights = []
    for kind in (dtype, "float32"):
        for between in ([scaled], []):
            trainer = job(entry(kind), *between, HEAD[1], x=value_at((1, 0), 9), policy=policy).trainer
            state, record = trainer.advance(trainer.initial_state())
            assert isinstance(record, StepRecord)
            weights.append(state.variables["head/kernel"].tolist())
    assert weights[:2] == weights[2:]


def test_data_that_are_no_numbers_are_refused():
    found = faults(entry("string"), EMBEDDING, *HEAD)
    assert found[0][:2] == ("unsupported", "/model/config/layers/0/config/dtype")


def test_one_array_for_two_inputs_is_refused():
    def called(name: str, *sources: str, kind: str = "Dense", **config: Any) -> dict[str, Any]:
        nodes = [[[source, 0, 0, {}] for source in sources]] if sources else []
        return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}

    model = {
        "class_name": "Functional",
        "config": {
            "name": "two",
            "layers": [
                called("a", kind="InputLayer", batch_input_shape=[None, 3]),
                called("b", kind="InputLayer", batch_input_shape=[None, 3]),
                called("sum", "a", "b", kind="Add"),
                called("head", "sum", units=2),
            ],
            "input_layers": [["a", 0, 0], ["b", 0, 0]],
            "output_layers": [["head", 0, 0]],
        },
    }
    body = {"model": model, "compile": {"loss": "mse"}, "data": {"x": X, "y": [[0, 1]] * 4}}
    with pytest.raises(SpecError) as caught:
        prepare(JobSpec.model_validate(body), LIMITS)
    assert [error.message for error in caught.value.errors] == [
        "The model has the inputs ['a', 'b']; give `x` as a list of arrays or a dict."
    ]
