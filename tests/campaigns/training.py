"""Random heads, losses and optimizers. Runs in the libraries' own interpreters: Python 3.8 for TF 2.4."""

from __future__ import annotations

from typing import Any

from tests.campaigns.draws import Draw

NEW = ("keras3", "tf_keras")
LOSSES: dict[str, tuple[tuple[Any, ...], ...]] = {
    "classes": (("SparseCategoricalCrossentropy", {}), ("CategoricalGeneralizedCrossEntropy", {}, ("keras3",))),
    "logits": (("SparseCategoricalCrossentropy", {"from_logits": True}),),
    "one_hot": (
        ("CategoricalCrossentropy", {}),
        ("CategoricalCrossentropy", {"label_smoothing": 0.1}),
        ("KLDivergence", {}),
        ("CategoricalHinge", {}),
        ("CategoricalFocalCrossentropy", {}, NEW),
        ("Dice", {}, ("keras3",)),
        ("Tversky", {}, ("keras3",)),
    ),
    "binary": (
        ("BinaryCrossentropy", {}),
        ("BinaryCrossentropy", {"label_smoothing": 0.2}),
        ("BinaryFocalCrossentropy", {}, NEW),
        ("Poisson", {}),
        ("Hinge", {}),
        ("SquaredHinge", {}),
    ),
    "binary_logits": (("BinaryCrossentropy", {"from_logits": True}),),
    "numbers": (
        ("MeanSquaredError", {}),
        ("MeanAbsoluteError", {}),
        ("MeanAbsolutePercentageError", {}),
        ("MeanSquaredLogarithmicError", {}),
        ("Huber", {"delta": 0.5}),
        ("LogCosh", {}),
        ("CosineSimilarity", {}),
    ),
}
"""By the kind of labels: class, settings and, where not all have it, the libraries that do."""
HEADS = {
    "classes": (4, "softmax"),
    "logits": (4, None),
    "one_hot": (3, "softmax"),
    "binary": (2, "sigmoid"),
    "binary_logits": (1, None),
    "numbers": (2, None),
}
OPTIMIZERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("SGD", ()),
    ("Adam", ()),
    ("RMSprop", ()),
    ("Adagrad", ()),
    ("Adadelta", ()),
    ("Adamax", ()),
    ("Nadam", ()),
    ("Ftrl", ()),
    ("AdamW", NEW),
    ("Lion", NEW),
    ("Adafactor", NEW),
    ("Lamb", ("keras3",)),
)


def drawn_head(drawer: Any, x: str) -> tuple[list[str], list[dict[str, Any]]]:
    """Add a head; return the name of its call, and its loss."""
    draw = drawer.draw
    kind = draw.one(sorted(HEADS))
    units, activation = HEADS[kind]
    if activation and draw.some(0.3):  # as the guide to mixed precision has it: logits, then an activation of its own
        x = drawer.add("Dense", {"units": units}, x)
        name = drawer.add("Activation", {"activation": activation}, x)
    else:
        name = drawer.add("Dense", {"units": units, "activation": activation}, x)
    options = [loss for loss in LOSSES[kind] if len(loss) < 3 or draw.library in loss[2]]
    chosen = draw.one(options)
    reduction = {"reduction": "sum"} if draw.some(0.1) else {}
    loss = {"class_name": chosen[0], "config": {**chosen[1], **reduction}, "kind": kind}
    return [name], [loss]


def drawn_optimizer(draw: Draw) -> dict[str, Any]:
    """Return an optimizer with whatever may be set."""
    names = [name for name, libraries in OPTIMIZERS if not libraries or draw.library in libraries]
    name = draw.one(names)
    config: dict[str, Any] = {"learning_rate": draw.one((0.001, 0.01, 0.05))}
    own: dict[str, tuple[dict[str, Any], ...]] = {
        "SGD": ({}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}),
        "Adam": ({}, {"amsgrad": True}, {"epsilon": 1e-3}),
        "RMSprop": ({}, {"momentum": 0.5}, {"centered": True}),
        "Ftrl": ({}, {"l1_regularization_strength": 0.01}),
    }
    config.update(draw.one(own.get(name, ({},))))
    if draw.some(0.25):
        config[draw.one(("clipnorm", "clipvalue", "global_clipnorm"))] = 0.5
    if draw.library != "tf2.4":
        if draw.some(0.12) or name == "AdamW":
            config["weight_decay"] = 0.01
        if draw.some(0.12):
            config.update(use_ema=True, ema_momentum=0.9)
    return {"class_name": name, "config": config}
