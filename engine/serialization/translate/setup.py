"""What a precision setup says, whatever system it was written for: one record between all dialects."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    """

    dtypes: Dtypes | None = None
    scaling: Scaling = "unsaid"
    rule: ScalerRule | None = None
    state: ScalerState | None = None
    optimizer: Optimizer | None = None

    @property
    def known_rule(self) -> ScalerRule:
        """The rule, where the loss is scaled."""
        assert self.rule is not None, "the loss is not scaled"
        return self.rule


@dataclass(frozen=True)
class Reading:
    """A config that was read.

    Attributes:
        setup: what it says.
        paths: for every fact that a setting says, where.
        ignored: settings that have no effect on anything in a setup, with the reason.
    """

    setup: Setup
    paths: Mapping[str, Path] = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)


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


FORMAL = ("loss_scale_factor", "is_legacy_optimizer", "jit_compile")
"""Settings of optimizers that say nothing of what is computed, or that the scaling says already."""


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
