"""Same spec, same seed: the same bits, run again and resumed at every step, whatever the optimizer keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine.callbacks import EarlyStopping, ReduceLROnPlateau
from engine.model import model_from_config
from engine.optimizers import OPTIMIZERS
from engine.state import TrainState
from engine.training import FitOptions, Trainer
from tests.engine.test_training import fingerprint, saved_and_read


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"module": "keras.layers", "class_name": class_name, "config": config, "registered_name": None}


LSTM = layer("LSTM", units=3, return_sequences=True, dropout=0.2, recurrent_dropout=0.2)
PENALTY = {"class_name": "L2", "config": {"l2": 0.01}}
TAGGER = {
    "module": "keras",
    "class_name": "Sequential",
    "config": {
        "name": "tagger",
        "layers": [
            layer("InputLayer", batch_shape=[None, 5], dtype="int32", name="words"),
            layer("Embedding", input_dim=9, output_dim=4, mask_zero=True, name="embedding"),
            layer(
                "Bidirectional", layer=layer("LSTM", units=3, return_sequences=True, dropout=0.2, recurrent_dropout=0.2)
            ),
            layer("BatchNormalization", momentum=0.7),
            layer("Dropout", rate=0.3),
            layer("GRU", units=3),
            layer("GaussianNoise", stddev=0.1),
            layer(
                "Dense", units=2, activation="softmax", kernel_regularizer={"class_name": "L2", "config": {"l2": 0.01}}
            ),
        ],
    },
}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "averaged": {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 2, "global_clipnorm": 0.5},
    "accumulated": {"gradient_accumulation_steps": 2, "weight_decay": 0.01},
}


def trainer(optimizer: str, settings: dict[str, Any], policy: str) -> Trainer:
    model = model_from_config(TAGGER, policy)
    model.compile({"class_name": optimizer, "config": settings}, "sparse_categorical_crossentropy", ["accuracy"])
    rng = np.random.default_rng(4)
    callbacks = (
        ReduceLROnPlateau(monitor="loss", patience=1, min_delta=9.0),
        EarlyStopping(restore_best_weights=True, patience=9),
    )
    return Trainer(
        model, rng.integers(0, 9, (14, 5)), rng.integers(0, 2, 14), FitOptions(4, 2, 0.2, callbacks=callbacks), 6
    )


def trained(optimizer: str, settings: dict[str, Any], policy: str) -> TrainState:
    of = trainer(optimizer, settings, policy)
    state = of.initial_state()
    while not of.finished(state):
        state, _ = of.advance(state)
    return state


@pytest.mark.parametrize("policy", ["mixed_float16", "bfloat16"])
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_a_run_is_repeated_and_resumed_at_every_step_to_the_same_bits(optimizer: str, settings: str, policy: str):
    given = SETTINGS[settings]
    whole = fingerprint(trained(optimizer, given, policy))
    assert fingerprint(trained(optimizer, given, policy)) == whole
    state = trainer(optimizer, given, policy).initial_state()
    while not (of := trainer(optimizer, given, policy)).finished(state):
        state, _ = of.advance(saved_and_read(state))
    assert fingerprint(state) == whole


class Left(Exception):
    """A step or a validation that was left in the middle."""


class LeavesOnce:
    """Raises at one of its calls, counted through the whole training."""

    def __init__(self, at: int) -> None:
        self.at, self.calls = at, 0

    def __call__(self) -> None:
        self.calls += 1
        if self.calls == self.at:
            raise Left


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_step_that_is_left_between_any_two_ops_is_done_again_to_the_same_bits(settings: str):
    given = SETTINGS[settings]
    whole = fingerprint(trained("Adam", given, "mixed_float16"))
    counting = LeavesOnce(0)
    state, of = trainer("Adam", given, "mixed_float16").initial_state(), trainer("Adam", given, "mixed_float16")
    for _ in range(4):  # an epoch of three steps, and its end with a validation of one batch
        state, _ = of.advance(state, counting)
    assert counting.calls > 400
    for at in (*range(1, counting.calls, 37), counting.calls):
        pulse, of = LeavesOnce(at), trainer("Adam", given, "mixed_float16")
        state, left = of.initial_state(), 0
        while not of.finished(state):
            try:
                state, _ = of.advance(state, pulse)
            except Left:
                left += 1
        assert left == 1
        assert fingerprint(state) == whole
