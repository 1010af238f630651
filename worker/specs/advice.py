"""What is said of a job that is accepted: one function, so that submit, dry run and inspection cannot differ.

Errors and warnings of the linter are warnings of the job. Its infos are left to the inspection: nearly every
classifier has one, and nobody reads a warning that is always there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from engine.model import Model
from engine.numerics.findings import Finding
from engine.numerics.linter import lint
from engine.numerics.model_policy import ModelPolicy
from engine.numerics.subject import Subject
from engine.optimizers import AnyOptimizer
from worker.specs.doubts import Reading, doubts_of
from worker.specs.errors import pointer_to
from worker.specs.findings import Findings
from worker.specs.notices import Notice
from worker.specs.places import reachable
from worker.specs.resources import layer_places
from worker.specs.samples import Samples
from worker.specs.stages import policy_place

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
    return Subject(
        config=body["model"],
        policy=policy,
        conventions=model.network.conventions,
        optimizer=optimizer,
        loss=model.compilation.loss if model.is_compiled else None,
        auto_scale_loss=compiled.get("auto_scale_loss", True),
        batch_size=batch_size,
        input_shape=samples.input_shape if samples else None,
        made=model.network if made else None,
    )


def warnings_of(reading: Reading) -> tuple[Notice, ...]:
    """Return the warnings of a job: grave findings first, each with its place and what to do."""
    return (*as_notices(lint(reading.subject), reading), *doubts_of(reading))


def places_of(findings: Iterable[Finding], reading: Reading) -> dict[int, str]:
    """Return the pointer into the request of each finding, by its id: to its layer, or to the setting it is about."""
    layers = layer_places(reading.subject.network)
    return {id(found): pointer_to(_place(found, reading, layers)) for found in findings}


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


def as_notices(findings: Iterable[Finding], reading: Reading) -> Iterator[Notice]:
    """Yield one notice for each error or warning; layers of which the same holds share one."""
    grave = [found for found in findings if found.severity != "info"]
    places = places_of(grave, reading)
    alike: dict[tuple[str, str], list[Finding]] = {}
    for found in grave:
        alike.setdefault((found.code, found.fix), []).append(found)
    for first, *others in alike.values():
        named = f"Layer {first.layer!r}: " if first.layer else ""
        message = f"{named}{first.why} {first.fix}{_also(others)}"
        yield Notice(code=first.code, message=message, pointer=places[id(first)])


def _also(others: list[Finding]) -> str:
    names = list(dict.fromkeys(repr(found.layer) for found in others if found.layer))
    if not names:
        return ""
    more = f" and {len(names) - MOST_LAYERS} more" if len(names) > MOST_LAYERS else ""
    return f" The same holds for {', '.join(names[:MOST_LAYERS])}{more}."
