"""Policies, loss scales, optimizers and translations over HTTP, through the SDK."""

import pytest

from app.client import Client, Invalid
from app.settings import AppSettings
from tests.app.serving import JSON, Served, serving

V1 = {"class_name": "PolicyV1", "config": {"name": "mixed_float16", "loss_scale": 128}}
FOUND = [True] * 7 + [False] * 3 + [True] * 4 + [False] + [True] * 4


@pytest.fixture
def halfstep(served: Served):
    with Client(served.url) as client:
        yield client


def test_every_policy_names_those_who_know_it(halfstep: Client):
    listed = halfstep.policies()
    known = {policy["name"]: policy["dialects"] for policy in listed["data"]}
    assert known["mixed_float16"] == ["tf2.4", "tf2.3", "tf_keras", "keras3"]
    assert known["_infer"] == ["tf2.4", "tf2.3", "tf_keras"]
    assert known["qint8"] == ["tf2.4", "tf2.3", "tf_keras"]
    assert known["float8_from_mixed_float16"] == ["keras3"]
    assert known["float8_e5m2"] == ["tf_keras"]
    assert "int8_from_mixed_float16" not in known
    assert {dtype["name"]: dtype["aliases"] for dtype in listed["dtypes"]}["float16"] == ["half"]


def test_a_policy_means_what_its_dialect_says(halfstep: Client):
    refused = halfstep.validate_policy("half", dialect="keras3")
    assert (refused["valid"], refused["errors"][0]["type"], refused["errors"][0]["pointer"]) == (
        False,
        "ValueError",
        "/policy",
    )
    assert refused["errors"][0]["message"].startswith("Cannot convert 'half' to a mixed precision DTypePolicy.")
    assert "tf2.4, tf2.3, tf_keras would take it" in refused["warnings"][0]["message"]
    older = halfstep.validate_policy({"class_name": "Policy", "config": V1["config"]}, dialect="tf2.3")["policy"]
    assert (older["class_name"], older["loss_scale"]["config"]) == ("Policy", {"loss_scale_value": 128.0})
    assert halfstep.validate_policy("half", dialect="tf_keras")["policy"]["config"] == {"name": "half"}


def test_what_is_pasted_is_read_by_those_who_wrote_it(halfstep: Client):
    quantized = {"class_name": "QuantizedFloat8DTypePolicy", "config": {"mode": "float8", "source_name": "bfloat16"}}
    report = halfstep.validate_policy(quantized)
    assert (report["dialect"], report["policy"]["name"]) == ("keras3", "float8_from_bfloat16")
    arguments = {"mode": "float8", "source_name": "bfloat16", "amax_history_length": 1024}
    assert report["policy"]["config"] == arguments
    assert report["policy"]["quantization_mode"] == "float8"
    assert halfstep.validate_policy(quantized, dialect="tf2.4")["errors"][0]["message"] == (
        "Unknown dtype policy: QuantizedFloat8DTypePolicy"
    )
    entry = {"class_name": "DTypePolicy", "config": {"name": "float32"}}
    mapped = halfstep.validate_policy(
        {"class_name": "DTypePolicyMap", "config": {"default_policy": "mixed_float16", "policy_map": {"a/b": entry}}}
    )["policy"]
    assert (mapped["name"], mapped["compute_dtype"]) == ("map_mixed_float16", "float16")
    assert mapped["config"]["policy_map"]["a/b"]["config"] == {"name": "float32"}


def test_a_class_can_be_called(halfstep: Client):
    assert halfstep.validate_policy("int8_from_float32", class_name="QuantizedDTypePolicy")["policy"]["config"] == {
        "mode": "int8",
        "source_name": "float32",
    }
    arguments = {"mode": "float8", "source_name": "float16", "amax_history_length": 8}
    called = halfstep.validate_policy(arguments, class_name="QuantizedFloat8DTypePolicy")["policy"]
    assert called["config"] == arguments
    (error,) = halfstep.validate_policy("float16", class_name="PolicyV1", dialect="keras3")["errors"]
    assert (error["code"], error["pointer"]) == ("unknown_dtype_policy", "/class_name")
    (error,) = halfstep.validate_policy("float16", loss_scale=2, dialect="tf_keras")["errors"]
    assert (error["type"], error["pointer"]) == ("TypeError", "/loss_scale")
    assert halfstep.validate_policy("float16", loss_scale=None, dialect="keras3")["valid"]
    assert halfstep.validate_policy("mixed_float16", class_name="DTypePolicyMap")["policy"]["config"] == {
        "default_policy": "mixed_float16",
        "policy_map": {},
    }


@pytest.mark.parametrize(
    ("to", "serialized", "dropped"),
    [
        ("tf2.4", {**V1, "config": {"name": "mixed_float16", "loss_scale": {
            "class_name": "FixedLossScale", "config": {"loss_scale_value": 128.0}}}}, []),
        ("tf2.3", {"class_name": "Policy", "config": {"name": "mixed_float16", "loss_scale": {
            "class_name": "FixedLossScale", "config": {"loss_scale_value": 128.0}}}}, []),
        ("tf_keras", {"module": "keras.mixed_precision", "class_name": "Policy",
            "config": {"name": "mixed_float16"}, "registered_name": None}, ["policy.config.loss_scale"]),
        ("keras3", {"module": "keras", "class_name": "DTypePolicy",
            "config": {"name": "mixed_float16"}, "registered_name": None}, ["policy.config.loss_scale"]),
    ],
)  # fmt: skip
def test_a_policy_is_written_for_every_line(halfstep: Client, to, serialized, dropped):
    answer = halfstep.serialize_policy(V1, to=to)
    assert (answer["serialized"], answer["dialect"], answer["dropped"]) == (serialized, to, dropped)
    assert ("loss_scale_not_in_policy" in [notice["code"] for notice in answer["warnings"]]) is bool(dropped)


@pytest.mark.parametrize("dialect", ["tf2.4", "tf2.3", "tf_keras", "keras3"])
@pytest.mark.parametrize("name", ["float32", "mixed_float16", "bfloat16"])
def test_what_a_line_writes_it_reads(halfstep: Client, dialect, name):
    written = halfstep.serialize_policy(name, dialect=dialect)["serialized"]
    read = halfstep.deserialize_policy(written, dialect=dialect)
    assert (read["policy"]["name"], read["dropped"]) == (name, [])


def test_inferring_is_null_to_tf_and_has_no_form_in_keras_3(halfstep: Client):
    assert halfstep.serialize_policy("_infer", to="tf_keras")["serialized"] is None
    answer = halfstep.serialize_policy("_infer", to="keras3")
    assert answer["serialized"]["config"] == {"name": "float32"}
    assert {"approximate"} <= {notice["code"] for notice in answer["warnings"]}


def test_a_map_loses_its_entries_in_tf_by_name(halfstep: Client):
    entry = {"class_name": "DTypePolicy", "config": {"name": "float32"}}
    config = {"default_policy": "mixed_float16", "policy_map": {"a": entry}}
    answer = halfstep.serialize_policy({"class_name": "DTypePolicyMap", "config": config}, to="tf_keras")
    assert answer["dropped"] == ["policy.config"]
    assert [notice["code"] for notice in answer["warnings"]] == ["scaled_there", "dropped"]


def test_errors_of_the_original_come_as_problems(halfstep: Client):
    with pytest.raises(Invalid) as caught:
        halfstep.deserialize_policy("mixed_float16")
    assert caught.value.errors[0]["message"] == "Unknown dtype policy: mixed_float16"
    with pytest.raises(Invalid) as caught:
        halfstep.serialize_policy("bfloat17", to="keras3")
    assert [error["pointer"] for error in caught.value.errors] == ["/policy"]


def test_loss_scales_tell_what_around_them_is_not_looked_at(halfstep: Client):
    given = {"class_name": "FixedLossScale", "config": {"loss_scale_value": 8}, "module": "keras"}
    assert halfstep.validate_loss_scale(given)["dropped"] == ["loss_scale.module"]
    assert halfstep.serialize_loss_scale(given)["dropped"] == ["loss_scale.module"]
    assert halfstep.deserialize_loss_scale(given)["dropped"] == ["module"]
    shape = {"class_name": "FixedLossScale", "config": {"loss_scale_value": 8.0}}
    answer = halfstep.serialize_loss_scale(8)
    assert answer["serialized"] == answer["loss_scale"] == shape
    assert halfstep.validate_loss_scale(0.5)["errors"][0]["message"] == "loss_scale_value must be at least 1."


@pytest.mark.parametrize(
    ("rule", "end"),
    [("tf2.4", 16.0), ("keras3", 16.0), ("fairseq", 16.0), ("deepspeed_zero", 64.0), ("megatron", 64.0), (None, 16.0)],
)
def test_the_same_settings_end_elsewhere(halfstep: Client, rule, end):
    scale = {"class_name": "DynamicLossScale", "config": {"initial_loss_scale": 16, "increment_period": 3}}
    answer = halfstep.simulate(scale, rule=rule, finite=FOUND)
    assert answer["final"]["loss_scale"] == end
    assert [entry["step"] for entry in answer["trajectory"]] == list(range(1, 20))
    assert (answer["applied"], answer["skipped"]) == (15, 4)


def test_gradients_are_looked_at_in_their_dtype(halfstep: Client):
    settings = {"init_scale": 8.0, "growth_interval": 1, "backoff_factor": 0.25}
    steps = [[1.0, [2, None]], [1e5], ["nan"], [], [None]]
    answer = halfstep.simulate(settings, rule="torch", steps=steps, gradient_dtype="float16")
    assert [entry["should_apply"] for entry in answer["trajectory"]] == [True, False, False, True, True]
    assert [entry["loss_scale"] for entry in answer["trajectory"]] == [16.0, 4.0, 1.0, 2.0, 4.0]
    assert answer["settings"]["backoff_factor"] == 0.25
    bare = halfstep._http.post(
        "/v1/loss-scales/simulate", content='{"loss_scale": "dynamic", "steps": [[Infinity], [1]]}', headers=JSON
    ).json()
    assert [entry["should_apply"] for entry in bare["trajectory"]] == [False, True]


def test_a_rule_that_stops_says_so_and_where(halfstep: Client):
    answer = halfstep.simulate({"init_scale": 2.0, "hysteresis": 1}, rule="deepspeed_zero", finite=[False, False, True])
    assert len(answer["trajectory"]) == 1
    assert (answer["stopped"]["code"], answer["stopped"]["pointer"]) == ("loss_scale_underflow", "/finite/1")


def test_a_scale_that_is_not_finite_is_named(halfstep: Client):
    answer = halfstep.simulate({"initial_scale": 2.0**127, "growth_interval": 1}, rule="keras3", finite=[True])
    assert answer["final"] == {
        **answer["initial"],
        "loss_scale": None,
        "nonfinite": {"loss_scale": "inf"},
    }


def test_a_fixed_scale_moves_nowhere_and_no_rule_takes_what_it_cannot_do(halfstep: Client):
    fixed = halfstep.simulate(4, finite=[False, True])
    assert [(entry["loss_scale"], entry["counter"]) for entry in fixed["trajectory"]] == [(4.0, None)] * 2
    assert fixed["skipped"] == 0
    assert halfstep.simulate(4, rule="megatron", finite=[False])["skipped"] == 1
    assert halfstep.simulate(4, rule="torch", finite=[True])["warnings"][0]["code"] == "no_fixed_loss_scale"
    assert halfstep.simulate(None, finite=[False])["final"]["loss_scale"] == 1.0
    four = {"class_name": "DynamicLossScale", "config": {"multiplier": 4}}
    for rule, scale, pointer in (
        ("keras3", four, "/loss_scale/config/multiplier"),
        ("fixed", "dynamic", "/loss_scale"),
        ("torch", {"no_such": 1}, "/loss_scale/no_such"),
        ("torch", {"growth_interval": 1.5}, "/loss_scale/growth_interval"),
        ("deepspeed_zero", {"consecutive_hysteresis": 1}, "/loss_scale/consecutive_hysteresis"),
    ):
        with pytest.raises(Invalid) as caught:
            halfstep.simulate(scale, rule=rule, finite=[True])
        assert [error["pointer"] for error in caught.value.errors] == [pointer]


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({}, ""),
        ({"finite": [True], "steps": [[1]]}, ""),
        ({"finite": [True, 1]}, "/finite/1"),
        ({"finite": "yes"}, "/finite"),
        ({"steps": [1]}, "/steps/0"),
        ({"steps": [[1], [[True]]]}, "/steps/1/0/0"),
        ({"finite": [True] * 11}, "/finite"),
        ({"steps": [[1] * 21]}, "/steps"),
    ],
)
def test_steps_at_fault_are_pointed_at(tmp_path, members, pointer):
    with serving(tmp_path, AppSettings(max_simulated_steps=10, max_simulated_gradients=20)) as served:
        answer = served.http.post("/v1/loss-scales/simulate", json={"loss_scale": "dynamic", **members})
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


OPTIMIZER = {"class_name": "SGD", "config": {"name": "SGD", "learning_rate": 0.25}}
WRAPPER = {"class_name": "LossScaleOptimizer", "config": {
    "inner_optimizer": OPTIMIZER, "dynamic": True, "initial_scale": 8.0, "dynamic_growth_steps": 5}}  # fmt: skip


@pytest.mark.parametrize("to", ["tf2.3", "tf2.4", "tf_keras", "keras3"])
def test_a_wrapper_goes_through_every_format(halfstep: Client, to):
    written = halfstep.serialize_optimizer(WRAPPER, to=to)
    assert written["dialect"] == to
    read = halfstep.deserialize_optimizer(written["serialized"], dialect=to)["optimizer"]
    assert read["class_name"] == "LossScaleOptimizer"
    assert read["inner_optimizer"]["config"]["learning_rate"] == 0.25
    assert read["loss_scale"]["config"] == {
        "initial_loss_scale": 8.0,
        "increment_period": 5,
        "multiplier": 2.0,
    }
    again = halfstep.serialize_optimizer(written["serialized"], dialect=to, to="tf2.4")["serialized"]["config"]
    assert (again["initial_scale"], again["dynamic_growth_steps"]) == (8.0, 5)


def test_a_fixed_scale_has_another_place_in_keras_3(halfstep: Client):
    fixed = {"class_name": "LossScaleOptimizer", "config": {
        "optimizer": OPTIMIZER,
        "loss_scale": {"class_name": "FixedLossScale", "config": {"loss_scale_value": 64.0}}}}  # fmt: skip
    written = halfstep.serialize_optimizer(fixed, dialect="tf2.3", to="keras3")["serialized"]
    assert (written["class_name"], written["config"]["loss_scale_factor"]) == ("SGD", 64.0)
    assert halfstep.deserialize_optimizer(written, dialect="keras3")["optimizer"]["loss_scale"]["config"] == {
        "loss_scale_value": 64.0
    }
    four = {"class_name": "DynamicLossScale", "config": {"multiplier": 4.0}}
    config = {"optimizer": OPTIMIZER, "loss_scale": four}
    answer = halfstep.serialize_optimizer({**fixed, "config": config}, dialect="tf2.3", to="tf_keras")
    assert any("growth_factor" in notice["message"] for notice in answer["warnings"])
    with pytest.raises(Invalid) as caught:
        halfstep.deserialize_optimizer({**fixed, "config": config})
    assert "multiplier is not 2" in caught.value.errors[0]["message"]
    with pytest.raises(Invalid) as caught:
        halfstep.deserialize_optimizer({**fixed, "config": {**config, "loss_scale": None}}, dialect="tf2.3")
    assert caught.value.errors[0]["message"] == "loss_scale cannot be None."


def test_what_reading_an_optimizer_loses_is_listed(halfstep: Client):
    v1 = {**WRAPPER, "class_name": "LossScaleOptimizerV1", "module": "keras.optimizers"}
    answer = halfstep.deserialize_optimizer(v1)
    assert answer["dropped"] == ["class", "module"]
    assert answer["optimizer"]["class_name"] == "LossScaleOptimizer"
    both = {"config": WRAPPER, "optimizer": WRAPPER}
    with pytest.raises(Invalid):
        halfstep._json("POST", "/v1/optimizers/deserialize", json=both)
    assert halfstep._json("POST", "/v1/optimizers/deserialize", json={"optimizer": WRAPPER})["dropped"] == []
    assert halfstep.serialize_optimizer("adam")["serialized"]["class_name"] == "Adam"


def test_a_translation_accounts_for_everything(halfstep: Client):
    block = {"fp16": {"enabled": True, "hysteresis": 4, "initial_scale_power": 12}, "zero_optimization": {"stage": 2}}
    answer = halfstep.translate(block, source="deepspeed", to="torch")
    assert answer["config"]["grad_scaler"]["init_scale"] == 4096.0
    assert {"initial_scale", "growth_interval"} <= {item["field"] for item in answer["exact"]}
    (lost,) = (item for item in answer["dropped"] if item["field"] == "hysteresis")
    assert (lost["source"], lost["value"], lost["became"]) == ("fp16.hysteresis", 4, None)
    with pytest.raises(Invalid) as caught:
        halfstep.translate({"init_scale": -1}, source="torch", to="jmp")
    assert [error["pointer"] for error in caught.value.errors] == ["/config/init_scale"]
    with pytest.raises(Invalid) as caught:
        halfstep.translate({}, source="pytorch", to="jmp")
    assert [error["pointer"] for error in caught.value.errors] == ["/from"]
