"""Observers: they see exactly the tensors of a step, change no bit of it, and cost nothing where there are none."""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

import numpy as np
import pytest

from engine import watched_tape, watching
from engine.conventions import KERAS3, TF24, Conventions
from engine.model import Model, model_from_config
from engine.observation import NOBODY, PHASES, Observer, Recorder
from engine.rounding import round_to
from engine.training import FitOptions, Trainer
from tests.engine.problems import OVERFLOWING, classifier, data, run, trainer
from tests.engine.test_training import fingerprint

POLICIES: list[Any] = ["float32", "float16", "mixed_float16", "mixed_bfloat16", OVERFLOWING]

CROSSENTROPY = "sparse_softmax_cross_entropy_with_logits"


def dense_model(policy: Any, layers: int = 1, line: Conventions = TF24) -> Model:
    """Return Dense layers d1, d2, ... with relu and a float32 softmax."""
    dense = [{"units": 3, "activation": "relu", "name": f"d{number}"} for number in range(1, layers + 1)]
    found: list[dict[str, Any]] = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 6], "name": "x"}},
        *({"class_name": "Dense", "config": config} for config in dense),
        {"class_name": "Activation", "config": {"activation": "softmax", "dtype": "float32", "name": "end"}},
    ]
    model = model_from_config({"class_name": "Sequential", "config": {"name": "m", "layers": found}}, policy, line)
    model.compile({"class_name": "SGD", "config": {"momentum": 0.9}}, "sparse_categorical_crossentropy")
    return model


def of(model: Model, observer: Observer = NOBODY, steps: int = 1) -> Trainer:
    x, y = data(rows=8 * steps)
    return Trainer(model, x, y, FitOptions(8, 1), 0, observer=observer)


def sequences(policy: Any) -> Model:
    """Return a model of layers with several ops, inner layers and several results."""
    layers = [
        {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 5], "dtype": "int32"}},
        {"class_name": "Embedding", "config": {"input_dim": 7, "output_dim": 4}},
        {"class_name": "Bidirectional", "config": {"layer": {"class_name": "LSTM", "config": {"units": 3}}}},
        {"class_name": "BatchNormalization", "config": {}},
        {"class_name": "Dropout", "config": {"rate": 0.2}},
        {"class_name": "Dense", "config": {"units": 3, "activation": "softmax", "kernel_regularizer": "l2"}},
    ]
    model = model_from_config({"class_name": "Sequential", "config": {"name": "seq", "layers": layers}}, policy)
    model.compile("adam", "sparse_categorical_crossentropy", ["accuracy"])
    return model


def words() -> tuple[Any, Any]:
    rng = np.random.default_rng(3)
    return rng.integers(0, 7, (20, 5)), rng.integers(0, 3, 20)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_observing_does_not_change_a_bit(policy: Any) -> None:
    plain, watched = trainer(policy), trainer(policy)
    seeing = Trainer(watched, *data(), watched.fit, watched.seed, observer=Recorder())
    state, steps, _ = run(plain, plain.initial_state())
    seen, same_steps, _ = run(seeing, seeing.initial_state())
    assert fingerprint(seen) == fingerprint(state)
    assert repr(same_steps) == repr(steps)


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_observing_inner_layers_and_rows_does_not_change_a_bit(policy: Any) -> None:
    states = []
    for observer in (NOBODY, recorder := Recorder()):
        watched = Trainer(sequences(policy), *words(), FitOptions(8, 2), 0, observer=observer)
        states.append(fingerprint(run(watched, watched.initial_state())[0]))
    assert states[0] == states[1]
    layers = {found.layer for found in recorder.seen}
    assert {"embedding", "bidirectional", "bidirectional/forward_lstm", "batch_normalization", "dense"} <= layers
    moved = {found.tensor for found in recorder.seen if found.op == "assign"}
    assert moved == {"moving_mean", "moving_variance"}


def test_an_observer_sees_the_tensors_of_a_step_in_their_order() -> None:
    recorder = Recorder()
    state = of(model := dense_model("mixed_float16"), recorder)
    state.step(state.initial_state())
    half, single = "float16", "float32"
    assert [(s.phase, s.layer, s.op, s.tensor, s.dtype.name, s.values.shape) for s in recorder.seen] == [
        ("forward", "d1", "variable", "kernel", single, (6, 3)),
        ("forward", "d1", "variable", "bias", single, (3,)),
        ("forward", "x", "input", "input", single, (8, 6)),
        ("forward", "x", "cast", "input", half, (8, 6)),
        ("forward", "d1", "cast", "kernel", half, (6, 3)),
        ("forward", "d1", "matmul", "intermediate", half, (8, 3)),
        ("forward", "d1", "cast", "bias", half, (3,)),
        ("forward", "d1", "bias_add", "intermediate", half, (8, 3)),
        ("forward", "d1", "relu", "activation", half, (8, 3)),
        ("forward", "end", "cast", "intermediate", single, (8, 3)),
        ("forward", "end", "softmax", "activation", single, (8, 3)),
        ("loss", "", CROSSENTROPY, "intermediate", single, (8,)),
        ("loss", "", "sum", "intermediate", single, ()),
        ("loss", "", "divide", "loss", single, ()),
        ("loss", "", "scale", "scaled_loss", single, ()),
        ("backward", "", "scale", "loss_gradient", single, ()),
        ("backward", "", "divide", "intermediate_gradient", single, ()),
        ("backward", "", "sum", "intermediate_gradient", single, (8,)),
        ("backward", "end", CROSSENTROPY, "intermediate_gradient", single, (8, 3)),
        ("backward", "d1", "cast", "output_gradient", half, (8, 3)),
        ("backward", "d1", "relu", "intermediate_gradient", half, (8, 3)),
        ("backward", "d1", "bias_add", "intermediate_gradient", half, (8, 3)),
        ("backward", "d1", "bias_add", "bias_gradient", half, (3,)),
        ("backward", "d1", "cast", "bias_gradient", single, (3,)),
        ("backward", "d1", "matmul", "kernel_gradient", half, (6, 3)),
        ("backward", "d1", "cast", "kernel_gradient", single, (6, 3)),
        ("unscale", "d1", "unscale", "kernel_gradient", single, (6, 3)),
        ("unscale", "d1", "unscale", "bias_gradient", single, (3,)),
        ("update", "d1", "optimizer", "kernel_update", single, (6, 3)),
        ("update", "d1", "optimizer", "kernel", single, (6, 3)),
        ("update", "d1", "optimizer", "kernel_momentum", single, (6, 3)),
        ("update", "d1", "optimizer", "bias_update", single, (3,)),
        ("update", "d1", "optimizer", "bias", single, (3,)),
        ("update", "d1", "optimizer", "bias_momentum", single, (3,)),
    ]
    assert {found.step for found in recorder.seen} == {1}
    assert model.count_params() == 21


def test_what_is_seen_is_what_the_step_computed() -> None:
    recorder = Recorder()
    watched = of(dense_model("mixed_float16"), recorder)
    state = watched.initial_state()
    kernel = state.variables["d1/kernel"].copy()
    predicted = watched.predict(state, watched.train.inputs[0])
    state, record = watched.step(state)
    outputs = next(recorder.of("end", "activation")).values
    assert np.array_equal(np.sort(outputs, axis=0), np.sort(predicted, axis=0))  # the step shuffles
    assert next(recorder.of("", "loss")).values == np.float32(record.loss)
    assert next(recorder.of("", "scaled_loss")).values == np.float32(record.loss) * np.float32(2**15)
    scaled = list(recorder.of("d1", "kernel_gradient", "backward"))[-1].values
    gradient = next(recorder.of("d1", "kernel_gradient", "unscale")).values
    assert np.array_equal(gradient * np.float32(2**15), scaled)
    change = next(recorder.of("d1", "kernel_update")).values
    assert np.array_equal(change, state.variables["d1/kernel"] - kernel)
    assert np.array_equal(next(recorder.of("d1", "kernel_momentum")).values, state.slots["momentum/d1/kernel"])
    assert np.array_equal(next(recorder.of("d1", "kernel", "update")).values, state.variables["d1/kernel"])


@pytest.mark.parametrize("policy", ["float16", "mixed_float16", "mixed_bfloat16"])
def test_a_shadow_is_the_value_before_rounding(policy: str) -> None:
    recorder = Recorder()
    watched = of(dense_model(policy, layers=3), recorder, steps=2)
    run(watched, watched.initial_state())
    narrow = [s for s in recorder.seen if s.dtype.low_precision and s.phase in ("forward", "loss", "backward")]
    for found in narrow:
        once = round_to(found.shadow.astype(np.float32), found.dtype)
        if found.op == "matmul" and found.dtype.name == "float16":  # TF 2.4 rounds inside too; its shadow is float32's
            assert np.allclose(once, found.values, rtol=1e-2, atol=1e-2 * np.abs(once).max())
        else:
            assert np.array_equal(once, found.values, equal_nan=True)
    assert {s.tensor for s in narrow if (s.shadow != s.values).any()} >= {"intermediate", "kernel_gradient", "input"}


def test_the_shadow_of_an_update_that_float16_swallows_is_not_zero() -> None:
    recorder = Recorder()
    model = dense_model("float16")
    model.compile({"class_name": "SGD", "config": {"learning_rate": 1e-5}}, "sparse_categorical_crossentropy")
    watched = of(model, recorder)
    watched.step(watched.initial_state())
    update = next(recorder.of("d1", "kernel_update"))
    swallowed = (update.values == 0) & (update.shadow != 0)
    assert swallowed.mean() > 0.5


def test_a_skipped_step_has_no_update_and_its_overflow_is_seen() -> None:
    recorder = Recorder()
    watched = Trainer(trainer(OVERFLOWING), *data(), FitOptions(8, 1), 1, observer=recorder)
    _, record = watched.step(watched.initial_state())
    assert not record.applied
    assert "update" not in {s.phase for s in recorder.seen}
    first = next(s for s in recorder.seen if not np.isfinite(s.values).all())
    assert first.phase == "backward"
    assert np.isfinite(first.shadow).all()
    assert np.abs(first.shadow).max() > 65504


def test_every_layer_shows_one_activation_and_phases_follow_each_other() -> None:
    recorder = Recorder()
    watched = of(dense_model("mixed_bfloat16", layers=4, line=KERAS3), recorder)
    watched.step(watched.initial_state())
    activations = Counter(s.layer for s in recorder.seen if s.tensor == "activation")
    assert activations == {"d1": 1, "d2": 1, "d3": 1, "d4": 1, "end": 1}
    order = [PHASES.index(s.phase) for s in recorder.seen]
    assert order == sorted(order)


def test_gradients_that_meet_are_seen_apart_and_as_their_sum() -> None:
    recorder = Recorder()
    watched = Trainer(trainer("mixed_float16"), *data(), FitOptions(8, 1), 1, observer=recorder)
    watched.step(watched.initial_state())
    found = [(s.op, s.values) for s in recorder.of("dense", "kernel_gradient", "backward") if s.dtype.name == "float32"]
    assert [op for op, _ in found] == ["square", "cast", "sum"]
    assert np.array_equal(found[0][1] + found[1][1], found[2][1])


def test_only_the_steps_that_are_wanted_are_shown_and_nothing_can_be_written() -> None:
    class Vandal(Recorder):
        def see(self, observation: Any) -> None:
            super().see(observation)
            with pytest.raises(ValueError, match="read-only"):
                observation.values[...] = 0

    vandal = Vandal(first=2, last=3)
    watched = of(dense_model("float32"), vandal, steps=5)
    run(watched, watched.initial_state())
    assert {s.step for s in vandal.seen} == {2, 3}


def test_fit_takes_an_observer() -> None:
    recorder = Recorder(last=1)
    dense_model("mixed_float16").fit(*data(), epochs=1, observer=recorder)
    assert {s.phase for s in recorder.seen} == set(PHASES)


def calls_by_file(layers: int) -> Counter[str]:
    """Return how many Python functions of each file a step without observer calls."""
    unwatched = of(dense_model("mixed_float16", layers))
    state = unwatched.initial_state()
    calls: Counter[str] = Counter()

    def count(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            calls[frame.f_code.co_filename] += 1

    sys.setprofile(count)
    try:
        unwatched.step(state)
    finally:
        sys.setprofile(None)
    return calls


def test_without_an_observer_no_op_asks_for_one() -> None:
    few, many = calls_by_file(1), calls_by_file(9)
    assert many[watching.__file__] == few[watching.__file__] == 4
    assert many[watched_tape.__file__] == few[watched_tape.__file__] == 0
    assert sum(many.values()) > 2 * sum(few.values())


def test_the_classifier_is_watched_whole() -> None:
    recorder = Recorder()
    model = model_from_config(classifier(), "mixed_float16")
    model.compile("adam", "sparse_categorical_crossentropy")
    watched = Trainer(model, *data(), FitOptions(8, 1), 0, observer=recorder)
    watched.step(watched.initial_state())
    for spec in model.weight_specs:
        assert any(recorder.of(spec.layer, spec.name, "forward")), spec.path
        assert any(recorder.of(spec.layer, f"{spec.name}_update")) == spec.trainable, spec.path
        assert any(recorder.of(spec.layer, f"{spec.name}_velocity")) == spec.trainable, spec.path
