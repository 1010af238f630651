"""What is said of a job that is accepted: one function, so that submit, dry run and inspection cannot differ.

Errors and warnings of the linter are warnings of the job. Its infos are left to the inspection: nearly every
classifier has one, and nobody reads a warning that is always there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from engine.model import Model
from engine.numerics.findings import Finding
from engine.numerics.linter import SEVERITIES, lint
from engine.numerics.model_policy import ModelPolicy
from engine.numerics.subject import Measured, Subject
from engine.optimizers import AnyOptimizer
from worker.specs.data_advice import data_findings
from worker.specs.doubts import Reading, doubts_of
from worker.specs.errors import pointer_to
from worker.specs.findings import Findings
from worker.specs.notices import Notice
from worker.specs.places import reachable
from worker.specs.resources import layer_places
from worker.specs.samples import Samples
from worker.specs.stages import policy_place, policy_scope, scoped_model

Path: TypeAlias = tuple[str | int, ...]

MOST_LAYERS = 5
"""Layers that one notice names; the rest is counted."""


def subject_of(
    body: Mapping[str, Any],
    model: Model,
    policy: ModelPolicy,
    optimizer: AnyOptimizer | None,
    *,
    batch_size: int,
    samples: Samples | None,
    made: bool,
) -> Subject:
    """Return what the linter looks at.

    Args:
        body: of the request.
        model: as it was read; compiled if an optimizer is given.
        policy: of the model.
        optimizer: as given, before it is wrapped; None where it is not known.
        batch_size: rows of a step.
        samples: the data, if there are any.
        made: whether the network of the model is the one to look at; else it is read again, under all of the policy.
    """
    compiled = body.get("compile") or {}
    scoped = scoped_model(body)
    return Subject(
        config=scoped.config,
        policy=policy,
        conventions=model.network.conventions,
        optimizer=optimizer,
        loss=model.compilation.loss if model.is_compiled else None,
        metrics=model.compilation.heads[0].all_metrics if model.is_compiled else (),
        further=_further(model),
        labels=samples.y if samples and isinstance(samples.y, np.ndarray) else None,
        auto_scale_loss=compiled.get("auto_scale_loss", True),
        batch_size=batch_size,
        input_shape=samples.input_shape if samples else None,
        policy_scope=policy_scope(body) if body.get("policy") is not None else None,
        replaced=scoped.replaced,
        rivals=scoped.rivals,
        inputs=samples.x if samples else None,
        made=model.network if made else None,
    )


def _further(model: Model) -> tuple[Measured, ...]:
    """Return what the outputs behind the first are measured by."""
    heads = model.compilation.heads[1:] if model.is_compiled else ()
    return tuple(Measured(head.loss, head.all_metrics) for head in heads)


@dataclass(frozen=True)
class Placed:
    """A finding, and the pointer to where in the request it is to be mended."""

    finding: Finding
    pointer: str


def findings_of(reading: Reading) -> tuple[Placed, ...]:
    """Return what is found about the numerics of the model and about the data, the grave first."""
    layers = layer_places(reading.subject.network)
    of_model = (Placed(found, pointer_to(_place(found, reading, layers))) for found in lint(reading.subject))
    of_data = (Placed(found, pointer_to(reachable(reading.body, place))) for found, place in data_findings(reading))
    return tuple(sorted((*of_model, *of_data), key=lambda placed: SEVERITIES.index(placed.finding.severity)))


def warnings_of(reading: Reading) -> tuple[Notice, ...]:
    """Return the warnings of a job: grave findings first, each with its place and what to do."""
    return (*as_notices(findings_of(reading)), *doubts_of(reading))


def _place(found: Finding, reading: Reading, layers: Mapping[str | None, Path]) -> Path:
    if found.layer is not None:
        name = found.layer  # a layer inside a wrapper has the name "wrapper/layer"
        while name and name not in layers:
            name = name.rpartition("/")[0]
        return layers.get(name, ())
    if found.about == "model":
        return ()
    body, place = reading.body, (*reading.compiled_at, found.about)
    if found.about == "policy":
        place = policy_place(Findings(dict(body)))[0]
    return reachable(body, place) if place[0] in body else ()


def as_notices(found: Iterable[Placed]) -> Iterator[Notice]:
    """Yield one notice for each error or warning; layers of which the same holds share one."""
    alike: dict[tuple[str, str, bool], list[Placed]] = {}
    for placed in found:
        finding = placed.finding
        if finding.severity != "info":
            # What is said of the model or the data as a whole is said once each.
            key = finding.fix if finding.layer else f"{finding.fix} {finding.why}"
            alike.setdefault((finding.code, key, finding.layer is None), []).append(placed)
    for first, *others in alike.values():
        finding = first.finding
        named = f"Layer {finding.layer!r}: " if finding.layer else ""
        message = f"{named}{finding.why} {finding.fix}{_also([other.finding for other in others])}"
        yield Notice(code=finding.code, message=message, pointer=first.pointer)


def _also(others: list[Finding]) -> str:
    names = list(dict.fromkeys(repr(found.layer) for found in others if found.layer))
    if not names:
        return ""
    more = f" and {len(names) - MOST_LAYERS} more" if len(names) > MOST_LAYERS else ""
    return f" The same holds for {', '.join(names[:MOST_LAYERS])}{more}."
