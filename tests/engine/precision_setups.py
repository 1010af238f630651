"""Configs of every dialect that has a translation, as hypothesis draws them."""

from typing import Any

from hypothesis import strategies as st

powers = st.integers(-10, 24).map(lambda power: 2.0**power)
scales = powers | st.floats(1.0, 1e6, width=32)
steps = st.integers(1, 10**6)
rates = st.sampled_from([0.001, 0.25, 1.0])
booleans = st.booleans()


def some(**keys: Any) -> st.SearchStrategy[dict[str, Any]]:
    """An object with some of the keys."""
    return st.fixed_dictionaries({}, optional=keys)


def serialized(class_name: str, config: Any, **others: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({"class_name": st.just(class_name), "config": config, **others})


KERAS2_NAMES = st.sampled_from(["float16", "half", "float32", "float64", "bfloat16", "mixed_float16", "mixed_bfloat16"])
KERAS3_NAMES = st.sampled_from(["float16", "float32", "float64", "bfloat16", "mixed_float16", "mixed_bfloat16"])
LOSS_SCALES = serialized(
    "FixedLossScale", st.fixed_dictionaries({"loss_scale_value": scales.filter(lambda s: s >= 1)})
) | (
    serialized(
        "DynamicLossScale",
        some(initial_loss_scale=scales, increment_period=steps, multiplier=st.sampled_from([2.0, 4.0, 1.5])),
    )
)
TF24_OPTIMIZERS = serialized("SGD", some(learning_rate=rates, momentum=rates, nesterov=booleans, clipnorm=rates)) | (
    serialized("Adam", some(learning_rate=rates, beta_1=st.just(0.5), epsilon=st.just(1e-3), amsgrad=booleans))
)
TF24_SCALING = st.fixed_dictionaries({"dynamic": st.just(False), "initial_scale": scales}) | (
    st.fixed_dictionaries(
        {}, optional={"dynamic": st.just(True), "initial_scale": scales, "dynamic_growth_steps": steps}
    )
)


def _wrapper(inner: Any, scaling: Any, **others: Any) -> Any:
    configs = st.builds(lambda optimizer, settings: {"inner_optimizer": optimizer, **settings}, inner, scaling)
    return serialized("LossScaleOptimizer", configs, **others)


def _v1(name: Any, scale: Any, class_name: str) -> dict[str, Any]:
    return {"class_name": class_name, "config": {"name": name, "loss_scale": scale}}


TF24_POLICIES = (
    KERAS2_NAMES | st.just("_infer") | st.builds(_v1, KERAS2_NAMES, st.none() | LOSS_SCALES, st.just("PolicyV1"))
)
TF24_WRAPPERS = _wrapper(TF24_OPTIMIZERS, TF24_SCALING)
TF23_POLICIES = KERAS2_NAMES | st.builds(_v1, KERAS2_NAMES, st.none() | LOSS_SCALES, st.just("Policy"))
TF23_WRAPPERS = serialized(
    "LossScaleOptimizer", st.fixed_dictionaries({"optimizer": TF24_OPTIMIZERS, "loss_scale": LOSS_SCALES})
)
NEWER = st.just("keras.optimizers")
KERAS3_OPTIMIZERS = serialized(
    "SGD",
    some(learning_rate=rates, momentum=rates, clipvalue=rates, use_ema=booleans, name=st.just("mine")),
    module=NEWER,
) | serialized("Adam", some(learning_rate=rates, beta_2=st.just(0.5), weight_decay=rates), module=NEWER)
KERAS3_WRAPPERS = _wrapper(
    KERAS3_OPTIMIZERS, some(initial_scale=scales, dynamic_growth_steps=steps, name=st.just("lso")), module=NEWER
)
KERAS3_FIXED = serialized("SGD", st.fixed_dictionaries({"loss_scale_factor": scales}), module=NEWER)
QUANTIZED = st.sampled_from(["float8_from_mixed_float16", "int8_from_bfloat16", "float8_from_float32"])
MAPS = serialized(
    "DTypePolicyMap",
    st.fixed_dictionaries(
        {
            "default_policy": KERAS3_NAMES,
            "policy_map": st.dictionaries(
                st.sampled_from(["a", "b/c"]), serialized("DTypePolicy", st.fixed_dictionaries({"name": KERAS3_NAMES}))
            ),
        }
    ),
)


def together(policies: Any, optimizers: Any) -> Any:
    return st.fixed_dictionaries({"policy": policies, "optimizer": optimizers})


_FACTORS = {
    "growth_factor": st.sampled_from([2.0, 1.5]),
    "backoff_factor": st.sampled_from([0.5, 0.25]),
    "growth_interval": steps,
}
GRAD_SCALERS = some(init_scale=scales, enabled=booleans, device=st.just("cuda"), **_FACTORS) | st.fixed_dictionaries(
    {"scale": scales, **_FACTORS, "_growth_tracker": st.integers(0, 100)}
)
HALVES = st.sampled_from(["float16", "bfloat16"])
FP16 = some(
    auto_cast=booleans,
    loss_scale=st.just(0) | scales,
    initial_scale_power=st.integers(0, 32),
    loss_scale_window=steps,
    hysteresis=st.integers(-1, 4),
    consecutive_hysteresis=booleans,
    min_loss_scale=st.integers(1, 2**10),
).map(lambda block: {"enabled": True, **block})
STAGES = st.fixed_dictionaries({"stage": st.integers(0, 3), "overlap_comm": booleans})
SHARDED = st.fixed_dictionaries({"stage": st.integers(1, 3)})
LEAN_FP16 = FP16.map(lambda block: {**block, "fp16_master_weights_and_grads": True})
BF16 = some(
    immediate_grad_update=booleans, check_grad_overflow=booleans, bf16_master_weights_and_grads=st.just(True)
).map(lambda block: {"enabled": True, **block})
TORCH_AUTOCAST = st.fixed_dictionaries(
    {"enabled": st.just(True), "dtype": st.sampled_from(["fp16", "torch.bfloat16", "float32"])}
)
NEOX = st.fixed_dictionaries({"precision": st.sampled_from(["fp16", "bfloat16", "fp32"]), "fp32_allreduce": booleans})
MEGATRON_STATE = st.fixed_dictionaries(
    {"scale": scales, "growth_tracker": st.integers(0, 100), "hysteresis_tracker": st.integers(-2, 4)}
)


def flags(arguments: dict[str, Any]) -> dict[str, Any]:
    """Arguments as Megatron's YAML files have them."""
    return {f"--{name.replace('_', '-')}": value for name, value in arguments.items()}


MEGATRON = some(
    loss_scale=st.none() | scales,
    initial_loss_scale=scales.filter(lambda scale: scale >= 1),
    min_loss_scale=powers.filter(lambda scale: scale <= 1),
    loss_scale_window=steps,
    hysteresis=st.integers(1, 4),
    grad_scaler=MEGATRON_STATE,
    attention_softmax_in_fp32=booleans,
    num_layers=st.just(12),
).flatmap(
    lambda arguments: st.sampled_from(
        [arguments, {"fp16": True, **arguments}, {"fp16": False, "bf16": True, **arguments}]
    )
)
FAIRSEQ = some(
    fp16_init_scale=st.integers(1, 2**16),
    fp16_scale_window=st.none() | steps,
    fp16_scale_tolerance=st.sampled_from([0.0, 0.25]),
    min_loss_scale=st.sampled_from([0.0, 1e-4, 1.0]),
    threshold_loss_scale=st.none() | powers,
    distributed_world_size=st.integers(1, 64),
    update_freq=st.just([4]),
    memory_efficient_fp16=booleans,
    state=st.fixed_dictionaries({"loss_scale": scales}),
).map(lambda arguments: {"fp16": True, **arguments})
JMP_SCALES = st.sampled_from(
    [{"class_name": "NoOpLossScale"}, {"class_name": "StaticLossScale", "loss_scale": 8.0}]
) | (
    some(
        loss_scale=scales,
        counter=st.integers(0, 99),
        period=steps,
        factor=st.sampled_from([2.0, 4.0]),
        min_loss_scale=powers,
    )
).map(lambda settings: {"class_name": "DynamicLossScale", **settings})
JMP_POLICIES = st.sampled_from(
    [
        "half",
        "c=bf16",
        "p=f16",
        "o=f32",
        "p=f32,c=bf16,o=f32",
        "params=float32,compute=float16,output=float16",
        "float32",
    ]
)
AMP = some(
    opt_level=st.just("O1"),
    enabled=booleans,
    loss_scale=st.just("dynamic") | scales | st.just("128.0"),
    min_loss_scale=st.none() | powers,
    max_loss_scale=powers,
    cast_model_outputs=st.sampled_from(["torch.float16", "float32"]),
    state=st.just({"loss_scaler0": {"loss_scale": 64.0, "unskipped": 3}, "loss_scaler1": {"loss_scale": 1.0}}),
)
AMP = AMP | st.builds(
    lambda arguments, level: {**arguments, **level},
    AMP,
    st.fixed_dictionaries(
        {"opt_level": st.sampled_from(["O0", "O2", "O3"])},
        optional={
            "keep_batchnorm_fp32": booleans | st.just("True"),
            "master_weights": booleans,
            "cast_model_type": st.just("torch.float16"),
        },
    ),
)

CONFIGS: dict[str, Any] = {
    "tf2.3": TF23_POLICIES | LOSS_SCALES | TF23_WRAPPERS | together(TF23_POLICIES, TF23_WRAPPERS | TF24_OPTIMIZERS),
    "tf2.4": TF24_POLICIES | LOSS_SCALES | TF24_WRAPPERS | together(TF24_POLICIES, TF24_WRAPPERS | TF24_OPTIMIZERS),
    "tf_keras": KERAS2_NAMES
    | TF24_WRAPPERS
    | together(
        KERAS2_NAMES,
        TF24_WRAPPERS
        | TF23_WRAPPERS.filter(lambda config: config["config"]["loss_scale"]["config"].get("multiplier", 2) == 2),
    ),
    "keras3": KERAS3_NAMES
    | QUANTIZED
    | MAPS
    | KERAS3_WRAPPERS
    | KERAS3_FIXED
    | together(KERAS3_NAMES, KERAS3_WRAPPERS),
    "torch": GRAD_SCALERS
    | some(
        autocast=some(dtype=HALVES, device_type=st.sampled_from(["cpu", "cuda"]), enabled=booleans),
        grad_scaler=GRAD_SCALERS,
    ),
    "deepspeed": FP16
    | some(fp16=FP16, zero_optimization=STAGES, train_batch_size=st.just(8), communication_data_type=st.just("fp32"))
    | st.fixed_dictionaries({"fp16": LEAN_FP16, "zero_optimization": SHARDED})
    | st.fixed_dictionaries({"bf16": BF16, "zero_optimization": SHARDED})
    | st.fixed_dictionaries({"bf16": st.just({"enabled": True, "check_grad_overflow": True})})
    | st.fixed_dictionaries({"torch_autocast": TORCH_AUTOCAST, "zero_optimization": STAGES})
    | st.fixed_dictionaries({"amp": AMP.map(lambda arguments: {"enabled": True, **arguments})})
    | NEOX,
    "megatron": MEGATRON | MEGATRON.map(lambda arguments: {"MODEL_ARGS": flags(arguments), "TEST": True}),
    "fairseq": FAIRSEQ
    | FAIRSEQ.map(lambda arguments: {"common": arguments, "task": {"_name": "masked_lm"}})
    | st.sampled_from(
        [
            {"bf16": True, "fp16_init_scale": 4},
            {"memory_efficient_bf16": True},
            {},
            {"amp": True, "fp16_init_scale": 64, "min_loss_scale": 0.5},
            {"amp": True, "amp_scale_window": 4, "amp_init_scale": 32},
        ]
    ),
    "jmp": JMP_POLICIES | some(policy=JMP_POLICIES, loss_scale=JMP_SCALES),
    "apex": AMP,
}
