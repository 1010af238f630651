"""Masks enter nested models as in the real libraries (`record_nested_masks.py`); Keras 2 loses them where it casts."""

import json

import numpy as np
import pytest

import engine
from tests.engine.record_nested_masks import RECORD, X

RECORDED = json.loads(RECORD.read_text(encoding="utf-8"))


CASES = [(library, case) for library, cases in RECORDED.items() for case in cases]


@pytest.mark.parametrize(("library", "case"), CASES)
def test_a_mask_enters_a_nested_model_as_in_the_original(library: str, case: str):
    real, policy = RECORDED[library][case], case.partition("/")[2]
    model = engine.model_from_config(real["model"], policy, policy_scope="auto")
    model.set_weights([np.array(real["table"], np.float32)])
    found = model.predict(np.array(X, np.int32))
    np.testing.assert_allclose(np.asarray(found, np.float32), real["y"], rtol=0, atol=2e-3 if "16" in policy else 1e-6)


def test_the_record_has_masks_that_count_and_masks_that_are_lost():
    plain = np.array(RECORDED["tf_keras"]["functional/float32"]["y"])
    lost = np.array(RECORDED["tf_keras"]["functional/mixed_float16"]["y"])
    assert abs(plain[0] - lost[0]).max() > 0.1
    assert abs(plain[1] - lost[1]).max() < 0.01
