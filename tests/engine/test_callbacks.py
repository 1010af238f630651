"""Callbacks: what they remember is part of the state, and what they cannot do is refused before the first step."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine import callbacks
from engine.errors import EngineError, InvalidValue
from engine.model import model_from_config
from engine.training import FitOptions, StepRecord, Trainer, TrainingFailed
from tests.engine.problems import OVERFLOWING, compiled, data, run
from tests.engine.test_training import fingerprint, saved_and_read

PLATEAU = {"class_name": "ReduceLROnPlateau", "config": {"patience": 1, "factor": 0.5, "cooldown": 1, "min_delta": 1.0}}
STOPPING = {
    "class_name": "EarlyStopping",
    "config": {"patience": 3, "restore_best_weights": True, "monitor": "loss", "min_delta": 0.2},
}
SAVING = {"class_name": "ModelCheckpoint", "config": {"filepath": "{epoch}-{batch}.keras", "save_freq": 3}}
ALL = [PLATEAU, STOPPING, SAVING, {"class_name": "TerminateOnNaN", "config": {}}]


def trainer(called: list[Any], policy: Any = None, *, epochs: int = 8, optimizer: Any = "adam") -> Trainer:
    x, y = data()
    fit = FitOptions(8, epochs, 0.2, callbacks=tuple(map(callbacks.get, called)))
    return Trainer(compiled(policy, optimizer), x, y, fit, 1)


@pytest.mark.parametrize("policy", [None, OVERFLOWING, "mixed_bfloat16"], ids=str)
@pytest.mark.parametrize(
    "optimizer",
    [
        "adam",
        {"class_name": "SGD", "config": {"learning_rate": 0.3, "momentum": 0.9}},
        {"class_name": "Adam", "config": {"use_ema": True, "ema_momentum": 0.9}},
    ],
    ids=str,
)
def test_a_training_with_callbacks_is_resumed_at_every_step_to_the_same_bits(policy: Any, optimizer: Any):
    whole = trainer(ALL, policy, optimizer=optimizer)
    state, told = whole.initial_state(), []
    while not whole.finished(state):
        state, record = whole.advance(state)
        told.append((record.actions, [saving.path for saving in record.saved]))
    cut = trainer(ALL, policy, optimizer=optimizer)
    resumed, again = cut.initial_state(), []
    while not cut.finished(resumed):
        cut = trainer(ALL, policy, optimizer=optimizer)
        resumed, record = cut.advance(saved_and_read(resumed))
        again.append((record.actions, [saving.path for saving in record.saved]))
    assert fingerprint(resumed) == fingerprint(state)
    assert again == told
    kinds = {action.kind for actions, _ in told for action in actions}
    assert kinds == {"learning_rate", "stop", "restore", "save"}
    assert state.epoch < whole.fit.epochs


def test_terminate_on_nan_takes_the_place_of_the_services_own_end():
    x, y = data()
    fast = {"class_name": "SGD", "config": {"learning_rate": 1e38}}
    nan = callbacks.TerminateOnNaN()
    gentle = Trainer(compiled(None, fast), x, y, FitOptions(8, 3, terminate_on_nonfinite=True, callbacks=(nan,)), 0)
    state = gentle.initial_state()
    while not gentle.finished(state):
        state, _ = gentle.advance(state)
    assert (state.epoch, state.stopped) == (1, True)
    hard = Trainer(
        compiled(None, fast), x, y, FitOptions(8, 3, callbacks=(callbacks.TerminateOnNaN(raise_error=True),)), 0
    )
    with pytest.raises(TrainingFailed, match="training stops"):
        run(hard, hard.initial_state())


def test_a_learning_rate_that_a_callback_set_is_told_and_used():
    of = trainer([{"class_name": "ReduceLROnPlateau", "config": {"patience": 1, "factor": 0.5, "min_delta": 9.0}}])
    state, rates = of.initial_state(), []
    while not of.finished(state):
        state, record = of.advance(state)
        if isinstance(record, StepRecord) and record.step % of.steps_per_epoch == 1:
            rates.append(record.learning_rate)
    assert rates[:4] == [float(np.float32(0.001 / 2**n)) for n in (0, 0, 1, 2)]
    assert [logs["learning_rate"] for logs in state.history] == rates


@pytest.mark.parametrize(
    ("config", "path"),
    [
        ({"class_name": "EarlyStop", "config": {}}, ()),
        ({"class_name": "EarlyStopping", "config": {"patients": 2}}, ("config", "patients")),
        ({"class_name": "EarlyStopping", "config": {"mode": "up"}}, ("config", "mode")),
        ({"class_name": "ReduceLROnPlateau", "config": {"factor": 1.0}}, ("config", "factor")),
        ({"class_name": "ModelCheckpoint", "config": {}}, ("config", "filepath")),
        ({"class_name": "ModelCheckpoint", "config": {"filepath": "a.h5"}}, ("config", "filepath")),
        ({"class_name": "ModelCheckpoint", "config": {"filepath": "{epoch"}}, ("config", "filepath")),
        ({"class_name": "ModelCheckpoint", "config": {"filepath": "{epoch.real}.keras"}}, ("config", "filepath")),
        ({"class_name": "ModelCheckpoint", "config": {"filepath": "{epoch:9999d}.keras"}}, ("config", "filepath")),
        ({"class_name": "ModelCheckpoint", "config": {"filepath": "{epoch!r}.keras"}}, ("config", "filepath")),
        ({"class_name": "ModelCheckpoint", "config": {"filepath": "a.keras", "save_freq": 0}}, ("config", "save_freq")),
        (
            {"class_name": "ModelCheckpoint", "config": {"filepath": "a.keras", "save_weights_only": True}},
            ("config", "filepath"),
        ),
        ("EarlyStopping", ()),
    ],
)
def test_a_callback_that_is_none_is_refused(config: Any, path: tuple[str, ...]):
    with pytest.raises(EngineError) as refused:
        callbacks.get(config)
    assert refused.value.path[: len(path)] == path


@pytest.mark.parametrize(
    ("config", "code"),
    [
        ({"class_name": "EarlyStopping", "config": {"monitor": "val_recall"}}, "invalid_value"),
        ({"class_name": "ModelCheckpoint", "config": {"filepath": "{val_auc}.keras"}}, "invalid_value"),
        ({"class_name": "ModelCheckpoint", "config": {"filepath": "{val_loss:d}.keras"}}, "invalid_value"),
        ({"class_name": "ReduceLROnPlateau", "config": {}}, "learning_rate_not_settable"),
    ],
)
def test_what_a_callback_cannot_do_is_said_before_the_first_step(config: Any, code: str):
    falling = {
        "class_name": "ExponentialDecay",
        "config": {"initial_learning_rate": 0.1, "decay_steps": 9, "decay_rate": 0.5},
    }
    with pytest.raises(EngineError) as refused:
        trainer([config], optimizer={"class_name": "SGD", "config": {"learning_rate": falling}})
    assert (refused.value.path[:2], refused.value.code) == (("callbacks", 0), code)


def test_saving_needs_somebody_who_saves():
    model = compiled()
    with pytest.raises(InvalidValue, match="needs `save`"):
        model.fit(*data(), callbacks=[{"class_name": "ModelCheckpoint", "config": {"filepath": "a.keras"}}])


@pytest.mark.parametrize("name", callbacks.CALLBACKS)
def test_a_config_says_what_a_callback_is(name: str):
    config = {"filepath": "best.keras"} if name == "ModelCheckpoint" else {}
    made = callbacks.get({"class_name": name, "config": config})
    assert callbacks.get(callbacks.serialize(made)) == made


def called(name: str, *sources: str, kind: str = "Dense", **config: Any) -> dict[str, Any]:
    nodes = [[[source, 0, 0, {}] for source in sources]] if sources else []
    return {"class_name": kind, "name": name, "config": {"name": name, **config}, "inbound_nodes": nodes}


TWO_ENDS = {
    "class_name": "Functional",
    "config": {
        "name": "two",
        "layers": [
            called("a", kind="InputLayer", batch_input_shape=[None, 3]),
            called("b", kind="InputLayer", batch_input_shape=[None, 2]),
            called("both", "a", "b", kind="Concatenate"),
            called("hidden", "both", units=8, activation="tanh"),
            called("drop", "hidden", kind="Dropout", rate=0.2),
            called("kind", "drop", units=3, activation="softmax"),
            called("size", "drop", units=1),
        ],
        "input_layers": [["a", 0, 0], ["b", 0, 0]],
        "output_layers": [["kind", 0, 0], ["size", 0, 0]],
    },
}


def two_ends(policy: Any = None) -> Trainer:
    model = model_from_config(TWO_ENDS, policy)
    losses = {"kind": "sparse_categorical_crossentropy", "size": "mse"}
    metrics = {"kind": ["accuracy"], "size": ["mae"]}
    model.compile("adam", losses, metrics, loss_weights={"size": 0.25}, weighted_metrics=[["accuracy"], []])
    rng = np.random.default_rng(5)
    x = {"a": rng.normal(size=(30, 3)), "b": rng.normal(size=(30, 2))}
    y = {"kind": rng.integers(0, 3, 30), "size": rng.normal(size=(30, 1))}
    fit = FitOptions(
        8, 3, 0.2, callbacks=(callbacks.EarlyStopping(monitor="val_kind_accuracy", mode="max", patience=1),)
    )
    return Trainer(model, x, y, fit, 3, {"size": rng.random(30)})


@pytest.mark.parametrize("policy", [None, "mixed_float16", "bfloat16"])
def test_several_outputs_are_resumed_at_every_step_to_the_same_bits(policy: str | None):
    whole = two_ends(policy)
    state = whole.initial_state()
    while not whole.finished(state):
        state, _ = whole.advance(state)
    resumed = two_ends(policy).initial_state()
    while not two_ends(policy).finished(resumed):
        resumed, _ = two_ends(policy).advance(saved_and_read(resumed))
    assert fingerprint(resumed) == fingerprint(state)
    names = {"loss", "kind_loss", "size_loss", "kind_accuracy", "size_mae", "kind_accuracy_1"}
    assert set(state.history[0]) == names | {f"val_{name}" for name in names}
