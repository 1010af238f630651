"""Rules about what the original refuses to train, while this engine trains it: a finding names each such thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from engine.numerics.case import Case, Rule
from engine.numerics.findings import About, Finding
from engine.numerics.refusals.refusal import Cause, Library, Refusal
from engine.numerics.refusals.tensorflow_24 import TENSORFLOW_24
from engine.numerics.refusals.tensorflow_221 import KERAS_3, TF_KERAS
from engine.numerics.refusals.uses import Use, uses_of

LIBRARIES: Mapping[str, Library] = {"tf2.4": TENSORFLOW_24, "tf_keras": TF_KERAS, "keras3": KERAS_3}
"""By the name of the line."""
_WHERE: Mapping[Cause, str] = {
    "kernel": "has no kernel for it in the build for CPUs (a GPU may have one)",
    "types": "does not take that on any device",
}


def layers(case: Case) -> Iterator[Finding]:
    """Layers that the original does not train in their dtype."""
    library = LIBRARIES[case.subject.conventions.name]
    done = set()
    for use in uses_of(case.subject.network):
        refusal = next((each for each in library.layers if each.holds(use)), None)
        if refusal is not None and use.layer.name not in done:
            done.add(use.layer.name)
            yield _of_layer(library, refusal, use)


def _of_layer(library: Library, refusal: Refusal, use: Use) -> Finding:
    dtype = use.compute.name
    error = refusal.error.format(dtype=dtype)
    where = _WHERE[refusal.cause]
    need = f"{refusal.op} in {dtype}" if refusal.dtypes else refusal.op
    fix = (
        f'To compute {refusal.op} there as well, give the layer dtype "float32".'
        if refusal.dtypes
        else f"To compute {refusal.op} there as well, train on a GPU, or change the settings of the layer."
    )
    return Finding(
        code="original_refuses",
        severity="warning",
        layer=use.layer.name,
        why=f"{use.layer.class_name} needs {need}, and {library.name} {where}: training raises {error}. This engine "
        "trains the layer.",
        fix=fix,
        source=f"{library.name}, observed",
        evidence={"library": library.name, "dtype": dtype, "op": refusal.op, "cause": refusal.cause},
    )


def compiled(case: Case) -> Iterator[Finding]:
    """Optimizers and policies with which the original does not train."""
    yield from _of_compiled(case, "optimizer", "policy")


def loss(case: Case) -> Iterator[Finding]:
    """Losses with which the original does not train."""
    yield from _of_compiled(case, "loss")


def _of_compiled(case: Case, *about: About) -> Iterator[Finding]:
    library = LIBRARIES[case.subject.conventions.name]
    for refusal in library.compiled:
        if refusal.about in about and refusal.where(case):
            dtype = refusal.dtype.name
            yield Finding(
                code="original_refuses",
                severity="warning",
                layer=None,
                why=f"This {refusal.about} needs {refusal.op} in {dtype}, and {library.name} {_WHERE[refusal.cause]}: "
                f"training raises {refusal.error}. This engine trains it.",
                fix=_FIXES[refusal.about],
                source=f"{library.name}, observed",
                evidence={"library": library.name, "dtype": dtype, "op": refusal.op, "cause": refusal.cause},
                about=refusal.about,
            )


_FIXES = {
    "policy": "To train there as well, take a mixed policy.",
    "optimizer": "To train there as well, take a mixed policy, so that variables are float32.",
    "loss": 'To train there as well, give the last layer dtype "float32".',
}

REFUSAL_RULES: tuple[Rule, ...] = (layers, compiled)
LOSS_REFUSAL_RULES: tuple[Rule, ...] = (loss,)
