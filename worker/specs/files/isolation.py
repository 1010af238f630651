"""Readers that hostile bytes can crash run in a process of their own, with little memory and little time.

pyarrow's parquet reader is one: a few changed bytes end the process (`terminate called after throwing an instance of
'parquet::ParquetException'`), and nothing in Python can catch that.
"""

from __future__ import annotations

import json
import logging
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from io import BufferedIOBase
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any, BinaryIO, cast

from engine import checkpoint
from worker.settings import Limits
from worker.specs.errors import FieldError, SpecError
from worker.specs.files import parquet
from worker.specs.files.content import BadRows, Content, Unreadable

logger = logging.getLogger(__name__)

SECONDS = 120
"""The longest that one file may be read for."""
BYTES, BYTES_A_VALUE = 2 << 30, 48
"""Address space of the process: for its code and libraries, and for each value that a file may have."""

_REFUSED = 3
_READERS: Mapping[str, Callable[[BinaryIO, Limits], Content]] = MappingProxyType({"parquet": parquet.read})


def isolated(name: str) -> Callable[[BinaryIO, Limits], Content]:
    """Return a reader that reads in a process of its own."""
    return partial(_read_apart, name)


def _read_apart(name: str, file: BinaryIO, limits: Limits) -> Content:
    with TemporaryDirectory(prefix="halfstep-") as folder:
        source, target = Path(folder) / "source", Path(folder) / "target"
        file.seek(0)
        with source.open("wb") as copy:
            shutil.copyfileobj(file, copy, 1 << 20)
        command = [sys.executable, "-m", __spec__.name, name, str(source), str(target), limits.model_dump_json()]
        try:
            ended = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False)
        except subprocess.TimeoutExpired as error:
            text = f"The file takes longer than {SECONDS} seconds to read; send it in parts."
            raise Unreadable(text, "resource_limit") from error
        if ended.returncode == _REFUSED:
            raise _told(json.loads(ended.stdout))
        if ended.returncode:
            logger.warning("the reader of a .%s file ended with %d: %s", name, ended.returncode, ended.stderr[-500:])
            raise Unreadable(f"The file is damaged so that its reader fails; write the .{name} again, or as .npz.")
        with target.open("rb") as made:
            return Content.unpacked(*checkpoint.read(cast(BufferedIOBase, made)))


def _told(said: dict[str, Any]) -> SpecError:
    faults = [FieldError(**fault) for fault in said["errors"]]
    if said["total"]:
        return BadRows(faults, said["total"])
    return Unreadable(faults[0].message, faults[0].code)


def _limit(limits: Limits) -> None:
    for kind, most in (
        (resource.RLIMIT_AS, BYTES + BYTES_A_VALUE * limits.file_values),
        (resource.RLIMIT_CPU, SECONDS),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(kind)[1]
        resource.setrlimit(kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))


def main(name: str, source: str, target: str, said: str) -> int:
    """Read `source` as a file of format `name`, and write its content to `target`, or what is wrong to stdout."""
    limits = Limits.model_validate_json(said)
    _limit(limits)
    try:
        with Path(source).open("rb") as file:
            arrays, record = _READERS[name](file, limits).packed()
    except SpecError as error:
        total = error.total if isinstance(error, BadRows) else 0
        sys.stdout.write(json.dumps({"errors": [asdict(fault) for fault in error.errors], "total": total}))
        return _REFUSED
    with Path(target).open("wb") as made:
        checkpoint.write(made, arrays, record)
    return 0


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    # Not sys.exit: pyarrow ends its threads as the interpreter ends, and aborts the process if one of them still runs.
    os._exit(code)
