"""How much of a body is looked at: lists and objects end at a bound, and so does the search for further faults.

Pydantic goes on until it has found every fault. A body of a few megabytes can have a million of them, and each takes
more memory than what caused it; so the shapes bound what they hold, and stop looking once enough was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationError, ValidatorFunctionWrapHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

MOST_FAULTS = 100
"""Faults of one body that are worded; a longer list helps nobody."""
MOST_KEYS = 256
"""Keys of an object whose keys are known; no class of Keras has a quarter as many."""
MOST_LAYERS = 4096
"""Layers that one model may list, whatever `HALFSTEP_LIMITS__MAX_LAYERS` says."""
MOST_ITEMS = 1024
"""Losses, metrics, members of objects that Keras prints and nobody reads, values of a schedule."""
MOST_CLASSES = 16_384
"""Classes with a weight, columns of a file: as many as data has."""
MOST_AXES = 64
"""Axes of an array; numpy has no more."""
MOST_ENTRIES = 16_384
"""Entries of all lists and objects in a config that is read without a job; a policy of a thousand layers has half."""
LONGEST_KEY = 256
"""Characters of a key; what lies behind a key is named with it, and there may be much."""
LONGEST_TEXT = 65_536
"""Characters of one text in a config that is read without a job; the longest are command lines."""
UNREAD = "unread"
"""Kind of the fault that stands for a part which was not looked at, because enough was found before it."""


@dataclass(frozen=True)
class AtMost:
    """Annotation: the value is a list or an object of at most so many entries, which is found before they are read.

    Attributes:
        count: of entries.
    """

    count: int

    def check(self, value: object) -> object:
        """Return the value if it is not too long; what is no list and no object is for others to refuse."""
        if isinstance(value, list | tuple | dict) and len(value) > self.count:
            context = {"max_length": self.count, "actual_length": len(value)}
            raise PydanticCustomError("too_long", "must have at most {max_length} entries", context)
        return value

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Look at the length first."""
        return core_schema.no_info_before_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Say the bound in the words of JSON Schema."""
        found = handler(schema)
        word = {"array": "maxItems", "object": "maxProperties"}.get(found.get("type", ""))
        return {**found, word: self.count} if word else found


@dataclass
class Tally:
    """The faults found so far in one body.

    Attributes:
        faults: how many.
    """

    faults: int = 0


def counted(value: Any, handler: ValidatorFunctionWrapHandler, tally: Tally | None) -> Any:
    """Validate an object whose keys are known, unless enough faults were found before it.

    Args:
        value: as it was sent.
        handler: what validates it.
        tally: of the body; None finds every fault.
    """
    if tally is None:
        return handler(value)
    if tally.faults >= MOST_FAULTS:
        raise PydanticCustomError(UNREAD, "not looked at")
    AtMost(MOST_KEYS).check(value)
    before = tally.faults
    try:
        return handler(value)
    except ValidationError as error:
        tally.faults = before + error.error_count()
        raise
