"""Rules about what the library that a model claims to come from does not have: its config cannot be read there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType

from engine.configured import Configured, unknown_settings
from engine.conventions import Conventions
from engine.layers import InputLayer
from engine.layers.attention import OneHead
from engine.layers.multi_head_attention import Projected
from engine.numerics.case import Case, Rule
from engine.numerics.findings import About, Finding
from engine.numerics.refusal_rules import LIBRARIES
from engine.numerics.refusals.uses import Use, uses_of

_NEW = (
    *("celu", "glu", "hard_shrink", "hard_silu", "hard_swish", "hard_tanh", "log_sigmoid", "soft_shrink"),
    *("sparse_plus", "sparse_sigmoid", "sparsemax", "squareplus", "tanh_shrink"),
)
CLASSES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "tf2.4": (
            *("DepthwiseConv1D", "GroupNormalization", "GroupQueryAttention", "Identity", "RMSNormalization"),
            *("UnitNormalization", "OrthogonalRegularizer", "Adafactor", "AdamW", "Lamb", "Lion"),
            *("BinaryFocalCrossentropy", "CategoricalFocalCrossentropy", "CategoricalGeneralizedCrossEntropy"),
            *("Dice", "Tversky", "BinaryIoU", "ConcordanceCorrelation", "F1Score", "FBetaScore", "IoU", "OneHotIoU"),
            *("OneHotMeanIoU", "PearsonCorrelation", "R2Score"),
        ),
        "tf_keras": (
            *("GroupQueryAttention", "RMSNormalization", "Lamb", "CategoricalGeneralizedCrossEntropy", "Dice"),
            *("Tversky", "ConcordanceCorrelation", "PearsonCorrelation"),
        ),
        "keras3": ("ThresholdedReLU",),
    }
)
"""Layers, regularizers, optimizers, losses and metrics that a line lacks: looked up in each library."""
ACTIVATIONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"tf2.4": (*_NEW, "leaky_relu", "log_softmax", "mish", "relu6"), "tf_keras": _NEW, "keras3": ()}
)
_UNSAID = (
    *("seed", "trainable", "negative_slope", "alpha", "quantization_config"),
    *("clipnorm", "clipvalue", "global_clipnorm"),
)
"""Settings that are there, under other names or as options that no config shows, or that change no number."""


def of_part(part: Configured, line: Conventions) -> Iterator[str]:
    """Yield in words what a line does not have of a layer, an optimizer, a loss or a metric."""
    if part.class_name in CLASSES[line.name]:
        yield part.class_name
        return
    for key in unknown_settings(part, line):
        if key not in _UNSAID:
            yield f"`{key}` of {part.class_name}"


def of_use(use: Use, line: Conventions) -> Iterator[str]:
    """Yield in words what a line does not have of a use of a layer."""
    if isinstance(use.layer, InputLayer):
        return
    yield from of_part(use.layer, line)
    for name in use.activations:
        if name in ACTIVATIONS[line.name]:
            yield f"the activation {name}"
    for key, held in vars(use.layer).items():
        if key.endswith("regularizer") and isinstance(held, Configured):
            yield from of_part(held, line)
    attention = isinstance(use.layer, OneHead | Projected)
    if attention and use.options.get("use_causal_mask") and line.name == "tf2.4":
        yield "`use_causal_mask`"
    if isinstance(use.layer, OneHead) and use.layer.causal and line.keras3:
        yield f"`causal` of {use.layer.class_name}"


def layers(case: Case) -> Iterator[Finding]:
    """Layers that the library of the model does not have, or not in this setting."""
    line, done = case.subject.conventions, set()
    for use in uses_of(case.subject.network):
        lacking = tuple(dict.fromkeys(of_use(use, line)))
        if lacking and use.layer.name not in done:
            done.add(use.layer.name)
            yield _finding(case, lacking, layer=use.layer.name)


def compiled(case: Case) -> Iterator[Finding]:
    """Optimizers, losses and metrics that it does not have."""
    subject = case.subject
    optimizer = () if subject.optimizer is None else (subject.optimizer.inner_optimizer,)
    loss = () if subject.loss is None else (subject.loss,)
    parts: Mapping[About, tuple[Configured, ...]] = {"optimizer": optimizer, "loss": loss, "model": subject.metrics}
    for about, found in parts.items():
        for part in found:
            lacking = tuple(of_part(part, subject.conventions))
            if lacking:
                yield _finding(case, lacking, about=about)


def _finding(case: Case, lacking: tuple[str, ...], layer: str | None = None, about: About = "model") -> Finding:
    line = case.subject.conventions
    named = bool(case.subject.config.get("keras_version")) or line.keras3
    claims = "wrote this model" if named else "is assumed where a model names no `keras_version`"
    library = LIBRARIES[line.name].name
    return Finding(
        code="absent_in_original",
        severity="warning" if named else "info",
        layer=layer,
        why=f"{library} has no {', no '.join(lacking)}: what this service writes of it cannot be read there. It is "
        f"trained with the arithmetic of {library}, which {claims}.",
        fix="Name the version of Keras that has it in `keras_version` of the model, or do without it.",
        source=f"{library}, observed",
        evidence={"library": library, "lacking": ", ".join(lacking)},
        about=about,
    )


ABSENCE_RULES: tuple[Rule, ...] = (layers, compiled)
