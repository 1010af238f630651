"""Layers with extreme numbers beside what the real libraries answered (`record_layers.py`)."""

import base64
import gzip
import json

import numpy as np
import pytest

from tests.extremes.comparing import Answer
from tests.extremes.layers import rows
from tests.extremes.record_layers import LIBRARIES, RECORD

RECORDED = json.loads(gzip.decompress(RECORD.read_bytes()))


def read(written) -> Answer:
    arrays = {
        key: np.frombuffer(base64.b64decode(text), dtype).reshape(shape)
        for key, (dtype, shape, text) in written["arrays"].items()
    }
    return Answer(arrays, written["dtype"], written["error"])


@pytest.mark.parametrize("library", LIBRARIES)
def test_extreme_numbers_give_what_the_library_gives(library):
    entries = RECORDED[library]
    real = {entry["case"]["id"]: [read(each) for each in entry["answers"]] for entry in entries}
    found = {row.case["id"]: (row.verdict, row.why) for row in rows(library, [each["case"] for each in entries], real)}
    wanted = {entry["case"]["id"]: entry["verdict"] for entry in entries}
    assert len(wanted) > 50
    assert {name: verdict for name, (verdict, _) in found.items()} == wanted, found
