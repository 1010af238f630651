import numpy as np
import pytest

from worker.specs.errors import SpecError
from worker.specs.samples import MOST_ERRORS, read_samples

NAN, INF = float("nan"), float("inf")


def read(x, y):
    return read_samples(x, y, rows=100, values=1000)


def faults(x, y=None):
    with pytest.raises(SpecError) as caught:
        read(x, [0] * len(x) if y is None else y)
    return [(error.code, error.pointer, error.message) for error in caught.value.errors]


def test_lists_become_arrays():
    samples = read([[1, 2.5], [3, 4]], [0, 1])
    np.testing.assert_array_equal(samples.x, np.array([[1, 2.5], [3, 4]]))
    assert (samples.x.dtype, samples.y.dtype) == (np.float64, np.int64)


def test_labels_with_a_point_stay_floats():
    assert read([1, 2], [0, 0.5]).y.dtype == np.float64


def test_images_keep_their_axes():
    assert read([[[[1.0], [2.0]]]], [0]).x.shape == (1, 1, 2, 1)


@pytest.mark.parametrize(
    ("x", "code", "pointer", "words"),
    [
        ([[1, 2], [3]], "ragged_data", "/data/x/1", "`x[1]` (row 1) has 1 entries, but `x[0]` (row 0) has 2"),
        ([[1, 2], 3], "ragged_data", "/data/x/1", "`x[1]` (row 1) has 3, but `x[0]` (row 0) has 2"),
        ([[[1], [2]], [[1], []]], "ragged_data", "/data/x/1/1", "`x[1][1]` (row 1, column 1) has 0 entries"),
        ([1, [2]], "ragged_data", "/data/x/1", "`x[1]` (row 1) must be a number. Received: a list of 1 item."),
        ([[1, "2"]], "data_invalid", "/data/x/0/1", '`x[0][1]` (row 0, column 1) must be a number. Received: "2".'),
        ([[1, True]], "data_invalid", "/data/x/0/1", "Received: true."),
        ([[1, None]], "data_invalid", "/data/x/0/1", "is null; every value must be a finite number"),
        ([[1, {}]], "data_invalid", "/data/x/0/1", "Received: an empty object."),
        ([[1, NAN]], "data_invalid", "/data/x/0/1", "is not finite: NaN."),
        ([[-INF, 1]], "data_invalid", "/data/x/0/0", "is not finite: -Infinity."),
        ([[10**400]], "data_invalid", "/data/x/0/0", "is too large: an integer of 1329 bits."),
        ([[], []], "empty_data", "/data/x", "The samples of `x` are empty lists."),
        ([0] * 101, "resource_limit", "/data/x", "`x` has 101 samples; a job may carry at most 100."),
        ([[0] * 501] * 2, "resource_limit", "/data/x", "`x` has 1002 numbers; a job may carry at most 1000."),
    ],
)  # fmt: skip
def test_an_unusable_value_is_named(x, code, pointer, words):
    found = faults(x, [0] * min(len(x), 100))
    assert [entry[:2] for entry in found] == [(code, pointer)]
    assert words in found[0][2]


def test_a_row_that_was_never_filled_is_one_fault():
    assert [entry[1] for entry in faults([[NAN, NAN], [1, 2], [3, NAN]])] == ["/data/x/0/0", "/data/x/2/1"]


def test_faults_are_listed_up_to_a_number():
    found = faults([[NAN]] * 50)
    assert len(found) == MOST_ERRORS
    assert found[0][2].endswith("There are 50 such rows.")


def test_both_arrays_are_looked_at():
    assert [entry[1] for entry in faults([[None]], ["a"])] == ["/data/x/0/0", "/data/y/0"]


@pytest.mark.parametrize("value", [3, "abc", None])
def test_what_is_no_list_is_refused(value):
    with pytest.raises(SpecError) as caught:
        read(value, [0])
    assert [(error.code, error.pointer) for error in caught.value.errors] == [("invalid_type", "/data/x")]


def test_every_row_needs_a_label():
    assert [entry[:2] for entry in faults([1, 2], [0])] == [("length_mismatch", "/data/y")]
    assert [entry[:2] for entry in faults([], [])] == [("empty_data", "/data/x"), ("empty_data", "/data/y")]


def test_labels_beyond_int64_are_refused():
    assert [entry[:2] for entry in faults([1], [2**63])] == [("data_invalid", "/data/y/0")]
