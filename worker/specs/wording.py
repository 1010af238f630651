"""The words of each kind of fault: one function per kind of pydantic error, in one table.

A wording takes the name of the place, the value received and the context of the error, and returns the code, the
Python error class that Keras raises in its place, and the message.
"""

from __future__ import annotations

import difflib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from engine.model_configs import operation_refusal
from worker.specs.bounds import LONGEST_KEY, LONGEST_TEXT, MOST_ENTRIES

Wording: TypeAlias = Callable[[str, Any, Mapping[str, Any]], tuple[str, str, str]]

LONGEST = 60
MOST_LISTED, FIRST_LISTED = 40, 24
_PLAIN = {"name": "a name", "number": "a number", "null": "null"}


def shown(value: object) -> str:
    """Return a value as JSON would write it, short enough for a message."""
    for kind, show in _SHOWN.items():
        if isinstance(value, kind):
            return show(value)
    return f"a value of type {type(value).__name__}"


_SECRET = "whsec_"


def _shown_text(value: str) -> str:
    if _SECRET in value:
        return f'"{_SECRET}..."'  # wherever it strayed to, a secret is not repeated
    return json.dumps(value if len(value) <= LONGEST else value[:LONGEST] + "...")


def _shown_int(value: int) -> str:
    # Python refuses to print very long integers.
    return str(value) if value.bit_length() < 256 else f"an integer of {value.bit_length()} bits"


def _shown_float(value: float) -> str:
    return "NaN" if math.isnan(value) else repr(value).replace("inf", "Infinity")


def _shown_list(value: Sequence[object]) -> str:
    return f"a list of {len(value)} {'item' if len(value) == 1 else 'items'}"


def _shown_object(value: Mapping[str, object]) -> str:
    if isinstance(value.get("class_name"), str):
        return f"an object of class {shown(value['class_name'])}"
    return f"an object with the keys {listed(value)}" if value else "an empty object"


# In this order: a bool is an int to Python.
_SHOWN: Mapping[type | tuple[type, ...], Callable[[Any], str]] = {
    str: _shown_text,
    (bool, type(None)): json.dumps,
    int: _shown_int,
    float: _shown_float,
    (list, tuple): _shown_list,
    dict: _shown_object,
}


def listed(names: Iterable[object]) -> str:
    """Return names for a message: all of them, or the first of very many."""
    every = list(names)
    if len(every) <= MOST_LISTED:
        return ", ".join(map(_name, every))
    return f"{', '.join(map(_name, every[:FIRST_LISTED]))} and {len(every) - FIRST_LISTED} more"


def _name(value: object) -> str:
    return shown(str(value))


def did_you_mean(name: object, known: Iterable[str]) -> str:
    """Return a hint at the closest known name, or nothing."""
    if not isinstance(name, str):
        return ""
    by_lower = {candidate.lower(): candidate for candidate in known}
    close = difflib.get_close_matches(name[:LONGEST].lower(), by_lower, n=1)
    return f" Did you mean {shown(by_lower[close[0]])}?" if close else ""


def _received(accepted: str, original: str = "TypeError", code: str = "invalid_type") -> Wording:
    """Return the wording of a value of a wrong kind."""

    def word(name: str, value: Any, _: Mapping[str, Any]) -> tuple[str, str, str]:
        return code, original, f"`{name}` must be {accepted}. Received: {shown(value)}.{_unparsed(value)}"

    return word


def _unparsed(value: object) -> str:
    """Return what to do with the text of an object, such as ``to_json()`` prints; nothing for other values."""
    is_text = isinstance(value, str) and value.lstrip().startswith("{")
    return " This is the text of a JSON object: send the object itself, as json.loads returns it." if is_text else ""


def _missing(name: str, value: Any, _: Mapping[str, Any]) -> tuple[str, str, str]:
    return "missing", "TypeError", f"`{name}` is required and missing. Received: {shown(value)}."


def _extra(name: str, value: Any, context: Mapping[str, Any]) -> tuple[str, str, str]:
    accepted = context["accepted"]
    offer = f" Accepted here: {listed(accepted)}." if accepted else ""
    hint = did_you_mean(name, accepted)
    return "unknown_key", "TypeError", f"`{name}` is not a known key (its value: {shown(value)}).{hint}{offer}"


def _unknown_class(name: str, value: Any, context: Mapping[str, Any]) -> tuple[str, str, str]:
    family, known = context["family"], context["known"].split("|")
    if len(known) <= MOST_LISTED:
        known.sort()  # a longer table is cut, and begins with what is used most
    kinds = [_PLAIN[kind] for kind in context["plain"].split("|") if kind]
    form = f'{{"class_name": one of {listed(known)}, "config": {{...}}}}'
    accepted = " or ".join([*kinds, form])
    if not isinstance(value, dict):
        text = f"`{name}` must be {accepted}. Received: {shown(value)}.{_unparsed(value)}"
        return "invalid_type", "TypeError", text
    if not isinstance(value.get("class_name"), str):
        problem = f"A serialized {family} must have a string `class_name`; received {shown(value.get('class_name'))}."
        return "improper_config", "ValueError", f"{problem} Accepted: {accepted}."
    given = value["class_name"]
    operation = operation_refusal(value) if family == "layer" else None
    if operation:
        return "unsupported_operation", "ValueError", operation
    text = f"Unknown {family}: {shown(given)}.{did_you_mean(given, known)} Known here: {listed(known)}."
    return f"unknown_{family.replace(' ', '_')}", "ValueError", text


def _unknown_data(name: str, value: Any, _: Mapping[str, Any]) -> tuple[str, str, str]:
    accepted = '{"dataset": "digits"}, {"file": "file-..."} or {"x": [...], "y": [...]}'
    return "unknown_data", "ValueError", f"`{name}` must be {accepted}. Received: {shown(value)}."


def _custom_module(name: str, value: Any, _: Mapping[str, Any]) -> tuple[str, str, str]:
    text = f'Only classes of Keras are trained here; `{name}` must be a module such as "keras.layers".'
    return "custom_class", "ValueError", f"{text} Received: {shown(value)}."


def _unset(name: str, value: Any, _: Mapping[str, Any]) -> tuple[str, str, str]:
    text = f"`{name}` is not offered here yet and must be null or absent. Received: {shown(value)}."
    return "unsupported", "ValueError", text


def _literal(name: str, value: Any, context: Mapping[str, Any]) -> tuple[str, str, str]:
    accepted = str(context.get("expected", "")).replace("'", '"').replace("False", "false").replace("None", "null")
    return "unsupported", "ValueError", f"`{name}` must be {accepted}. Received: {shown(value)}."


def _too_long(name: str, value: Any, context: Mapping[str, Any]) -> tuple[str, str, str]:
    most, unit = context["max_length"], "characters" if isinstance(value, str) else "entries"
    length = len(value) if hasattr(value, "__len__") else context.get("actual_length")
    accepted = f"at most {most} {unit}" if most else "empty"
    return (
        "too_long",
        "ValueError",
        f"`{name}` must have {accepted}. Received: {length}.".replace("have empty", "be empty"),
    )


def _too_short(name: str, value: Any, context: Mapping[str, Any]) -> tuple[str, str, str]:
    return (
        "too_short",
        "ValueError",
        f"`{name}` must have at least {context['min_length']} entries. Received: {shown(value)}.",
    )


def _bound(relation: str, key: str) -> Wording:
    def word(name: str, value: Any, context: Mapping[str, Any]) -> tuple[str, str, str]:
        return "out_of_range", "ValueError", f"`{name}` must be {relation} {context[key]}. Received: {shown(value)}."

    return word


def _said(name: str, value: Any, context: Mapping[str, Any]) -> tuple[str, str, str]:
    return "invalid_value", "ValueError", f"`{name}` is not accepted: {context['message']}. Received: {shown(value)}."


def _plain(text: str) -> Wording:
    """Word a fault without what was received."""

    def word(name: str, _value: Any, _context: Mapping[str, Any]) -> tuple[str, str, str]:
        return "invalid_value", "ValueError", f"`{name}` {text}."

    return word


def _bare_model(_name: str, value: Any, _context: Mapping[str, Any]) -> tuple[str, str, str]:
    form = (
        '{"model": <this object>, "compile": {"optimizer": "adam", "loss": "sparse_categorical_crossentropy"}, '
        '"data": {"file": "file-..."}}'
    )
    text = f"This is a serialized {shown(value.get('class_name'))}, not a job. Send it as `model` of one: {form}."
    return "not_a_job", "ValueError", f"{text} To inspect it, `model` alone is enough."


OTHERWISE: Wording = _said
"""For the kinds that no spec uses: pydantic's own words, with the place and the value."""

WORDINGS: Mapping[str, Wording] = {
    "missing": _missing,
    "extra_forbidden": _extra,
    "unknown_class": _unknown_class,
    "webhook_secret": _plain("must be `whsec_` and 24 to 64 random bytes in base64. What was received is not repeated"),
    "webhook_url": _plain("must be a plain http or https URL, without a user name or password in it"),
    "no_bound": _plain("needs a bound, `below` or `above` a number"),
    "bare_model": _bare_model,
    "unknown_data": _unknown_data,
    "custom_module": _custom_module,
    "none_required": _unset,
    "literal_error": _literal,
    "integer_type": _received("an integer (without quotes)"),
    "integers_type": _received("an integer or a list of integers (without quotes)"),
    "int_type": _received("an integer (without quotes)"),
    "int_parsing": _received("an integer"),
    "integer_too_large": _received("an integer of at most 308 digits", "ValueError", "not_finite"),
    "number_type": _received("a number (without quotes)"),
    "not_finite": _received("a finite number that float32 can hold", "ValueError", "not_finite"),
    "bool_type": _received("true or false"),
    "bool_parsing": _received("true or false"),
    "string_type": _received("a string"),
    "string_unicode": _received("text that UTF-8 can carry (no lone surrogates)", "ValueError", "invalid_text"),
    "nul_character": _received("text without the NUL character", "ValueError", "invalid_text"),
    "too_deep": _received(
        "nested less deeply: at most 32 lists or objects within each other, 64 in a nested model",
        "ValueError",
        "too_deep",
    ),
    "long_key": _received(f"an object with keys of at most {LONGEST_KEY} characters", "ValueError", "too_long"),
    "long_text": _received(f"a config with texts of at most {LONGEST_TEXT:,} characters", "ValueError", "too_long"),
    "many_entries": _received(f"a config of at most {MOST_ENTRIES:,} entries in all", "ValueError", "too_long"),
    "list_type": _received("a list"),
    "tuple_type": _received("a list"),
    "dict_type": _received("an object"),
    "model_type": _received("an object"),
    "model_attributes_type": _received("an object"),
    "too_long": _too_long,
    "string_too_long": _too_long,
    "too_short": _too_short,
    "string_too_short": _too_short,
    "greater_than": _bound("above", "gt"),
    "greater_than_equal": _bound("at least", "ge"),
    "less_than": _bound("below", "lt"),
    "less_than_equal": _bound("at most", "le"),
}
