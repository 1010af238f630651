"""What a translation kept, bent and lost: the config that was read beside the one that was written, read again."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from engine.serialization.translate.meanings import MEANINGS
from engine.serialization.translate.setup import Path, Reading, Remark, facts

STRUCTURE = ("class_name", "module", "registered_name")
"""Keys that say of what kind an object is; they are accounted for with the object."""


@dataclass(frozen=True)
class Item:
    """One thing that a config says.

    Attributes:
        field: what it is about, in the same words for every dialect; "unused:" and a path for a setting that has no
            effect where it stands, "precision:" and a path for one of precision that no field holds, "other:" and a
            path for one about other things.
        source: where the config says it; None for a default or a behaviour that no setting changes.
        target: where the translation says it; None likewise.
        value: what it is.
        became: what it is in the translation; None where it is lost.
        why: what is different, and why; empty where nothing is.
    """

    field: str
    source: Path
    target: Path
    value: Any
    became: Any = None
    why: str = ""


@dataclass(frozen=True)
class Translation:
    """A config in another dialect.

    Attributes:
        config: the translation.
        exact: what it says as the source does.
        approximate: what it says or does otherwise.
        dropped: what it does not say.
        assumed: what it says and the source does not.
        warnings: what to know before it is used.
    """

    config: Any
    exact: tuple[Item, ...]
    approximate: tuple[Item, ...]
    dropped: tuple[Item, ...]
    assumed: tuple[Item, ...]
    warnings: tuple[Remark, ...] = ()


@dataclass(frozen=True)
class Sides:
    """Both sides of a translation.

    Attributes:
        source, target: names of the dialects.
        before, after: what was read of the source, and of the translation.
        given: the config of the source.
        limits: why the target bends a fact that it has a setting for.
    """

    source: str
    target: str
    before: Reading
    after: Reading
    given: Any
    limits: Mapping[str, str]


def compared(sides: Sides, config: Any, warnings: tuple[Remark, ...]) -> Translation:
    """Return the translation with everything in the source accounted for."""
    was, now = facts(sides.before.setup), facts(sides.after.setup)
    exact, approximate, dropped = [], [], []
    for name, value in was.items():
        if name not in now and name not in sides.before.paths and not value:
            continue  # a setting that is neither given nor at work: there is nothing to lose
        item = _item(sides, name, value, now)
        if not item.why:
            exact.append(item)
        elif item.became is None:
            dropped.append(item)
        else:
            approximate.append(item)
    further = _further(sides)
    (exact if sides.source == sides.target else dropped).extend(further)
    dropped += _listed(sides, "unused", sides.before.ignored, f"it has no effect in {sides.source} itself")
    dropped += _listed(sides, "other", sides.before.beside, "nothing of dtypes or loss scaling comes from it here")
    unread = _unread(sides, (*exact, *approximate, *dropped))
    dropped += unread
    doubtful = tuple(
        Remark("unknown_precision_setting", f"{item.source!r}: {item.why}", tuple((item.source or "").split(".")))
        for item in unread
        if _is_doubtful(sides, item.source or "")
    )
    assumed = [
        Item(name, None, sides.after.paths.get(name), None, value, f"{sides.source} does not say it")
        for name, value in now.items()
        if name not in was
    ]
    every = (*sides.before.remarks, *doubtful, *warnings)
    return Translation(config, tuple(exact), tuple(approximate), tuple(dropped), tuple(assumed), every)


def _item(sides: Sides, name: str, value: Any, now: Mapping[str, Any]) -> Item:
    source, target = sides.before.paths.get(name), sides.after.paths.get(name)
    if name in now and _same(now[name], value):
        return Item(name, source, target, value, value)
    meaning = MEANINGS.get(name, name)
    if name not in now:
        return Item(name, source, None, value, None, f"{meaning}: {sides.target} has nothing that says it")
    became = now[name]
    if target is None and source is not None:
        text = f"{meaning}: {sides.target} has no setting for it; there it is always {became!r}"
        return Item(name, source, None, value, None, text)
    reason = sides.limits.get(name) if target is not None else f"{sides.target} has no setting for it"
    text = f"{meaning}: {value!r} in {sides.source}, {became!r} in {sides.target}"
    return Item(name, source, target, value, became, f"{text}; {reason}" if reason else text)


def _same(left: Any, right: Any) -> bool:
    return bool(left == right) and (isinstance(left, bool) == isinstance(right, bool))


def _listed(sides: Sides, kind: str, places: Mapping[str, str], ending: str) -> list[Item]:
    """Return settings that no fact comes from, each with its reason."""
    said = {path for path in sides.before.paths.values() if path is not None}
    return [
        Item(f"{kind}:{path}", path, None, _at(sides.given, path), None, f"{why}: {ending}")
        for path, why in places.items()
        if path not in said and _has(sides.given, path)
    ]


def _further(sides: Sides) -> list[Item]:
    """Return the settings of precision that no fact holds: a system keeps its own, and no other has them."""
    same = sides.source == sides.target
    found = []
    for path, about in sides.before.further.items():
        value = _at(sides.given, path)
        why = "" if same else f"{about}: {sides.target} has nothing that says it"
        found.append(Item(f"precision:{path}", path, path if same else None, value, value if same else None, why))
    return found


def _unread(sides: Sides, items: Iterable[Item]) -> list[Item]:
    """Return the settings that no reader looked at, so that nothing is lost without a word."""
    sources = [(item.source, item) for item in items if item.source is not None]
    known, whole = {path for path, _ in sources}, {path for path, item in sources if _is_whole(item)}
    return [
        Item(f"other:{path}", path, None, value, None, _why_unread(sides, path))
        for path, value in _leaves(sides.given, "", whole)
        if path not in known
    ]


_PRECISION = re.compile(
    r"(?<![a-z0-9])(fp|bf|f|float|bfloat|int|mxfp|nvfp)(4|8|16|32|64)(?![0-9])|dtype|precision|quanti|autocast|loss_?scale"
)


def _speaks_of_precision(path: str) -> bool:
    return _PRECISION.search(path.lower().replace("-", "_")) is not None


def _is_doubtful(sides: Sides, path: str) -> bool:
    return path not in sides.before.seen and _speaks_of_precision(path)


def _why_unread(sides: Sides, path: str) -> str:
    if path in sides.before.seen:
        return "it changes nothing of what the other settings say"
    if _speaks_of_precision(path):
        return f"its name speaks of precision, but it is no setting of {sides.source} that is known here: look it up"
    return f"not among the settings of {sides.source} for dtypes and loss scaling"


def _is_whole(item: Item) -> bool:
    """Whether an item stands for everything inside its place, such as a schedule of learning rates."""
    return item.field not in MEANINGS or item.field == "dtype_policy"


def _leaves(value: Any, path: str, whole: Collection[str]) -> Iterator[tuple[str, Any]]:
    """Yield the plain values in a config with their paths, but for those inside the places of `whole`."""
    if path and path in whole:
        return
    if not isinstance(value, dict):
        yield path, value
        return
    for key, item in value.items():
        if key not in STRUCTURE:
            yield from _leaves(item, f"{path}.{key}" if path else str(key), whole)


def _at(config: Any, path: str) -> Any:
    for key in filter(None, path.split(".")):
        if not isinstance(config, dict) or key not in config:
            return None
        config = config[key]
    return config


def _has(config: Any, path: str) -> bool:
    *outer, last = path.split(".")
    inside = _at(config, ".".join(outer))
    return isinstance(inside, dict) and last in inside
