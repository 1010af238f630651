"""Which layers follow the policy that was asked for."""

import copy
from typing import Any

import pytest

from engine.errors import InvalidValue
from engine.model import model_from_config
from engine.policy_scope import Scope, policy_reach, scoped

ENTRY = {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 4], "dtype": "float32"}}
MIXED = {"class_name": "Policy", "config": {"name": "mixed_float16"}}


def dense(name: str, dtype: Any = None, **settings: Any) -> dict[str, Any]:
    own = {} if dtype is None else {"dtype": dtype}
    return {"class_name": "Dense", "config": {"name": name, "units": 3, **own, **settings}}


def stack(*layers: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"class_name": "Sequential", "config": {"name": "m", "layers": [ENTRY, *layers], **more}}


def dtypes(config: dict[str, Any], policy: str, scope: Scope = "auto") -> list[str]:
    model = model_from_config(config, policy, policy_scope=scope)
    return [layer.policy.name for layer in model.layers if layer.class_name != "InputLayer"]


@pytest.mark.parametrize(
    ("own", "auto", "unset"),
    [
        (["float32", "float32", "float32"], ["new", "new", "new"], ["float32", "float32", "float32"]),
        ([MIXED, MIXED, "float32"], ["new", "new", "float32"], ["mixed_float16", "mixed_float16", "float32"]),
        ([MIXED, "float32"], ["new", "float32"], ["mixed_float16", "float32"]),
        (["float32", "float32", MIXED], ["new", "new", "mixed_float16"], ["float32", "float32", "mixed_float16"]),
        ([None, "float32"], ["new", "float32"], ["new", "float32"]),  # written by hand: the head is meant
        ([None, None], ["new", "new"], ["new", "new"]),
    ],
)
def test_the_dtype_of_an_export_is_replaced_and_another_is_kept(own: list[Any], auto: list[str], unset: list[str]):
    config = stack(*(dense(f"d{index}", dtype) for index, dtype in enumerate(own)))
    before = copy.deepcopy(config)
    expected: dict[Scope, list[str]] = {"auto": auto, "unset": unset, "all": ["new"] * len(own)}
    for scope, names in expected.items():
        wanted = ["mixed_bfloat16" if name == "new" else name for name in names]
        assert dtypes(config, "mixed_bfloat16", scope) == wanted, scope
    assert config == before


def test_without_a_policy_layers_keep_their_dtypes():
    config = stack(dense("a", MIXED), dense("b", MIXED))
    model = model_from_config(config)
    assert [layer.policy.name for layer in model.layers[1:]] == ["mixed_float16", "mixed_float16"]


def test_the_policy_of_the_exported_model_tells_which_dtype_the_export_wrote():
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    plain = {**policy, "config": {"name": "float32"}}
    config = stack(dense("a", policy), dense("b", plain), dense("c", plain), dtype=policy)
    assert dtypes(config, "mixed_bfloat16") == ["mixed_bfloat16", "float32", "float32"]
    assert dtypes(config, "float64") == ["float64", "float32", "float32"]


def test_layers_in_wrappers_and_nested_models_follow_too():
    inner = {"class_name": "Dense", "config": {"name": "inner", "units": 3, "dtype": "float32"}}
    each = {"class_name": "TimeDistributed", "config": {"name": "each", "dtype": "float32", "layer": inner}}
    entry = {"class_name": "InputLayer", "config": {"name": "x", "batch_input_shape": [None, 5, 4]}}
    nested = {"class_name": "Sequential", "config": {"name": "encoder", "layers": [entry, each]}}
    config = {"class_name": "Sequential", "config": {"name": "m", "layers": [entry, nested, dense("head", "float32")]}}
    reach = policy_reach(model_from_config(config, "mixed_float16").network, "auto")
    assert (reach.layers, reach.followed, reach.kept) == (3, 3, ())
    reach = policy_reach(model_from_config(config, "mixed_float16", policy_scope="unset").network, "unset")
    assert (reach.policy, reach.layers, reach.followed) == ("mixed_float16", 3, 0)
    assert [row.layer for row in reach.kept] == ["encoder/each", "encoder/each/inner", "head"]
    assert {row.policy for row in reach.kept} == {"float32"}


def test_the_layer_that_keeps_its_dtype_is_named_with_the_reason():
    config = stack(dense("a", MIXED), dense("b", MIXED), dense("head", "float32"))
    reach = policy_reach(model_from_config(config, "mixed_bfloat16").network, "auto")
    assert (reach.layers, reach.followed) == (3, 2)
    (kept,) = reach.kept
    assert (kept.layer, kept.policy) == ("head", "float32")
    assert "'float32'" in kept.why
    assert '"policy_scope": "all"' in kept.why


@pytest.mark.parametrize("version", ["1.2.2", "2.0.8", "2.2.4"])
def test_before_policies_the_dtype_of_a_layer_was_that_of_its_input(version: str):
    settings = {"name": "e", "input_dim": 9, "output_dim": 3, "dtype": "int32", "batch_input_shape": [None, 4]}
    first = {"class_name": "Embedding", "config": settings}
    config = {
        "class_name": "Sequential",
        "config": {"name": "m", "layers": [first, {"class_name": "Flatten", "config": {"name": "f"}}, dense("d")]},
        "keras_version": version,
    }
    for scope in ("auto", "all", "unset"):
        assert dtypes(config, "mixed_float16", scope) == ["mixed_float16"] * 3


def test_a_map_of_policies_gives_an_exported_model_its_policies():
    policies = {
        "class_name": "DTypePolicyMap",
        "config": {"default_policy": "mixed_float16", "policy_map": {"m/b": "float32"}},
    }
    model = model_from_config(stack(dense("a", "float32"), dense("b", "float32")), policies)
    assert [layer.policy.name for layer in model.layers[1:]] == ["mixed_float16", "float32"]
    reach = policy_reach(model.network, "auto")
    assert (reach.layers, reach.followed) == (2, 2)


def test_float8_reaches_layers_that_do_not_multiply_in_it():
    config = stack(dense("a", "float32"), {"class_name": "ReLU", "config": {"name": "r", "dtype": "float32"}})
    reach = policy_reach(model_from_config(config, "float8_from_mixed_bfloat16").network, "auto")
    assert (reach.layers, reach.followed) == (2, 2)


def test_an_unknown_scope_is_refused():
    with pytest.raises(InvalidValue, match="'auto', 'all', 'unset'"):
        scoped(stack(dense("a")), "every")  # type: ignore[arg-type]


def test_layers_without_names_that_name_a_dtype_are_numbered_like_others():
    unnamed = {"class_name": "Dense", "config": {"units": 3, "dtype": "float32"}}
    model = model_from_config(stack(unnamed, copy.deepcopy(unnamed)))
    assert [layer.name for layer in model.layers[1:]] == ["dense", "dense_1"]


def test_spatial_dropout_of_keras3_follows_though_its_policy_is_not_exported():
    policy = {"module": "keras", "class_name": "DTypePolicy", "config": {"name": "mixed_float16"}}
    spatial = {"class_name": "SpatialDropout1D", "config": {"name": "s", "rate": 0.5, "dtype": "float32"}}

    def steps(dtype: Any) -> dict[str, Any]:
        return {"class_name": "RepeatVector", "config": {"name": "r", "n": 3, "dtype": dtype}}

    assert dtypes(stack(steps(policy), spatial, dense("d", policy)), "mixed_bfloat16") == ["mixed_bfloat16"] * 3
    assert dtypes(stack(steps(MIXED), spatial), "float64") == ["float64", "float32"]  # an export of Keras 2


def test_no_global_policy_reaches_a_normalization_of_tf24():
    normal = {"class_name": "Normalization", "config": {"name": "n", "dtype": "float32"}}
    config = {**stack(normal, dense("d", "float32"), dense("e", "float32")), "keras_version": "2.4.0"}
    assert dtypes(config, "mixed_float16") == ["float32", "mixed_float16", "mixed_float16"]
    assert dtypes(config, "mixed_float16", "all") == ["mixed_float16"] * 3
    reach = policy_reach(model_from_config(config, "mixed_float16").network, "auto")
    assert [(row.layer, row.policy) for row in reach.kept] == [("n", "float32")]


@pytest.mark.parametrize(
    ("own", "rivals"),
    [
        (["float64", "float32"], ("float32",)),
        (["float64", "float64", "float32"], ()),
        (["float64", "float64", "float32", "float32", "float32"], ("float64",)),
        (["float32", "float32"], ()),
    ],
)
def test_two_policies_of_which_either_may_be_the_exports_are_named(own: list[str], rivals: tuple[str, ...]):
    config = stack(*(dense(f"d{index}", dtype) for index, dtype in enumerate(own)))
    assert scoped(config, "auto").rivals == rivals
    assert scoped({**config, "config": {**config["config"], "dtype": own[0]}}, "unset").rivals == ()


def test_layers_inside_others_follow_the_model_where_the_outer_one_keeps_its_dtype():
    inner = {"class_name": "LSTM", "config": {"name": "inner", "units": 2, "dtype": "float32"}}
    both = {"class_name": "Bidirectional", "config": {"name": "both", "dtype": "float64", "layer": inner}}
    steps = {"class_name": "RepeatVector", "config": {"name": "r", "n": 3, "dtype": "float32"}}
    reach = policy_reach(model_from_config(stack(steps, both), "mixed_float16").network, "auto")
    assert [(row.layer, row.policy) for row in reach.kept] == [("both", "float64")]
    assert (reach.layers, reach.followed) == (4, 3)
