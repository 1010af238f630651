"""What the dialects of Keras have in common: a policy, a loss scale or an optimizer, or an object of these.

Each may stand alone, as Keras writes it, or under its name in an object: ``{"policy": ..., "optimizer": ...}``.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine import scaler_rules
from engine.conventions import Conventions
from engine.errors import InvalidType, located
from engine.loss_scale import FixedLossScale, LossScale
from engine.optimizers import OPTIMIZERS
from engine.optimizers.base import Optimizer
from engine.optimizers.loss_scale_optimizer import LossScaleOptimizer
from engine.scaler import ScalerRule
from engine.serialization.translate.fields import Fields
from engine.serialization.translate.setup import FORMAL, INFERRED, Dtypes, Path, Reading, Setup, check_scale, steps

PARTS = ("policy", "loss_scale", "optimizer")
_COMPILED = (
    *("loss", "loss_weights", "metrics", "weighted_metrics", "sample_weight_mode", "run_eagerly"),
    *("steps_per_execution", "jit_compile", "auto_scale_loss", "is_pss_strategy"),
)
"""What stands beside the optimizer in ``training_config`` of .h5 files and in ``compile_config`` of .keras files."""

_MODELS = ("Sequential", "Functional", "Model")
_WRAPPERS = ("LossScaleOptimizer", "LossScaleOptimizerV1", "LossScaleOptimizerV3")
_LOSS_SCALES = ("FixedLossScale", "DynamicLossScale")
_NAMES = frozenset(name.lower() for name in (*OPTIMIZERS, *_WRAPPERS))


@dataclass
class Found:
    """What was found so far in a config, and where.

    Attributes:
        dtypes, scaling, rule, optimizer: as in a ``Setup``.
        paths, ignored, beside: as in a ``Reading``.
    """

    dtypes: Dtypes | None = None
    scaling: Any = "unsaid"
    rule: ScalerRule | None = None
    optimizer: Optimizer | None = None
    paths: dict[str, Path] = field(default_factory=dict)
    ignored: dict[str, str] = field(default_factory=dict)
    beside: dict[str, str] = field(default_factory=dict)

    def reading(self) -> Reading:
        """Return it as it is by now."""
        setup = Setup(self.dtypes, self.scaling, self.rule, None, self.optimizer)
        return Reading(setup, self.paths, self.ignored, self.beside)

    def scaled(self, rule: ScalerRule, paths: Mapping[str, Path]) -> None:
        """Note how the loss is scaled, and where that is said."""
        check_scale(rule.initial_scale, paths.get("initial_scale") or "")
        for fact in _SCALING:
            before = self.paths.pop(fact, None)
            if before is not None and before not in self.paths.values():
                self.ignored[before] = "a later part says how the loss is scaled"
        self.scaling = "dynamic" if rule.checked else "fixed"
        self.rule = rule
        self.paths |= {"scaling": next(iter(paths.values()), None), **paths}

    def unscaled(self, path: Path) -> None:
        """Note that the loss is not scaled."""
        self.scaling = "none"
        self.paths["scaling"] = path


def split(config: Any, others: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the parts of a config by name; what stands alone is one part, at the path "".

    Raises:
        InvalidType: an object with other keys, or a whole model.
    """
    accepted = (*PARTS, *others)
    if not isinstance(config, dict) or "class_name" in config:
        return {_part(config): config}
    saved = _saved(config)
    if saved:
        return {"optimizer": config[saved]}
    for key in config:
        if key not in accepted:
            text = f"A Keras setup has no part {key!r}; accepted are {', '.join(accepted)}, or one of them alone."
            raise InvalidType(text, code="unexpected_argument", path=(str(key),))
    return dict(config)


def _saved(config: Mapping[str, Any]) -> str:
    """Return the key of the optimizer in what Keras saves of a compiled model; empty for another object."""
    if "optimizer_config" in config:
        return "optimizer_config"
    return "optimizer" if "optimizer" in config and config.keys() & set(_COMPILED) else ""


def _part(config: Any) -> str:
    name = config.get("class_name") if isinstance(config, dict) else None
    if not isinstance(name, str):
        return "policy"
    if name in _MODELS:
        raise InvalidType(
            f"This is a whole model ({name}), whose layers may have policies of their own; `/v1/models/inspect` tells "
            "them. To translate, send the `dtype` of a layer as `policy`, and the optimizer in its `compile_config` "
            "as `optimizer`.",
            code="whole_model",
        )
    if name in _LOSS_SCALES:
        return "loss_scale"
    return "optimizer" if name.lower() in _NAMES else "policy"


def place(config: Any, part: str) -> str:
    """Return the path of a part: "" where the config is nothing else."""
    if not isinstance(config, dict) or "class_name" in config:
        return ""
    return _saved(config) or part if part == "optimizer" else part


def below(path: str, *keys: str) -> str:
    """Return the path of what is inside."""
    return ".".join([*filter(None, [path]), *keys])


def dtypes_of(compute: str | None, variable: str | None, details: Mapping[str, Any] | None = None) -> Dtypes:
    """Return the dtypes of a policy of Keras; None stands for those that the input decides."""
    return Dtypes(compute or INFERRED, variable or INFERRED, "layers", details=details or {})


def name_path(value: Any, path: str, key: str = "name") -> str:
    """Return where a policy has its name."""
    return below(path, "config", key) if isinstance(value, dict) else path


_SCALING = ("scaling", "initial_scale", "growth_interval", "growth_factor", "backoff_factor")
_CLIPS = ("clipnorm", "clipvalue", "global_clipnorm")
"""Settings that TF 2.4 writes only where they are given."""

_SETTINGS = {
    "FixedLossScale": {"initial_scale": "loss_scale_value"},
    "DynamicLossScale": {
        "initial_scale": "initial_loss_scale",
        "growth_interval": "increment_period",
        "growth_factor": "multiplier",
        "backoff_factor": "multiplier",
    },
}


def note_loss_scale(found: Found, scale: LossScale | None, given: Any, path: str) -> None:
    """Note a loss scale of TF, and where its settings are."""
    if scale is None:
        found.unscaled(path)
        return
    config = given.get("config", {}) if isinstance(given, dict) else None
    if config is None:
        says = {"initial_scale": path} if isinstance(scale, FixedLossScale) else {"scaling": path}
    else:
        settings = _SETTINGS[type(scale).__name__]
        says = {fact: below(path, "config", key) for fact, key in settings.items() if key in config}
    check_scale(scale.rule.initial_scale, path)
    found.scaled(scale.rule, {"scaling": path, **says})


def note_optimizer(found: Found, optimizer: Optimizer | LossScaleOptimizer, config: Any, path: str) -> None:
    """Note an optimizer and what wraps it; a fixed scale of its own counts where nothing wraps it."""
    inner = optimizer.inner_optimizer
    found.optimizer = inner
    settings = config.get("config") or {} if isinstance(config, dict) else {}
    at = path
    if isinstance(optimizer, LossScaleOptimizer):
        key = "inner_optimizer" if "inner_optimizer" in settings else "optimizer"
        at = below(path, "config", key)
        given = settings.get(key)
        settings = given.get("config") or {} if isinstance(given, dict) else {}
        note_wrapper(found, optimizer.rule, config["config"], below(path, "config"))
    elif inner.loss_scale_factor is not None:
        found.scaled(inner.rule, {"initial_scale": below(path, "config", "loss_scale_factor")})
    found.paths["optimizer.class_name"] = at
    says = {key: below(at, "config", key) for key in settings}
    found.paths |= {f"optimizer.{key}": where for key, where in says.items() if key not in FORMAL}
    found.beside |= {says[key]: about for key, about in FORMAL.items() if key in says}


def note_wrapper(found: Found, rule: ScalerRule, config: Mapping[str, Any], path: str) -> None:
    """Note what a LossScaleOptimizer says, in the form of TF 2.4 and later."""
    says = {"scaling": "dynamic", "initial_scale": "initial_scale", "growth_interval": "dynamic_growth_steps"}
    found.scaled(rule, {"scaling": path} | {fact: below(path, key) for fact, key in says.items() if key in config})
    if not rule.checked and "dynamic_growth_steps" in config:
        found.ignored[below(path, "dynamic_growth_steps")] = "the loss scale is fixed"
    if "name" in config:
        found.beside[below(path, "name")] = "the name of the wrapper"


def in_line(optimizer: Optimizer, conventions: Conventions) -> Optimizer:
    """Return an optimizer as a line of Keras has it, without the settings that it lacks.

    Raises:
        EngineError: a setting that the line refuses.
    """
    items = {item.name: item for item in dataclasses.fields(optimizer) if "write" in item.metadata}
    kept = {name: getattr(optimizer, name) for name in items}
    blank = type(optimizer)(conventions=conventions)
    written = blank.get_config(conventions)
    lacking = {name: items[name].default for name in items if name not in (*written, *_CLIPS)}
    return type(optimizer)(**{**kept, **lacking}, conventions=conventions)


def read_at(path: str, read: Any, value: Any) -> Any:
    """Read a part; its errors say where in the whole config they are."""
    with located(*filter(None, [path])):
        return read(value)


def wrapper_settings(setup: Setup) -> dict[str, Any]:
    """Return the settings of a LossScaleOptimizer for a setup."""
    rule = setup.known_rule
    if setup.scaling == "fixed":
        return {"dynamic": False, "initial_scale": rule.initial_scale, "dynamic_growth_steps": None}
    return {"dynamic": True, "initial_scale": rule.initial_scale, "dynamic_growth_steps": steps(rule)}


def implied(setup: Setup, name: str | None) -> bool:
    """Whether compiling a model of a policy by that name scales the loss as the setup says, without a wrapper."""
    if name == "mixed_float16":
        return setup.scaling == "dynamic" and same_settings(setup.known_rule, scaler_rules.tf24())
    return setup.scaling in ("none", "unsaid")


def same_settings(rule: ScalerRule, other: ScalerRule) -> bool:
    """Whether two rules agree in what a LossScaleOptimizer can be told."""
    return (rule.initial_scale, rule.growth_interval) == (other.initial_scale, other.growth_interval)


def policy_name(dtypes: Dtypes, inferred: str | None) -> str:
    """Return the nearest name of a policy: a mixed one, or that of the compute dtype.

    Args:
        dtypes: to name.
        inferred: the name of the policy that takes its dtype from its input; None where there is none.
    """
    if dtypes.compute == INFERRED:
        return inferred or "float32"
    mixed = f"mixed_{dtypes.compute}"
    if dtypes.compute in ("float16", "bfloat16") and dtypes.variable != dtypes.compute:
        return mixed
    return dtypes.compute


_ARGUMENTS = ("loss_scale_factor", "initial_scale", "dynamic_growth_steps")


def note_arguments(found: Found, config: Any, dynamic: Callable[..., ScalerRule]) -> None:
    """Note ``loss_scaling``, which stands for a wrapper around an optimizer that the config does not have.

    Args:
        found: what was found so far.
        config: null for none, or ``{"loss_scale_factor"}``, or ``{"initial_scale", "dynamic_growth_steps"}``.
        dynamic: the rule of a scale that moves.
    """
    path = "loss_scaling"
    if config is None:
        found.rule = None
        found.unscaled(path)
        return
    fields = Fields(path, config, _ARGUMENTS, path)
    if fields.has("loss_scale_factor"):
        rule = dataclasses.replace(
            scaler_rules.fixed(fields.number("loss_scale_factor", 1.0, "initial_scale")),
            unscale="divide" if dynamic is scaler_rules.keras3 else "reciprocal",
        )
    else:
        scale = fields.number("initial_scale", 2.0**15, "initial_scale")
        rule = dynamic(scale, fields.whole("dynamic_growth_steps", 2000, "growth_interval", low=1))
    found.scaled(rule, {"scaling": path, **fields.paths})


def arguments(setup: Setup) -> dict[str, Any] | None:
    """Return ``loss_scaling`` for a setup."""
    if setup.rule is None:
        return None
    if setup.scaling == "fixed":
        return {"loss_scale_factor": setup.rule.initial_scale}
    return {"initial_scale": setup.rule.initial_scale, "dynamic_growth_steps": steps(setup.rule)}
