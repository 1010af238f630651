"""The plan says what the engine does: every layer, run under every policy in every line of Keras."""

from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from engine.conventions import CONVENTIONS
from engine.dtypes import FLOAT16, FLOAT64, INT64, DType
from engine.errors import EngineError
from engine.numerics.plan import plan_of, with_inner
from engine.run import Noise, Run
from engine.tape import Tensor
from tests.engine.numerics.subjects import dense, layer, subject
from tests.engine.test_layers import CASES, POLICIES, arrays_of, inputs_of, made


@pytest.mark.parametrize("line", CONVENTIONS)
@pytest.mark.parametrize(("name", "config"), CASES)
def test_dtypes_are_those_of_a_run(name: str, config: dict[str, Any], line: str) -> None:
    for policy in POLICIES:
        tried = made(name, config, policy, line)
        xs = inputs_of(tried)
        shapes = [x.shape for x in xs]
        specs = tried.weight_specs(*shapes)
        run = Run(specs, arrays_of(tried, *shapes), training=True, noise=Noise(1, 2))
        output = tried(run, *[Tensor(x, tried.conventions.floatx) for x in xs])
        entered = tried.entering_dtypes(*[tried.conventions.floatx for _ in xs])
        assert output.dtype is tried.output_dtype(*entered)
        for spec in specs:
            copies = {dtype for path, dtype in run._cast if path == spec.path} - {spec.dtype.name}
            wanted = {tried.read_dtype(spec).name} - {spec.dtype.name}
            assert copies == wanted, spec.path


@pytest.mark.parametrize("given", [INT64, FLOAT16, FLOAT64])
@pytest.mark.parametrize("autocast", [True, False])
@pytest.mark.parametrize(("name", "config"), [case for case in CASES if case[0] != "InputLayer"])
def test_dtypes_of_what_is_not_cast(name: str, config: dict[str, Any], autocast: bool, given: DType) -> None:
    """Where the engine refuses an input, as TensorFlow does, there is no output to foretell."""
    for policy in ("float32", "mixed_float16"):
        tried = made(name, {**config, "autocast": autocast}, policy)
        xs = [Tensor(x.astype(given.storage), given) for x in inputs_of(tried)]
        shapes = [x.shape for x in xs]
        run = Run(tried.weight_specs(*shapes), arrays_of(tried, *shapes), training=True, noise=Noise(1, 2))
        with suppress(EngineError), np.errstate(all="ignore"):
            found = tried(run, *xs).dtype
            assert tried.output_dtype(*tried.entering_dtypes(*[x.dtype for x in xs])) is found, policy


@pytest.mark.parametrize(("line", "others"), [("tf2.4", ["float64", "int64"]), ("keras3", ["float16", "float16"])])
def test_the_first_argument_is_cast_or_all(line: str, others: list[str]) -> None:
    tried = made("MultiHeadAttention", {"num_heads": 1, "key_dim": 2}, "mixed_float16", line)
    assert [dtype.name for dtype in tried.entering_dtypes(FLOAT64, FLOAT64, INT64)] == ["float16", *others]


def test_a_float32_island_a_batch_normalization_and_an_embedding() -> None:
    model = subject(
        layer("Embedding", name="table", input_dim=5, output_dim=3),
        layer("Flatten", name="flat"),
        layer("BatchNormalization", name="norm"),
        dense("head", 2, dtype="float32"),
        policy="float16",
    )
    rows = {
        plan.layer.name: (
            [dtype.name for dtype in plan.calls[0].arriving],
            [dtype.name for dtype in plan.calls[0].entered],
            plan.layer.policy.compute_dtype,
            plan.variable_dtype.name,
            plan.output_dtype.name,
            plan.output_shape,
            plan.parameters,
            plan.trainable_parameters,
        )
        for plan in plan_of(model.network)
    }
    half, full = ["float16"], ["float32"]
    assert rows == {
        "entry": ([], [], "float32", "float32", "float32", (None, 4), 0, 0),
        "table": (full, full, "float16", "float16", "float16", (None, 4, 3), 15, 15),
        "flat": (half, half, "float16", "float16", "float16", (None, 12), 0, 0),
        "norm": (half, half, "float16", "float32", "float16", (None, 12), 48, 24),
        "head": (half, full, "float32", "float32", "float32", (None, 2), 26, 26),
    }


def test_a_shared_layer_is_one_layer_with_two_calls() -> None:
    node = [[["entry", 0, 0, {}]], [["shared", 0, 0, {}]]]
    config: dict[str, Any] = {
        "class_name": "Functional",
        "config": {
            "name": "twice",
            "layers": [
                {**layer("InputLayer", batch_input_shape=[None, 3]), "name": "entry", "inbound_nodes": []},
                {**dense("shared", 3), "name": "shared", "inbound_nodes": node},
            ],
            "input_layers": [["entry", 0, 0]],
            "output_layers": [["shared", 1, 0]],
        },
    }
    config["config"]["layers"][0]["config"]["name"] = "entry"
    model = subject(policy="mixed_float16")
    twice = type(model)(config=config, policy=model.policy, conventions=model.conventions)
    shared = plan_of(twice.network)[1]
    assert (len(shared.calls), shared.parameters) == (2, 12)
    assert [call.arriving[0].name for call in shared.calls] == ["float32", "float16"]


def test_wrappers_show_what_is_inside_and_its_dtype() -> None:
    inner = dense("inner", 2, dtype="bfloat16")
    model = subject(layer("TimeDistributed", name="outer", layer=inner), policy="mixed_float16", shape=(3, 4))
    plan = plan_of(model.network)[1]
    assert [found.name for found in with_inner(plan.layer)] == ["outer", "outer/inner"]
    assert (plan.output_dtype.name, plan.variable_dtype.name) == ("bfloat16", "bfloat16")


def test_nothing_is_allocated_for_a_model_that_fits_nowhere() -> None:
    model = subject(dense("wide", 10**12), dense("wider", 10**12))
    assert plan_of(model.network)[2].parameters == 10**24 + 10**12
    assert np.iinfo(np.int64).max < 10**24
