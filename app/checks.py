"""Checks of what callers send: the calls that a process of `app.process_pool` answers. Nothing is written here.

Each takes the body as it came: reading a long one would hold up every other request of the HTTP process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

from app.answers import DryRunAnswer
from app.check_services import CheckServices
from app.fine_tuning import FineTuningRequest, job_of, place_of, relocated, told_of
from app.finite_json import encoded, parse
from engine.model import Model
from engine.starting import misfits
from worker.jobs.addresses import AddressRefused, checked, literal
from worker.jobs.errors import JobNotFound
from worker.jobs.notices import NewWebhook
from worker.jobs.records import Checkpoint, Job
from worker.jobs.starting import weight_shapes
from worker.jobs.submitting import NewJob, abbreviated
from worker.specs.check import prepare
from worker.specs.errors import FieldError, SpecError, pointer_to, read
from worker.specs.findings import Findings
from worker.specs.inspect_model import inspect_model
from worker.specs.inspection import InspectRequest
from worker.specs.job import JobSpec
from worker.specs.reach import ReachShape
from worker.specs.resources import check_size, layer_places
from worker.specs.simulation import SimulateRequest, simulate
from worker.specs.sources import Sources
from worker.specs.webhooks import WebhookSpec

START = "/from_checkpoint"


@dataclass(frozen=True)
class Checked:
    """A job that would be accepted.

    Attributes:
        new: what the store takes.
        answer: to a dry run.
        source: the checkpoint it begins with, or None.
        source_pointer: where the request names that.
        digest: what tells the request from others that have its idempotency key; empty without a key.
    """

    new: NewJob
    answer: dict[str, Any]
    source: Checkpoint | None
    source_pointer: str = START
    digest: str = ""


def check_job(services: CheckServices, body: bytes, key: str | None) -> Job | Checked:
    """Return the job that this key made before, or else the job as it was checked.

    Args:
        services: of the caller.
        body: a JobSpec.
        key: the idempotency key; looked up before anything else.

    Raises:
        BodyNotJson: see `parse`.
        IdempotencyMismatch: the key came before with another job.
        SpecError: every fault there is, each with a pointer into the job.
    """
    return _known_or_checked(services, read(JobSpec, parse(body)), key, START, {})


def check_fine_tuning(services: CheckServices, body: bytes, key: str | None) -> Job | Checked:
    """Do the same for a FineTuningRequest; pointers lead into that."""
    request = read(FineTuningRequest, parse(body))
    source = request.source
    before = None if source is None else services.store.spec(services.store.checkpoint(source).job_id)
    spec = job_of(request, before)
    try:
        return _known_or_checked(services, spec, key, place_of(START, request), {"openai": told_of(request)})
    except SpecError as error:
        raise relocated(error, request) from error


def inspected(services: CheckServices, body: bytes) -> bytes:
    """Return the JSON of the Inspection that an InspectRequest asks for. Raises: see `check_job`."""
    request = read(InspectRequest, parse(body))
    return encoded(inspect_model(request, services.settings.shared.limits, services.sources))


def simulated(services: CheckServices, body: bytes) -> bytes:
    """Return the JSON of what a SimulateRequest asks for. Raises: see `check_job`."""
    return encoded(simulate(read(SimulateRequest, parse(body)), services.settings.simulation))


def _known_or_checked(
    services: CheckServices, spec: JobSpec, key: str | None, start: str, more: Mapping[str, Any]
) -> Job | Checked:
    sha256 = ""
    if key is not None:
        hooks = [asdict(_unchecked(hook)) for hook in spec.webhooks]
        given = given_of(spec)
        sha256 = digest([given, *hooks] if hooks else given)
        known = services.store.replayed(key, sha256)
        if known is not None:
            return known
    found = check_spec(services, spec, services.sources, more)
    return Checked(found.new, found.answer, found.source, start, sha256)


def check_spec(services: CheckServices, spec: JobSpec, sources: Sources, more: Mapping[str, Any] = {}) -> Checked:
    """Check a job.

    Args:
        services: of the caller.
        spec: the job.
        sources: the caller's files.
        more: what shall be kept beside what the check finds out.

    Raises:
        SpecError: every fault there is, each with a pointer into the job.
    """
    given = given_of(spec)
    shared = services.settings.shared
    findings = Findings(given)
    check_size(findings, shared.limits, abbreviated(given))
    findings.raise_if_any()
    prepared = prepare(spec, shared.limits, sources)
    hooks = tuple(
        new_webhook(hook, shared.webhook_allowed_networks, f"/webhooks/{index}")
        for index, hook in enumerate(spec.webhooks)
    )
    source = None if spec.from_checkpoint is None else _fitting(services, spec.from_checkpoint, prepared.model)
    answer = DryRunAnswer(
        summary=asdict(prepared.summary),
        policy_reach=ReachShape.of(prepared.reach),
        warnings=list(prepared.warnings),
    ).model_dump(mode="json")
    summary = {**{name: answer[name] for name in ("summary", "policy_reach", "warnings")}, **more}
    new = NewJob.of(given, prepared.summary.total_steps, prepared.summary.epochs, summary, hooks)
    return Checked(new, answer, source)


def given_of(spec: JobSpec) -> dict[str, Any]:
    """Return the job as it was sent, without its webhooks, whose secrets are not shown."""
    given = spec.given()
    given.pop("webhooks", None)
    return given


def digest(given: Any) -> str:
    """Return what tells one request from another."""
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()


def _unchecked(hook: WebhookSpec) -> NewWebhook:
    when = None if hook.when is None else hook.when.model_dump(exclude_none=True)
    return NewWebhook(hook.url, hook.secret, hook.ends, when)


def new_webhook(hook: WebhookSpec, allowed: tuple[str, ...], place: str = "") -> NewWebhook:
    """Return a webhook as the store takes it.

    Args:
        hook: as it was sent.
        allowed: networks that may be sent to although they are not public.
        place: pointer to the webhook.

    Raises:
        SpecError: its URL names an address that is not public. What names mean is looked up when they are used.
    """
    parts = urlsplit(hook.url)
    address = literal(parts.hostname or "")
    if address is not None:
        try:
            checked(address, parts.port or 1, allowed, lambda host, _: [host])
        except AddressRefused as error:
            raise SpecError([FieldError("address_refused", "ValueError", str(error), f"{place}/url")]) from error
    return _unchecked(hook)


def _fitting(services: CheckServices, name: str, model: Model) -> Checkpoint:
    """Return the checkpoint of that name, whose weights are those of the model."""
    try:
        source = services.store.checkpoint(name)
        shapes = weight_shapes(services.artifacts, source)
    except JobNotFound as error:
        raise SpecError([missing(name, START)]) from error
    wrong = misfits(model.weight_specs, shapes)
    places = layer_places(model.network)
    if wrong:
        raise SpecError(
            FieldError(
                "checkpoint_mismatch",
                "ValueError",
                f"Layer {layer!r} does not fit checkpoint {source.id!r}: {text}. "
                "The model must have the layers, by name and shape, of the one that was saved.",
                pointer_to(places.get(layer, (START.removeprefix("/"),))),
            )
            for layer, text in wrong.items()
        )
    return source


def missing(name: str, pointer: str) -> FieldError:
    """Return the fault of a job that begins with a checkpoint that is not there."""
    text = (
        f"There is no checkpoint {name!r} (any more). Give the id of a checkpoint that GET "
        "/v1/training/jobs/{id}/checkpoints lists, or of a job that has one."
    )
    return FieldError("checkpoint_not_found", "ValueError", text, pointer)
