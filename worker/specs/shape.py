"""The bricks every spec is made of: strict scalars, the frozen base, and the choice of a class by `class_name`.

A spec holds the *shape* of a config (which keys, which JSON types). What a value means, and whether it is allowed, is
the engine's `from_config`; so no spec has a bound or a default of its own that the engine does not have.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainValidator,
    StrictBool,
    StrictStr,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from worker.specs.bounds import (
    LONGEST_KEY,
    LONGEST_TEXT,
    MOST_AXES,
    MOST_ENTRIES,
    MOST_ITEMS,
    AtMost,
    counted,
)

DEEPEST = 32
"""Lists and objects within each other; data of a sample has far fewer axes."""

Dialect: TypeAlias = Literal["tf2.4", "tf_keras", "keras3"]


class Spec(BaseModel):
    """A frozen record that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, ser_json_inf_nan="constants")

    @model_validator(mode="wrap")
    @classmethod
    def _counted(cls, value: Any, handler: ValidatorFunctionWrapHandler, info: ValidationInfo) -> Any:
        """Stop looking once enough faults were found; the context of the validation counts them."""
        return counted(value, handler, info.context)

    def given(self) -> dict[str, Any]:
        """Return what the caller wrote, as plain JSON values: defaults are left to the engine, which owns them.

        Lists that no spec describes, such as the data of a job, are those that were sent and no copies.
        """
        written = self.model_fields_set
        return {name: _plain(getattr(self, name)) for name in type(self).model_fields if name in written}


def _plain(value: Any) -> Any:
    """Return a value of a spec as JSON has it; the lists that a spec describes are tuples."""
    if isinstance(value, Spec):
        return value.given()
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value


class OpenSpec(Spec):
    """A part of an answer whose numbers may be not finite: they become null, named beside in a member `nonfinite`."""

    model_config = ConfigDict(extra="allow")


@dataclass(frozen=True)
class Only:
    """Marks a field that `get_config()` prints in some dialects only.

    Attributes:
        dialects: where the key exists; empty for a key printed only when it was set (`batch_input_shape`).
    """

    dialects: tuple[Dialect, ...] = ()

    def __init__(self, *dialects: Dialect) -> None:
        object.__setattr__(self, "dialects", dialects)


def fields_of(config: type[Spec], dialect: Dialect) -> frozenset[str]:
    """Return the keys that this config always has in the dialect."""
    found = set()
    for name, field in config.model_fields.items():
        marks = [mark for mark in field.metadata if isinstance(mark, Only)]
        if all(dialect in mark.dialects for mark in marks):
            found.add(field.alias or name)
    return frozenset(found)


FLOAT32_MAX = (2 - 2**-23) * 2.0**127


def _number(value: object) -> float:
    """Accept a JSON number that float32, in which Keras keeps its settings, can hold; true and "1" are no numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("number_type", "must be a number")
    if not abs(value) <= FLOAT32_MAX:  # nan is not, and Python compares ints of any length with floats exactly
        raise PydanticCustomError("not_finite", "must be a finite number")
    return value


def _integer(value: object) -> int:
    """Accept a JSON integer; 32.0 is one to JSON Schema and to Keras, true and "32" are not."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PydanticCustomError("integer_type", "must be an integer")
    if not abs(value) <= sys.float_info.max:
        raise PydanticCustomError("integer_too_large", "must be a smaller integer")
    if value != int(value):
        raise PydanticCustomError("integer_type", "must be an integer")
    return int(value)


def _integers(depth: int) -> Callable[[object], Any]:
    """Return a reader of an integer, or of lists of them nested so deeply."""

    def read(value: object) -> Any:
        if isinstance(value, list | tuple) and depth:
            return tuple(_integers(depth - 1)(item) for item in value)
        try:
            return _integer(value)
        except PydanticCustomError as error:
            if error.type != "integer_type":
                raise
            raise PydanticCustomError("integers_type", "must be an integer or a list of integers") from None

    return read


def _nested_numbers(depth: int) -> Callable[[object], Any]:
    """Return a reader of a number, or of lists of them nested so deeply."""

    def read(value: object) -> Any:
        if isinstance(value, list | tuple) and depth:
            return [_nested_numbers(depth - 1)(item) for item in value]
        return _number(value)

    return read


def _storable(value: str) -> str:
    """Refuse text that PostgreSQL (NUL) or UTF-8 (lone surrogates) cannot hold; no Keras name has either."""
    if "\0" in value:
        raise PydanticCustomError("nul_character", "must not contain NUL")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise PydanticCustomError("string_unicode", "must be valid Unicode") from None
    return value


def not_deeper(most: int) -> Callable[[object], object]:
    """Return a check of nesting: lists and objects may stand `most` deep in each other."""

    def check(value: object) -> object:
        level, depth = [value], 0
        while level:
            if depth > most:
                raise PydanticCustomError("too_deep", "nested too deeply")
            if any(isinstance(holder, dict) and _has_long_key(holder) for holder in level):
                raise PydanticCustomError("long_key", "has a key that is too long")
            level = [item for holder in level for item in _holders(holder)]
            depth += 1
        return value

    return check


def _holders(holder: object) -> Collection[object]:
    """Return the lists and objects in one of them; rows of numbers, of which there may be millions, hold none."""
    items = _items(holder)
    if _HOLDERS.isdisjoint(map(type, items)):
        return ()
    return [item for item in items if isinstance(item, dict | list | tuple)]


_HOLDERS = frozenset({dict, list, tuple})


def _has_long_key(value: Mapping[str, object]) -> bool:
    return bool(value) and max(map(len, value)) > LONGEST_KEY


def small(value: object) -> object:
    """Refuse a config that is far larger than any that a library writes, before its entries are accounted for."""
    waiting, count = [value], 0
    while waiting:
        holder = waiting.pop()
        if isinstance(holder, str) and len(holder) > LONGEST_TEXT:
            raise PydanticCustomError("long_text", "has a text that is too long", {"most": LONGEST_TEXT})
        items = _items(holder)
        count += len(items)
        if count > MOST_ENTRIES:
            raise PydanticCustomError("many_entries", "has too many entries", {"most": MOST_ENTRIES})
        waiting.extend(items)
    return value


shallow = not_deeper(DEEPEST)
"""Refuses nesting beyond what readers written in recursion can follow."""


def _items(holder: object) -> Collection[object]:
    if isinstance(holder, dict):
        return holder.values()
    return holder if isinstance(holder, list | tuple) else ()


Bool: TypeAlias = StrictBool
Text: TypeAlias = Annotated[StrictStr, AfterValidator(_storable)]
Int: TypeAlias = Annotated[int, PlainValidator(_integer), WithJsonSchema({"type": "integer"})]
_INTEGERS = {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}
#: One integer, meant for every axis, or one for each.
Integers: TypeAlias = Annotated[Any, PlainValidator(_integers(1)), WithJsonSchema(_INTEGERS)]
#: What is added or cut along every axis, along each, or on each side of each.
Margin: TypeAlias = Annotated[
    Any,
    PlainValidator(_integers(2)),
    WithJsonSchema({"anyOf": [{"type": "integer"}, {"type": "array", "items": _INTEGERS}]}),
]
#: A JSON number. Its int or float nature is kept, because messages of the original show it.
Number: TypeAlias = Annotated[int | float, PlainValidator(_number), WithJsonSchema({"type": "number"})]
#: Any JSON value: its reader is the engine, which says in the original's words what is wrong with it.
Anything: TypeAlias = Annotated[Any, AfterValidator(shallow)]
#: Likewise, of what is read without a job: a policy, a loss scale, an optimizer, a config of another system.
Config: TypeAlias = Annotated[Anything, AfterValidator(small)]
#: A number, or lists of numbers nested as an array is.
Numbers: TypeAlias = Annotated[
    Any,
    PlainValidator(_nested_numbers(8)),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "array", "items": {}}]}),
]
Shape: TypeAlias = Annotated[tuple[Int | None, ...], AtMost(MOST_AXES)]
#: A setting of Keras that must stay unset here.
Unset: TypeAlias = None

KERAS_MODULES = ("keras", "tf_keras", "tensorflow")


def _keras_module(value: str) -> str:
    if value != "builtins" and value.split(".", 1)[0] not in KERAS_MODULES:
        raise PydanticCustomError("custom_module", "must be a module of Keras")
    return value


Module: TypeAlias = Annotated[Text, AfterValidator(_keras_module)]


class Node(Spec):
    """A serialized Keras object: a class name and what its `get_config()` returned.

    `module` and `registered_name` are printed by Keras 3 and tf_keras; they say where the class comes from.
    """

    model_config = ConfigDict(defer_build=True)

    class_name: Text = Field(description="Name of the Keras class.")
    config: Spec
    module: Module | None = Field(default=None, description="Printed by Keras 3; must be a module of Keras.")
    registered_name: Text | None = Field(default=None, description="Printed by Keras 3; null for built-in classes.")
    build_config: Annotated[dict[str, Anything], AtMost(MOST_ITEMS)] | None = Field(
        default=None, description="Printed by Keras 3; follows from the rest."
    )


Table: TypeAlias = Mapping[str, type[Node]]


Plain: TypeAlias = Literal["name", "number", "null"]
_PLAIN_SCHEMAS: Mapping[Plain, Callable[[GetCoreSchemaHandler], CoreSchema]] = {
    "name": lambda handler: handler.generate_schema(Text),
    "number": lambda handler: handler.generate_schema(Number),
    "null": lambda handler: handler.generate_schema(type(None)),
}


def _tag_of(value: object) -> str | None:
    """Return the class name of a node, or which kind of plain value stands in its place."""
    if isinstance(value, Node):
        return value.class_name
    if isinstance(value, dict):
        name = value.get("class_name")
        return name if isinstance(name, str) else None
    if value is None:
        return "null"
    if isinstance(value, str):
        return "name"
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else None


class OneOf:
    """Annotation: the value is a node of one of the classes of a table, or one of a few plain kinds of value.

    A union of its own, because one error is wanted of it: which class or kind was given, and which there are.
    """

    def __init__(self, family: str, table: Table, *plain: Plain, unlisted: Table | None = None) -> None:
        self.family = family
        self.table = table
        self.plain = plain
        self.unlisted = unlisted or {}

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Build the tagged union; `worker.specs.errors` words its error from the context given here."""
        nodes: dict[Hashable, CoreSchema] = {
            name: handler.generate_schema(node) for name, node in {**self.table, **self.unlisted}.items()
        }
        plain: dict[Hashable, CoreSchema] = {kind: _PLAIN_SCHEMAS[kind](handler) for kind in self.plain}
        return core_schema.tagged_union_schema(
            choices=nodes | plain,
            discriminator=_tag_of,
            custom_error_type="unknown_class",
            custom_error_message="unknown class",
            custom_error_context={
                "family": self.family,
                "known": "|".join(self.table),
                "plain": "|".join(self.plain),
            },
        )


@dataclass(frozen=True)
class Many:
    """Several values of one kind, in a list or by name."""

    item: Any


class ByOutput:
    """Annotation: one value for all outputs of a model, a list of them, or a dict of them by output name.

    Args:
        item: what stands for one output.
        alone: whether a value may stand by itself; else only lists and dicts may.
        nested: whether an output may have a list of values.
    """

    def __init__(self, item: OneOf, *, alone: bool, nested: bool) -> None:
        self.item = item
        inside = ByOutput(item, alone=True, nested=False) if nested else item
        self.branches: dict[str, Any] = {"list": Many(inside), "names": Many(inside)}
        if alone:
            self.branches["one"] = item

    def _tag(self, value: object) -> str:
        if isinstance(value, list | tuple):
            return "list"
        plain = not isinstance(value, dict) or "class_name" in value
        return ("one" if "one" in self.branches else "list") if plain else "names"

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Build the tagged union; a value that is neither list nor dict is refused by the branch it would belong to."""
        inside = self.branches["list"].item.__get_pydantic_core_schema__(source, handler)
        choices: dict[Hashable, CoreSchema] = {
            "list": core_schema.tuple_variable_schema(inside),
            "names": core_schema.dict_schema(handler.generate_schema(Text), inside),
        }
        if "one" in self.branches:
            choices["one"] = self.item.__get_pydantic_core_schema__(source, handler)
        several = core_schema.tagged_union_schema(choices=choices, discriminator=self._tag)
        return core_schema.no_info_before_validator_function(AtMost(MOST_ITEMS).check, several)


def tabulate(*nodes: type[Node]) -> Table:
    """Return the nodes by class name, in the order given."""
    return dict(_named(nodes))


def _named(nodes: tuple[type[Node], ...]) -> Iterator[tuple[str, type[Node]]]:
    for node in nodes:
        yield get_args(node.model_fields["class_name"].annotation)[0], node
