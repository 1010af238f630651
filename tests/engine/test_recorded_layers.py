"""Layers beside what Keras 3.15.1 computes, where the oracle's cases do not reach (`record_layers.py`)."""

from pathlib import Path

import numpy as np
import pytest

from engine.conventions import KERAS3
from engine.errors import InvalidValue, ShapeMismatch, Unsupported
from engine.run import Noise, Run
from engine.tape import Tensor
from tests.engine.test_layers import arrays_of, inputs_of, made
from tests.golden import cases, runner

FOLDER = Path(__file__).parents[1] / "recorded" / "layers"
GRID = (2, 4, 3, 6)


def test_every_recorded_layer_gives_what_keras_gives():
    tally = runner.run(cases.load(FOLDER))
    assert tally.failed == []
    assert not tally.unsupported
    assert tally.passed == 38


def attended(config, line="keras3", **options):
    layer = made("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, **config}, line=line)
    shapes = (GRID, GRID)
    x = Tensor(np.ones(GRID, np.float32), KERAS3.floatx)
    run = Run(layer.weight_specs(*shapes), arrays_of(layer, *shapes), training=False, noise=Noise(1, 2))
    return layer(run, x, x, **options)


def test_attention_over_a_grid_shows_its_shape_before_it_runs():
    layer = made("MultiHeadAttention", {"num_heads": 2, "key_dim": 3, "attention_axes": [2], "output_shape": 5})
    assert layer.compute_output_shape(GRID, GRID) == (2, 4, 3, 5)
    assert attended({"attention_axes": [2], "output_shape": 5}).shape == (2, 4, 3, 5)
    assert attended({}, line="tf2.4").shape == GRID


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        ({}, ShapeMismatch, "`attention_axes` has to be given"),
        ({"attention_axes": [3]}, ShapeMismatch, "the last of which holds features"),
        ({"attention_axes": [0]}, InvalidValue, "axes from 1 on"),
        ({"attention_axes": [1, 1]}, InvalidValue, "each once"),
    ],
)
def test_axes_that_attention_cannot_run_over_are_named(config, error, words):
    with pytest.raises(error, match=words):
        attended(config)


def test_attention_over_a_grid_takes_no_masks():
    with pytest.raises(Unsupported, match="use_causal_mask"):
        attended({"attention_axes": [1, 2]}, use_causal_mask=True)


def test_heads_that_share_keys_take_sequences_only():
    layer = made("GroupQueryAttention", {"head_dim": 2, "num_query_heads": 2, "num_key_value_heads": 1})
    with pytest.raises(ShapeMismatch, match="three axes"):
        layer.compute_output_shape(GRID, GRID)


@pytest.mark.parametrize("axis", [[0, 0], [0, 5], [1, -1]])
def test_a_softmax_needs_each_axis_once(axis):
    layer = made("Softmax", {"axis": axis})
    (x,) = inputs_of(layer)
    with pytest.raises(ShapeMismatch, match="Softmax"):
        layer.compute_output_shape(x.shape)


def test_a_regularizer_of_matrices_takes_no_kernels_of_convolutions():
    config = {"filters": 2, "kernel_size": 2, "kernel_regularizer": "orthogonal_regularizer"}
    with pytest.raises(ShapeMismatch, match="two axes, got shape \\[2, 2, 4, 2\\]"):
        made("Conv2D", config).weight_specs((2, 6, 5, 4))
