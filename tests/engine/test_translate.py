import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import scaler
from engine.errors import EngineError, ScaleExhausted
from engine.serialization.translate import DIALECTS, facts, read, translate
from tests.engine.precision_setups import CONFIGS

PAIRS = [(source, target) for source in DIALECTS for target in DIALECTS]
ON = {"enabled": True}
ONLY_READ = {"amp", "torch_autocast"}
"""Blocks of DeepSpeed that are read, and for which its own half-precision blocks are written."""

STRUCTURE = ("class_name", "module", "registered_name")


def settings_in(config: Any, path: str = "") -> list[str]:
    """The places of all settings in a config."""
    if not isinstance(config, dict):
        return [path]
    inside = (
        settings_in(item, f"{path}.{key}" if path else key) for key, item in config.items() if key not in STRUCTURE
    )
    return [place for places in inside for place in places]


@pytest.mark.parametrize(("source", "target"), PAIRS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_what_is_lost_is_listed(source, target, data):
    config = data.draw(CONFIGS[source])
    given_config = copy.deepcopy(config)
    translation = translate(source, target, config)
    assert config == given_config
    assert json.loads(json.dumps(translation.config)) == translation.config
    before, after = facts(read(source, config).setup), facts(read(target, translation.config).setup)
    bent = {item.field for item in (*translation.approximate, *translation.dropped)}
    assert {name for name, value in before.items() if value and after.get(name) != value} <= bent
    kept = {item.field for item in translation.exact if not item.field.startswith("precision:")}
    assert all(after[name] == before[name] for name in kept)
    assert kept.isdisjoint(bent)
    assert {item.field for item in translation.assumed} == after.keys() - before.keys()
    assert all(item.why for item in (*translation.approximate, *translation.dropped, *translation.assumed))


@pytest.mark.parametrize("source", DIALECTS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_every_setting_is_accounted_for(source, data):
    config = data.draw(CONFIGS[source])
    target = data.draw(st.sampled_from(list(DIALECTS)))
    translation = translate(source, target, config)
    items = (*translation.exact, *translation.approximate, *translation.dropped)
    named = [item.source for item in items if item.source is not None]
    lost = [
        place
        for place in settings_in(config)
        if not any(f"{place}.".startswith(f"{name}.") or not name for name in named)
    ]
    assert lost == []


@pytest.mark.parametrize("dialect", DIALECTS)
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_dialect_loses_nothing_to_itself(dialect, data):
    config = data.draw(CONFIGS[dialect])
    setup = read(dialect, config).setup
    if not (isinstance(config, dict) and ONLY_READ & config.keys()):
        assert facts(read(dialect, DIALECTS[dialect].write(setup)).setup) == facts(setup)
    assert translate(dialect, dialect, config).config == config
    assert translate(dialect, dialect, config).approximate == ()


@pytest.mark.parametrize(("source", "target"), PAIRS)
@settings(max_examples=10, deadline=None)
@given(data=st.data())
def test_what_is_called_exact_moves_alike(source, target, data):
    config = data.draw(CONFIGS[source])
    translation = translate(source, target, config)
    before, after = read(source, config).setup, read(target, translation.config).setup
    exact = {item.field for item in translation.exact}
    if before.rule is None or not facts(before).keys() <= exact:
        return
    assert after.rule is not None
    steps = data.draw(st.lists(st.booleans(), max_size=30))
    assert moved(before.rule, steps) == moved(after.rule, steps)


def moved(rule, steps):
    state, scales = rule.initial(), []
    for finite in steps:
        try:
            state, applied = scaler.update(rule, state, finite)
        except ScaleExhausted:
            return [*scales, "exhausted"]
        scales.append((state.loss_scale, applied))
    return scales


def test_the_stage_of_zero_decides_on_hysteresis():
    block = {"fp16": {"enabled": True, "hysteresis": 4}}
    alone = translate("deepspeed", "megatron", block)
    sharded = translate("deepspeed", "megatron", {**block, "zero_optimization": {"stage": 2}})
    assert alone.config["hysteresis"] == 1
    assert "ignores it" in next(item.why for item in alone.dropped if item.field == "unused:fp16.hysteresis")
    assert sharded.config["hysteresis"] == 4
    assert "hysteresis" in {item.field for item in sharded.exact}


def test_torch_state_goes_on_in_megatron():
    state = {"scale": 1024.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 100, "_growth_tracker": 7}
    translation = translate("torch", "megatron", state)
    assert translation.config["grad_scaler"] == {"scale": 1024.0, "growth_tracker": 7, "hysteresis_tracker": 1}
    assert {"state.loss_scale", "state.counter"} <= {item.field for item in translation.exact}
    assert translation.config["initial_loss_scale"] == 1024.0


def test_tf_keeps_a_multiplier_but_says_what_compiling_does_with_it():
    config = {"class_name": "DynamicLossScale", "config": {"multiplier": 4.0}}
    policy = {"class_name": "Policy", "config": {"name": "mixed_float16", "loss_scale": config}}
    translation = translate("tf2.3", "tf2.4", policy)
    assert translation.config["class_name"] == "PolicyV1"
    assert translation.approximate == ()
    assert "Model.compile" in translation.warnings[0].text
    assert translate("tf2.3", "tf2.4", "mixed_float16").warnings == ()


def test_keras_3_does_not_scale_what_is_not_named_mixed_float16():
    assert translate("keras3", "torch", "mixed_float16").config["grad_scaler"]["init_scale"] == 2.0**15
    assert translate("keras3", "torch", "float8_from_mixed_float16").config["grad_scaler"] == {"enabled": False}


def test_the_nearest_power_of_two():
    translation = translate("torch", "deepspeed", {"init_scale": 3000.0})
    (item,) = (item for item in translation.approximate if item.field == "initial_scale")
    assert (item.value, item.became, item.target) == (3000.0, 4096.0, "fp16.initial_scale_power")
    assert "powers of two" in item.why


@pytest.mark.parametrize(
    ("source", "config", "path"),
    [
        ("no_such", {}, ()),
        ("torch", {"init_scale": -1}, ("init_scale",)),
        ("torch", {"init_scale": True}, ("init_scale",)),
        ("torch", {"growth_interval": 10**400}, ("growth_interval",)),
        ("torch", {"grad_scaler": {"enabled": 1}}, ("grad_scaler", "enabled")),
        ("torch", {"autocast": {"dtype": "int8"}}, ("autocast", "dtype")),
        ("torch", {"autocast": 5}, ("autocast",)),
        ("torch", {"no_such": 5}, ("no_such",)),
        ("deepspeed", {"fp16": {"hysteresis": 0.5, **ON}, "zero_optimization": {"stage": 1}}, ("fp16", "hysteresis")),
        ("deepspeed", {"fp16": {"enabled": True, "no_such": 0}}, ("fp16", "no_such")),
        ("deepspeed", {"enabled": True, "initial_scale_power": 16.5}, ("initial_scale_power",)),
        ("deepspeed", 5, ()),
        ("megatron", {"fp16": True, "grad_scaler": {"scale": 0}}, ("grad_scaler", "scale")),
        ("fairseq", {"fp16": True, "fp16_init_scale": 0}, ("fp16_init_scale",)),
        ("jmp", {"policy": "params=int8"}, ("policy",)),
        ("jmp", {"loss_scale": {"class_name": "Other"}}, ("loss_scale", "class_name")),
        ("apex", {"opt_level": "O4"}, ("opt_level",)),
        ("apex", {"loss_scale": "fast"}, ("loss_scale",)),
        ("tf2.4", {"policies": "float32"}, ("policies",)),
        ("tf2.4", {"policy": "float33"}, ("policy", "name")),
        ("tf2.4", {"class_name": "FixedLossScale", "config": {"loss_scale_value": float("inf")}}, ()),
        ("tf2.4", {"optimizer": "no_such"}, ("optimizer",)),
        ("tf_keras", {"loss_scaling": {"initial_scale": "x"}}, ("loss_scaling", "initial_scale")),
        ("keras3", {"policy": "half"}, ("policy", "name")),
        ("keras3", {"optimizer": {"class_name": "SGD", "config": {"no_such": 1}}}, ("optimizer", "config", "no_such")),
    ],
)
def test_faults_are_pointed_at(source, config, path):
    with pytest.raises(EngineError) as caught:
        translate(source, "torch", config)
    assert caught.value.path == path


@pytest.mark.parametrize(
    ("source", "config", "key"),
    [
        ("deepspeed", {"fp16": {"enabled": True, "initial_scale_power": 128}}, "initial_scale_power"),
        ("deepspeed", {"initial_scale_power": 2**15}, "initial_scale_power"),
        ("apex", {"loss_scale": 10**400}, "loss_scale"),
        ("torch", {"init_scale": 1e39}, "init_scale"),
        ("torch", {"scale": 10**400}, "scale"),
    ],
)
def test_a_scale_that_float32_does_not_hold_is_refused_where_it_stands(source, config, key):
    for target in ("tf2.3", "keras3", "deepspeed"):
        with pytest.raises(EngineError) as caught:
            translate(source, target, config)
        assert caught.value.path[-1] == key


def test_an_unknown_target_is_refused():
    with pytest.raises(EngineError, match=r"Accepted are tf2\.3"):
        translate("torch", "no_such", {})
