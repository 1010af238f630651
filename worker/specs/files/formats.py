"""The formats of training data: one table from the end of a file's name to its reader."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import BinaryIO, TypeAlias

from worker.settings import Limits
from worker.specs.files import csv, jsonl, npy, npz, tensors
from worker.specs.files.content import Content, Unreadable, checked
from worker.specs.files.isolation import isolated

Reader: TypeAlias = Callable[[BinaryIO, Limits], Content]

FORMATS: Mapping[str, Reader] = MappingProxyType(
    {
        "npz": npz.read,
        "npy": npy.read,
        "safetensors": tensors.read,
        "csv": csv.read,
        "jsonl": jsonl.read,
        "parquet": isolated("parquet"),
    }
)


@dataclass(frozen=True)
class Understood:
    """A file that jobs can be trained on: which format it is of, and what it holds."""

    format: str
    content: Content


def format_of(filename: str) -> str:
    """Return the format that a file's name says.

    Raises:
        Unreadable: it says none that is read here.
    """
    suffix = filename.rpartition(".")[2].lower()
    if "." in filename and suffix in FORMATS:
        return suffix
    accepted = ", ".join(f".{name}" for name in FORMATS)
    shown = filename[-60:]
    if suffix in {"pkl", "pickle", "pt", "pth", "joblib"}:
        text = f"{shown!r} is pickled, and pickles are never loaded here; accepted are {accepted}."
        raise Unreadable(text, "pickle_refused")
    raise Unreadable(f"{shown!r} is of no format that is read here; accepted are {accepted}.", "unsupported_format")


def understand(file: BinaryIO, filename: str, limits: Limits) -> Understood:
    """Read a file of strangers whole.

    Args:
        file: can be seeked.
        filename: its end tells the format.
        limits: the most numbers and columns.

    Raises:
        Unreadable: as a whole.
        BadRows: for the rows named.
    """
    name = format_of(filename)
    file.seek(0)
    return Understood(name, checked(FORMATS[name](file, limits)))
