"""Names that other systems have for what Keras calls a dtype policy: a hint for those who write them here."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from engine.errors import EngineError
from worker.specs.errors import FieldError, from_engine
from worker.specs.places import reachable

_HINTED = frozenset({"unknown_policy", "unknown_dtype"})
_MEANINGS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "mixed_float16": (
            *("fp16", "f16", "16", "16_mixed", "fp16_mixed", "float16_mixed", "half_mixed", "mixed_16", "mixed16"),
            *("mixed_fp16", "mixed_f16", "mixed_half", "fp16_amp", "amp_fp16"),
        ),
        "mixed_bfloat16": (
            *("bf16", "bf16_mixed", "bfloat16_mixed", "mixed_bf16", "bf16_amp", "amp_bf16"),
            *("brain_float16", "mixed_brain_float16"),
        ),
        "float16": ("16_true", "fp16_true", "pure_fp16", "pure_float16", "fp16_full"),
        "bfloat16": ("bf16_true", "pure_bf16", "pure_bfloat16", "bf16_full"),
        "float32": ("fp32", "f32", "32", "32_true", "fp32_true", "full", "single", "tf32", "no", "none"),
        "float64": ("fp64", "f64", "64", "64_true"),
        "float8_from_mixed_bfloat16": ("fp8", "float8", "f8", "fp8_mixed", "float8_mixed"),
        'mixed_float16" or "mixed_bfloat16': ("amp", "autocast", "auto", "mixed", "mixed_precision", "native_amp"),
    }
)
"""What Keras calls them, and the names: of torch, Lightning, Accelerate, DeepSpeed, Axolotl, jmp and the like."""
_BY_NAME = MappingProxyType({name: policy for policy, names in _MEANINGS.items() for name in names})
_KERAS = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16", "float32", "float64")


def suggestion(name: object) -> str:
    """Return a sentence that asks whether another policy was meant, or nothing."""
    if not isinstance(name, str):
        return ""
    plain = name.strip().lower().replace("-", "_").replace(" ", "_").removeprefix("torch.").removeprefix("jnp.")
    near = difflib.get_close_matches(plain, _KERAS, n=1, cutoff=0.85)
    meant = plain if plain in _KERAS else _BY_NAME.get(plain) or next(iter(near), None)
    return f' Did you mean "{meant}"?' if meant and meant != name else ""


def hinted(error: EngineError, body: object, *outer: str | int) -> FieldError:
    """Return the field error of an engine error; one about the name of a policy ends with a suggestion."""
    fault = from_engine(error, body, *outer)
    if error.code not in _HINTED:
        return fault
    value: object = body
    for part in reachable(body, (*outer, *error.path)):
        value = value[part]  # type: ignore[index]
    return replace(fault, message=fault.message + suggestion(value))
