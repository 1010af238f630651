"""Names of other systems for a policy: the message about them names the policy of Keras."""

import pytest

from engine.serialization.any_policy import read_policy
from tests.worker.specs.jobs import D1, prepared
from worker.specs.errors import SpecError
from worker.specs.policies import validate_policy
from worker.specs.policy_shapes import PolicyValidateRequest
from worker.specs.precision_names import _MEANINGS, suggestion

BOTH = 'mixed_float16" or "mixed_bfloat16'
LAYER = f"{D1}/config/dtype"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("fp16", "mixed_float16"),
        ("FP16", "mixed_float16"),
        ("float16_mixed", "mixed_float16"),
        ("16-mixed", "mixed_float16"),
        ("mixed-float16", "mixed_float16"),
        ("mixed_float17", "mixed_float16"),
        ("bf16", "mixed_bfloat16"),
        ("bf16-mixed", "mixed_bfloat16"),
        ("16-true", "float16"),
        ("torch.bfloat16", "bfloat16"),
        ("no", "float32"),
        ("amp", BOTH),
        ("fp8", "float8_from_mixed_bfloat16"),
    ],
)
def test_a_foreign_name_is_refused_with_the_name_of_keras(name, meant):
    with pytest.raises(SpecError) as caught:
        prepared({"/policy": name})
    (error,) = caught.value.errors
    assert (error.code, error.pointer) == ("unknown_policy", "/policy")
    assert error.message.startswith(f"Cannot convert value {name} to a mixed precision Policy.")
    assert error.message.endswith(f' Did you mean "{meant}"?')


@pytest.mark.parametrize("name", ["", "x", "int8", "complex", None, 16, "mixed_float16", "_infer"])
def test_nothing_is_suggested_for_other_names(name):
    assert suggestion(name) == ""


def test_every_suggestion_is_a_policy():
    for meant in _MEANINGS:
        for name in meant.split('" or "'):
            assert read_policy(name).name == name


def test_a_policy_inside_a_config_and_the_dtype_of_a_layer_get_the_hint():
    policy = {"class_name": "Policy", "config": {"name": "bf16"}}
    with pytest.raises(SpecError) as caught:
        prepared({"/policy": policy, LAYER: "fp16"})
    messages = {error.pointer: error.message for error in caught.value.errors}
    assert messages["/policy/config/name"].endswith(' Did you mean "mixed_bfloat16"?')
    assert messages[LAYER].endswith(' Did you mean "mixed_float16"?')


@pytest.mark.parametrize("policy", ["fp16", {"class_name": "Policy", "config": {"name": "fp16"}}])
def test_validate_keeps_the_words_of_the_original_and_suggests_beside_them(policy):
    report = validate_policy(PolicyValidateRequest.model_validate({"policy": policy}))
    assert report.errors[0].message.endswith("and the name of any dtype such as 'float32'.")
    (notice,) = (notice for notice in report.warnings if notice.code == "other_name")
    assert notice.message == 'Did you mean "mixed_float16"?'
