"""Multiply-adds are counted from shapes, and a step or a validation that takes too many is refused."""

from typing import Any

import pytest

from engine.model import model_from_config
from tests.worker.specs.jobs import changed, prepared
from worker.settings import Limits
from worker.specs.errors import SpecError
from worker.specs.products import A_CALL, multiply_adds

GRU = {"class_name": "GRU", "config": {"units": 6}}


def _counted(shape: list[int | None], *layers: tuple[str, dict[str, Any]]) -> int:
    """Return the multiply-adds of a sample in a stack of layers, without those that calls count as."""
    made = [{"class_name": name, "config": config} for name, config in layers]
    first = {"class_name": "InputLayer", "config": {"batch_input_shape": [None, *shape], "name": "i"}}
    calls = model_from_config({"class_name": "Sequential", "config": {"layers": [first, *made]}}).network.graph.calls
    return multiply_adds(calls, 2) - multiply_adds(calls, 1)


@pytest.mark.parametrize(
    ("shape", "layer", "products"),
    [
        ([64], ("Dense", {"units": 10}), 64 * 10),
        ([7, 64], ("Dense", {"units": 10}), 7 * 64 * 10),
        ([7, 64], ("EinsumDense", {"equation": "abc,cd->abd", "output_shape": [7, 10]}), 7 * 64 * 10),
        ([28, 28, 3], ("Conv2D", {"filters": 8, "kernel_size": [3, 3]}), 26 * 26 * 3 * 3 * 3 * 8),
        ([28, 28, 3], ("DepthwiseConv2D", {"kernel_size": [3, 3]}), 26 * 26 * 3 * 3 * 3),
        ([9, 9, 3], ("Conv2DTranspose", {"filters": 8, "kernel_size": [3, 3]}), 9 * 9 * 3 * 3 * 3 * 8),
        ([20, 5], ("LSTM", {"units": 6}), 20 * (5 * 24 + 6 * 24)),
        (
            [20, 5],
            ("Bidirectional", {"layer": {"class_name": "GRU", "config": {"units": 6}}}),
            2 * 20 * (5 * 18 + 6 * 18),
        ),
        ([20, 5], ("TimeDistributed", {"layer": {"class_name": "Dense", "config": {"units": 4}}}), 20 * 5 * 4),
        ([12], ("Embedding", {"input_dim": 1000, "output_dim": 64}), 0),
    ],
)
def test_products_of_layers_are_counted(
    shape: list[int | None], layer: tuple[str, dict[str, Any]], products: int
) -> None:
    found = _counted(shape, layer)
    assert products <= found <= products + 20_000  # and one for each value that goes in or comes out


def test_calls_of_shared_layers_count_each() -> None:
    layer = {"class_name": "Dense", "config": {"units": 8, "name": "d"}}
    inner = {"class_name": "Sequential", "config": {"name": "s", "layers": [layer]}}
    assert _counted([8], ("Sequential", inner["config"]), ("Dense", {"units": 8})) >= 2 * 64


def test_a_call_counts_whatever_it_computes() -> None:
    model = model_from_config(changed({})["model"])
    assert multiply_adds(model.network.graph.calls, 0) == A_CALL * len(model.network.graph.calls)


@pytest.mark.parametrize(
    ("limit", "place"),
    [
        ({"max_step_multiply_adds": 3_000_000}, "/fit/batch_size"),
        ({"max_validation_multiply_adds": 10**6}, "/fit/validation_split"),
    ],
)
def test_what_computes_too_much_is_refused(limit: dict[str, int], place: str) -> None:
    with pytest.raises(SpecError) as caught:
        prepared(limits=Limits(**limit))
    (fault,) = caught.value.errors
    assert (fault.code, fault.pointer) == ("resource_limit", place)
    assert "multiply-adds" in fault.message


def test_small_batches_make_a_long_validation() -> None:
    changes = {"/fit/batch_size": 1, "/fit/validation_split": 0.99}
    limits = Limits(max_validation_multiply_adds=4 * 10**9)
    with pytest.raises(SpecError, match="raise `batch_size`"):
        prepared(changes, limits)
    prepared({**changes, "/fit/batch_size": 64}, limits)
