"""A policy of one line of Keras in the form of another: no more than a policy can say there, and what is lost."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from engine.serialization.translate import Item, Remark, translate
from worker.specs.dialects import Dialect
from worker.specs.errors import pointer_to
from worker.specs.notices import Notice
from worker.specs.policy_dialects import POLICY_DIALECTS

_INFER = "_infer"
_SCALING = "loss_scaling"


@dataclass(frozen=True)
class Written:
    """A policy in the form of another line.

    Attributes:
        serialized: as that line writes it.
        dropped: places in the original that it does not hold.
        warnings: what it says or does otherwise.
    """

    serialized: dict[str, Any] | str | None
    dropped: tuple[str, ...]
    warnings: tuple[Notice, ...]


def written(own: dict[str, Any] | str | None, source: Dialect, target: Dialect) -> Written:
    """Return a policy in the form of another line.

    Args:
        own: as the line that it is of writes it.
        source: name of that line.
        target: name of the other one.

    Raises:
        InvalidType, InvalidValue: it cannot be said there.
    """
    # Where whole setups are translated, null stands for the default policy and not for TF's "_infer".
    translation = translate(source, target, _INFER if own is None else own)
    config = translation.config
    compound = isinstance(config, dict) and "class_name" not in config
    apart = {item.target: item for item in translation.exact if str(item.target).startswith(_SCALING)}
    lost = [item for item in (*translation.dropped, *translation.approximate) if item.source is not None]
    scaling = tuple(filter(None, [item.source for item in apart.values()])) if compound else ()
    elsewhere = (_beside(target, config[_SCALING], scaling),) if compound and _SCALING in config else ()
    rules, policy = POLICY_DIALECTS[target], config["policy"] if compound else config
    read = rules.deserialize(None) if policy is None else rules.read(policy)
    return Written(
        serialized=rules.serialize(read.value),
        dropped=_outermost((*(item.source or "" for item in lost if item.became is None), *scaling)),
        warnings=(*elsewhere, *_told((*translation.dropped, *translation.approximate)), *_warned(translation.warnings)),
    )


def _outermost(places: tuple[str, ...]) -> tuple[str, ...]:
    """Return places without those that lie inside another one."""
    return tuple(
        place
        for place in dict.fromkeys(places)
        if not any(f"{place}.".startswith(f"{outer}.") for outer in places if outer != place)
    )


def _beside(target: Dialect, scaling: Any, places: tuple[str, ...]) -> Notice:
    if scaling is None:
        text = f"{target} scales the loss of every model of this policy; the original does not."
        return Notice(code="scaled_there", message=text, pointer="/policy")
    text = (
        f"A policy of {target} holds no loss scale; there the optimizer scales the loss. `/v1/translate` writes both: "
        f"{scaling!r}."
    )
    return Notice(code="loss_scale_not_in_policy", message=text, pointer="/policy" if places else "")


def _told(items: Iterable[Item]) -> tuple[Notice, ...]:
    return tuple(
        Notice(code="dropped" if item.became is None else "approximate", message=f"`{item.field}`: {item.why}.")
        for item in items
    )


def _warned(remarks: Iterable[Remark]) -> tuple[Notice, ...]:
    return tuple(Notice(code=remark.code, message=remark.text, pointer=pointer_to(("policy",))) for remark in remarks)
