"""Jobs of every shape, and any JSON for any place of one."""

from hypothesis import strategies as st

from tests.worker.specs.jobs import D1, D2

NUMBERS = st.integers(-(10**30), 10**30) | st.floats(allow_nan=False, allow_infinity=False, width=32)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
NAMES = st.none() | TEXT
POLICIES = st.sampled_from(["float32", "mixed_float16", "mixed_bfloat16", "float16", None]) | TEXT
REGULARIZERS = st.none() | st.just("l2") | st.builds(lambda l1: {"class_name": "L1", "config": {"l1": l1}}, NUMBERS)
LOSS_SCALES = st.one_of(
    st.none(),
    NUMBERS,
    st.just("dynamic"),
    st.builds(lambda value: {"class_name": "FixedLossScale", "config": {"loss_scale_value": value}}, NUMBERS),
)
DENSE = st.fixed_dictionaries(
    {"units": st.integers(-2, 40)},
    optional={
        "name": NAMES,
        "activation": st.sampled_from(["relu", "softmax", "linear", None]),
        "use_bias": st.booleans(),
        "dtype": POLICIES,
        "kernel_initializer": st.sampled_from(["zeros", {"class_name": "HeNormal", "config": {"seed": 1}}]),
        "kernel_regularizer": REGULARIZERS,
        "batch_input_shape": st.just([None, 64]),
    },
)
LAYER = st.one_of(
    st.builds(lambda config: {"class_name": "Dense", "config": config}, DENSE),
    st.builds(lambda rate: {"class_name": "Dropout", "config": {"rate": rate}}, NUMBERS),
    st.builds(lambda axis: {"class_name": "Softmax", "config": {"axis": axis}}, st.integers(-3, 3)),
    st.builds(lambda axis: {"class_name": "BatchNormalization", "config": {"axis": [axis]}}, st.integers(-3, 3)),
    st.sampled_from([{"class_name": "Flatten", "config": {}}, {"class_name": "ReLU", "config": {"max_value": 6}}]),
)
JOBS = st.fixed_dictionaries(
    {
        "model": st.builds(
            lambda name, layers: {"class_name": "Sequential", "config": {"name": name, "layers": layers}},
            NAMES,
            st.lists(LAYER, max_size=4),
        ),
        "compile": st.fixed_dictionaries(
            {"loss": st.sampled_from(["mse", "sparse_categorical_crossentropy", "binary_crossentropy"])},
            optional={
                "optimizer": st.builds(lambda rate: {"class_name": "SGD", "config": {"learning_rate": rate}}, NUMBERS),
                "metrics": st.none() | st.lists(st.sampled_from(["accuracy", "mse", "categorical_accuracy"])),
            },
        ),
        "data": st.sampled_from([{"dataset": "digits"}, {"x": [[0.5] * 64] * 3, "y": [0, 1, 2]}]),
    },
    optional={
        "policy": POLICIES
        | st.builds(
            lambda name, scale: {"class_name": "PolicyV1", "config": {"name": name, "loss_scale": scale}},
            st.sampled_from(["mixed_float16", "float32"]),
            LOSS_SCALES,
        ),
        "fit": st.fixed_dictionaries({}, optional={"epochs": st.integers(), "validation_split": NUMBERS}),
        "seed": st.integers(0, 2**31 - 1),
        "suffix": NAMES,
        "metadata": st.dictionaries(TEXT, TEXT, max_size=3),
    },
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
PLACES = st.sampled_from(
    [
        "/model", "/model/class_name", "/model/config/layers", D1, f"{D1}/config/units", f"{D1}/config/activation",
        f"{D1}/config/batch_input_shape", f"{D2}/config/dtype", "/policy",
        "/policy/config/name", "/policy/config/loss_scale", "/policy/config/loss_scale/config/initial_loss_scale",
        "/compile/optimizer", "/compile/optimizer/config/learning_rate",
        "/compile/loss", "/compile/metrics", "/fit", "/fit/epochs", "/data", "/data/dataset", "/seed", "/metadata",
    ]
)  # fmt: skip
