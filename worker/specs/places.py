"""Where in the body a pydantic error lies, and which keys are accepted there.

Pydantic's location of an error mixes keys of the body with the names of union branches; walking the body along it
tells the two apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeAlias, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from worker.specs.shape import ByOutput, Many, OneOf

Path: TypeAlias = tuple[str | int, ...]


def place_in(body: object, location: Path) -> Path:
    """Return the keys and indexes of the body that a pydantic location names.

    The last part is kept even where the body does not have it (a missing key), unless it names a union branch.
    """
    path: list[str | int] = []
    here: object = body
    for index, part in enumerate(location):
        last = index == len(location) - 1
        if isinstance(here, dict) and (part in here or (last and isinstance(part, str))):
            path.append(part)
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            path.append(part)
            here = here[part]
    return tuple(path)


def reachable(body: object, path: Path) -> Path:
    """Return the path as far as the body has it: inside a plain value there is no place; a missing key is one."""
    here: object = body
    for index, part in enumerate(path):
        if not _has(here, part):
            return path[: index + isinstance(here, dict)]
        here = here[part]  # type: ignore[index]
    return path


def _has(here: object, part: str | int) -> bool:
    if isinstance(here, list | tuple):
        return isinstance(part, int) and part < len(here)
    return isinstance(here, dict) and part in here


def accepted_keys(root: type[BaseModel], location: Path) -> tuple[str, ...]:
    """Return the keys of the model in which a location ends (its last part is the key that was refused)."""
    here: Any = root
    for part in location[:-1]:
        here = _inside(here, part)
    if not _is_model(here):
        return ()
    required_first = sorted(here.model_fields.items(), key=lambda item: not item[1].is_required())
    return tuple(field.alias or name for name, field in required_first)


def _is_model(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseModel)


def _inside(here: Any, part: str | int) -> Any:
    """Follow one part of a location through the types: a field of a model, an item, or a branch of a union."""
    if _is_model(here):
        field: FieldInfo | None = here.model_fields.get(part)
        return _target(field.annotation, tuple(field.metadata)) if field else None
    if isinstance(here, OneOf):
        return here.table.get(str(part))
    if isinstance(here, ByOutput):
        return here.branches.get(str(part))
    if isinstance(here, Many):
        return here.item
    if isinstance(part, int):
        return next(_branches(here), None)
    return next((branch for branch in _branches(here) if getattr(branch, "__name__", None) == part), None)


def _target(annotation: Any, metadata: tuple[Any, ...]) -> Any:
    choice = next((mark for mark in metadata if isinstance(mark, OneOf | ByOutput)), None)
    if choice:
        return choice
    models = [branch for branch in _branches(annotation) if _is_model(branch)]
    return models[0] if len(models) == 1 else annotation


def _branches(annotation: Any) -> Iterator[Any]:
    """Yield what an annotation is made of: the members of a union, the item type of a tuple."""
    if _is_model(annotation):
        yield annotation
        return
    for argument in get_args(annotation):
        marks = getattr(argument, "__metadata__", ())
        yield _target(argument.__origin__ if marks else argument, marks)
