"""Files of every format are read alike; hostile ones are refused before anything large is made of them."""

import io
import struct
import tracemalloc
import zipfile
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from engine import checkpoint
from worker.settings import Limits
from worker.specs.errors import SpecError
from worker.specs.files.columns import choose
from worker.specs.files.content import BadRows, Unreadable
from worker.specs.files.formats import FORMATS, understand

LIMITS = Limits(file_values=1000, file_columns=20)
X = np.array([[0.5, 1.0], [2.0, -3.0], [4.0, 5.0]])
Y = np.array([0, 1, 2])


def npy(array: np.ndarray, **options: object) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def npz(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def safetensors(**arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    checkpoint.write(file, arrays, {})
    return file.getvalue()


def parquet(**columns: object) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table(columns), file)
    return file.getvalue()


SAME = {
    "npz": npz(x=X, y=Y),
    "npy": npy(np.column_stack([X, Y])),
    "safetensors": safetensors(x=X, y=Y),
    "csv": b'a,"b",label\r\n0.5,1.0,0\r\n2,-3,1\r\n+4e0, 5.,2\r\n',
    "jsonl": b'{"x": [0.5, 1], "y": 0}\n\n{"y": 1, "x": [2, -3.0]}\n{"x": [4, 5], "y": 2}',
    "parquet": parquet(a=X[:, 0], b=X[:, 1], label=Y),
}
"""The same samples in every format."""
IN_PROCESS = [name for name in SAME if name != "parquet"]


def read(content: bytes, name: str, limits: Limits = LIMITS):
    return understand(io.BytesIO(content), f"data.{name}", limits).content


def refused(content: bytes, name: str, limits: Limits = LIMITS) -> Any:
    with pytest.raises((Unreadable, BadRows)) as caught:
        read(content, name, limits)
    assert caught.value.errors[0].pointer.startswith("/file")
    return caught.value


@pytest.mark.parametrize("name", FORMATS)
def test_the_same_samples_in_every_format(name: str):
    samples = choose(read(SAME[name], name), None, None)
    np.testing.assert_array_equal(samples.x, X)
    np.testing.assert_array_equal(samples.y, Y)


@pytest.mark.parametrize("name", FORMATS)
def test_more_values_or_columns_than_allowed(name: str):
    values = refused(SAME[name], name, Limits(file_values=5))
    assert (values.errors[0].code, "limit is 5" in values.errors[0].message) == ("resource_limit", True)
    assert refused(SAME[name], name, Limits(file_columns=1)).errors[0].code == "resource_limit"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("content", [b"", b"\x00" * 100, b"PK\x03\x04", b"{", b"\n\n", b"\xff\xfe\xfd" * 40])
def test_what_is_no_such_file(name: str, content: bytes):
    assert refused(content, name).errors


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(name=st.sampled_from(IN_PROCESS), data=st.data())
@example(name="npz", data=None)
def test_changed_bytes_are_read_or_refused_and_nothing_else(name: str, data: st.DataObject | None):
    content = bytearray(SAME[name])
    if data is not None:
        places = data.draw(st.lists(st.tuples(st.integers(0, len(content) - 1), st.integers(0, 255)), max_size=6))
        for place, value in places:
            content[place] = value
        cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))
        content = content[:cut] + data.draw(st.binary(max_size=8))
    assert outcome(bytes(content), name) in {"read", "refused"}


def outcome(content: bytes, name: str) -> str:
    try:
        choose(read(content, name), None, None)
    except SpecError:
        return "refused"
    return "read"


@pytest.mark.parametrize("name", IN_PROCESS)
def test_every_format_survives_each_byte_changed(name: str):
    content = SAME[name]
    changed = (bytes([*content[:at], content[at] ^ 0xFF, *content[at + 1 :]]) for at in range(0, len(content), 3))
    assert "refused" in {outcome(bad, name) for bad in changed}


@pytest.mark.parametrize("place", [100, 356, 365, 700])  # the two in the middle abort pyarrow 26
def test_a_parquet_file_that_would_crash_its_reader_crashes_another_process(place: int):
    content = SAME["parquet"][:-8]
    end = SAME["parquet"][-8:]
    changed = bytes([*content[:place], content[place] ^ 0x09, *content[place + 1 :]]) + end
    assert outcome(changed, "parquet") in {"read", "refused"}


# ------------------------------------------------------------------------------------------------- numpy's formats


def test_objects_are_never_unpickled():
    evil = npy(np.array([print], dtype=object), allow_pickle=True)
    assert refused(evil, "npy").errors[0].code == "pickle_refused"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", evil)
    assert refused(file.getvalue(), "npz").errors[0].code == "pickle_refused"


def test_a_structured_array_is_told_to_be_split():
    fields = np.zeros(3, [("x", "f4"), ("y", "i8")])
    assert "structured" in refused(npy(fields), "npy").errors[0].message


def header(shape: str, descr: str = "'<f4'") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    "content",
    [
        header("(99999999999, 99999999999)"),
        header("(3, 2)") + b"\x00" * 20,
        header("(-1,)"),
        header("(1" + ", 1" * 40 + ")"),
        header("(" * 900),
        header("(3,)", "'<f16'"),
        header("(3,)", "__import__('os').system('true')"),
        header("(0, 3)"),
        b"\x93NUMPY\x02\x00\xff\xff\xff\xff",
        b"\x93NUMPY\x09\x00\x10\x00",
    ],
)
def test_absurd_headers_allocate_nothing(content: bytes):
    tracemalloc.start()
    refused(content, "npy", Limits())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_zip_bomb_is_measured_before_it_is_unpacked():
    bomb = npz(x=np.zeros(10_000_000, np.uint8))
    assert len(bomb) < 20_000
    tracemalloc.start()
    assert refused(bomb, "npz").errors[0].code == "resource_limit"
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1_000_000


def test_a_zip_that_lies_about_its_size():
    honest = npz(x=np.zeros(900, np.uint8))
    start = honest.rindex(b"PK\x01\x02")
    size = struct.pack("<I", 2**31)
    lying = honest[: start + 24] + size + honest[start + 28 :]
    assert refused(lying, "npz", Limits()).errors[0].code == "resource_limit"


def test_a_zip_whose_directory_says_it_is_huge():
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 1, 1, 2**31 - 1, 0, 0)
    assert "damaged" in refused(b"\x00" * 64 + end, "npz").errors[0].message


def test_a_zip_with_other_things_in_it():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../etc/passwd", b"x")
    assert "no array" in refused(file.getvalue(), "npz").errors[0].message


def test_text_beside_the_numbers_is_named_and_left():
    content = read(npz(x=X, y=Y, names=np.array(["a", "b"]), scale=np.float64(2.0)), "npz")
    assert (list(content.arrays), content.unusable) == (["x", "y"], ("names", "scale"))
    assert content.described()["unusable"] == ["names", "scale"]


def test_byte_order_and_order_of_axes_do_not_matter():
    content = read(npz(x=np.asfortranarray(X).astype(">f8"), y=Y.astype(">i2")), "npz")
    np.testing.assert_array_equal(content.arrays["x"], X)
    assert content.arrays["y"].dtype == np.int16


def test_images_stay_bytes_until_they_are_trained_on():
    images = np.arange(3 * 4 * 4, dtype=np.uint8).reshape(3, 4, 4, 1)
    content = read(npz(x=images, y=Y), "npz")
    assert content.arrays["x"].dtype == np.uint8
    samples = choose(content, None, None)
    assert (samples.x.dtype.name, samples.x.shape, samples.y.dtype.name) == ("float32", (3, 4, 4, 1), "int64")


def test_nan_is_named_by_its_row():
    bad = X.copy()
    bad[1, 1], bad[2, 0] = np.nan, np.inf
    found = refused(npz(x=bad, y=Y), "npz")
    assert ([error.pointer for error in found.errors], found.total) == (["/file/1/x", "/file/2/x"], 2)


# ------------------------------------------------------------------------------------------------------- tables


def test_a_table_of_numbers_alone_has_numbered_columns():
    content = read(b"1,2\n3,4\n", "csv")
    assert (content.names, content.rows) == (("0", "1"), 2)


def test_a_column_of_text_is_kept_out_of_training():
    content = read(b"name,a,y\nann,1,0\nbob,2,1\n", "csv")
    assert content.unusable == ("name",)
    with pytest.raises(SpecError, match="no column of numbers"):
        choose(content, None, None)
    assert choose(content, ["a"], "y").x.tolist() == [[1.0], [2.0]]


def test_rows_of_another_length_are_named():
    found = refused(b"a,b\n1,2\n3\n4,5\n6,7,8\n", "csv")
    assert [error.pointer for error in found.errors] == ["/file/1", "/file/3"]
    assert "has 1 cells, not 2" in found.errors[0].message


def test_bad_cells_come_in_the_order_of_rows():
    found = refused(b"a,b\n1,2\n3,x\n,5\n7,8\n1e999,9\n", "csv")
    assert [error.pointer for error in found.errors] == ["/file/1/b", "/file/2/a"]
    assert "is empty" in found.errors[1].message


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'{"x": [1, null], "y": 0}', "must be a number"),
        (b'{"x": [1, true], "y": 0}', "must be a number"),
        (b'{"x": [1], "y": 0}', "all rows need one shape"),
        (b'{"x": [[1], 2], "y": 0}', "uneven"),
        (b'{"x": [1, 2]}', "other keys"),
        (b"[1, 2]", "must be an object"),
        (b"nonsense", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b'{"x": [1, 2], "y": 9999999999999999999999}', "63 bits"),
    ],
)
def test_a_bad_line_is_named(line: bytes, why: str):
    found = refused(b'{"x": [0.5, 1], "y": 0}\n' + line + b'\n{"x": [0.5, 1], "y": 0}\n', "jsonl")
    assert (found.total, found.errors[0].pointer.startswith("/file/1")) == (1, True)
    assert why in found.errors[0].message


def test_columns_of_lists_in_parquet():
    content = read(parquet(x=[[[1.0, 2.0]], [[3.0, 4.0]]], y=[True, False], name=["a", "b"]), "parquet")
    samples = choose(content, None, "y")
    assert (samples.x.tolist(), samples.y.tolist()) == ([[[1.0, 2.0]], [[3.0, 4.0]]], [1, 0])


@pytest.mark.parametrize("values", [[1.0, None, 3.0], [[1.0], [None], [2.0]], [[1.0], None, [2.0]], [[1.0], [], [2.0]]])
def test_holes_in_parquet_are_named(values: list):
    found = refused(parquet(x=values, y=[1, 2, 3]), "parquet")
    assert [error.pointer for error in found.errors] == ["/file/1/x"]


# ------------------------------------------------------------------------------------------------------- columns


@pytest.mark.parametrize(
    ("x", "y", "pointer", "said"),
    [
        ("a", "b", "/data/y", "no column of numbers"),
        ("aa", "c", "/data/x", 'Did you mean "a"?'),
        (["a", "w"], "c", "/data/x", "Name it alone"),
        (["a", "nope"], "c", "/data/x/1", 'The file has no "nope"'),
    ],
)
def test_columns_that_cannot_be_had(x, y, pointer: str, said: str):
    rows = b'{"a": 1, "b": "text", "c": 0, "w": [1, 2]}\n{"a": 2, "b": "more", "c": 1, "w": [3, 4]}'
    with pytest.raises(SpecError, match=r"data\.|file has|Name it") as caught:
        choose(read(rows, "jsonl"), x, y)
    assert caught.value.errors[0].pointer == pointer
    assert said in caught.value.errors[0].message


def test_arrays_that_nobody_can_guess():
    with pytest.raises(SpecError, match=r"say which in `data\.y`"):
        choose(read(npz(x_train=X, y_train=Y), "npz"), None, None)
    assert choose(read(npz(x_train=X, y_train=Y), "npz"), "x_train", "y_train").x.shape == (3, 2)
    with pytest.raises(SpecError, match="every row needs one label"):
        choose(read(npz(x=X, y=Y[:2]), "npz"), None, None)
