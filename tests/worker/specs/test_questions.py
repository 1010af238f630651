"""Questions about policies with an arbitrary value at an arbitrary place: an answer or a SpecError, nothing else."""

import copy
from collections.abc import Callable, Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from app.finite_json import encoded
from tests.engine.precision_setups import CONFIGS
from tests.worker.specs.strategies import JSON
from worker.specs import loss_scales, optimizer_forms, policies, policy_shapes, simulation, translation
from worker.specs.dialects import DIALECTS
from worker.specs.errors import SpecError
from worker.specs.scaler_settings import RULE_NAMES
from worker.specs.simulation import SimulationLimits

ODD = st.sampled_from(
    [*map(float, ("inf", "nan")), 1e308, -1, 0, 0.5, 10**400, 2**63, 1e-320, "dynamic", "adam", "_infer", "", True]
)
VALUES = JSON | ODD | st.sampled_from([None, [], {}])
CLASSES = st.none() | st.sampled_from(["Policy", "PolicyV1", "QuantizedFloat8DTypePolicy", "DTypePolicyMap"])


def places(value: Any, here: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    yield here
    for key, item in value.items() if isinstance(value, dict) else ():
        yield from places(item, (*here, key))


def changed(value: Any, place: tuple[str, ...], new: Any) -> Any:
    if not place:
        return new
    whole = holder = copy.deepcopy(value)
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = new
    return whole


def part(config: Any, name: str) -> Any:
    """The policy or the optimizer of a config that has both."""
    return config.get(name, config) if isinstance(config, dict) else config


def asked(answer: Callable[[Any], Any], kind: Any, body: dict[str, Any]) -> bool:
    """Whether a question is answered rather than refused."""
    try:
        return bool(encoded(answer(kind.model_validate(body))))
    except (ValidationError, SpecError):
        return False


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_question_breaks_the_service(data):
    source, target = (data.draw(st.sampled_from(list(CONFIGS))) for _ in range(2))
    config = data.draw(CONFIGS[source])
    new = data.draw(VALUES)
    config = changed(config, data.draw(st.sampled_from(list(places(config)))), new)
    dialect, to = (data.draw(st.sampled_from(DIALECTS)) for _ in range(2))
    said = {"dialect": dialect} if data.draw(st.booleans()) else {}
    beside = data.draw(st.sampled_from([{}, {"loss_scale": new}]))
    policy = {"policy": part(config, "policy"), "class_name": data.draw(CLASSES), **said, **beside}
    report = policies.validate_policy(policy_shapes.PolicyValidateRequest.model_validate(policy))
    assert report.valid is (not report.errors) is (report.policy is not None)
    serializable = asked(policies.serialize_policy, policy_shapes.PolicySerializeRequest, policy)
    assert serializable is report.valid
    asked(policies.serialize_policy, policy_shapes.PolicySerializeRequest, {**policy, "to": to})
    deserialized = {"config": policy["policy"], "dialect": dialect}
    asked(policies.deserialize_policy, policy_shapes.PolicyDeserializeRequest, deserialized)
    optimizer = {"optimizer": part(config, "optimizer"), **said}
    asked(optimizer_forms.serialize_optimizer, optimizer_forms.OptimizerSerializeRequest, {**optimizer, "to": to})
    asked(optimizer_forms.deserialize_optimizer, optimizer_forms.OptimizerDeserializeRequest, optimizer)
    scale = {"loss_scale": config}
    valid = loss_scales.validate_loss_scale(loss_scales.LossScaleValidateRequest.model_validate(scale)).valid
    assert valid is asked(loss_scales.serialize_loss_scale, loss_scales.LossScaleSerializeRequest, scale)
    asked(loss_scales.deserialize_loss_scale, loss_scales.LossScaleDeserializeRequest, {"config": config})
    rule = data.draw(st.none() | st.sampled_from(RULE_NAMES))
    moving = {**scale, "rule": rule, "finite": [True, False, True]}
    limits = SimulationLimits(100, 100)
    asked(lambda request: simulation.simulate(request, limits), simulation.SimulateRequest, moving)
    asked(translation.translate, translation.TranslateRequest, {"from": source, "to": target, "config": config})
