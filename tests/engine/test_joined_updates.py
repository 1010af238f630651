"""Small variables that are updated as one, and read as they were rounded together: the same numbers to the bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from engine import optimizers
from engine.constraints import NonNeg
from engine.conventions import KERAS3, TF24
from engine.dtypes import BFLOAT16, FLOAT16, FLOAT32, DType
from engine.initializers import GlorotUniform
from engine.optimizers.base import Optimizer
from engine.optimizers.joined import SMALL, JoinedUpdates, Settled
from engine.rounding import round_to
from engine.tape import Array
from engine.weights import WeightSpec

SHAPES = {"a/kernel": (7, 5), "a/bias": (5,), "large/kernel": (SMALL + 1,), "b/kernel": (5, 3), "b/scale": (1,)}

ELEMENTWISE: list[Any] = [
    "adam",
    "sgd",
    "nadam",
    "rmsprop",
    "adagrad",
    "adadelta",
    "adamax",
    "ftrl",
    {"class_name": "SGD", "config": {"momentum": 0.9, "nesterov": True}},
]
OTHERS: list[Any] = ["lamb", "adafactor", {"class_name": "Adam", "config": {"clipnorm": 0.1}}]


def specs(dtype: DType = FLOAT32, **changed: Any) -> list[WeightSpec]:
    return [
        WeightSpec(path, path.rpartition("/")[2], shape, dtype, trainable=True, initializer=GlorotUniform(), **changed)
        for path, shape in SHAPES.items()
    ]


def drawn(seed: int, dtype: DType = FLOAT32) -> dict[str, Array]:
    rng = np.random.default_rng(seed)
    values = {path: np.asarray(rng.standard_normal(shape), np.float32) for path, shape in SHAPES.items()}
    return {path: round_to(array, dtype) for path, array in values.items()}


def trained(optimizer: Optimizer, wanted: list[WeightSpec], steps: int, *, joined: bool) -> Settled:
    variables = drawn(0, wanted[0].dtype)
    settled = Settled(variables, optimizer.initial_slots(wanted, variables), optimizer)
    updates = JoinedUpdates(optimizer, wanted)
    for step in range(steps):
        if joined:
            settled = updates.settled(optimizer, settled.variables, settled.slots)
        gradients = list(drawn(step + 1, wanted[0].dtype).values())
        arrays = [settled.variables[spec.path] for spec in wanted]
        with np.errstate(all="ignore"):
            settled.updater.apply(step, wanted, arrays, gradients, settled.slots)
    return settled


def assert_same(left: Settled, right: Settled) -> None:
    for found, expected in ((left.variables, right.variables), (left.slots, right.slots)):
        assert set(found) == set(expected)
        for name, array in expected.items():
            assert found[name].shape == array.shape
            assert found[name].tobytes() == array.tobytes(), name


@pytest.mark.parametrize("identifier", [*ELEMENTWISE, *OTHERS], ids=str)
@pytest.mark.parametrize("line", [TF24, KERAS3], ids=lambda line: line.name)
@pytest.mark.parametrize("dtype", [FLOAT32, FLOAT16, BFLOAT16], ids=lambda dtype: dtype.name)
def test_numbers_come_out_as_one_by_one(identifier: Any, line: Any, dtype: DType) -> None:
    if line is TF24 and identifier in ["lamb", "adafactor"]:
        identifier = "adam"  # TF 2.4 has none of them
    optimizer = optimizers.get(identifier, line).inner_optimizer
    one_by_one = trained(optimizer, specs(dtype), 4, joined=False)
    assert_same(trained(optimizer, specs(dtype), 4, joined=True), one_by_one)


def test_small_variables_lie_one_after_another_and_stay_there() -> None:
    optimizer = optimizers.get("adam", KERAS3).inner_optimizer
    updates = JoinedUpdates(optimizer, specs())
    variables = drawn(0)
    first = updates.settled(optimizer, variables, optimizer.initial_slots(specs(), variables))
    whole = first.variables["a/kernel"].base
    assert {path for path, array in first.variables.items() if array.base is whole} == set(SHAPES) - {"large/kernel"}
    assert first.variables["large/kernel"] is variables["large/kernel"]
    again = updates.settled(optimizer, first.variables, first.slots)
    assert again.variables is first.variables
    assert again.slots is first.slots


def test_another_state_is_taken_in_and_the_first_is_left_alone() -> None:
    optimizer = optimizers.get("adam", KERAS3).inner_optimizer
    updates = JoinedUpdates(optimizer, specs())
    first = updates.settled(optimizer, drawn(0), optimizer.initial_slots(specs(), drawn(0)))
    second = updates.settled(optimizer, drawn(1), optimizer.initial_slots(specs(), drawn(1)))
    assert_same(first, Settled(drawn(0), optimizer.initial_slots(specs(), drawn(0)), optimizer))
    arrays = [second.variables[path] for path in SHAPES]
    updates.apply(0, specs(), arrays, list(drawn(2).values()), second.slots)
    assert_same(first, Settled(drawn(0), optimizer.initial_slots(specs(), drawn(0)), optimizer))


@pytest.mark.parametrize("identifier", OTHERS, ids=str)
def test_what_looks_at_whole_variables_keeps_them_apart(identifier: Any) -> None:
    optimizer = optimizers.get(identifier, KERAS3).inner_optimizer
    variables = drawn(0)
    slots = optimizer.initial_slots(specs(), variables)
    found = JoinedUpdates(optimizer, specs()).settled(optimizer, variables, slots)
    assert found.variables is variables
    assert found.slots is slots


def test_variables_with_a_constraint_stay_apart() -> None:
    optimizer = optimizers.get("sgd", KERAS3).inner_optimizer
    variables = drawn(0)
    assert JoinedUpdates(optimizer, specs(constraint=NonNeg())).settled(optimizer, variables, {}).variables is variables


@pytest.mark.parametrize("dtype", [FLOAT16, BFLOAT16], ids=lambda dtype: dtype.name)
def test_narrow_values_are_those_of_the_step(dtype: DType) -> None:
    optimizer = optimizers.get("sgd", KERAS3).inner_optimizer
    updates = JoinedUpdates(optimizer, specs())
    settled = updates.settled(optimizer, drawn(0), {})
    for _ in range(2):
        ready = settled.ready(dtype)
        assert set(ready) == set(SHAPES) - {"large/kernel"}
        for path, array in ready.items():
            np.testing.assert_array_equal(array, round_to(settled.variables[path], dtype))
        settled.variables["a/kernel"][...] += 0.3
        settled = updates.settled(optimizer, settled.variables, settled.slots)
    assert settled.ready(FLOAT32) == {}
