"""Cases of layers. Read by Python 3.8 too."""

from __future__ import annotations

from typing import Any, Iterator  # noqa: UP035  Python 3.8 reads this file

ROW, STEPS, IMAGE = [6], [6, 4], [6, 6, 4]
Variants = dict


def _of(class_name: str, shape: list, base: dict, /, **variants: dict) -> Iterator[dict]:
    """Yield a layer as it is by default, and once for every variant of its config."""
    for name, changes in {"plain": {}, **variants}.items():
        config = {**base, **changes}
        call = config.pop("call", {})
        masked, shapes = config.pop("masked", False), config.pop("shapes", [shape])
        yield {
            "id": f"{class_name}/{name}",
            "class_name": class_name,
            "config": config,
            "shapes": shapes,
            "mode": config.pop("mode", "single"),
            "call": call,
            "masked": masked,
        }


def _inner(class_name: str, **config: Any) -> dict:
    return {"class_name": class_name, "config": config}


def _convolutions() -> Iterator[dict]:
    same = {"padding": "same"}
    kernel = {"kernel_size": 3}
    by_rank = {1: STEPS, 2: IMAGE}
    for rank, shape in by_rank.items():
        shared = {
            "strides": {"strides": 2},
            "same": same,
            "dilation": {"dilation_rate": 2},
            "no_bias": {"use_bias": False},
        }
        causal = {"causal": {"padding": "causal"}} if rank == 1 else {}
        filters = {"filters": 4, **kernel}
        one = {"kernel_size": 1}
        yield from _of(
            f"Conv{rank}D", shape, filters, **shared, **causal, groups={"groups": 2}, one=one,
            groups_one={"groups": 2, **one}, groups_depthwise={"groups": 4}, wide={"filters": 16, "activation": "relu"},
        )  # fmt: skip
        yield from _of(
            f"Conv{rank}DTranspose", shape, filters, **shared, strides_same={**same, "strides": 2}, one=one,
            output_padding={"strides": 2, "output_padding": 1},
        )  # fmt: skip
        yield from _of(f"DepthwiseConv{rank}D", shape, kernel, **shared, multiplier={"depth_multiplier": 2})
        yield from _of(f"SeparableConv{rank}D", shape, filters, **shared, **causal, multiplier={"depth_multiplier": 2})


def _pooling() -> Iterator[dict]:
    for rank, shape in {1: STEPS, 2: IMAGE}.items():
        for kind in ("Max", "Average"):
            windows = {"same": {"padding": "same", "strides": 1}, "strides": {"pool_size": 3, "strides": 2}}
            yield from _of(f"{kind}Pooling{rank}D", shape, {"pool_size": 2}, **windows)
            masked = {"masked": {"masked": True}} if rank == 1 else {}
            yield from _of(f"Global{kind}Pooling{rank}D", shape, {}, keepdims={"keepdims": True}, **masked)


def _attention() -> Iterator[dict]:
    pair = {"mode": "list", "shapes": [[5, 4], [6, 4]]}
    square = {"mode": "list", "shapes": [[5, 4], [5, 4]]}
    for name in ("Attention", "AdditiveAttention"):
        yield from _of(
            name, STEPS, pair, scale={"use_scale": True}, no_scale={"use_scale": False}, masked={"masked": True},
            causal={**square, "call": {"use_causal_mask": True}}, causal_before={**square, "causal": True},
            dropout={"dropout": 0.5}, key={"shapes": [[5, 4], [6, 4], [6, 4]]},
            masked_causal={**square, "masked": True, "call": {"use_causal_mask": True}},
            masked_causal_before={**square, "masked": True, "causal": True},
        )  # fmt: skip
    yield from _of("Attention", STEPS, {**pair, "score_mode": "concat"}, concat_scale={"use_scale": True})
    heads = {"mode": "args", "shapes": [[5, 4], [6, 4]], "num_heads": 2, "key_dim": 3}
    square = {"shapes": [[5, 4], [5, 4]]}
    yield from _of(
        "MultiHeadAttention", STEPS, heads, masked={"masked": True}, no_bias={"use_bias": False},
        causal={**square, "call": {"use_causal_mask": True}}, dropout={"dropout": 0.5},
        masked_causal={**square, "masked": True, "call": {"use_causal_mask": True}},
        axes={"shapes": [[3, 4, 4], [3, 4, 4]], "attention_axes": [2]}, shape={"output_shape": [5]},
        grid={"shapes": [[3, 4, 4], [3, 4, 4]]}, value_dim={"value_dim": 5},
    )  # fmt: skip
    grouped = {**heads, "num_query_heads": 4, "num_key_value_heads": 2, "head_dim": 3}
    grouped.pop("num_heads"), grouped.pop("key_dim")
    causal = {**square, "call": {"use_causal_mask": True}}
    yield from _of("GroupQueryAttention", STEPS, grouped, masked={"masked": True}, causal=causal)


def _recurrent() -> Iterator[dict]:
    for name in ("LSTM", "GRU", "SimpleRNN"):
        gates = {"hard": {"recurrent_activation": "hard_sigmoid"}} if name != "SimpleRNN" else {}
        before = {"reset_before": {"reset_after": False}} if name == "GRU" else {}
        yield from _of(
            name, STEPS, {"units": 3}, sequences={"return_sequences": True}, masked={"masked": True},
            masked_sequences={"masked": True, "return_sequences": True}, unroll={"unroll": True},
            unroll_masked={"unroll": True, "masked": True}, backwards={"go_backwards": True},
            relu={"activation": "relu"}, no_bias={"use_bias": False},
            glorot={"recurrent_initializer": "glorot_uniform"},
            glorot_masked={"recurrent_initializer": "glorot_uniform", "masked": True},
            glorot_relu={"recurrent_initializer": "glorot_uniform", "activation": "relu"},
            glorot_relu_masked={"recurrent_initializer": "glorot_uniform", "activation": "relu", "masked": True},
            dropout={"dropout": 0.5, "recurrent_initializer": "glorot_uniform"},
            recurrent_dropout={"recurrent_dropout": 0.5, "recurrent_initializer": "glorot_uniform"}, **gates, **before,
        )  # fmt: skip
    lstm = _inner("LSTM", units=3, return_sequences=True)
    modes = {mode: {"merge_mode": mode} for mode in ("sum", "mul", "ave")}
    yield from _of("Bidirectional", STEPS, {"layer": lstm}, masked={"masked": True}, **modes)
    dense, conv = _inner("Dense", units=3), _inner("Conv1D", filters=3, kernel_size=2)
    yield from _of(
        "TimeDistributed", STEPS, {"layer": dense}, conv={"layer": conv, "shapes": [IMAGE]}, masked={"masked": True}
    )


def _merging() -> Iterator[dict]:
    pair = {"mode": "list", "shapes": [STEPS, STEPS]}
    for name in ("Add", "Average", "Maximum", "Minimum", "Multiply", "Subtract"):
        more = (
            {}
            if name == "Subtract"
            else {"three": {"shapes": [STEPS, STEPS, STEPS]}, "wider": {"shapes": [STEPS, [4]]}}
        )
        yield from _of(name, STEPS, pair, masked={"masked": True}, **more)
    yield from _of("Concatenate", STEPS, pair, axis={"axis": 1}, masked={"masked": True})
    yield from _of(
        "Dot",
        STEPS,
        {**pair, "axes": 2},
        normalize={"normalize": True},
        first={"axes": 1},
        rows={"axes": 1, "shapes": [ROW, ROW]},
        rows_normalize={"axes": 1, "shapes": [ROW, ROW], "normalize": True},
    )


def _normalizations() -> Iterator[dict]:
    image = {"shapes": [IMAGE]}
    bare = {"center": False, "scale": False}
    yield from _of(
        "BatchNormalization",
        ROW,
        {},
        image=image,
        steps={"shapes": [STEPS]},
        axis={**image, "axis": 1},
        bare=bare,
        masked={"masked": True, "shapes": [STEPS]},
        frozen={"trainable": False, **image},
        image_bare={**image, **bare},
        epsilon={"epsilon": 1e-6, **image},
    )
    yield from _of(
        "LayerNormalization",
        ROW,
        {},
        image=image,
        axes={**image, "axis": [1, 2, 3]},
        inner={**image, "axis": 1},
        bare=bare,
        epsilon={"epsilon": 1e-12},
        no_center={"center": False},
        axes_of_steps={"shapes": [STEPS], "axis": [1, 2]},
        rms={"rms_scaling": True},
    )
    yield from _of("GroupNormalization", IMAGE, {"groups": 2}, rows={"shapes": [ROW]}, axis={"axis": 1}, bare=bare)
    yield from _of("RMSNormalization", ROW, {}, steps={"shapes": [STEPS]})
    yield from _of("UnitNormalization", ROW, {}, axes={**image, "axis": [1, 2]})
    yield from _of("Normalization", ROW, {"mean": 0.5, "variance": 2.0}, invert={"invert": True}, axis={"axis": None})


def _reshaping() -> Iterator[dict]:
    yield from _of("Flatten", IMAGE, {})
    yield from _of("Permute", STEPS, {"dims": [2, 1]})
    yield from _of("RepeatVector", ROW, {"n": 3})
    yield from _of("Reshape", STEPS, {"target_shape": [3, 8]}, open={"target_shape": [-1, 2]})
    for rank, shape in {1: STEPS, 2: IMAGE}.items():
        yield from _of(f"Cropping{rank}D", shape, {"cropping": 1})
        yield from _of(f"ZeroPadding{rank}D", shape, {"padding": 1})
        smooth = {"bilinear": {"interpolation": "bilinear"}, "bilinear_3": {"size": 3, "interpolation": "bilinear"}}
        yield from _of(f"UpSampling{rank}D", shape, {"size": 2}, three={"size": 3}, **(smooth if rank == 2 else {}))


def _others() -> Iterator[dict]:
    yield from _of(
        "Dense", ROW, {"units": 3}, steps={"shapes": [STEPS]}, image={"shapes": [IMAGE]}, no_bias={"use_bias": False}
    )
    equation = {"equation": "abc,cd->abd", "output_shape": [6, 3]}
    yield from _of("EinsumDense", STEPS, equation, bias={"bias_axes": "d"})
    yield from _of("Embedding", ROW, {"input_dim": 7, "output_dim": 3, "integer": True}, mask={"mask_zero": True})
    yield from _of("Masking", STEPS, {})
    yield from _of("Identity", ROW, {})
    yield from _of("Rescaling", ROW, {"scale": 0.5}, offset={"offset": -1.0})
    yield from _of("ActivityRegularization", ROW, {"l1": 0.1}, l2={"l2": 0.1}, both={"l1": 0.1, "l2": 0.1})
    for name in ("Dropout", "AlphaDropout", "GaussianDropout"):
        yield from _of(name, ROW, {"rate": 0.5}, steps={"shapes": [STEPS]})
    yield from _of("Dropout", ROW, {"rate": 0.5, "noise_shape": [None, 1], "name": "noise_shape"})
    yield from _of("GaussianNoise", ROW, {"stddev": 0.5})
    yield from _of("SpatialDropout1D", STEPS, {"rate": 0.5})
    yield from _of("SpatialDropout2D", IMAGE, {"rate": 0.5})


def cases() -> Iterator[dict]:
    """Yield the cases."""
    seen: dict = {}
    for family in (_convolutions, _pooling, _attention, _recurrent, _merging, _normalizations, _reshaping, _others):
        for case in family():
            number = seen[case["id"]] = seen.get(case["id"], 0) + 1
            yield {**case, "id": case["id"] if number == 1 else f"{case['id']}_{number}"}
