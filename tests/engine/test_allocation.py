import subprocess
import sys

import pytest

from engine import allocation

COUNT_FAULTS = """
import resource, sys
import numpy as np
from engine import allocation

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):
        np.ones(500_000, np.float32)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with allocation.kept():
    faults()
    print(faults())
"""


class Library:
    """A C library that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, ...]] = []

    def mallopt(self, *arguments: int) -> int:
        self.asked.append(arguments)
        return 1

    def malloc_trim(self, pad: int) -> int:
        self.asked.append((pad,))
        return 1


def fail_while_kept(library: Library) -> None:
    with allocation.kept(library):
        raise KeyError(len(library.asked))


def test_what_was_kept_is_given_back_whatever_happens():
    library = Library()
    with pytest.raises(KeyError, match="2"):
        fail_while_kept(library)
    assert library.asked[-1] == (0,)


def test_another_library_is_left_alone():
    with allocation.kept(object()):
        found = bytearray(10)
    assert len(found) == 10


def test_arrays_are_made_of_memory_that_is_there():
    # In a process of its own: the settings are those of a process.
    command = [sys.executable, "-c", COUNT_FAULTS]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert int(told) < 50, "each of the 100 arrays has 489 pages"
