"""Rules about layers that do not follow the policy that was asked for."""

from __future__ import annotations

from collections.abc import Iterator

from engine.numerics.case import Case, Rule
from engine.numerics.findings import Finding
from engine.policy_scope import policy_reach


def without_effect(case: Case) -> Iterator[Finding]:
    """A policy that no layer follows, because all layers name other dtypes themselves."""
    scope, policy = case.subject.policy_scope, case.subject.policy
    if scope is None:
        return
    # A network that was read for training has the policy itself, another one has what is beneath a quantization.
    reach = policy_reach(case.subject.network, scope, policy if case.subject.made is None else None)
    if reach.followed or not reach.layers:
        return
    own = sorted({row.policy for row in reach.kept})
    wider = '"auto", which replaces the dtype of an export, or "all"' if scope == "unset" else '"all"'
    yield Finding(
        code="policy_without_effect",
        severity="warning",
        layer=None,
        why=f"The policy {policy.name!r} has no effect on any layer: all {reach.layers} layers name "
        f"{' or '.join(map(repr, own))} themselves, as to_json() of Keras always writes, and a layer's own dtype "
        "overrides the policy of the model.",
        fix=f'Set "policy_scope" to {wider}, or remove the `dtype` of the layers.',
        source="keras.layers.Layer.get_config of Keras 3.15, tf_keras 2.21 and TF 2.4 (observed)",
        evidence={"policy": policy.name, "policy_scope": scope, "layers": reach.layers, "own": ", ".join(own)},
    )


REACH_RULES: tuple[Rule, ...] = (without_effect,)
