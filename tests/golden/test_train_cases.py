"""The comparison itself: a result that is a little wrong must be found, whichever part of a case it is in."""

import math

import numpy as np
import pytest

from tests.golden import cases, runner, train
from tests.golden.outcome import NotBuilt
from tests.golden.train_case import error, magnitude

# A case of every kind, and the arrays of it that hold results.
RESULTS = {
    "A_dense__float32": ["y_00", "gx_00", "gw_00", "gw_01"],
    "A_batchnorm_train__mixed_float16": ["y_00", "gx_00", "gw_00", "wa_02", "wa_03"],
    "A_fn_celu_alp0p7__float32": ["y_00", "gx_00"],
    "B_loss_mse__float64": ["v_sum__nosw", "g_none__nosw", "v_none__sw_sample"],
    "B_head_softmax_cce__float32": ["y_pred_policy", "v_att_policy", "g_att_policy", "v_det_policy", "g_det_policy"],
    "B_metric_accuracy_int": ["result_u_1", "state_w_00"],
    "C_opt_adam__float32": ["w_00", "ov_03", "lr"],
    "C_lso_growth3": ["w_01", "ov_02", "ov_07", "lr"],
    "C_sparse_sgd_momentum_dense__float32": ["w", "ov_02"],
    "C_sparse_adam_tfslices__float32": ["values", "w", "ov_03"],
    "C_opt_adafactor__float32": ["ov_02", "ov_03", "ov_04"],
    "C_opt_nadam__float32": ["w_00", "ov_02"],
    "C_sched_cosine": ["values"],
    "D_k3_mlp__mixed_float16": ["step_loss", "step_lr", "g0_00", "g1_03", "w1_00", "pred_before", "pred_after"],
    "D_k3_mlp_scale2e24__mixed_float16": [
        "step_scale_before",
        "step_scale_after",
        "step_good_steps",
        "step_iterations",
    ],
}


def case_of(case_id: str) -> cases.Case:
    return next(cases.load(cases.OWN, pattern=case_id))


@pytest.mark.parametrize(("case_id", "key"), [(case, key) for case, keys in RESULTS.items() for key in keys])
def test_a_changed_result_is_found(case_id: str, key: str) -> None:
    case = case_of(case_id)
    arrays = case.arrays()
    changed = np.where(arrays[key] == 0, 1, arrays[key] * 2).astype(arrays[key].dtype)
    assert train.KINDS[case.kind](case.document, arrays) == {}
    assert train.KINDS[case.kind](case.document, {**arrays, key: changed}) != {}


def test_a_wrong_dtype_is_found() -> None:
    case = case_of("A_dense__mixed_float16")
    about = {**case.document["npz"]["arrays"], "y_00": {"dtype": "float32"}}
    document = {**case.document, "npz": {"arrays": about}}
    assert list(train.KINDS[case.kind](document, case.arrays())) == ["dtype of output 0"]


def test_a_missing_gradient_is_found() -> None:
    case = case_of("A_dense__float32")
    changed = {**case.document, "grads": {"inputs": ["gx_00"], "weights": [{"weight": 1, "array": "gw_00"}]}}
    assert "grad_weight" in train.KINDS[case.kind](changed, case.arrays())


@pytest.mark.parametrize("kind", ["loss_masked"])
def test_what_the_engine_lacks_is_told(kind: str) -> None:
    with pytest.raises(NotBuilt):
        train.KINDS[kind]({}, {})


def test_a_layer_that_is_not_registered_is_unsupported() -> None:
    case = case_of("A_dense__float32")
    layer = {**case.document["layer"], "class_name": "Densest"}
    with pytest.raises(NotBuilt, match="Unknown layer: 'Densest'"):
        train.KINDS["layer"]({**case.document, "layer": layer}, case.arrays())


def test_a_setting_that_does_not_exist_fails() -> None:
    case = case_of("A_dense__float32")
    case.document["layer"]["config"]["unit"] = 3
    assert len(runner.run([case]).failed) == 1


@pytest.mark.parametrize(
    ("got", "expected", "value"),
    [
        ([1.0, 2.0], [1.0, 2.5], 0.2),
        ([0.0], [1e-6], 1e-3),
        ([np.nan, 1.0], [np.nan, 1.0], 0.0),
        ([np.inf, 1.0], [np.inf, 2.0], 0.5),
        ([np.inf], [-np.inf], math.inf),
        ([np.nan], [np.inf], math.inf),
        ([1.0], [np.nan], math.inf),
        ([1.0], [[1.0]], math.inf),
        ([], [], 0.0),
    ],
)
def test_error(got: list[float], expected: list[float], value: float) -> None:
    assert error(got, expected) == pytest.approx(value)


def test_scale_of_another_array() -> None:
    assert error([1.0], [2.0], scale=10.0) == pytest.approx(0.1)
    assert magnitude([[1.0, -3.0], [], [np.inf]]) == 3.0
