"""Indices such as ``[:, 0]`` and ``[..., 1:3]``: as Keras 3 writes them in a model, and what shape they leave.

Source: ``keras.src.ops.numpy.GetItem`` and ``serialize_keras_object`` of Keras 3.15.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import EllipsisType
from typing import Any, TypeAlias, TypeGuard

from engine.configured import shown
from engine.errors import InvalidValue, ShapeMismatch, Unsupported
from engine.layers.base import Shape

Item: TypeAlias = int | slice | EllipsisType | None
Key: TypeAlias = tuple[Item, ...]

WHOLE = slice(None)
_BOUNDS = ("start", "stop", "step")


def read(value: Any) -> Key:
    """Return the index that Keras 3 wrote: one item, or a list of them.

    Raises:
        Unsupported: an index by a list or a tensor.
        InvalidValue: no index at all.
    """
    key = tuple(_item(item) for item in (value if isinstance(value, list) else [value]))
    if key.count(...) > 1:
        raise InvalidValue(f"An index can have one ellipsis only, got {shown(value)}.", code="malformed_graph")
    return key


def _item(item: Any) -> Item:
    if _is_bound(item):
        return item
    name = item.get("class_name") if isinstance(item, Mapping) else None
    if name == "__ellipsis__":
        return ...
    if name != "__slice__":
        text = f"An index takes integers, slices, new axes and an ellipsis, got {shown(item)}."
        raise Unsupported(text, code="unsupported_operation")
    config = item["config"]
    bounds = [config.get(bound) for bound in _BOUNDS] if isinstance(config, Mapping) else []
    if not bounds or not all(map(_is_bound, bounds)) or bounds[2] == 0:
        text = f"A slice has integers or nulls as {', '.join(_BOUNDS)}, and no step of 0; got {shown(item)}."
        raise InvalidValue(text, code="malformed_graph")
    return slice(*bounds)


def _is_bound(value: Any) -> TypeGuard[int | None]:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def written(key: Key) -> list[Any]:
    """Return the index as Keras 3 writes it."""
    return [_written(item) for item in key]


def _written(item: Item) -> Any:
    if isinstance(item, slice):
        return {"class_name": "__slice__", "config": {bound: getattr(item, bound) for bound in _BOUNDS}}
    return {"class_name": "__ellipsis__", "config": {}} if item is ... else item


def shape_after(key: Key, shape: Shape) -> Shape:
    """Return the shape that an index leaves of a shape; None stands for sizes that are not known.

    Raises:
        ShapeMismatch: there are fewer axes, or no such place.
        Unsupported: it takes the batch axis apart.
    """
    spread = _spread(key, shape)
    if spread[0] != WHOLE:
        text = f"The index {_shown(key)} takes the batch axis apart; begin it with `:`, as in `x[:, 0]`."
        raise Unsupported(text, code="unsupported_operation")
    return tuple(_sizes(spread, shape))


def _spread(key: Key, shape: Shape) -> Key:
    """Return the index with one item for each axis, beside those that make axes."""
    missing = len(shape) - sum(item is not None and item is not ... for item in key)
    if missing < 0:
        raise ShapeMismatch(f"The index {_shown(key)} has more items than shape {list(shape)} has axes.")
    place = key.index(...) if ... in key else len(key)
    return (*key[:place], *(WHOLE,) * missing, *key[place + 1 :])


def _sizes(key: Key, shape: Shape) -> Iterator[int | None]:
    sizes = iter(shape)
    for item in key:
        if item is None:
            yield 1
            continue
        size = next(sizes)
        if isinstance(item, slice):
            yield size if size is None else len(range(*item.indices(size)))
        elif isinstance(item, int) and size is not None and not -size <= item < size:
            raise ShapeMismatch(f"The index {_shown(key)} asks for place {item} of {size} in shape {list(shape)}.")


def _shown(key: Key) -> str:
    parts = []
    for item in key:
        if isinstance(item, slice):
            ends = ":".join("" if bound is None else str(bound) for bound in (item.start, item.stop))
            parts.append(ends if item.step is None else f"{ends}:{item.step}")
        else:
            parts.append("..." if item is ... else str(item))
    return f"[{', '.join(parts)}]"
