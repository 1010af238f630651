"""Random settings of every supported layer. Runs in the libraries' own interpreters: Python 3.8 for TF 2.4."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.campaigns.draws import ACTIVATIONS, KERAS3_ACTIVATIONS, Config, Draw, Maker, Shape


def _fixed(**config: Any) -> Maker:
    return lambda draw, shape: dict(config)


def _dense(draw: Draw, shape: Shape) -> Config:
    return {"units": draw.number(2, 7), **draw.kernel()}


def _einsum(draw: Draw, shape: Shape) -> Config:
    letters = "abc"[: len(shape)]
    units = draw.number(2, 6)
    equation = f"{letters}d,de->{letters}e" if len(shape) > 0 else ""
    config = {"equation": equation, "output_shape": [*shape[:-1], units], "bias_axes": draw.one(("e", None))}
    return {**config, **draw.activation(), **draw.weighted("kernel"), **draw.activity()}


def _activation(draw: Draw, shape: Shape) -> Config:
    names = [name for name in ACTIVATIONS if name] + ["softmax"]
    if draw.library == "keras3":
        names += [name for name in KERAS3_ACTIVATIONS if name != "glu"]
    return {"activation": draw.one(names)}


def _elu(draw: Draw, shape: Shape) -> Config:
    return {"alpha": draw.one((1.0, 0.3))}


def _leaky(draw: Draw, shape: Shape) -> Config:
    key = "negative_slope" if draw.library == "keras3" else "alpha"
    return {key: draw.one((0.3, 0.1))}


def _relu(draw: Draw, shape: Shape) -> Config:
    return draw.one(
        ({}, {"max_value": 1.0}, {"negative_slope": 0.2}, {"threshold": 0.3}, {"max_value": 6.0, "threshold": 0.1})
    )


def _prelu(draw: Draw, shape: Shape) -> Config:
    config = draw.weighted("alpha")
    if len(shape) > 1 and draw.some(0.6):
        config["shared_axes"] = list(range(1, len(shape)))
    return config


def _softmax(draw: Draw, shape: Shape) -> Config:
    return {"axis": draw.one((-1, 1))} if len(shape) > 1 else {}


def _batch_norm(draw: Draw, shape: Shape) -> Config:
    config: Config = draw.weighted("beta", "gamma", constraints=False)
    config["momentum"] = draw.one((0.99, 0.9))
    config["epsilon"] = draw.one((1e-3, 1e-3, 1e-2))
    if draw.some(0.2):
        config[draw.one(("center", "scale"))] = False
    if len(shape) > 1 and draw.some(0.15):
        config["axis"] = 1
    return config


def _layer_norm(draw: Draw, shape: Shape) -> Config:
    config: Config = draw.weighted("beta", "gamma", constraints=False)
    config["epsilon"] = draw.one((1e-3, 1e-2))
    if draw.some(0.2):
        config[draw.one(("center", "scale"))] = False
    if len(shape) > 1 and draw.some(0.3):
        config["axis"] = draw.one((1, [1, 2]))
    return config


def _group_norm(draw: Draw, shape: Shape) -> Config | None:
    groups = [size for size in (1, 2, 3) if shape[-1] % size == 0]
    return {"groups": draw.one([*groups, -1]), **draw.weighted("beta", "gamma", constraints=False)}


def _rms_norm(draw: Draw, shape: Shape) -> Config:
    return {"epsilon": draw.one((1e-6, 1e-3))}


def _normalization(draw: Draw, shape: Shape) -> Config:
    return {"mean": 0.25, "variance": 2.0, **({"axis": None} if draw.some(0.5) else {"axis": -1})}


def _rescaling(draw: Draw, shape: Shape) -> Config:
    return {"scale": draw.one((0.5, 1 / 3)), "offset": draw.one((0.0, -1.0))}


def _dropout(draw: Draw, shape: Shape) -> Config:
    return {"rate": 0.3 if draw.noise else 0.0}


def _activity_regularization(draw: Draw, shape: Shape) -> Config:
    return draw.one(({"l1": 0.01}, {"l2": 0.01}, {"l1": 0.01, "l2": 0.02}))


def _repeat(draw: Draw, shape: Shape) -> Config:
    return {"n": draw.number(2, 4)}


def _reshape(draw: Draw, shape: Shape) -> Config:
    size = int(np.prod(shape))
    halves = [k for k in (2, 3, 4) if size % k == 0]
    if not halves:
        return {"target_shape": [1, -1]}
    part = draw.one(halves)
    rest = size // part
    options = [[part, rest], [rest, part], [part, -1], [-1]]
    if rest % 2 == 0:
        options.append([part, 2, rest // 2])
    return {"target_shape": draw.one(options)}


def _permute(draw: Draw, shape: Shape) -> Config:
    return {"dims": draw.rng.permutation(len(shape)).__add__(1).tolist()}


def _conv1d(draw: Draw, shape: Shape) -> Config | None:
    if shape[0] < 3:
        return None
    config = {
        "filters": draw.number(2, 4),
        "kernel_size": draw.number(1, 3),
        "padding": draw.one(("valid", "same", "causal")),
    }
    config[draw.one(("strides", "dilation_rate"))] = draw.one((1, 1, 2)) if shape[0] > 5 else 1
    if shape[1] % 2 == 0 and draw.some(0.1):
        config.update(groups=2, filters=4)
    return {**config, **draw.kernel()}


def _conv1d_transpose(draw: Draw, shape: Shape) -> Config | None:
    if shape[0] > 8:
        return None
    config = {"filters": draw.number(2, 4), "kernel_size": draw.number(1, 3), "padding": draw.one(("valid", "same"))}
    return {**config, "strides": draw.one((1, 2)), **draw.kernel()}


def _depthwise(rank: int) -> Maker:
    def make(draw: Draw, shape: Shape) -> Config | None:
        if min(shape[:rank]) < 3:
            return None
        config = {
            "kernel_size": draw.number(2, 3),
            "padding": draw.one(("valid", "same")),
            "depth_multiplier": draw.one((1, 2)),
        }
        return {
            **config,
            "strides": draw.one((1, 2)),
            **draw.activation(),
            **draw.weighted("depthwise", "bias"),
            **draw.activity(),
        }

    return make


def _separable(rank: int) -> Maker:
    def make(draw: Draw, shape: Shape) -> Config | None:
        if min(shape[:rank]) < 3:
            return None
        config = {
            "filters": draw.number(2, 4),
            "kernel_size": draw.number(2, 3),
            "padding": draw.one(("valid", "same")),
        }
        named = draw.weighted("depthwise", "pointwise", "bias")
        return {**config, "depth_multiplier": draw.one((1, 2)), **draw.activation(), **named, **draw.activity()}

    return make


def _conv2d(draw: Draw, shape: Shape) -> Config | None:
    if min(shape[:2]) < 3:
        return None
    config = {
        "filters": draw.number(2, 4),
        "kernel_size": draw.one((1, 2, 3, [2, 3])),
        "padding": draw.one(("valid", "same")),
    }
    config[draw.one(("strides", "dilation_rate"))] = draw.one((1, 1, 2)) if min(shape[:2]) > 5 else 1
    return {**config, **draw.kernel()}


def _conv2d_transpose(draw: Draw, shape: Shape) -> Config | None:
    if max(shape[:2]) > 6:
        return None
    config = {"filters": draw.number(2, 3), "kernel_size": draw.number(1, 3), "padding": draw.one(("valid", "same"))}
    return {**config, "strides": draw.one((1, 2)), **draw.kernel()}


def _pool(rank: int) -> Maker:
    def make(draw: Draw, shape: Shape) -> Config | None:
        if min(shape[:rank]) < 3:
            return None
        return {
            "pool_size": draw.one((2, 3)),
            "padding": draw.one(("valid", "same")),
            "strides": draw.one((None, 1, 2)),
        }

    return make


def _global_pool(draw: Draw, shape: Shape) -> Config:
    return {"keepdims": True} if draw.library != "tf2.4" and draw.some(0.2) else {}


def _upsample1d(draw: Draw, shape: Shape) -> Config | None:
    return {"size": draw.one((1, 2))} if shape[0] < 8 else None


def _upsample2d(draw: Draw, shape: Shape) -> Config | None:
    if max(shape[:2]) > 6:
        return None
    return {"size": draw.one((2, [1, 2])), "interpolation": draw.one(("nearest", "bilinear"))}


def _pad1d(draw: Draw, shape: Shape) -> Config | None:
    return {"padding": draw.one((1, [1, 0], [0, 2]))} if shape[0] < 10 else None


def _pad2d(draw: Draw, shape: Shape) -> Config | None:
    return {"padding": draw.one((1, [1, 0], [[1, 0], [0, 1]]))} if max(shape[:2]) < 9 else None


def _crop1d(draw: Draw, shape: Shape) -> Config | None:
    return {"cropping": draw.one((1, [1, 0]))} if shape[0] > 3 else None


def _crop2d(draw: Draw, shape: Shape) -> Config | None:
    return {"cropping": draw.one((1, [[1, 0], [0, 1]]))} if min(shape[:2]) > 3 else None


def recurrent(draw: Draw, name: str, *, sequences: bool) -> Config:
    """Return the config of a recurrent layer."""
    config: Config = {"units": draw.number(2, 4), "return_sequences": sequences}
    config.update(draw.weighted("kernel", "recurrent", "bias"))
    config["recurrent_initializer"] = draw.one(("glorot_uniform", "orthogonal", "random_normal"))
    if name == "GRU":
        config["reset_after"] = draw.some(0.6)
    if name != "SimpleRNN" and draw.some(0.3):
        config["recurrent_activation"] = draw.one(("sigmoid", "hard_sigmoid"))
    if draw.some(0.3):
        config["activation"] = draw.one(("tanh", "relu", "sigmoid"))
    for key, share in (("go_backwards", 0.15), ("unroll", 0.2)):
        if draw.some(share):
            config[key] = True
    if draw.some(0.15):
        config["use_bias"] = False
    return {**config, **draw.activity()}


def _recurrent(name: str) -> Maker:
    return lambda draw, shape: recurrent(draw, name, sequences=draw.some(0.5)) if shape[0] <= 8 else None


def _masking(draw: Draw, shape: Shape) -> Config:
    return {"mask_value": 0.0}


ANY: dict[str, Maker] = {
    "Dense": _dense,
    "EinsumDense": _einsum,
    "Activation": _activation,
    "ELU": _elu,
    "LeakyReLU": _leaky,
    "ReLU": _relu,
    "PReLU": _prelu,
    "Softmax": _softmax,
    "ThresholdedReLU": lambda draw, shape: {"theta": draw.one((0.5, 1.0))},
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "RMSNormalization": _rms_norm,
    "UnitNormalization": _fixed(),
    "Normalization": _normalization,
    "Rescaling": _rescaling,
    "Identity": _fixed(),
    "Dropout": _dropout,
    "AlphaDropout": _dropout,
    "GaussianDropout": _dropout,
    "GaussianNoise": _fixed(stddev=0.0),
    "ActivityRegularization": _activity_regularization,
    "Reshape": _reshape,
    "Permute": _permute,
    "Flatten": _fixed(),
}
"""Layers that take any input of at least one axis beside the batch."""
ROWS: dict[str, Maker] = {"RepeatVector": _repeat}
STEPS: dict[str, Maker] = {
    "Conv1D": _conv1d,
    "Conv1DTranspose": _conv1d_transpose,
    "DepthwiseConv1D": _depthwise(1),
    "SeparableConv1D": _separable(1),
    "MaxPooling1D": _pool(1),
    "AveragePooling1D": _pool(1),
    "GlobalAveragePooling1D": _global_pool,
    "GlobalMaxPooling1D": _global_pool,
    "UpSampling1D": _upsample1d,
    "ZeroPadding1D": _pad1d,
    "Cropping1D": _crop1d,
    "SpatialDropout1D": _dropout,
    "LSTM": _recurrent("LSTM"),
    "GRU": _recurrent("GRU"),
    "SimpleRNN": _recurrent("SimpleRNN"),
    "Masking": _masking,
}
IMAGES: dict[str, Maker] = {
    "Conv2D": _conv2d,
    "Conv2DTranspose": _conv2d_transpose,
    "DepthwiseConv2D": _depthwise(2),
    "SeparableConv2D": _separable(2),
    "MaxPooling2D": _pool(2),
    "AveragePooling2D": _pool(2),
    "GlobalAveragePooling2D": _global_pool,
    "GlobalMaxPooling2D": _global_pool,
    "UpSampling2D": _upsample2d,
    "ZeroPadding2D": _pad2d,
    "Cropping2D": _crop2d,
    "SpatialDropout2D": _dropout,
}
BY_RANK: dict[int, dict[str, Maker]] = {1: ROWS, 2: STEPS, 3: IMAGES}
"""Layers for inputs of so many axes beside the batch."""
KEPT_SHAPES = (
    "Dropout",
    "Activation",
    "ELU",
    "ReLU",
    "BatchNormalization",
    "LayerNormalization",
    "Identity",
    "Rescaling",
)
"""Layers whose output has the shape of the input, for branches that are merged."""
