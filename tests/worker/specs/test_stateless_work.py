"""What is answered without a job: twice the body takes twice the work, and no answer is many times its question."""

import json
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from tests.work import calls_of
from worker.settings import Limits
from worker.specs import loss_scales, optimizer_forms, policies
from worker.specs.bounds import LONGEST_KEY, LONGEST_TEXT, MOST_ENTRIES
from worker.specs.errors import LONGEST_MESSAGE, SpecError, read
from worker.specs.inspect_model import inspect_model
from worker.specs.inspection import InspectRequest
from worker.specs.loss_scales import LossScaleValidateRequest
from worker.specs.optimizer_forms import OptimizerDeserializeRequest, OptimizerSerializeRequest
from worker.specs.policy_shapes import PolicyDeserializeRequest, PolicySerializeRequest, PolicyValidateRequest
from worker.specs.translation import TranslateRequest, translate

FLOAT32 = {"class_name": "DTypePolicy", "config": {"name": "float32"}}
VALUES: dict[str, Callable[[int], Any]] = {
    "numbers": lambda n: [1.5] * n,
    "texts": lambda n: ["text"] * n,
    "keys": lambda n: {f"k{index}": index for index in range(n)},
    "objects": lambda n: [{"a": 1}] * n,
    "policies": lambda n: {
        f"d{index}": {"class_name": "DTypePolicy", "config": {"name": "float32"}} for index in range(n)
    },
    "a text": lambda n: "x" * n,
    "flags": lambda n: [f"--a{index}" for index in range(n)],
    "words of one flag": lambda n: ["--a", *["b"] * n],
}


def _map(value: Any) -> Any:
    return {"class_name": "DTypePolicyMap", "config": {"default_policy": None, "policy_map": value}}


def _model(**config: Any) -> Any:
    layer = {"class_name": "Normalization", "config": {"batch_input_shape": [None, 4], **config}}
    return {"class_name": "Sequential", "config": {"layers": [layer]}}


def _translated(source: str, to: str, value: Any) -> Any:
    return translate(read(TranslateRequest, {"from": source, "to": to, "config": value}))


ASKED: dict[str, Callable[[Any], Any]] = {
    "validate a policy": lambda v: policies.validate_policy(read(PolicyValidateRequest, {"policy": v})),
    "validate a map": lambda v: policies.validate_policy(read(PolicyValidateRequest, {"policy": _map(v)})),
    "serialize a policy": lambda v: policies.serialize_policy(read(PolicySerializeRequest, {"policy": v})),
    "deserialize a policy": lambda v: policies.deserialize_policy(read(PolicyDeserializeRequest, {"config": v})),
    "validate a loss scale": lambda v: loss_scales.validate_loss_scale(
        read(LossScaleValidateRequest, {"loss_scale": v})
    ),
    "serialize an optimizer": lambda v: optimizer_forms.serialize_optimizer(
        read(OptimizerSerializeRequest, {"optimizer": v})
    ),
    "deserialize an optimizer": lambda v: optimizer_forms.deserialize_optimizer(
        read(OptimizerDeserializeRequest, {"config": v})
    ),
    **{
        f"translate {source}": partial(_translated, source, to)
        for source, to in (("deepspeed", "torch"), ("megatron", "keras3"), ("fairseq", "tf2.4"), ("torch", "jmp"))
    },
    "inspect numbers of a layer": lambda v: inspect_model(
        read(InspectRequest, {"model": _model(mean=v, variance=v)}), Limits()
    ),
    "inspect with a map": lambda v: inspect_model(
        read(InspectRequest, {"model": _model(), "policy": _map(v)}), Limits()
    ),
}


def _size_of(ask: Callable[[Any], Any], value: Any) -> int:
    """Return how long the answer is, or the faults are."""
    try:
        return len(ask(value).model_dump_json())
    except SpecError as error:
        return sum(len(fault.message) + len(fault.pointer) for fault in error.errors)


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("asked", ASKED)
def test_twice_the_body_takes_twice_the_work(asked: str, value: str) -> None:
    ask, make = ASKED[asked], VALUES[value]
    _size_of(ask, make(4))
    small, large = (calls_of(partial(_size_of, ask, make(count))) for count in (400, 800))
    assert large <= 2.3 * small


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("asked", ASKED)
def test_no_answer_is_many_times_its_question(asked: str, value: str) -> None:
    given = VALUES[value](2000)
    size = _size_of(ASKED[asked], given)
    assert size <= 20 * len(json.dumps(given)) + 10_000


def _refused(value: Any) -> SpecError:
    with pytest.raises(SpecError) as caught:
        _translated("deepspeed", "torch", value)
    return caught.value


@pytest.mark.parametrize(
    "value",
    [
        [1] * (MOST_ENTRIES + 1),
        {"zero": [{"a": 1}] * (MOST_ENTRIES // 2 + 1)},
        {"k" * (LONGEST_KEY + 1): 1},
        "x" * (LONGEST_TEXT + 1),
    ],
)
def test_what_no_library_writes_is_refused(value: Any) -> None:
    (fault,) = _refused(value).errors
    assert (fault.code, fault.pointer) == ("too_long", "/config")


def test_a_message_of_the_original_does_not_repeat_megabytes() -> None:
    report = policies.validate_policy(read(PolicyValidateRequest, {"policy": ["x" * 60_000]}))
    (fault,) = report.errors
    assert len(fault.message) <= LONGEST_MESSAGE
    assert "characters left out" in fault.message
