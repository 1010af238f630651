"""Precision setups from one system to another, with a report of everything that does not come through whole.

Every dialect reads its configs into one record, a ``Setup``, and writes it. What was written is read again, so that
the report compares what both sides mean, not what a writer believes to have written.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from engine.errors import EngineError, InvalidValue
from engine.serialization.translate import (
    apex,
    deepspeed,
    deepspeed_auto,
    fairseq,
    jmp,
    keras3,
    megatron,
    tf23,
    tf24,
    tf_keras,
    torch,
)
from engine.serialization.translate.report import Item, Sides, Translation, compared
from engine.serialization.translate.setup import Reading, Remark, Setup, facts

__all__ = [
    "DIALECTS",
    "Dialect",
    "Item",
    "Reading",
    "Remark",
    "Setup",
    "Translation",
    "facts",
    "facts_if_filled",
    "read",
    "translate",
]


def _silent(setup: Setup) -> tuple[Remark, ...]:
    return ()


@dataclass(frozen=True)
class Dialect:
    """How one system writes precision setups down.

    Attributes:
        read: a config into what it says; raises InvalidType or InvalidValue with the path of what is wrong.
        write: a setup into the nearest config.
        limits: why a setting of this dialect cannot hold every value of a fact.
        warnings: what to know of a config that was written.
    """

    read: Callable[[Any], Reading]
    write: Callable[[Setup], Any]
    limits: Mapping[str, str]
    warnings: Callable[[Setup], tuple[Remark, ...]] = _silent


DIALECTS: Mapping[str, Dialect] = MappingProxyType(
    {
        "tf2.3": Dialect(tf23.read, tf23.write, tf23.LIMITS),
        "tf2.4": Dialect(tf24.read, tf24.write, tf24.LIMITS, tf24.warnings),
        "tf_keras": Dialect(tf_keras.read, tf_keras.write, tf_keras.LIMITS),
        "keras3": Dialect(keras3.read, keras3.write, keras3.LIMITS),
        "torch": Dialect(torch.read, torch.write, torch.LIMITS),
        "deepspeed": Dialect(deepspeed.read, deepspeed.write, deepspeed.LIMITS),
        "megatron": Dialect(megatron.read, megatron.write, megatron.LIMITS),
        "fairseq": Dialect(fairseq.read, fairseq.write, fairseq.LIMITS),
        "jmp": Dialect(jmp.read, jmp.write, jmp.LIMITS),
        "apex": Dialect(apex.read, apex.write, apex.LIMITS),
    }
)
"""Every dialect by its name."""


def _dialect(name: str) -> Dialect:
    if name not in DIALECTS:
        raise InvalidValue(f"Unknown dialect: {name!r}. Accepted are {', '.join(DIALECTS)}.", code="unknown_dialect")
    return DIALECTS[name]


def read(dialect: str, config: Any) -> Reading:
    """Read a config of a dialect.

    Raises:
        InvalidType, InvalidValue: no such dialect, or what its reader refuses; ``path`` leads to the fault.
    """
    return _dialect(dialect).read(config)


def translate(source: str, target: str, config: Any, fill: Mapping[str, bool] | None = None) -> Translation:
    """Return a config of one dialect in another.

    Args:
        source: name of the dialect that it is written in.
        target: name of the dialect to write.
        config: what the source's system wrote or reads; it is not changed.
        fill: which halves the loader of a DeepSpeed config asks for where it says "auto"; None leaves "auto" to
            DeepSpeed, which throws it away.

    Raises:
        InvalidType, InvalidValue: no such dialect, or what the source's reader refuses; ``path`` leads to the fault.
    """
    into = _dialect(target)
    if fill is not None:
        config = _filled(source, config, fill)
    before = read(source, config)
    written = config if source == target else into.write(before.setup)
    given = config if before.given is None else before.given
    sides = Sides(source, target, before, into.read(written), given, into.limits)
    return compared(sides, written, into.warnings(before.setup))


def _filled(source: str, config: Any, fill: Mapping[str, bool]) -> Any:
    if source != "deepspeed":
        raise InvalidValue(f"Only configs of deepspeed have an 'auto' to fill, not those of {source}.", code="fill")
    return deepspeed_auto.filled(config, fill)


def facts_if_filled(source: str, config: Any) -> dict[str, dict[str, Any]]:
    """Return the facts of a DeepSpeed config by the half that its loader asks for, where "auto" leaves that open."""
    found = {}
    left_open = deepspeed_auto.open_halves(config) if source == "deepspeed" else ()
    alone = isinstance(config, dict) and "enabled" in config  # a block `fp16`, to which nothing says bf16
    for half in (left_open if alone else deepspeed_auto.HALVES) if left_open else ():
        try:
            found[half] = facts(read(source, deepspeed_auto.filled(config, {half: True})).setup)
        except EngineError:
            continue  # the other half is enabled for good, so that this one is refused
    return found
