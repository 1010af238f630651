"""Bytes are those of arrays that a training makes."""

from typing import Any

import numpy as np
import pytest

from engine.model import Model
from engine.numerics.memory import POLICIES, Bytes, bytes_of, memory_of, width
from engine.optimizers import OPTIMIZERS, SGD
from engine.rounding import to_edge
from tests.engine.numerics.subjects import dense, layer, subject

LAYERS = (layer("BatchNormalization", name="norm"), dense("body", 5), dense("head", 2, dtype="float32"))
KEPT: list[dict[str, Any]] = [{}, {"use_ema": True}, {"gradient_accumulation_steps": 2}]


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("settings", KEPT)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_weights_slots_and_gradients_are_those_of_the_arrays(name: str, settings: dict[str, Any], policy: str) -> None:
    model = subject(*LAYERS, policy=policy, optimizer={"class_name": name, "config": settings}, line="keras3")
    network, optimizer = model.network, OPTIMIZERS[name].from_config(settings, conventions=model.conventions)
    counted = bytes_of(network, optimizer, 7)
    variables = network.initial_arrays(0)
    specs = {spec.path: spec for spec in network.weight_specs}
    assert counted.weights == sum(to_edge(array, specs[path].dtype).nbytes for path, array in variables.items())
    assert counted.gradients == sum(spec.size * width(spec.dtype) for spec in network.trainable_specs)
    slots = optimizer.initial_slots(network.weight_specs, variables)
    first = network.trainable_specs[0].dtype
    dtypes = {key: specs[key.split("/", 1)[1]].dtype if "/" in key else first for key in slots}
    assert counted.slots == sum(to_edge(array, dtypes[key]).nbytes for key, array in slots.items())


def test_every_number_by_hand() -> None:
    """Batch 10 of 4 numbers; a BatchNormalization of 4, then 4 to 5, then a float32 head of 2."""
    counted = memory_of(subject(*LAYERS, policy="mixed_float16", optimizer="adam", batch_size=10))
    norm, body, head = 4, 4 * 5 + 5, 5 * 2 + 2
    trainable = 2 * norm + body + head
    assert counted["mixed_float16"] == Bytes(
        weights=4 * (4 * norm + body + head),
        weight_copies=2 * body,
        slots=2 * 4 * trainable,
        gradients=4 * trainable,
        activations=10 * (4 * 4 + 2 * 4 + 2 * 5 + 4 * 2),
    )
    assert counted["float16"] == Bytes(
        weights=4 * 4 * norm + 2 * body + 4 * head,
        weight_copies=0,
        slots=2 * (4 * 2 * norm + 2 * body + 4 * head),
        gradients=4 * 2 * norm + 2 * body + 4 * head,
        activations=10 * (4 * 4 + 2 * 4 + 2 * 5 + 4 * 2),
    )
    assert counted["float32"].activations == 10 * 4 * (4 + 4 + 5 + 2)
    assert list(counted) == ["mixed_float16", "float32", "mixed_bfloat16", "float16", "bfloat16"]
    assert counted["float32"].total == sum(
        getattr(counted["float32"], key) for key in ("weights", "weight_copies", "slots", "gradients", "activations")
    )


def test_no_optimizer_keeps_nothing_and_momentum_one_number_each() -> None:
    assert memory_of(subject(*LAYERS, optimizer=None))["float32"].slots == 0
    network = subject(*LAYERS).network
    momentum = bytes_of(network, SGD(momentum=0.9), 1)
    assert momentum.slots == momentum.gradients


def test_activations_are_the_outputs_of_a_pass() -> None:
    model = subject(layer("LSTM", name="rnn", units=3, return_sequences=True), dense("head", 2), shape=(6, 4))
    shape = Model(model.network).predict(np.zeros((5, 6, 4), np.float32)).shape
    assert shape == (5, 6, 2)
    assert memory_of(model)["float32"].activations == 32 * 6 * 4 * (4 + 3 + 2)


def test_bytes_beyond_any_machine_are_exact() -> None:
    counted = memory_of(subject(dense("wide", 10**12), dense("wider", 10**12), optimizer="adam"))["float32"]
    assert counted.weights == 4 * (4 * 10**12 + 10**12 + 10**24 + 10**12)
    assert counted.slots == 2 * counted.weights
