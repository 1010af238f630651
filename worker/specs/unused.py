"""Settings that are accepted and have no effect: each is named where it is given with another value than its default.

One table, by class and key. `tests/contracts/test_every_setting_counts.py` holds, for every class that there is, that
every setting either changes something or stands here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from engine import initializers
from engine.errors import EngineError
from worker.specs.errors import pointer_to
from worker.specs.notices import Notice

Path: TypeAlias = tuple[str | int, ...]
Config: TypeAlias = Mapping[str, Any]
Condition: TypeAlias = Callable[[Config], bool]


def _always(config: Config) -> bool:  # noqa: ARG001  # a condition takes the config
    return True


def _without(*keys: str) -> Condition:
    """Return the condition that none of these settings is on."""
    return lambda config: not any(config.get(key) for key in keys)


@dataclass(frozen=True)
class Unused:
    """A setting without effect.

    Attributes:
        key: of the config.
        defaults: values that mean that it was not set.
        why: what is the case instead.
        when: of which configs it holds.
    """

    key: str
    defaults: tuple[Any, ...]
    why: str
    when: Condition = _always


_RECURRENT = ("SimpleRNN", "LSTM", "GRU")
_FACTORED = ("DepthwiseConv1D", "DepthwiseConv2D", "SeparableConv1D", "SeparableConv2D")
_ATTENTION = ("Attention", "AdditiveAttention", "MultiHeadAttention", "GroupQueryAttention")
_NOISE = ("Dropout", "AlphaDropout", "GaussianDropout", "SpatialDropout1D", "SpatialDropout2D")
_OPTIMIZERS = (
    *("Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax"),
    *("Ftrl", "Lamb", "Lion", "Nadam", "RMSprop", "SGD"),
)
_MONITORS = ("EarlyStopping", "ModelCheckpoint", "ReduceLROnPlateau")
_SCALERS = ("LossScaleOptimizer", "LossScaleOptimizerV1", "LossScaleOptimizerV3")
_MEANS = ("auto", "sum_over_batch_size", None)

_OP_BY_OP = "every run computes op by op"
_ONLY_BEST = "it counts with `save_best_only` alone"
_BY_CLASS: tuple[tuple[tuple[str, ...], tuple[Unused, ...]], ...] = (
    (
        _RECURRENT,
        (
            Unused("unroll", (False, None), "steps are always unrolled here"),
            Unused("implementation", (2, None), "there is one implementation here"),
            Unused("seed", (None,), "it counts with dropout alone", _without("dropout", "recurrent_dropout")),
        ),
    ),
    (_ATTENTION, (Unused("seed", (None,), "it counts with dropout alone", _without("dropout")),)),
    (
        ("MultiHeadAttention",),
        (Unused("softmax_robust_masking", (False, None), "a softmax takes masks one way here"),),
    ),
    (_NOISE, (Unused("seed", (None,), "a rate of 0 drops nothing", _without("rate")),)),
    (("GaussianNoise",), (Unused("seed", (None,), "a deviation of 0 adds nothing", _without("stddev")),)),
    (
        _FACTORED,
        tuple(
            Unused(f"kernel_{kind}", ("glorot_uniform",) if kind == "initializer" else (None,), why)
            for kind in ("initializer", "regularizer", "constraint")
            for why in [f"the layer has no such kernel; `depthwise_{kind}` is what counts"]
        ),
    ),
    (("BatchNormalization",), (Unused("renorm_momentum", (0.99, None), "it belongs to `renorm`, which is off"),)),
    (("Embedding",), (Unused("input_length", (None,), "the data say how long the inputs are"),)),
    (
        _OPTIMIZERS,
        (
            Unused("ema_momentum", (0.99, None), "it belongs to `use_ema`, which is off", _without("use_ema")),
            Unused("ema_overwrite_frequency", (None,), "it belongs to `use_ema`, which is off", _without("use_ema")),
            Unused("jit_compile", (False, None), _OP_BY_OP),
            Unused("is_legacy_optimizer", (False, None), "the newer optimizer of tf_keras computes here"),
            Unused(
                "update_seed",
                (0, None),
                "it belongs to `update_rounding` = 'stochastic'",
                lambda config: config.get("update_rounding") != "stochastic",
            ),
        ),
    ),
    (("SGD",), (Unused("nesterov", (False, None), "there is no momentum", _without("momentum")),)),
    (
        _SCALERS,
        (
            Unused(
                "dynamic_growth_steps",
                (None,),
                "the loss scale is fixed",
                lambda config: config.get("dynamic") is False,
            ),
        ),
    ),
    (
        ("BinaryFocalCrossentropy",),
        (Unused("alpha", (0.25,), "it belongs to `apply_class_balancing`", _without("apply_class_balancing")),),
    ),
    (
        ("Dice", "Tversky"),
        (Unused("reduction", _MEANS, "without `axis` there is one number, and nothing to reduce", _without("axis")),),
    ),
    (
        ("IoU", "MeanIoU"),
        (
            Unused(
                "axis",
                (-1,),
                "labels and predictions are class numbers, which have no such axis",
                lambda config: config.get("sparse_y_true", True) and config.get("sparse_y_pred", True),
            ),
        ),
    ),
    (
        ("CosineDecay",),
        (Unused("warmup_steps", (0,), "it belongs to `warmup_target`", lambda c: c.get("warmup_target") is None),),
    ),
    (_MONITORS, (Unused("verbose", (0, False, "auto"), "what a callback does is always an event of the job"),)),
    (
        ("ModelCheckpoint",),
        (
            Unused("monitor", ("val_loss",), _ONLY_BEST, _without("save_best_only")),
            Unused("mode", ("auto",), _ONLY_BEST, _without("save_best_only")),
            Unused("initial_value_threshold", (None,), _ONLY_BEST, _without("save_best_only")),
        ),
    ),
)
TABLE: Mapping[str, tuple[Unused, ...]] = {
    name: tuple(rule for names, rules in _BY_CLASS if name in names for rule in rules)
    for name in dict.fromkeys(name for names, _ in _BY_CLASS for name in names)
}
"""By class name."""
_PLACES = (("model",), ("compile",), ("fit", "callbacks"))
MOST_PLACES = 5
"""Places of which the same is said, before they are counted."""


def unused_settings(body: Mapping[str, Any]) -> Iterator[Notice]:
    """Yield the settings of a request that have no effect; the same setting of many layers is told once."""
    alike: dict[tuple[str, str, str], list[str]] = {}
    for place in _PLACES:
        here: Any = body
        for key in place:
            here = here.get(key) if isinstance(here, Mapping) else None
        for path, name, rule in _found(here, place):
            alike.setdefault((name, rule.key, rule.why), []).append(pointer_to(path))
    for (name, key, why), pointers in alike.items():
        more = f" So it is in {len(pointers) - 1} more places." if len(pointers) > 1 else ""
        yield Notice(code="no_effect", message=f"`{key}` of {name} changes nothing: {why}.{more}", pointer=pointers[0])


def _found(outer: Any, place: Path) -> Iterator[tuple[Path, str, Unused]]:
    waiting: list[tuple[Any, Path]] = [(outer, place)]
    while waiting:
        here, path = waiting.pop()
        if isinstance(here, Mapping):
            yield from _of_node(here, path)
            waiting.extend((value, (*path, key)) for key, value in reversed(list(here.items())) if key not in _ASIDE)
        elif isinstance(here, list | tuple):
            waiting.extend((value, (*path, index)) for index, value in reversed(list(enumerate(here))))


_ASIDE = ("compile_config", "training_config", "build_config", "inbound_nodes")
"""Members of a model that hold no settings of a job."""


_NESTED = Unused("compile_config", (None,), "only the job's own `compile` is used")
_SHAPE = Unused("batch_input_shape", (None,), "the shape follows from the layer before it")


def _of_node(node: Mapping[str, Any], path: Path) -> Iterator[tuple[Path, str, Unused]]:
    name, config = node.get("class_name"), node.get("config")
    if not isinstance(name, str) or not isinstance(config, Mapping):
        return
    if node.get("compile_config") and path != ("model",):
        yield (*path, "compile_config"), name, _NESTED
    later = path[-2:-1] == ("layers",) and (bool(path[-1]) or bool(node.get("inbound_nodes")))
    # TF 2.4 and tf_keras write the shape into every Embedding.
    if later and config.get("batch_input_shape") and name not in {"InputLayer", "Embedding"}:
        yield (*path, "config", "batch_input_shape"), name, _SHAPE
    for rule in TABLE.get(name, ()):
        if rule.key in config and rule.when(config) and not _is_default(rule, config[rule.key]):
            yield (*path, "config", rule.key), name, rule


def _is_default(rule: Unused, value: Any) -> bool:
    if value in rule.defaults:
        return True
    if not rule.key.endswith("_initializer"):
        return False
    try:
        return any(initializers.get(value) == initializers.get(one) for one in rule.defaults)
    except EngineError:
        return False
