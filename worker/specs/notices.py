"""What is accepted but doubtful, as answers list it; and faults as answers list them."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import Field

from worker.specs.errors import FieldError
from worker.specs.shape import Spec


class Notice(Spec):
    """A warning: the request is carried out, but someone should look."""

    code: str = Field(description="Stable snake_case name for programs.", examples=["loss_scale_not_useful"])
    message: str = Field(description="What was received and what to consider instead.")
    pointer: str = Field(default="", description="JSON pointer into the request body; empty for the whole of it.")


class Fault(Spec):
    """One fault in a request, in a report that is itself no failure."""

    code: str = Field(description="Stable snake_case name for programs.")
    type: str = Field(description="The Python error class that Keras raises.", examples=["ValueError", "TypeError"])
    message: str = Field(description="What was received, what is accepted, what to do.")
    pointer: str = Field(description="JSON pointer into the request body; empty for the whole of it.")

    @classmethod
    def of(cls, error: FieldError) -> Fault:
        """Return the fault of a field error."""
        return cls(code=error.code, type=error.type, message=error.message, pointer=error.pointer)


def keras_notices(texts: Iterable[str], pointer: str) -> tuple[Notice, ...]:
    """Return the texts that Keras logs when it makes a policy; there is one kind of them."""
    return tuple(Notice(code="loss_scale_not_useful", message=text, pointer=pointer) for text in texts)


def dropped_notices(places: Iterable[str], owner: str) -> tuple[Notice, ...]:
    """Return a notice for each place that what was made of the request does not hold."""
    return tuple(
        Notice(code="dropped", message=f"`{place}` is not kept: {owner} has no such setting.") for place in places
    )
