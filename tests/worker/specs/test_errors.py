import json
from typing import Any

import pytest
from pydantic import ValidationError

from engine.errors import InvalidType, InvalidValue
from tests.worker.specs.jobs import D1, D2, JOB, changed
from worker.specs.errors import FieldError, SpecError, from_engine, from_pydantic, from_validation, pointer_to
from worker.specs.job import JobSpec

DENSE = {"class_name": "Dense", "config": {"units": 3}}
LAYERS = "/model/config/layers"


def faults(job: Any) -> tuple[FieldError, ...]:
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate(job)
    return from_validation(caught.value, job, JobSpec).errors


def fault(changes: dict[str, Any]) -> FieldError:
    (found,) = faults(changed(changes))
    return found


UNKNOWN_LAYER = (
    'Unknown layer: "Dens". Did you mean "Dense"? Known here: "InputLayer", "Dense", "Conv1D", "Conv2D", '
    '"MaxPooling1D", "MaxPooling2D", "GlobalAveragePooling1D", "GlobalAveragePooling2D", "Flatten", "Reshape", '
    '"Dropout", "BatchNormalization", "LayerNormalization", "Activation", "ReLU", "Softmax", "Embedding", "LSTM", '
    '"GRU", "Bidirectional", "MultiHeadAttention", "Add", "Concatenate", "Rescaling" and 49 more.'
)
UNKNOWN_KEY = (
    '`unit` is not a known key (its value: 32). Did you mean "units"? Accepted here: "units", "name", "trainable", '
    '"dtype", "batch_input_shape", "autocast", "activation", "kernel_initializer", "bias_initializer", '
    '"kernel_regularizer", "bias_regularizer", "activity_regularizer", "kernel_constraint", "bias_constraint", '
    '"use_bias", "quantization_config", "lora_rank".'
)
MISSING = '`loss` is required and missing. Received: an object with the keys "optimizer", "metrics".'
QUOTED = '`units` must be an integer (without quotes). Received: "32".'
CALLBACK = (
    '`callbacks[0]` must be {"class_name": one of "EarlyStopping", "ModelCheckpoint", "ReduceLROnPlateau", '
    '"TerminateOnNaN", "config": {...}}. Received: "EarlyStopping".'
)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({f"{D1}/class_name": "Dens"}, ("unknown_layer", "ValueError", UNKNOWN_LAYER, f"{D1}/class_name")),
        ({f"{D1}/config/units": "32"}, ("invalid_type", "TypeError", QUOTED, f"{D1}/config/units")),
        ({f"{D1}/config/unit": 32}, ("unknown_key", "TypeError", UNKNOWN_KEY, f"{D1}/config/unit")),
        ({"/compile/loss": ...}, ("missing", "TypeError", MISSING, "/compile/loss")),
        ({"/fit/callbacks": ["EarlyStopping"]}, ("invalid_type", "TypeError", CALLBACK, "/fit/callbacks/0")),
    ],
)
def test_a_message_says_what_came_what_is_accepted_and_what_to_do(changes, expected):
    found = fault(changes)
    assert (found.code, found.type, found.message, found.pointer) == expected


CONFIG = f"{D1}/config"
INITIALIZER, REGULARIZER = f"{CONFIG}/kernel_initializer", f"{CONFIG}/kernel_regularizer"
SCALE = "/policy/config/loss_scale"


def distributed(layer: Any, depth: int = 1) -> dict[str, Any]:
    for _ in range(depth):
        layer = {"class_name": "TimeDistributed", "config": {"layer": layer}}
    return layer


def stacked(layer: Any, depth: int = 1) -> dict[str, Any]:
    for _ in range(depth):
        layer = {"class_name": "Sequential", "config": {"layers": [layer]}}
    return layer


TWO_IN = "/config/layers/0/config/layers/0"
MISSPELT = {"class_name": "Dense", "config": {"units": 1, "unit": 1}}
TF_ADDED = {"class_name": "TFOpLambda", "config": {"name": "tf.math.add", "function": "math.add"}}
DEEP = json.loads("[" * 40 + "]" * 40)


@pytest.mark.parametrize(
    ("changes", "code", "pointer"),
    [
        ({f"{CONFIG}/units": True}, "invalid_type", f"{CONFIG}/units"),
        ({f"{CONFIG}/units": 2.5}, "invalid_type", f"{CONFIG}/units"),
        ({f"{CONFIG}/units": None}, "invalid_type", f"{CONFIG}/units"),
        ({f"{CONFIG}/use_bias": 1}, "invalid_type", f"{CONFIG}/use_bias"),
        ({D1: {"class_name": "Softmax", "config": {"axis": ["1"]}}}, "invalid_type", f"{CONFIG}/axis"),
        ({D1: {"class_name": "LSTM", "config": {"units": 2, "stateful": True}}}, "unsupported", f"{CONFIG}/stateful"),
        ({D1: distributed({"class_name": "Dens"})}, "unknown_layer", f"{CONFIG}/layer/class_name"),
        ({D1: distributed({"class_name": "Dense", "config": {}})}, "missing", f"{CONFIG}/layer/config/units"),
        ({D1: distributed(None)}, "invalid_type", f"{CONFIG}/layer"),
        ({f"{CONFIG}/name": "a\0b"}, "invalid_text", f"{CONFIG}/name"),
        ({f"{CONFIG}/name": "\ud800"}, "invalid_text", f"{CONFIG}/name"),
        ({f"{CONFIG}/kernel_constraint": 3}, "invalid_type", f"{CONFIG}/kernel_constraint"),
        ({INITIALIZER: {"class_name": "Zero"}}, "unknown_initializer", f"{INITIALIZER}/class_name"),
        ({REGULARIZER: {"class_name": 3}}, "improper_config", f"{REGULARIZER}/class_name"),
        ({REGULARIZER: 3}, "invalid_type", REGULARIZER),
        ({f"{D1}/module": "my.layers"}, "custom_class", f"{D1}/module"),
        ({f"{D1}/inbound_nodes": DEEP}, "too_deep", f"{D1}/inbound_nodes/0"),
        ({D1: distributed(DENSE, 5000)}, "too_deep", f"{CONFIG}/layer"),
        ({D2: stacked(DENSE, 5000)}, "too_deep", "/model/config/layers/1/config/layers"),
        ({D2: stacked({"class_name": "Dens", "config": {}}, 2)}, "unknown_layer", f"{D2}{TWO_IN}/class_name"),
        ({D2: stacked(MISSPELT, 2)}, "unknown_key", f"{D2}{TWO_IN}/config/unit"),
        ({D1: TF_ADDED}, "unsupported_operation", f"{D1}/class_name"),
        ({f"{D1}": 3}, "invalid_type", D1),
        ({LAYERS: {}}, "invalid_type", LAYERS),
        ({"/model": None}, "invalid_type", "/model"),
        ({"/model/class_name": "Sequentia"}, "unknown_model", "/model/class_name"),
        ({"/policy": 16}, "invalid_type", "/policy"),
        ({"/policy/config/name": 16}, "invalid_type", "/policy/config/name"),
        ({"/policy/class_name": "PolicyV2"}, "unknown_policy", "/policy/class_name"),
        ({f"{SCALE}/class_name": "Dynamic"}, "unknown_loss_scale", f"{SCALE}/class_name"),
        ({f"{SCALE}/config/multiplier": "2"}, "invalid_type", f"{SCALE}/config/multiplier"),
        ({f"{SCALE}": []}, "invalid_type", f"{SCALE}"),
        ({"/compile": []}, "invalid_type", "/compile"),
        ({"/compile/metrics": "accuracy"}, "invalid_type", "/compile/metrics"),
        ({"/compile/steps_per_execution": 2}, "unsupported", "/compile/steps_per_execution"),
        ({"/compile/jit_compile": []}, "invalid_type", "/compile/jit_compile"),
        ({"/compile/loss": {"digit": "mse", "image": 3}}, "invalid_type", "/compile/loss/image"),
        ({"/compile/metrics": {"digit": [3]}}, "invalid_type", "/compile/metrics/digit/0"),
        ({"/fit/callbacks": [{"class_name": "Backup"}]}, "unknown_callback", "/fit/callbacks/0/class_name"),
        ({"/fit/class_weight": {"one": 1}}, "invalid_value", "/fit/class_weight/one"),
        ({"/fit/validation_split": float("nan")}, "not_finite", "/fit/validation_split"),
        ({"/compile/optimizer/config/learning_rate": 1e39}, "not_finite", "/compile/optimizer/config/learning_rate"),
        ({"/fit/epochs": 10**5000}, "not_finite", "/fit/epochs"),
        ({"/data": {"file": 3}}, "invalid_type", "/data/file"),
        ({"/data": {}}, "unknown_data", "/data"),
        ({"/data": None}, "unknown_data", "/data"),
        ({"/data/x": []}, "unknown_key", "/data/x"),
        ({"/seed": -1}, "out_of_range", "/seed"),
        ({"/seed": 2**31}, "out_of_range", "/seed"),
        ({"/suffix": "x" * 65}, "too_long", "/suffix"),
        ({"/metadata": {"a/b~c": 1}}, "invalid_type", "/metadata/a~1b~0c"),
        ({"/metadata": {str(i): "" for i in range(17)}}, "too_long", "/metadata"),
        ({"/metadata": {"k" * 65: ""}}, "too_long", "/metadata/" + "k" * 65),
        ({"/sweep": 1}, "unknown_key", "/sweep"),
    ],
)  # fmt: skip
def test_every_kind_of_fault_has_words_of_ours(changes, code, pointer):
    found = fault(changes)
    assert (found.code, found.pointer) == (code, pointer)
    assert "Input should" not in found.message
    assert len(found.message) < 700
    json.dumps(found.message).encode()


def test_every_fault_is_told_at_once():
    found = faults(
        changed({"/seed": "1", "/model/config/layers": [DENSE, {"class_name": "X"}, {"class_name": "ReLU"}]})
    )
    assert [error.pointer for error in found] == [f"{LAYERS}/1/class_name", f"{LAYERS}/2/config", "/seed"]


def test_a_body_that_is_no_object_is_named_as_a_whole():
    (found,) = faults([])
    assert (found.pointer, found.message) == ("", "`the body` must be an object. Received: a list of 0 items.")


@pytest.mark.parametrize("key", ["/model", "/compile", "/policy/config"])
def test_the_text_of_an_object_is_refused_with_what_to_send(key):
    found = fault({key: json.dumps(JOB["model"])})
    assert found.message.endswith(
        "This is the text of a JSON object: send the object itself, as json.loads returns it."
    )


def test_one_place_is_told_once():
    found = faults(changed({f"{D1}/config": {"units": 3, "dtype": []}, "/compile/jit_compile": 3}))
    assert [error.pointer for error in found] == [f"{D1}/config/dtype", "/compile/jit_compile"]


def test_kinds_without_words_of_ours_keep_their_own():
    error = {"type": "odd", "loc": ("seed",), "msg": "Is odd", "input": 3}
    (found,) = from_pydantic([error], JOB, JobSpec)
    assert found == FieldError("invalid_value", "ValueError", "`seed` is not accepted: Is odd. Received: 3.", "/seed")


def test_an_engine_error_keeps_its_words_and_gets_a_pointer():
    error = InvalidValue("No.", code="no", path=("config", "units"))
    assert from_engine(error, JOB, "model") == FieldError("no", "ValueError", "No.", "/model/config/units")
    inside_a_name = InvalidType("No.", path=("name",))
    assert from_engine(inside_a_name, {"policy": "x"}, "policy").pointer == "/policy"


def test_pointers_escape_and_can_be_encoded():
    assert pointer_to(("a/b", "c~d", 3)) == "/a~1b/c~0d/3"
    assert pointer_to(("\ud800",)) == "/\\ud800"


def test_a_spec_error_reads_well():
    error = SpecError([FieldError("no", "ValueError", "No.", "/a"), FieldError("no", "ValueError", "Not.", "")])
    assert str(error) == "/a: No.; /: Not."
