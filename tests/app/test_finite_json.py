import json
import math

import pytest

from app.finite_json import BodyNotJson, dumps, parse


def test_what_is_not_finite_is_null_and_named_beside():
    value = {"loss": math.nan, "deep": [{"scale": -math.inf, "ok": 1.5}], "list": [math.inf]}
    expected = {"loss": None, "deep": [{"scale": None, "ok": 1.5, "nonfinite": {"scale": "-inf"}}], "list": [None]}
    assert json.loads(dumps(value)) == {**expected, "nonfinite": {"loss": "nan"}}


def test_plain_values_stay_as_they_are():
    assert dumps({"a": [1, "ä", None, True]}) == '{"a":[1,"ä",null,true]}'


def test_pythons_own_nan_is_read():
    assert math.isnan(parse(b"[NaN]")[0])
    assert parse(b"[-Infinity]") == [-math.inf]


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 5000, b"\xff", b'"\\ud800"', b"1" * 6000])
def test_what_is_no_json_is_refused_with_its_place(body):
    with pytest.raises(BodyNotJson, match="at line 1 column"):
        parse(body)
