"""Graphs are counted in their configs before they are built, and reading one takes work as large as it is."""

from functools import partial
from typing import Any

import pytest

from engine.model import model_from_config
from tests.work import calls_of
from tests.worker.specs import graphs
from worker.settings import Limits
from worker.specs.errors import SpecError, read
from worker.specs.extent import extent_of
from worker.specs.inspect_model import inspect_model
from worker.specs.inspection import Inspection, InspectRequest

LIMITS = Limits()


def _looked_at(model: dict[str, Any], **more: Any) -> Inspection:
    return inspect_model(read(InspectRequest, {"model": model, "policy": "mixed_float16", **more}), LIMITS)


@pytest.mark.parametrize(
    "model",
    [
        *(make(20) for make in graphs.GROWING.values()),
        graphs.doubled(5),
        graphs.doubled(0),
    ],
)
def test_the_count_is_that_of_the_graph(model: dict[str, Any]) -> None:
    network = model_from_config(model).network
    found = extent_of(model)
    assert found.calls == len(network.graph.calls)
    taken = sum(max(len(call.sources), 1) for call in network.graph.calls)
    assert found.tensors >= taken
    assert found.layers >= len(network.layers)


@pytest.mark.parametrize("depth", [12, 15])
def test_calls_that_multiply_are_refused_before_they_are_made(depth: int) -> None:
    model = graphs.doubled(depth)
    assert extent_of(model).calls == 3 * 2**depth - 1
    with pytest.raises(SpecError) as caught:
        _looked_at(model)
    (fault,) = caught.value.errors
    assert (fault.code, fault.pointer) == ("resource_limit", "/model/config/layers")
    assert "the limit is 2,048" in fault.message
    assert (
        calls_of(partial(pytest.raises, SpecError, _looked_at, model)) < 100_000
    )  # each of the calls would take some hundred


@pytest.mark.parametrize(
    "model", [graphs.shared(LIMITS.max_calls), graphs.outputs(LIMITS.max_calls * 8), graphs.chain(LIMITS.max_layers)]
)
def test_flat_graphs_have_the_same_limits(model: dict[str, Any]) -> None:
    with pytest.raises(SpecError) as caught:
        _looked_at(model)
    assert caught.value.errors[0].code == "resource_limit"


@pytest.mark.parametrize("name", graphs.GROWING)
def test_twice_the_model_takes_twice_the_work(name: str) -> None:
    _looked_at(graphs.chain(2))  # what is made once is made
    small, large = (calls_of(partial(_looked_at, graphs.GROWING[name](count))) for count in (100, 200))
    assert large <= 2.3 * small


def test_the_work_on_models_in_wrappers_does_not_double_with_their_depth() -> None:
    _looked_at(graphs.each_step(1))
    less, more, most = (calls_of(partial(_looked_at, graphs.each_step(depth))) for depth in (4, 5, 6))
    assert most - more <= 1.5 * (more - less)


def test_outputs_with_losses_of_their_own_take_as_much_work_as_there_are() -> None:
    compiled = {"optimizer": "sgd", "loss": "mse"}
    small, large = (calls_of(partial(_looked_at, graphs.outputs(n), compile=compiled)) for n in (200, 400))
    assert large <= 2.3 * small
