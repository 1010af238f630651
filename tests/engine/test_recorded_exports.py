"""Exports of the real libraries under another policy: each layer computes in what the library itself computes in then.

Recorded by ``tests/campaigns/record_exports.py``: the same model, built by the library under each policy.
"""

import json
from importlib import resources
from typing import Any

import pytest

from engine.model import model_from_config
from engine.policy_scope import policy_reach

FOLDER = resources.files("tests.recorded") / "exports"
NO_KERNEL = {("tf24", "wrappers", "float16"), ("tf24", "wrappers", "mixed_bfloat16")}
"""Library, model and policy which TF 2.4.4 itself cannot build on a CPU; the engine trains them."""

CHOSEN = {"float32": 0, "float32_own_layer": 1, "mixed_float16_float32_head": 1}
"""How many layers of each variant name a policy that the rest of the export does not have."""


def read(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text())


CASES = [
    (name, policy, wanted)
    for library in ("keras3", "tf_keras", "tf24")
    for name, policies in read(f"computes_{library}").items()
    for policy, wanted in policies.items()
]
BUILT = [case for case in CASES if isinstance(case[2], dict)]


@pytest.mark.parametrize(("name", "policy", "wanted"), BUILT, ids=[f"{name}-{policy}" for name, policy, _ in BUILT])
def test_the_policy_reaches_the_layers_that_it_reaches_in_the_library(name: str, policy: str, wanted: dict[str, str]):
    network = model_from_config(read(name), policy).network
    computes = {
        (layer.name or "").rpartition("/")[2]: layer.policy.compute_dtype
        for layer in network.layers
        if layer.class_name != "InputLayer"
    }
    assert computes == {layer: wanted[layer] for layer in computes}
    reach = policy_reach(network, "auto")
    assert len(reach.kept) <= CHOSEN[name.split("__", 2)[2]]
    assert reach.followed == reach.layers - len(reach.kept) > 0


def test_what_the_library_cannot_build_is_known():
    refused = {(*name.split("__")[:2], policy) for name, policy, wanted in CASES if not isinstance(wanted, dict)}
    assert refused == NO_KERNEL
