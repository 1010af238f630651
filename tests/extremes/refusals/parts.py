"""Cases of what layers hold: activations, initializers, regularizers and constraints. Read by Python 3.8 too."""

from __future__ import annotations

from typing import Any, Iterator  # noqa: UP035  Python 3.8 reads this file

ACTIVATIONS = (
    "linear relu relu6 leaky_relu sigmoid softmax log_softmax tanh hard_tanh hard_sigmoid hard_silu exponential "
    "softplus softsign silu swish mish elu selu celu gelu glu hard_shrink log_sigmoid soft_shrink sparse_plus "
    "sparse_sigmoid sparsemax squareplus tanh_shrink"
)
INITIALIZERS = (
    "glorot_uniform glorot_normal he_uniform he_normal lecun_uniform lecun_normal random_uniform random_normal "
    "truncated_normal zeros ones orthogonal identity"
)


def _case(name: str, class_name: str, shape: list, **config: Any) -> dict:
    return {
        "id": name,
        "class_name": class_name,
        "config": config,
        "shapes": [shape],
        "mode": "single",
        "call": {},
        "masked": False,
    }


def _part(class_name: str, **config: Any) -> dict:
    return {"class_name": class_name, "config": config}


REGULARIZERS = {
    "L1": _part("L1", l1=0.1),
    "L2": _part("L2", l2=0.1),
    "L1L2": _part("L1L2", l1=0.1, l2=0.1),
    "OrthogonalRegularizer": _part("OrthogonalRegularizer", factor=0.1, mode="rows"),
}
CONSTRAINTS = {
    "MaxNorm": _part("MaxNorm", max_value=0.8, axis=0),
    "MinMaxNorm": _part("MinMaxNorm", min_value=0.2, max_value=0.9, rate=0.5, axis=0),
    "NonNeg": _part("NonNeg"),
    "UnitNorm": _part("UnitNorm", axis=0),
}


def cases() -> Iterator[dict]:
    """Yield the cases."""
    for name in ACTIVATIONS.split():
        yield _case(f"activation/{name}", "Activation", [6], activation=name)
        yield _case(f"activation_of_dense/{name}", "Dense", [6], units=4, activation=name)
    for name, axis in {"default": -1, "inner": 1, "axes": [1, 2]}.items():
        yield _case(f"Softmax/{name}", "Softmax", [6, 4], axis=axis)
        yield {**_case(f"Softmax/masked_{name}", "Softmax", [6, 4], axis=axis), "masked": True}
    for name, config in {
        "plain": {},
        "capped": {"max_value": 6.0},
        "leaky": {"negative_slope": 0.1, "threshold": 0.3},
    }.items():
        yield _case(f"ReLU/{name}", "ReLU", [6], **config)
    for name in ("ELU", "LeakyReLU", "PReLU", "ThresholdedReLU"):
        yield _case(f"{name}/plain", name, [6])
    yield _case("PReLU/shared", "PReLU", [6, 4], shared_axes=[1])
    for name in INITIALIZERS.split():
        yield _case(f"initializer/{name}", "Dense", [4], units=4, kernel_initializer=name)
    yield _case("initializer/variance_scaling", "Dense", [4], units=4, kernel_initializer=_part("VarianceScaling"))
    yield _case("initializer/constant", "Dense", [4], units=4, kernel_initializer=_part("Constant", value=0.3))
    for name, regularizer in REGULARIZERS.items():
        yield _case(f"kernel_regularizer/{name}", "Dense", [4], units=4, kernel_regularizer=regularizer)
        yield _case(
            f"conv_regularizer/{name}", "Conv1D", [6, 4], filters=4, kernel_size=2, kernel_regularizer=regularizer
        )
        yield _case(f"bias_regularizer/{name}", "Dense", [4], units=4, bias_regularizer=regularizer)
        yield _case(f"activity_regularizer/{name}", "Dense", [4], units=4, activity_regularizer=regularizer)
    for name, constraint in CONSTRAINTS.items():
        yield _case(f"constraint/{name}", "Dense", [4], units=4, kernel_constraint=constraint)
        yield _case(f"bias_constraint/{name}", "Dense", [4], units=4, bias_constraint=constraint)
