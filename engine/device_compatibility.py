"""Whether float16 is fast on the GPUs at hand: the text TF 2.4 logs for "mixed_float16", as a pure function.

Source: ``tensorflow.python.keras.mixed_precision.device_compatibility_check`` of TF 2.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

_FAST_FROM = (7, 0)
_OK = "Mixed precision compatibility check (mixed_float16): OK\n"
_WARNING = "Mixed precision compatibility check (mixed_float16): WARNING\n"
_ELSEWHERE = (
    "If you will use compatible GPU(s) not attached to this host, e.g. by running a multi-worker model, you can ignore "
    "this warning. This message will only be logged once"
)
_LIST = "See https://developer.nvidia.com/cuda-gpus for a list of GPUs and their compute capabilities.\n"


@dataclass(frozen=True)
class Compatibility:
    """What TF logs, once a process: warnings, and notes of level info."""

    warnings: tuple[str, ...] = ()
    infos: tuple[str, ...] = ()


def device_compatibility(policy_name: str, gpus: Sequence[Mapping[str, Any]]) -> Compatibility:
    """Return what TF logs when the first policy of this name is made on a machine with these GPUs.

    Args:
        policy_name: only "mixed_float16" is checked.
        gpus: of each GPU the optional keys "device_name" and "compute_capability" (major, minor).
    """
    if policy_name != "mixed_float16":
        return Compatibility()
    fast = [gpu for gpu in gpus if tuple(gpu.get("compute_capability") or ()) >= _FAST_FROM]
    slow = [gpu for gpu in gpus if gpu not in fast]
    if slow or not gpus:
        return Compatibility(warnings=(_WARNING + _slow_text(fast, slow) + _ELSEWHERE,))
    return Compatibility(infos=(_OK + _fast_text(gpus),))


def _fast_text(gpus: Sequence[Mapping[str, Any]]) -> str:
    if len(gpus) == 1:
        return (
            "Your GPU will likely run quickly with dtype policy mixed_float16 as it has compute capability of at least "
            f"7.0. Your GPU: {_described(gpus[0])}"
        )
    return (
        "Your GPUs will likely run quickly with dtype policy mixed_float16 as they all have compute capability of at "
        "least 7.0"
    )


def _slow_text(fast: Sequence[Mapping[str, Any]], slow: Sequence[Mapping[str, Any]]) -> str:
    if not slow:
        return (
            "The dtype policy mixed_float16 may run slowly because this machine does not have a GPU. Only Nvidia GPUs "
            "with compute capability of at least 7.0 run quickly with mixed_float16.\n"
        )
    if fast:
        who, why, noun = "Some of your GPUs", "they do not all have", "GPUs"
    elif len(slow) == 1:
        who, why, noun = "Your GPU", "it does not have", "GPU"
    else:
        who, why, noun = "Your GPUs", "they do not have", "GPUs"
    lines = "".join(f"  {line}\n" for line in _counted([*fast, *slow]))
    return (
        f"{who} may run slowly with dtype policy mixed_float16 because {why} compute capability of at least 7.0. "
        f"Your {noun}:\n{lines}{_LIST}"
    )


def _counted(gpus: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a line per GPU, equal neighbours counted in one."""
    counts = [(line, len(list(equal))) for line, equal in groupby(_described(gpu) for gpu in gpus)]
    return [line if count == 1 else f"{line} (x{count})" for line, count in counts]


def _described(gpu: Mapping[str, Any]) -> str:
    name = gpu.get("device_name", "Unknown GPU")
    capability = gpu.get("compute_capability")
    if not capability:
        return f"{name}, no compute capability (probably not an Nvidia GPU)"
    return f"{name}, compute capability {capability[0]}.{capability[1]}"
