"""Pages of the documentation are run: each block of Python, and what it prints is what stands below it."""

import contextlib
import io
import re

import pytest

from app.client import DEFAULT_URL
from tests.app.serving import Served
from tests.contracts.sources import ROOT

PAGES = [
    *("docs/data.md", "docs/inspect.md", "docs/jobs.md", "docs/low-precision.md", "docs/observation.md"),
    "docs/policies.md",
]
_BLOCK = re.compile(r"```(python|text)\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", PAGES)
def test_examples_print_what_the_page_says(served: Served, page: str) -> None:
    blocks = _BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))
    assert blocks
    names: dict[str, object] = {}
    printed = ""
    for kind, text in blocks:
        if kind == "text":
            assert printed == text
            continue
        with contextlib.redirect_stdout(io.StringIO()) as output:
            exec(text.replace(DEFAULT_URL, served.url), names)
        printed = output.getvalue()
    if "halfstep" in names:  # pages about the engine need no server
        names["halfstep"].close()  # type: ignore[attr-defined]
