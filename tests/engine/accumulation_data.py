"""Trainings with gradient accumulation, for Keras and for the engine alike. No imports: any interpreter reads it."""

X = [[0.5, -1.0], [2.0, 0.25], [1.0, 0.5], [-0.5, 1.5], [-1.0, 2.0], [0.75, -0.25], [0.25, 0.25], [-2.0, 1.0]]
Y = [[1.0], [2.0], [3.0], [4.0], [0.5], [1.5], [-1.0], [2.0]]
WEIGHTS = [[[0.5, -0.25], [0.75, 0.5]], [0.125, 0.25], [[0.5], [-0.75]], [0.0625]]
PLAIN = [1, 1, 1, 1, 1, 1, 1, 1]
OVERFLOWING = [1, 1, 60000, 60000, 1, 1, 1, 1]
"""Factors of the rows: in float16 the gradients of the second of four steps are infinite."""
FALLING = {
    "class_name": "ExponentialDecay",
    "config": {"initial_learning_rate": 0.1, "decay_steps": 2, "decay_rate": 0.5},
}


def case(optimizer, config, policy="float32", head="float32", rows=PLAIN, **others):
    """Return one training."""
    return {"optimizer": optimizer, "config": config, "policy": policy, "head": head, "rows": rows, **others}


TWO, THREE = {"gradient_accumulation_steps": 2}, {"gradient_accumulation_steps": 3}
CASES = {
    "sgd-schedule": case("SGD", {"learning_rate": FALLING, **TWO}),
    "adam-schedule": case("Adam", {"learning_rate": FALLING, **THREE}),
    "adam": case("Adam", {"learning_rate": 0.05, **TWO}),
    "nadam": case("Nadam", {"learning_rate": 0.05, **THREE}),
    "rmsprop-momentum": case("RMSprop", {"learning_rate": 0.01, "momentum": 0.9, **TWO}),
    "adafactor": case("Adafactor", {"learning_rate": 0.05, **TWO}),
    "lamb": case("Lamb", {"learning_rate": 0.05, **TWO}),
    "ftrl": case("Ftrl", {"learning_rate": 0.05, **THREE}),
    "average": case("Adam", {"learning_rate": 0.05, "use_ema": True, "ema_momentum": 0.75, **TWO}),
    "average-overwrites": case(
        "SGD", {"learning_rate": 0.05, "use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 2, **TWO}
    ),
    "average-overwrites-3": case(
        "Adam", {"learning_rate": 0.05, "use_ema": True, "ema_momentum": 0.9, "ema_overwrite_frequency": 1, **THREE}
    ),
    "decay": case("AdamW", {"learning_rate": 0.05, "weight_decay": 0.1, **TWO}),
    "clipnorm": case("SGD", {"learning_rate": 0.05, "clipnorm": 0.5, **TWO}),
    "global-clipnorm": case("Adam", {"learning_rate": 0.05, "global_clipnorm": 0.5, **THREE}),
    "clipvalue": case("SGD", {"learning_rate": 0.05, "clipvalue": 0.25, **TWO}),
    "factor": case("SGD", {"learning_rate": 0.05, "loss_scale_factor": 1024.0, "clipnorm": 0.5, **TWO}),
    "scaled": case("Adam", {"learning_rate": 0.05, **TWO}, "mixed_float16"),
    "scaled-skips": case("Adam", {"learning_rate": 0.05, **TWO}, "mixed_float16", rows=OVERFLOWING),
    "scaled-skips-3": case("SGD", {"learning_rate": FALLING, **THREE}, "mixed_float16", rows=OVERFLOWING),
    "scaled-skips-average": case(
        "Adam",
        {"learning_rate": FALLING, "use_ema": True, "ema_momentum": 0.75, "ema_overwrite_frequency": 2, **TWO},
        "mixed_float16",
        rows=OVERFLOWING,
    ),
    "scaled-grows": case(
        "SGD",
        {"learning_rate": 0.05, **TWO},
        "mixed_float16",
        scale={"initial_scale": 1024.0, "dynamic_growth_steps": 2},
    ),
    "float16": case("Adam", {"learning_rate": 0.05, "epsilon": 1e-4, **TWO}, "float16", "float16"),
    "bfloat16": case("SGD", {"learning_rate": 0.05, "momentum": 0.5, **THREE}, "bfloat16", "bfloat16"),
}
