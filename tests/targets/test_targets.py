"""What the translation writes is taken by the system that it is for: by its real classes, or by its own constraints.

Megatron, fairseq and Apex need GPUs or more than their config classes, and jmp needs JAX. Their constraints stand here,
written down again from their sources (as named in ``engine/serialization/translate``).
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from tests.targets.written import REAL, Record, Written, draw, written, wrong


def megatron_takes(config: Mapping[str, Any]) -> bool:
    if config["fp16"] and config["bf16"]:
        return False
    if config.get("main_params_dtype", "fp32") != "fp32" and not config.get("use_precision_aware_optimizer"):
        return False
    if "loss_scale" in config or "initial_loss_scale" not in config:
        return bool(config.get("loss_scale", 1.0) > 0)
    return bool(
        0 < config["min_loss_scale"] <= config["initial_loss_scale"] <= np.finfo(np.float32).max
        and config["loss_scale_window"] > 0
        and config["hysteresis"] > 0
        and float(np.float32(config["min_loss_scale"])) > 0
    )


def fairseq_takes(config: Mapping[str, Any]) -> bool:
    whole = ("fp16_init_scale", "fp16_scale_window", "amp_init_scale", "amp_scale_window")
    return (
        all(type(config[key]) is int and config[key] >= 1 for key in whole if key in config)
        and not (config.get("fp16") and config.get("amp"))
        and config.get("min_loss_scale", 1e-4) >= 0
        and 0 <= config.get("fp16_scale_tolerance", 0.0) <= 1
    )


def apex_takes(config: Mapping[str, Any]) -> bool:
    overrides = ("cast_model_type", "keep_batchnorm_fp32", "master_weights")
    if config["opt_level"] == "O1" and any(config.get(key) is not None for key in overrides):
        return False
    dtypes = (None, "torch.float16", "torch.float32", "torch.bfloat16")
    scale = config.get("loss_scale", "dynamic")
    return config.get("cast_model_outputs") in dtypes and (scale == "dynamic" or scale > 0)


def jmp_takes(config: Mapping[str, Any]) -> bool:
    names = {"bfloat16", "float16", "float32", "float64"}
    parts = [part.split("=") for part in config.get("policy", "params=float32").split(",")]
    scale = config.get("loss_scale", {})
    return (
        all(len(part) == 2 and part[1] in names for part in parts)
        and scale.get("period", 1) >= 1
        and 0 < scale.get("loss_scale", 1.0) <= np.finfo(np.float32).max
    )


TABLES: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    "megatron": megatron_takes,
    "fairseq": fairseq_takes,
    "apex": apex_takes,
    "jmp": jmp_takes,
}


@pytest.mark.parametrize("target", TABLES)
def test_a_config_keeps_to_the_constraints_of_its_target(target: str) -> None:
    every = list(written((target,), draw()))
    assert len(every) > 100
    assert [item for item in every if not TABLES[target](item.config)] == []


def test_the_real_classes_have_read_every_config() -> None:
    # What they answered is recorded (`make targets` asks anew): the systems are too large for every machine.
    record = Record.load()
    every = list(written(REAL, record.drawn))
    assert len(every) > 1000
    assert wrong(every, record.answered(every)) == []


def test_a_config_that_no_real_class_has_read_is_a_fault() -> None:
    unread = Written("tf2.4", "mixed_float16", "torch", {"autocast": {"dtype": "float16", "enabled": True, "new": 1}})
    (fault,) = wrong([unread], Record.load().answered([unread]))
    assert "run `make targets`" in fault
