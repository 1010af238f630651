"""The cases: every layer that Halfstep has, in every setting that may choose another kernel. Read by Python 3.8 too.

A case is JSON: the class and the config of one layer, the shapes of its inputs without the batch axis, and how it is
called. What a library does not have is told apart by itself, for it fails in float32 as well.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List  # noqa: UP035  Python 3.8 reads this file

from tests.extremes.refusals import compiled, layers, parts

Case = Dict[str, Any]  # noqa: UP006
POLICIES = ("mixed_float16", "mixed_bfloat16", "float16", "bfloat16")


def every() -> Iterator[Case]:
    """Yield every case, once."""
    for case in (*layers.cases(), *parts.cases()):
        yield {**case, "compiled": False}
    for case in compiled.cases():
        yield {**case, "compiled": True}


def named(only: str) -> List[Case]:  # noqa: UP006
    """Return the cases whose id holds a text."""
    return [case for case in every() if only in case["id"]]
