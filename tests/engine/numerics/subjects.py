"""Small models to look at."""

from typing import Any

from engine import conventions, losses, optimizers
from engine.numerics.model_policy import read_model_policy
from engine.numerics.subject import Subject


def layer(class_name: str, **config: Any) -> dict[str, Any]:
    return {"class_name": class_name, "config": config}


def dense(name: str, units: int = 3, **config: Any) -> dict[str, Any]:
    return layer("Dense", name=name, units=units, **config)


def policy_v1(name: str, loss_scale: Any) -> dict[str, Any]:
    return {"class_name": "PolicyV1", "config": {"name": name, "loss_scale": loss_scale}}


def fixed(scale: float) -> dict[str, Any]:
    return {"class_name": "FixedLossScale", "config": {"loss_scale_value": scale}}


def sequential(*layers: dict[str, Any], line: str = "tf2.4", shape: tuple[int, ...] = (4,)) -> dict[str, Any]:
    version = {"tf2.4": "2.4.0", "tf_keras": "2.15.0", "keras3": "3.15.1"}[line]
    entry = layer("InputLayer", batch_input_shape=[None, *shape], name="entry")
    return {
        "class_name": "Sequential",
        "config": {"name": "small", "layers": [entry, *layers]},
        "keras_version": version,
    }


def subject(
    *layers: dict[str, Any],
    policy: Any = None,
    optimizer: Any = "adam",
    loss: Any = "mse",
    line: str = "tf2.4",
    shape: tuple[int, ...] = (4,),
    **settings: Any,
) -> Subject:
    config = sequential(*(layers or (dense("body"), dense("head", 2))), line=line, shape=shape)
    found = conventions.of(config)
    return Subject(
        config=config,
        policy=read_model_policy(policy),
        conventions=found,
        optimizer=None if optimizer is None else optimizers.get(optimizer, found),
        loss=None if loss is None else losses.get(loss, found),
        **settings,
    )
