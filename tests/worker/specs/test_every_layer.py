"""Every layer of the engine can be part of a job, and none can ask for more memory than a job may take."""

from typing import Any

import numpy as np
import pytest

from engine.layers import LAYERS
from engine.training import StepRecord
from tests.engine.test_layers import CONFIGS
from tests.worker.specs.jobs import LIMITS
from worker.specs.check import Prepared, prepare
from worker.specs.errors import SpecError
from worker.specs.job import JobSpec

CASES = [(name, config) for name, (_, configs) in CONFIGS.items() for config in configs if name != "InputLayer"]


def job(name: str, config: dict[str, Any], x: Any, shape: list[int] | None = None) -> Prepared:
    """Return a job whose model is the layer between an input and a head."""
    sources = max(LAYERS[name].arity[0], 2 if LAYERS[name].merges else 1)
    size = shape or list(np.shape(x)[1:])

    def node(kind: str, own: str, settings: dict[str, Any], *before: str) -> dict[str, Any]:
        nodes = [[[source, 0, 0, {}] for source in before]] if before else []
        return {"class_name": kind, "name": own, "config": {"name": own, **settings}, "inbound_nodes": nodes}

    layers = [
        node("InputLayer", "in", {"batch_input_shape": [None, *size]}),
        node(name, "it", config, *["in"] * sources),
        node("Flatten", "flat", {}, "it"),
        node("Dense", "head", {"units": 2, "activation": "softmax"}, "flat"),
    ]
    graph = {"layers": layers, "input_layers": [["in", 0, 0]], "output_layers": [["head", 0, 0]]}
    body = {
        "model": {"class_name": "Functional", "config": {"name": "m", **graph}},
        "policy": "mixed_float16",
        "compile": {"loss": "sparse_categorical_crossentropy"},
        "data": {"x": x, "y": [0] * len(x)},
    }
    return prepare(JobSpec.model_validate(body), LIMITS)


@pytest.mark.parametrize(("name", "config"), CASES)
def test_a_job_with_the_layer_trains(name, config):
    x = np.random.default_rng(1).integers(0, 7, CONFIGS[name][0]).tolist()
    trainer = job(name, config, x).trainer
    _, record = trainer.advance(trainer.initial_state())
    assert isinstance(record, StepRecord)
    assert np.isfinite(record.loss) or not record.applied


@pytest.mark.parametrize("axes", [[1], [2], [1, 2]])
def test_attention_over_a_grid_trains(axes):
    x = np.random.default_rng(1).normal(size=(4, 3, 5, 2)).tolist()
    trainer = job("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "attention_axes": axes}, x).trainer
    _, record = trainer.advance(trainer.initial_state())
    assert isinstance(record, StepRecord)


def test_attention_along_one_axis_of_a_grid_needs_no_memory_for_the_other():
    config = {"num_heads": 50, "key_dim": 1, "attention_axes": [1]}
    accepted = job("MultiHeadAttention", config, np.zeros((2, 40, 50, 1)).tolist())
    assert accepted.trainer.network.output_shapes == ((None, 2),)


@pytest.mark.parametrize(
    ("name", "config", "shape"),
    [
        ("Conv1D", {"filters": 1, "kernel_size": 2, "dilation_rate": 10**9, "padding": "causal"}, [4, 1]),
        ("Conv1D", {"filters": 1, "kernel_size": 50_000}, [100_000, 1]),
        ("Conv2DTranspose", {"filters": 10**9, "kernel_size": 1}, [2, 2, 1]),
        ("DepthwiseConv2D", {"kernel_size": 30_000, "padding": "same"}, [4, 4, 1]),
        ("MaxPooling2D", {"pool_size": 10**5, "padding": "same"}, [4, 4, 1]),
        ("Attention", {}, [20_000, 1]),
        ("Attention", {"score_mode": "concat"}, [2_000, 100]),
        ("AdditiveAttention", {}, [2_000, 100]),
        ("MultiHeadAttention", {"num_heads": 50, "key_dim": 1}, [2_000, 1]),
        ("MultiHeadAttention", {"num_heads": 50, "key_dim": 1, "attention_axes": [1, 2]}, [40, 50, 1]),
        ("SimpleRNN", {"units": 1}, [100_000, 1]),
        ("Bidirectional", {"layer": {"class_name": "LSTM", "config": {"units": 1}}}, [30_000, 1]),
        (
            "TimeDistributed",
            {"layer": {"class_name": "Conv1D", "config": {"filters": 1, "kernel_size": 5_000}}},
            [10, 10_000, 1],
        ),
        ("UpSampling2D", {"size": 100_000}, [4, 4, 1]),
        ("ZeroPadding1D", {"padding": 10**12}, [4, 1]),
        ("RepeatVector", {"n": 10**12}, [4]),
        ("Embedding", {"input_dim": 10**6, "output_dim": 10**6}, [4]),
    ],
)
def test_what_needs_too_much_memory_is_refused_where_it_stands(name, config, shape):
    with pytest.raises(SpecError) as caught:
        job(name, config, [0.0], shape)
    assert ("resource_limit", "/model/config/layers/1") in {
        (error.code, error.pointer) for error in caught.value.errors
    }


@pytest.mark.parametrize(
    ("name", "config", "shape", "place"),
    [
        ("Conv1D", {"filters": 2, "kernel_size": 9}, (2, 4, 1), ""),
        ("Conv2D", {"filters": 2, "kernel_size": [1, 2, 3]}, (2, 4, 4, 1), "/config/kernel_size"),
        ("MultiHeadAttention", {"num_heads": 0, "key_dim": 3}, (2, 4, 1), "/config/num_heads"),
        (
            "MultiHeadAttention",
            {"num_heads": 2, "key_dim": 3, "attention_axes": [2]},
            (2, 4, 1),
            "/config/attention_axes",
        ),
        ("Softmax", {"axis": [1, 4]}, (2, 4, 1), "/config/axis"),
        (
            "Conv1D",
            {"filters": 2, "kernel_size": 1, "kernel_regularizer": "orthogonal_regularizer"},
            (2, 4, 1),
            "",
        ),
        (
            "MultiHeadAttention",
            {"num_heads": 2, "key_dim": 3, "kernel_initializer": "identity"},
            (2, 4, 1),
            "/config/kernel_initializer",
        ),
        ("TimeDistributed", {"layer": {"class_name": "Dense", "config": {"units": 0}}}, (2, 4, 1), "/config/layer"),
        (
            "TimeDistributed",
            {"layer": {"class_name": "Dense", "config": {"units": 1, "dtype": "int32"}}},
            (2, 4, 1),
            "/config/layer/config/dtype",
        ),
        (
            "Bidirectional",
            {
                "layer": {"class_name": "LSTM", "config": {"units": 1}},
                "backward_layer": {"class_name": "LSTM", "config": {"units": 1, "dtype": "int32"}},
            },
            (2, 4, 1),
            "/config/backward_layer/config/dtype",
        ),
        ("Bidirectional", {"layer": {"class_name": "Dense", "config": {"units": 1}}}, (2, 4, 1), "/config/layer"),
    ],
)
def test_what_the_layer_refuses_is_pointed_at(name, config, shape, place):
    x = np.ones(shape).tolist()
    with pytest.raises(SpecError) as caught:
        job(name, config, x)
    assert all(error.pointer.startswith(f"/model/config/layers/1{place}") for error in caught.value.errors)
