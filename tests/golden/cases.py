"""Loading of golden cases: lists of policy cases, and training cases with their arrays."""

import fnmatch
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

OWN = Path(__file__).parent / "cases"


@dataclass(frozen=True)
class Case:
    """One case.

    Attributes:
        id: unique name.
        group: such as "G1_policy_construct", or "A" for a training case.
        kind: which adapter it needs: the ``op`` of a policy case, the ``kind`` of a training case.
        document: the case as written.
        path: of the file it stands in.
    """

    id: str
    group: str
    kind: str
    document: dict[str, Any]
    path: Path

    @property
    def is_training(self) -> bool:
        return "op" not in self.document

    @property
    def needs_python(self) -> bool:
        """Whether the input holds a value that exists only in Python, so that no service could be asked."""
        return "__py__" in json.dumps(self.document.get("input"))

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays of a training case; bfloat16 stays in float32, as stored."""
        about = self.document.get("npz", {}).get("arrays", {})
        with np.load(self.path.with_suffix(".npz"), allow_pickle=False) as stored:
            return {name: _logical(stored[name], about.get(name, {})) for name in stored.files}


def load(directory: Path, group: str = "", pattern: str = "*") -> Iterator[Case]:
    """Yield the cases below a folder whose group starts with a prefix and whose id fits a glob, in order."""
    for path in sorted(directory.rglob("*.json")):
        for case in _read(path):
            if case.group.startswith(group) and fnmatch.fnmatchcase(case.id, pattern) and not case.needs_python:
                yield case


def _read(path: Path) -> Iterator[Case]:
    content = json.loads(path.read_text(encoding="utf-8"))
    for document in content if isinstance(content, list) else [content]:
        kind = document["op"] if "op" in document else document["kind"]
        yield Case(document["id"], document["group"], kind, document, path)


def _logical(array: np.ndarray, about: dict[str, Any]) -> np.ndarray:
    return array.astype(bool) if about.get("dtype") == "bool" else array
