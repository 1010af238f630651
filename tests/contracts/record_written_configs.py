"""Records that tf_keras and TF 2.4 read the configs that are written for them.

First `python -m tests.contracts.record_written_configs FILE` writes them down; then each library's own interpreter
reads them and keeps those that it takes: `PYTHON tests/contracts/record_written_configs.py FILE tf_keras`, and with
another interpreter `... FILE tf2.4`. FILE is tests/recorded/written_configs.json.gz. Recorded with tf_keras 2.21.0 and
TF 2.4.4.
"""

from __future__ import annotations

import gzip
import importlib
import json
import sys
from pathlib import Path
from typing import Any

MODULES = {"tf_keras": "tf_keras", "tf2.4": "tensorflow.keras"}
ELSEWHERE = ("EinsumDense", "Normalization", "Rescaling")
"""Layers that TF 2.4 does not find by itself: they are experimental there."""


def kept(path: Path, content: Any) -> None:
    """Write a file whose bytes depend on the content alone."""
    path.write_bytes(gzip.compress(json.dumps(content).encode(), mtime=0))


def known(keras: Any) -> dict[str, Any]:
    """Return the layers that have to be named to be found."""
    experimental = getattr(keras.layers, "experimental", None)
    places = [place for place in (experimental, getattr(experimental, "preprocessing", None)) if place is not None]
    return {name: getattr(place, name) for name in ELSEWHERE for place in places if hasattr(place, name)}


def refusal(keras: Any, entry: dict[str, Any], custom: dict[str, Any]) -> str | None:
    """Return why a library does not read a config; None if it does."""
    name, written = entry["class_name"], json.loads(json.dumps(entry["written"]))  # readers take keys out of it
    if "model" not in entry and not hasattr(keras.layers, name) and name not in custom:
        return "is not there"
    try:
        with keras.utils.custom_object_scope(custom):
            if "model" in entry:
                keras.models.model_from_json(json.dumps(written))
            else:
                keras.layers.deserialize(written)
    except (KeyError, TypeError, ValueError) as error:
        return f"{entry.get('given')}: {type(error).__name__}: {error}"
    return None


def read(path: Path, line: str) -> None:
    """Let a library read what is written for it, show what it refuses, and keep the rest."""
    keras = importlib.import_module(MODULES[line])
    content = json.loads(gzip.decompress(path.read_bytes()))
    custom, taken = known(keras), []
    for entry in content[line]:
        why = refusal(keras, entry, custom)
        if why is None:
            taken.append(entry)
        else:
            sys.stdout.write(f"{line} {entry['class_name']} {why}\n")
    kept(path, {**content, line: taken})


def main(path: Path, lines: list[str]) -> None:
    """Write the configs, or read them as some lines do."""
    for line in lines:
        read(path, line)
    if not lines:
        kept(path, importlib.import_module("tests.contracts.test_written_configs").everything())


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
