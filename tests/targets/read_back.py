"""Run by the peers' interpreter: makes the real classes of torch, Keras, tf_keras and DeepSpeed from configs.

Standard input: one JSON object a line, ``{"target", "config"}``. Standard output: one a line, ``{"refused": text}`` or
``{"says": {...}}`` with what the real objects say, in the words of the translation's facts.
"""

import json
import sys
import warnings
from collections.abc import Callable
from typing import Any

import keras
import tf_keras  # type: ignore[import-not-found]
import torch
from deepspeed.runtime.config import DeepSpeedConfig  # type: ignore[import-not-found]

Says = dict[str, Any]


def read_torch(config: dict[str, Any]) -> Says:
    says: Says = {}
    if "autocast" in config:
        given = dict(config["autocast"])
        if "dtype" in given:
            given["dtype"] = getattr(torch, given["dtype"])
        for device in ("cpu", "cuda"):
            torch.autocast(device, **given)
        on = torch.autocast("cpu", **given)._enabled
        says["compute_dtype"] = (
            str(torch.autocast("cpu", **given).fast_dtype).removeprefix("torch.") if on else "float32"
        )
    scaler = config.get("grad_scaler")
    if scaler is None:
        return says
    arguments = {"init_scale" if key == "scale" else key: value for key, value in scaler.items()}
    arguments.pop("_growth_tracker", None)
    made = torch.amp.GradScaler("cpu", **arguments)
    if not made.is_enabled():
        return {**says, "scaling": "none"}
    if "scale" in scaler:
        made.load_state_dict(scaler)
        says["state.counter"] = made._init_growth_tracker
    return {
        **says,
        "initial_scale": made.get_scale(),
        "growth_factor": made.get_growth_factor(),
        "backoff_factor": made.get_backoff_factor(),
        "growth_interval": made.get_growth_interval(),
    }


def read_keras3(config: Any) -> Says:
    return _read_keras(config, keras, keras.dtype_policies.deserialize, _keras3_scaling)


def _keras3_scaling(given: Any) -> Any:
    sgd = keras.optimizers.SGD
    if given is None:
        return sgd()
    if "loss_scale_factor" in given:
        return sgd(**given)
    return keras.optimizers.LossScaleOptimizer(sgd(), **given)


def read_tf_keras(config: Any) -> Says:
    return _read_keras(config, tf_keras, tf_keras.src.mixed_precision.policy.deserialize, _tf_keras_scaling)


def _tf_keras_scaling(given: Any) -> Any:
    sgd = tf_keras.optimizers.SGD()
    if given is None:
        return sgd
    wrapper = tf_keras.mixed_precision.LossScaleOptimizer
    if "loss_scale_factor" in given:
        return wrapper(sgd, dynamic=False, initial_scale=given["loss_scale_factor"])
    return wrapper(sgd, **given)


def _read_keras(config: Any, library: Any, policies: Callable[[Any], Any], scaling: Callable[[Any], Any]) -> Says:
    """Read a policy, an optimizer, or an object of these."""
    parts = config if isinstance(config, dict) and "class_name" not in config else None
    if parts is None:
        name = config.get("class_name", "") if isinstance(config, dict) else ""
        parts = {"policy" if "Policy" in name or not name else "optimizer": config}
    says: Says = {}
    if parts.get("policy") is not None:
        policy = policies(parts["policy"])
        plain = getattr(policy, "default_policy", policy)
        plain = keras.dtype_policies.get(plain) if isinstance(plain, str) else plain
        says |= {"compute_dtype": plain.compute_dtype, "variable_dtype": plain.variable_dtype}
    if "optimizer" in parts:
        says |= _scale_of(library.optimizers.deserialize(parts["optimizer"]))
    if "loss_scaling" in parts:
        says |= _scale_of(scaling(parts["loss_scaling"]))
    return {key: value or "inferred" if key.endswith("_dtype") else value for key, value in says.items()}


def _scale_of(optimizer: Any) -> Says:
    config = optimizer.get_config()
    if config.get("loss_scale_factor") is not None:
        return {"scaling": "fixed", "initial_scale": config["loss_scale_factor"]}
    if "initial_scale" not in config:
        return {}
    dynamic = config.get("dynamic", True)
    steps = {"growth_interval": config["dynamic_growth_steps"]} if dynamic else {}
    return {"scaling": "dynamic" if dynamic else "fixed", "initial_scale": config["initial_scale"], **steps}


def read_deepspeed(config: dict[str, Any]) -> Says:
    made = DeepSpeedConfig({"train_batch_size": 8, **config})
    fp16, bf16 = made.float16_config, made.bfloat16_config
    if bf16.enabled:
        masters = "bfloat16" if bf16.bf16_master_weights_and_grads else "float32"
        return {"compute_dtype": "bfloat16", "variable_dtype": masters, "scaling": "none"}
    if not fp16.enabled:
        return {"compute_dtype": "float32", "variable_dtype": "float32", "scaling": "none"}
    masters = "float16" if fp16.fp16_master_weights_and_grads else "float32"
    says = {"compute_dtype": "float16", "variable_dtype": masters}
    if fp16.loss_scale:
        return {**says, "scaling": "fixed", "initial_scale": fp16.loss_scale}
    hysteresis = fp16.hysteresis if made.zero_optimization_stage else 1
    return {
        **says,
        "scaling": "dynamic",
        "initial_scale": fp16.initial_dynamic_scale(),
        "growth_interval": fp16.loss_scale_window,
        "floor": fp16.min_loss_scale,
        "hysteresis": hysteresis,
    }


READERS: dict[str, Callable[[Any], Says]] = {
    "torch": read_torch,
    "keras3": read_keras3,
    "tf_keras": read_tf_keras,
    "deepspeed": read_deepspeed,
}


def main() -> None:
    """Read every config, and say what became of it."""
    warnings.simplefilter("ignore")
    output, sys.stdout = sys.stdout, sys.stderr  # the libraries print as they like
    for line in sys.stdin:
        item = json.loads(line)
        try:
            answer: dict[str, Any] = {"says": READERS[item["target"]](item["config"])}
        except Exception as error:  # noqa: BLE001 - whatever a library raises is its refusal
            answer = {"refused": f"{type(error).__name__}: {error}"}
        output.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
