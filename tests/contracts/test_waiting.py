from itertools import count

import pytest

from tests.waiting import until


def test_the_answer_comes_back():
    numbers = count()
    assert until(lambda: next(numbers) if next(numbers) > 4 else None, timeout=5) == 6


def test_the_wait_ends_with_what_was_waited_for_and_the_last_answer():
    with pytest.raises(AssertionError, match=r"waited 0\.05 s for the moon; the last answer was \[\]"):
        until(list, timeout=0.05, what="the moon")
