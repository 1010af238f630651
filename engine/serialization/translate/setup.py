"""What a precision setup says, whatever system it was written for: one record between all dialects."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from engine.conventions import TF24
from engine.errors import InvalidValue
from engine.optimizers.base import Optimizer
from engine.scaler import ScalerRule, ScalerState

Scaling: TypeAlias = Literal["unsaid", "none", "fixed", "dynamic"]
Casting: TypeAlias = Literal["layers", "ops", "model", "explicit"]
Path: TypeAlias = str | None
"""A dotted place in a config; "" is the config itself; None is a default or a behaviour that no setting changes."""

INFERRED = "inferred"


@dataclass(frozen=True)
class Dtypes:
    """Which dtypes a model computes in and keeps its variables in.

    Attributes:
        compute: name of a dtype, or "inferred" from the input.
        variable: likewise, of the variables that the optimizer updates (master weights).
        casting: what casts: layers (Keras), single ops (autocast), the whole model at once, or the user's own calls.
        output: of results, where it is not ``compute``.
        details: what else a policy says, such as a quantization mode.
    """

    compute: str
    variable: str
    casting: Casting
    output: str | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Setup:
    """Dtypes, loss scaling, its state and the optimizer, as far as a config says them.

    Attributes:
        dtypes: None where the config says nothing of them.
        scaling: whether the loss is scaled, and whether its scale moves.
        rule: how it is scaled, for "fixed" and "dynamic".
        state: where it stands, for configs that were saved while training.
        optimizer: for dialects that scale in a wrapper around one.
        checked: whether a step with nonfinite gradients is skipped although the loss is not scaled; None where the
            dialect has no such thing.
    """

    dtypes: Dtypes | None = None
    scaling: Scaling = "unsaid"
    rule: ScalerRule | None = None
    state: ScalerState | None = None
    optimizer: Optimizer | None = None
    checked: bool | None = None

    @property
    def known_rule(self) -> ScalerRule:
        """The rule, where the loss is scaled."""
        assert self.rule is not None, "the loss is not scaled"
        return self.rule


@dataclass(frozen=True)
class Remark:
    """What to know of a config before it is used.

    Attributes:
        code: stable snake_case name for programs.
        text: for people.
        path: where in the config that was read, empty for the whole of it; None for a config that was written.
    """

    code: str
    text: str
    path: tuple[str, ...] | None = ()


@dataclass(frozen=True)
class Reading:
    """A config that was read.

    Attributes:
        setup: what it says.
        paths: for every fact that a setting says, where.
        ignored: settings that have no effect where they stand, with the reason.
        beside: settings that act, though not on precision, with what they are about.
        further: settings of precision that no fact of a setup holds, with what they say.
        remarks: what to know of it.
        seen: places of settings that were looked at, whether or not something came of it.
        given: the config with its settings by path, where it is no object, such as a command line.
    """

    setup: Setup
    paths: Mapping[str, Path] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    beside: Mapping[str, str] = field(default_factory=dict)
    further: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[Remark, ...] = ()
    seen: frozenset[str] = frozenset()
    given: Any = None


_FIXED_FACTS = ("initial_scale", "checked", "skip_advances_iterations", "unscale")


def facts(setup: Setup) -> dict[str, Any]:
    """Return everything that a setup says, as JSON values by name."""
    return {**_dtype_facts(setup.dtypes), **_scaling_facts(setup), **_optimizer_facts(setup.optimizer)}


def _dtype_facts(dtypes: Dtypes | None) -> dict[str, Any]:
    if dtypes is None:
        return {}
    output = {} if dtypes.output in (None, dtypes.compute) else {"output_dtype": dtypes.output}
    casts = {} if dtypes.compute == dtypes.variable == "float32" else {"casting": dtypes.casting}
    return {
        "compute_dtype": dtypes.compute,
        "variable_dtype": dtypes.variable,
        **casts,
        **output,
        **dtypes.details,
    }


def _scaling_facts(setup: Setup) -> dict[str, Any]:
    found: dict[str, Any] = {} if setup.scaling == "unsaid" else {"scaling": setup.scaling}
    if setup.scaling == "none" and setup.checked is not None:
        found["checked"] = setup.checked
    if setup.rule is not None:
        every = dataclasses.asdict(setup.rule)
        names = _FIXED_FACTS if setup.scaling == "fixed" else [name for name in every if name != "checked"]
        found |= {name: every[name] for name in names}
        found["backoff_factor"] = backoff(setup.rule)
        if setup.scaling == "fixed":
            del found["backoff_factor"]
    if setup.state is not None and setup.rule is not None:
        found |= {f"state.{name}": getattr(setup.state, name) for name in _state_facts(setup.rule)}
    return found


def _state_facts(rule: ScalerRule) -> list[str]:
    """Return what of a state its rule looks at."""
    patience = ["patience"] if rule.hysteresis > 1 else []
    return ["loss_scale", "counter", *patience, *(["overflows", "since_change"] if rule.tolerance else [])]


def backoff(rule: ScalerRule) -> float:
    """Return what shrinking multiplies by; infinity where it divides by 0, as TF lets a multiplier be."""
    if rule.backoff_factor is not None:
        return rule.backoff_factor
    return 1 / rule.growth_factor if rule.growth_factor else math.inf


def _optimizer_facts(optimizer: Optimizer | None) -> dict[str, Any]:
    if optimizer is None:
        return {}
    items = {item.name: item for item in dataclasses.fields(optimizer) if "write" in item.metadata}
    # The fixed scale of Keras 3 is a fact of the scaling, whether the optimizer is a legacy one is one of the form.
    written = [key for key in optimizer.get_config(optimizer.conventions) if key not in FORMAL]
    values = {f"optimizer.{key}": items[key].metadata["write"](getattr(optimizer, key), TF24) for key in written}
    return {"optimizer.class_name": optimizer.class_name, **values}


FORMAL: Mapping[str, str] = MappingProxyType(
    {
        "loss_scale_factor": "null, or the wrapper's scale counts",
        "is_legacy_optimizer": "the form of the config",
        "jit_compile": "how updates are compiled",
    }
)
"""Settings of optimizers that say nothing of what is computed, or that the scaling says already."""


NEVER = 2**31 - 1
"""A count of steps that lies beyond any training, for systems that cannot say "never"."""

_STILL = 1 - 2**-53
"""The largest factor below 1: a float32 times it is the same float32 again."""


def steps(rule: ScalerRule) -> int:
    """Return how many finite steps make the scale grow, as an integer of at least 1."""
    if rule.growth_interval < 1:
        return NEVER if rule.reached == "==" else 1
    return min(rule.growth_interval, NEVER)


def shrinking(rule: ScalerRule) -> float:
    """Return what shrinking multiplies by, above 0 and below 1; the nearest one to 1 where the scale never shrinks."""
    factor = backoff(rule)
    if rule.hysteresis < 1 or not factor < 1:
        return _STILL
    return factor if factor > 0 else 2.0**-24


def growing(rule: ScalerRule) -> float:
    """Return what growing multiplies by, above 1; the nearest one to 1 where the scale never grows."""
    return rule.growth_factor if rule.growth_factor > 1 else 1 + 2**-52


def check_scale(value: float, path: str) -> float:
    """Return a scale that any system could use.

    Raises:
        InvalidValue: it is not positive and finite.
    """
    if not 0 < value < float("inf"):
        raise InvalidValue(
            f"A loss scale must be a positive, finite number to be translated, but got: {value}",
            code="untranslatable",
            path=tuple(part for part in path.split(".") if part),
        )
    return value
