"""What `GET /v1/policies` lists: every policy by name, with those who know it, and every dtype."""

from __future__ import annotations

from engine.dtype_policy import QUANTIZATION_MODES
from engine.dtypes import DTYPES, DType
from engine.errors import EngineError
from engine.policy import MIXED, PolicyV1
from worker.specs.dialects import DIALECTS, Dialect
from worker.specs.loss_scales import shape_of
from worker.specs.policy_dialects import POLICY_DIALECTS, AnyPolicy
from worker.specs.policy_shapes import DTypeListing, PolicyList, PolicyListing

_INFER = "_infer"
_GROUPED = ("gptq", "awq")
"""Modes that say the sizes of their groups too: there is no end of their policies."""


def list_policies() -> PolicyList:
    """Return every policy and dtype there is."""
    mixed = [name for name in MIXED if name != _INFER]
    sources = ("float32", "float16", "bfloat16", *mixed)
    modes = [mode for mode in QUANTIZATION_MODES if mode not in _GROUPED]
    quantized = [f"{mode}_from_{source}" for mode in modes for source in sources]
    found = (_listing(name) for name in (*mixed, *DTYPES, _INFER, *quantized))
    return PolicyList(
        data=tuple(listing for listing in found if listing.dialects), dtypes=tuple(map(_dtype, DTYPES.values()))
    )


def _listing(name: str) -> PolicyListing:
    known = {dialect: policy for dialect in DIALECTS if (policy := _named(dialect, name)) is not None}
    policy = next(iter(known.values()), None)
    scale = PolicyV1(name).loss_scale if "tf2.4" in known else None
    return PolicyListing(
        name=name,
        compute_dtype=getattr(policy, "compute_dtype", None),
        variable_dtype=getattr(policy, "variable_dtype", None),
        default_loss_scale=shape_of(scale),
        dialects=tuple(known),
    )


def _named(dialect: Dialect, name: str) -> AnyPolicy | None:
    """Return the policy that a line of Keras knows by a name, None where it knows none."""
    try:
        found: AnyPolicy = POLICY_DIALECTS[dialect].read(name).value
    except EngineError:
        return None
    return found


def _dtype(dtype: DType) -> DTypeListing:
    return DTypeListing(
        name=dtype.name,
        aliases=dtype.aliases,
        bits=dtype.bits,
        exponent_bits=dtype.exponent_bits,
        mantissa_bits=dtype.mantissa_bits,
        max=dtype.max,
        min_normal=dtype.min_normal,
        min_subnormal=dtype.min_subnormal,
        epsilon=dtype.epsilon,
    )
