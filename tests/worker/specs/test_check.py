import time
import tracemalloc
from typing import Any

import numpy as np
import pytest

from tests.worker.specs.jobs import D1, D2, DYNAMIC, JOB, changed, prepared
from worker.settings import Limits
from worker.specs.check import prepare
from worker.specs.errors import SpecError
from worker.specs.job import EXAMPLE, JobSpec

NAN = float("nan")
ROWS = [[0.5] * 64] * 4
FLAT = {"class_name": "Flatten", "config": {"batch_input_shape": [None, 64]}}
SGD = {"class_name": "SGD", "config": {}}


SCALE = "/policy/config/loss_scale"
LSO_HALF = {"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": SGD, "initial_scale": 0.5}}
LSO = {"class_name": "LossScaleOptimizer", "config": {"inner_optimizer": SGD}}
HALF_FACTOR = {"class_name": "SGD", "config": {"loss_scale_factor": 0.5}}
SOFTMAX = {"class_name": "Softmax", "config": {"axis": 2}}
INTEGERS = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 64], "dtype": "int32"}}
UNREDUCED = {"class_name": "SparseCategoricalCrossentropy", "config": {"reduction": "none"}}
LOGITS = {"class_name": "SparseCategoricalCrossentropy", "config": {"from_logits": True}}
FLOAT32_SCALED = {"class_name": "PolicyV1", "config": {"name": "float32", "loss_scale": 8}}


def inline(x: Any = None, y: Any = None) -> dict[str, Any]:
    return {"x": ROWS if x is None else x, "y": [0, 1, 2, 3] if y is None else y}


def faults(changes: dict[str, Any], limits: Limits | None = None) -> list[tuple[str, str]]:
    with pytest.raises(SpecError) as caught:
        prepared(changes, limits or Limits())
    for error in caught.value.errors:
        assert error.message[0].isupper() or error.message.startswith(("`", "loss_scale_value")), error
        assert error.type in {"ValueError", "TypeError"}
    return [(error.code, error.pointer) for error in caught.value.errors]


def test_a_good_job_passes_without_warnings():
    result = prepared()
    assert result.warnings == ()
    summary = result.summary
    assert (summary.policy, summary.loss_scale) == ("mixed_float16", 2.0**24)
    assert summary.parameters == summary.trainable_parameters == 64 * 32 + 32 + 32 * 10 + 10
    assert (summary.samples, summary.validation_samples) == (1617, 180)
    assert (summary.steps_per_epoch, summary.epochs, summary.total_steps) == (51, 3, 153)
    assert result.trainer.total_steps == 153


def test_the_example_of_the_documentation_is_a_good_job():
    assert prepare(JobSpec.model_validate(EXAMPLE), Limits()).warnings == ()
    assert JobSpec.model_config["extra"] == "forbid"


def test_a_prepared_job_trains():
    trainer = prepared({"/data": inline()}).trainer
    state, record = trainer.advance(trainer.initial_state())
    assert (state.step, record.step) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({f"{D1}/config/units": -3}, [("invalid_value", f"{D1}/config/units")]),
        ({f"{D1}/config/activation": "rlu"}, [("unknown_activation", f"{D1}/config/activation")]),
        ({f"{D1}/config/name": "d2"}, [("duplicate_name", f"{D2}/config/name")]),
        ({f"{D1}/config/dtype": "int32"}, [("policy_not_trainable", f"{D1}/config/dtype")]),
        ({f"{D1}/config/batch_input_shape": [None, 32]}, [("shape_mismatch", "/data/dataset")]),
        ({f"{D1}/config/batch_input_shape": [None, 32], "/data": inline()}, [("shape_mismatch", "/data/x")]),
        ({f"{D2}/config/units": 5}, [("label_out_of_range", "/data/dataset")]),
        ({"/data": inline(y=[0, 1, 2, 10])}, [("label_out_of_range", "/data/y/3")]),
        ({"/data": inline(y=[0, 1, -1, 3])}, [("label_out_of_range", "/data/y/2")]),
        ({"/data": inline(y=[0, 1, 0.5, 3])}, [("label_out_of_range", "/data/y/2")]),
        ({"/data": inline(x=[[NAN] * 64, *ROWS[1:]])}, [("data_invalid", "/data/x/0/0")]),
        ({"/data": inline(x=[[1e39] * 64, *ROWS[1:]])}, [("data_invalid", "/data/x/0/0")]),
        ({"/data": inline(x=[], y=[])}, [("empty_data", "/data/x"), ("empty_data", "/data/y")]),
        ({"/data/dataset": "digit"}, [("unknown_dataset", "/data/dataset")]),
        ({"/policy": "mixed_float17"}, [("unknown_policy", "/policy")]),
        ({"/policy": "int32"}, [("policy_not_trainable", "/policy")]),
        ({"/policy": "_infer"}, [("policy_not_trainable", "/policy")]),
        ({"/policy/config/loss_scale": 0.5}, [("invalid_value", "/policy/config/loss_scale")]),
        ({f"{SCALE}/config/initial_loss_scale": 0.5}, [("loss_scale_out_of_range", SCALE)]),
        (
            {SCALE: {"class_name": "FixedLossScale", "config": {"loss_scale_value": 0}}},
            [("invalid_value", f"{SCALE}/config/loss_scale_value")],
        ),
        ({f"{SCALE}/config/increment_period": 0}, [("loss_scale_out_of_range", SCALE)]),
        (
            {"/compile/optimizer": LSO_HALF},
            [("loss_scale_out_of_range", "/compile/optimizer/config/initial_scale")],
        ),
        (
            {"/compile/optimizer/config/learning_rate": -1},
            [("invalid_value", "/compile/optimizer/config/learning_rate")],
        ),
        ({"/compile/optimizer": "adm"}, [("unknown_optimizer", "/compile/optimizer")]),
        ({"/compile/loss": "mean_square"}, [("unknown_loss", "/compile/loss")]),
        ({"/compile/loss": "mse"}, [("shape_mismatch", "/data/dataset")]),
        ({"/compile/loss": "categorical_crossentropy"}, [("shape_mismatch", "/data/dataset")]),
        ({"/compile/metrics": ["acc", "mse"]}, [("metric_mismatch", "/compile/metrics/1")]),
        ({"/compile/metrics": ["accurate"]}, [("unknown_metric", "/compile/metrics/0")]),
        ({"/fit/batch_size": 0}, [("invalid_value", "/fit/batch_size")]),
        ({"/fit/epochs": -1}, [("invalid_value", "/fit/epochs")]),
        ({"/fit/validation_split": 1.0}, [("invalid_value", "/fit/validation_split")]),
        ({"/fit/validation_split": 0.9999}, [("data_invalid", "/fit/validation_split")]),
        ({"/model/config/layers": []}, [("invalid_value", "/model/config/layers")]),
        (
            {"/model/config/layers": [FLAT], "/compile/loss": "mse", "/data": inline(y=ROWS), "/compile/metrics": []},
            [("nothing_to_train", "/model")],
        ),
        ({f"{SCALE}/config/multiplier": 4.0}, [("multiplier", SCALE)]),
        (
            {"/compile/loss": {"class_name": "BinaryCrossentropy", "config": {"label_smoothing": 2}}},
            [("invalid_value", "/compile/loss/config/label_smoothing")],
        ),
        (
            {f"{D1}/config/kernel_regularizer": {"class_name": "L2", "config": {"l2": -1}}},
            [("invalid_value", f"{D1}/config/kernel_regularizer/config/l2")],
        ),
        ({D1: SOFTMAX}, [("shape_mismatch", f"{D1}/config/axis")]),
        (
            {"/compile/loss": {"class_name": "CategoricalCrossentropy", "config": {"axis": 2}}},
            [("shape_mismatch", "/compile/loss/config/axis")],
        ),
        (
            {"/compile/loss": {"class_name": "Dice", "config": {"axis": [1, -1]}}},
            [("shape_mismatch", "/compile/loss/config/axis")],
        ),
        (
            {"/compile/metrics": ["acc", {"class_name": "CosineSimilarity", "config": {"axis": -3}}]},
            [("shape_mismatch", "/compile/metrics/1/config/axis")],
        ),
        ({D1: INTEGERS}, [("data_invalid", "/data/dataset")]),
        ({D2: INTEGERS}, [("malformed_graph", f"{D2}/config")]),
        ({f"{D1}/config/bias_initializer": "identity"}, [("shape_mismatch", f"{D1}/config/bias_initializer")]),
        ({"/compile/loss": UNREDUCED}, [("loss_not_reduced", "/compile/loss/config/reduction")]),
        (
            {"/compile/optimizer": HALF_FACTOR, "/policy": "float32"},
            [("loss_scale_out_of_range", "/compile/optimizer/config/loss_scale_factor")],
        ),
        (
            {f"{D1}/config/batch_input_shape": [None, None, 64]},
            [("open_shape", "/model"), ("shape_mismatch", "/data/dataset")],
        ),
    ],
)
def test_a_fault_has_a_code_and_a_place(changes, expected):
    assert faults(changes) == expected


INPUT = {"class_name": "InputLayer", "name": "i", "config": {"name": "i", "batch_input_shape": [None, 64]}}
HEAD = {"class_name": "Dense", "name": "d", "config": {"name": "d", "units": 10, "activation": "softmax"}}


def functional(inbound: Any, inputs: Any = None, outputs: Any = None) -> dict[str, Any]:
    layers = [{**INPUT, "inbound_nodes": []}, {**HEAD, "inbound_nodes": inbound}]
    ends = {"input_layers": inputs or [["i", 0, 0]], "output_layers": outputs or [["d", 0, 0]]}
    return {"/model": {"class_name": "Functional", "config": {"name": "f", "layers": layers, **ends}}}


def test_a_functional_model_passes():
    assert prepared(functional([[["i", 0, 0, {}]]])).summary.layers == 2


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (functional([[["i", float("inf"), 0, {}]]]), ("malformed_graph", f"{D2}/inbound_nodes")),
        (functional([{"args": [], "kwargs": {}}]), ("malformed_graph", f"{D2}/config")),
        (functional([{"args": "abc"}]), ("malformed_graph", f"{D2}/inbound_nodes")),
        (functional([[["i", 0, 0, {}], ["i", 0, 0, {}]]]), ("malformed_graph", f"{D2}/config")),
        (functional([[["d", 0, 0, {}]]]), ("malformed_graph", f"{D2}/inbound_nodes/0")),
        (functional([[["x", 0, 0, {}]]]), ("malformed_graph", f"{D2}/inbound_nodes/0")),
        (functional([[["i", 0, 0, {}]]], inputs=[["d", 0, 0]]), ("malformed_graph", "/model/config/input_layers")),
        (functional([[["i", 0, 0, {}]]], outputs=[["i", 0, 0]]), ("nothing_to_train", "/model")),
        (functional([[["i", 0, 0, {}]]], outputs=[["d", 0, 0]] * 2), ("invalid_value", "/data/dataset")),
    ],
)
def test_a_graph_that_does_not_hang_together_is_refused(changes, expected):
    assert expected in faults(changes)


def test_every_fault_is_told_at_once():
    found = faults(
        {
            "/policy": "mixed_float17",
            f"{D1}/config/units": 0,
            f"{D2}/config/activation": "sofmax",
            "/compile/optimizer": "adm",
            "/compile/loss": "mess",
            "/compile/metrics": ["nothing"],
            "/fit/batch_size": 0,
            "/fit/epochs": 0,
            "/data": inline(x=[[1, None]], y=[]),
        }
    )
    assert [pointer for _, pointer in found] == [
        "/policy",
        "/fit/batch_size",
        "/fit/epochs",
        "/data/x/0/1",
        "/data/y",
        f"{D1}/config/units",
        f"{D2}/config/activation",
        "/compile/optimizer",
        "/compile/loss",
        "/compile/metrics/0",
    ]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({f"{D1}/config/units": 10**12}, D1),
        ({f"{D1}/config/units": 10**300}, D1),
        ({f"{D1}/config/batch_input_shape": [None, 10**9, 10**9, 64], "/data": inline()}, "/model/config/layers/0"),
        ({"/fit/epochs": 10**15}, "/fit/epochs"),
        (
            {"/compile/metrics": [{"class_name": "MeanIoU", "config": {"num_classes": 10**9, "sparse_y_pred": False}}]},
            "/compile/metrics/0",
        ),
        ({"/compile/metrics": [{"class_name": "AUC", "config": {"num_thresholds": 10**12}}]}, "/compile/metrics/0"),
        ({"/fit/epochs": 99_999}, "/fit/epochs"),
    ],
)
def test_too_large_a_job_is_refused_before_anything_is_allocated(changes, pointer):
    tracemalloc.start()
    found = faults(changes)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert ("resource_limit", pointer) in found
    assert peak < 20_000_000


def test_limits_are_settings():
    assert faults({}, Limits(max_parameters=100)) == [("resource_limit", D1)]
    assert faults({}, Limits(max_layers=1)) == [("resource_limit", "/model/config/layers")]
    assert faults({}, Limits(max_steps=152)) == [("resource_limit", "/fit/epochs")]
    assert faults({}, Limits(max_epochs=2)) == [("resource_limit", "/fit/epochs")]
    assert faults({}, Limits(max_batch_size=31)) == [("resource_limit", "/fit/batch_size")]
    assert faults({}, Limits(max_activation_values=100)) == [("resource_limit", "/model/config/layers/0")]
    assert faults({"/data": inline()}, Limits(inline_rows=3)) == [
        ("resource_limit", "/data/x"),
        ("resource_limit", "/data/y"),
    ]
    assert faults({"/data": inline()}, Limits(inline_values=255)) == [("resource_limit", "/data/x")]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"/fit/batch_size": 10**9}, "batch_size_clipped"),
        ({"/policy": "float16"}, "unscaled_float16"),
        ({"/policy": FLOAT32_SCALED}, "scaling_without_effect"),
        ({"/compile/optimizer": LSO}, "scaling_without_effect"),
        ({"/compile/optimizer": ...}, "optimizer_assumed"),
        ({"/model/compile_config": {"loss": "mse"}}, "compile_config_unused"),
        ({"/compile/run_eagerly": True}, "no_effect"),
        ({"/compile/jit_compile": "auto"}, "no_effect"),
        ({"/compile/auto_scale_loss": False}, "no_effect"),
        ({f"{D1}/config/batch_input_shape": [16, 64]}, "batch_axis_not_used"),
        ({f"{D2}/config/activation": "linear"}, "logits_as_probabilities"),
        ({"/compile/loss": LOGITS}, "probabilities_as_logits"),
        ({f"{D2}/config/units": 1, "/data": inline(y=[0, 0, 0, 0])}, "constant_output"),
    ],
)
def test_what_is_doubtful_is_accepted_with_a_warning(changes, code):
    assert code in [notice.code for notice in prepared(changes).warnings]


@pytest.mark.parametrize(
    ("version", "weights", "named"),
    [("3.15.1", [1, 2], True), ("3.15.1", [[1, 2, 3]] * 2, False), ("2.15.0", [1, 2], False), ("2.4.0", [1, 2], False)],
)
def test_keras3_does_not_spread_a_weight_over_the_losses_of_a_row(version: str, weights: Any, named: bool):
    """Tried with ``fit`` of Keras 3.15.1, tf_keras 2.21 and TF 2.4.4 (tests/extremes)."""
    data = {"x": [[[0.5] * 4] * 3] * 2, "y": [[[0.5] * 2] * 3] * 2, "sample_weight": weights}
    config = {"name": "d1", "units": 2, "batch_input_shape": [None, 3, 4]}
    model = {
        "class_name": "Sequential",
        "config": {"name": "steps", "layers": [{"class_name": "Dense", "config": config}]},
        "keras_version": version,
    }
    job = {"/model": model, "/policy": ..., "/compile/loss": "mse", "/compile/metrics": [], "/data": data}
    found = prepared({**job, "/fit/validation_split": 0.0}).warnings
    places = [notice.pointer for notice in found if notice.code == "original_refuses"]
    assert places == ["/data/sample_weight"] * int(named)


def test_a_batch_larger_than_the_data_is_one_step():
    assert prepared({"/fit/batch_size": 10**9}).summary.total_steps == 3


def test_the_data_tell_the_shape_that_the_model_leaves_out():
    model = prepared({f"{D1}/config/batch_input_shape": ...}).model
    assert model.input_shapes == ((None, 64),)


def test_no_shape_is_asked_of_a_model_whose_data_are_broken():
    assert faults({f"{D1}/config/batch_input_shape": ..., "/data": inline(x=[])}) == [("empty_data", "/data/x")]


def test_a_model_of_keras3_brings_its_own_policy():
    dtype = {
        "module": "keras",
        "class_name": "DTypePolicy",
        "config": {"name": "mixed_bfloat16"},
        "registered_name": None,
    }
    assert prepared({"/policy": ..., "/model/config/dtype": dtype}).summary.policy == "mixed_bfloat16"
    assert prepared({"/model/config/dtype": dtype}).summary.policy == "mixed_float16"
    assert prepared({"/policy": dtype}).summary.loss_scale == 1.0


def test_labels_of_probabilities_lie_between_0_and_1():
    one_hot = np.eye(10)[[0, 1, 2, 3]]
    changes = {"/compile/loss": "categorical_crossentropy", "/data": inline(y=one_hot.tolist())}
    assert prepared(changes).summary.samples == 3
    assert faults({"/compile/loss": "categorical_crossentropy", "/data": inline(y=(2 * one_hot).tolist())}) == [
        ("label_out_of_range", "/data/y/0/0")
    ]


def test_a_loss_that_is_lost_ends_the_job():
    assert prepared().trainer.fit.terminate_on_nonfinite is True


def test_checking_is_cheap_enough_for_a_request():
    spec = JobSpec.model_validate(changed({}))
    took = []
    for _ in range(10):
        start = time.perf_counter()
        prepare(spec, Limits())
        took.append(time.perf_counter() - start)
    assert sorted(took)[5] < 0.05


def test_the_job_of_the_tests_is_the_one_of_the_issue():
    assert JOB["policy"]["config"]["loss_scale"] == DYNAMIC


FLOAT8: dict[str, Any] = {
    "class_name": "QuantizedFloat8DTypePolicy",
    "config": {"mode": "float8", "source_name": "mixed_bfloat16"},
}


def policy_map(**entries):
    return {"class_name": "DTypePolicyMap", "config": {"default_policy": "mixed_bfloat16", "policy_map": entries}}


@pytest.mark.parametrize(
    "policy", ["float8_from_mixed_bfloat16", FLOAT8, {**FLOAT8, "class_name": "QuantizedDTypePolicy"}]
)
def test_a_job_may_train_in_float8(policy):
    found = prepared({"/policy": policy})
    assert found.summary.policy == "float8_from_mixed_bfloat16"
    assert found.model.layers[1].policy.name == "float8_from_mixed_bfloat16"
    by_layer = prepared({f"{D1}/config/dtype": policy}).model.network.weight_specs
    assert next(spec for spec in by_layer if spec.name == "inputs_amax_history").shape == (1024,)


def test_a_job_may_give_each_layer_a_policy_by_its_path():
    name = prepared().model.name
    entry = {"class_name": "DTypePolicy", "config": {"name": "float32"}}
    found = prepared({"/policy": policy_map(**{f"{name}/d1": entry})})
    assert found.summary.policy == "map_mixed_bfloat16"
    assert found.model.layers[1].policy.name == "float32"


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"/policy": "int8_from_float32"}, [("policy_not_trainable", "/policy")]),
        (
            {"/policy": {**FLOAT8, "config": {**FLOAT8["config"], "amax_history_length": 0}}},
            [("amax_history_length", "/policy/config/amax_history_length")],
        ),
        (
            {"/policy": {**FLOAT8, "config": {**FLOAT8["config"], "amax_history_length": 10**9}}},
            [("resource_limit", "/model/config/layers/0")],
        ),
        (
            {"/policy": policy_map(**{".*/d1": FLOAT8, ".*1": FLOAT8})},
            [("ambiguous_path", "/policy/config/policy_map")],
        ),
        (
            {"/policy": policy_map(**{"(": FLOAT8})},
            [("invalid_pattern", "/policy/config/policy_map/(")],
        ),
        (
            {f"{D1}/config/quantization_config": {"class_name": "Int8QuantizationConfig", "config": {}}},
            [("unsupported", f"{D1}/config/quantization_config")],
        ),
    ],
)
def test_faults_of_layered_policies_are_named_where_they_stand(changes, expected):
    assert faults(changes) == expected


def adam(**settings):
    return {"class_name": "Adam", "config": settings}


@pytest.mark.parametrize("rounding", ["stochastic", "kahan"])
def test_a_job_says_in_its_optimizer_how_updates_are_rounded(rounding):
    found = prepared({"/policy": "bfloat16", "/compile/optimizer": adam(update_rounding=rounding)})
    assert found.model.optimizer.update_rounding == rounding


def test_a_rounding_of_updates_that_no_variable_would_notice_is_refused():
    changes = {"/policy": "mixed_float16", "/compile/optimizer": adam(update_rounding="kahan")}
    assert faults(changes) == [("rounding_without_effect", "/compile/optimizer/config/update_rounding")]
