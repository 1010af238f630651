"""HDF5 files as Keras uses them: groups of numbered arrays. What is read was made by anybody.

Nothing is read before the header of a dataset was found to be what is expected: so neither a size that the file only
claims, nor a link out of the file, nor an object in it does anything.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO, Any, Self

import h5py
import ml_dtypes
import numpy as np

from engine.errors import InvalidValue
from engine.tape import Array

CODE = "invalid_keras_file"
_NUMBERS = "biuf"
_SPARE_CHUNK = 1 << 24
"""Bytes that a chunk of a compressed dataset may have beyond those of the dataset."""

# What h5py raises for files that are damaged.
_DAMAGE = (OSError, KeyError, RuntimeError, TypeError, ValueError)


def write(file: IO[bytes], groups: Iterable[tuple[str, str, Iterable[Array]]]) -> None:
    """Write groups of arrays; the same content gives the same bytes.

    Args:
        file: empty; can be read and seeked.
        groups: place, name and arrays of each.
    """
    with h5py.File(file, "w") as root:
        for place, name, arrays in groups:
            group = root.create_group(f"{place}/vars".lstrip("/"))
            group.attrs["name"] = name
            for index, array in enumerate(arrays):
                written = group.create_dataset(str(index), data=array, track_times=False)
                if array.dtype == ml_dtypes.bfloat16:
                    written.attrs["dtype"] = "bfloat16"  # HDF5 does not know it: the bytes are opaque


class Reader:
    """An HDF5 file open for reading.

    Args:
        file: can be seeked.

    Raises:
        InvalidValue: not HDF5, or HDF5 of Keras 2.
    """

    def __init__(self, file: IO[bytes]) -> None:
        with _told("is no HDF5 file"):
            self._root = h5py.File(file, "r")
        if "layer_names" in self._root.attrs:
            raise InvalidValue(
                "These weights are in Keras 2's HDF5 layout, which names layers. Save them as `.weights.h5` or `.keras`"
                " with Keras 3.",
                code=CODE,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._root.close()

    def count(self, place: str) -> int:
        """Return how many arrays a group has; 0 if there is no such group."""
        with _told("has a damaged group"):
            found = self._variables(place)
            return 0 if found is None else len(found)

    def array(self, place: str, index: int, shape: tuple[int, ...]) -> Array:
        """Return an array, after a look at its header.

        Args:
            place: of the group.
            index: in it.
            shape: that the array must have.

        Raises:
            InvalidValue: it is not there, or not an array of numbers of this shape.
        """
        where = f"{place}/vars/{index}".lstrip("/")
        with _told(f"has a damaged array at {where!r}"):
            found = self._variables(place)
            item = None if found is None else _hard(found, str(index))
            if item is None:
                raise InvalidValue(f"The file has no array {where!r}, which the model needs.", code=CODE)
            opaque = _check(item, where, shape)
            values = np.empty(shape, item.dtype)
            if values.size:
                item.read_direct(values)
            return values.view(ml_dtypes.bfloat16) if opaque else values

    def _variables(self, place: str) -> Any:
        group: Any = self._root
        for part in (*(part for part in place.split("/") if part), "vars"):
            below = None if group is None else _spelled(group, part)
            group = below if isinstance(below, h5py.Group) else None
        return group


def _spelled(group: Any, part: str) -> Any:
    """Return a member under one of the names that it had in versions of Keras: `query_dense` was private once."""
    older = {"layers": "_layer_checkpoint_dependencies"}.get(part, part)
    for name in (part, f"_{part}", part.removeprefix("_"), older):
        found = _hard(group, name)
        if found is not None:
            return found
    return None


def _hard(group: Any, name: str) -> Any:
    """Return a member that lies in the group itself; links to elsewhere are not followed."""
    link = group.get(name, getlink=True)
    return group[name] if isinstance(link, h5py.HardLink) else None


def _check(item: Any, where: str, shape: tuple[int, ...]) -> bool:
    """Check the header of a dataset; return whether it holds bfloat16, which HDF5 keeps as opaque bytes."""
    if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
        raise InvalidValue(f"{where!r} is no array of the file's own.", code=CODE)
    if item.shape != shape:
        have, want = ([] if s is None else list(s) for s in (item.shape, shape))
        raise InvalidValue(f"{where!r} has shape {have}, but the model needs {want}.", code=CODE)
    opaque = item.dtype.kind == "V" and item.dtype.itemsize == 2 and item.dtype.names is None
    if opaque:
        opaque = item.attrs.get("dtype") == "bfloat16"
    if not (opaque or item.dtype.kind in _NUMBERS):
        raise InvalidValue(f"{where!r} holds {item.dtype}, no numbers.", code=CODE)
    chunk = np.prod(item.chunks or (0,), dtype=object) * item.dtype.itemsize
    if chunk > item.nbytes + _SPARE_CHUNK:
        raise InvalidValue(f"{where!r} is stored in chunks of {chunk} bytes, more than it has.", code=CODE)
    return opaque


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Make what h5py raises for a damaged file one error."""
    try:
        yield
    except InvalidValue:
        raise
    except _DAMAGE as error:
        raise InvalidValue(f"The weights file {what}: {error}.", code=CODE) from error
