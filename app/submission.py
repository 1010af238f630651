"""From a job as it was sent to a job in the queue: the one way, whichever route it came by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any
from urllib.parse import urlsplit

from app.answers import DryRunAnswer
from app.deps import Services
from app.quotas import require_room
from engine.model import Model
from engine.starting import misfits
from worker.jobs.addresses import AddressRefused, checked, literal
from worker.jobs.errors import JobNotFound
from worker.jobs.notices import NewWebhook
from worker.jobs.records import Checkpoint, Job
from worker.jobs.starting import continues, copied, weight_shapes
from worker.jobs.submitting import NewJob, abbreviated
from worker.specs.check import prepare
from worker.specs.errors import FieldError, SpecError, pointer_to
from worker.specs.findings import Findings
from worker.specs.job import FileData, JobSpec
from worker.specs.reach import ReachShape
from worker.specs.resources import check_size, layer_places
from worker.specs.sources import Sources
from worker.specs.uploads import Uploads
from worker.specs.webhooks import WebhookSpec

_START = "from_checkpoint"


@dataclass(frozen=True)
class Checked:
    """A job that would be accepted.

    Attributes:
        new: what the store takes.
        answer: to a dry run.
        source: the checkpoint it begins with, or None.
    """

    new: NewJob
    answer: dict[str, Any]
    source: Checkpoint | None


def check(services: Services, spec: JobSpec) -> Checked:
    """Check a job, when there is room for its file; nothing is written.

    Raises:
        SpecError: every fault there is, each with a pointer into the job.
    """
    files = [spec.data.file] if isinstance(spec.data, FileData) else []
    with services.room.taken(largest(services, files)):
        return checked_with(services, spec, Uploads(services.files))


def largest(services: Services, files: Iterable[object]) -> int:
    """Return how many bytes the largest of the caller's files with these ids takes; what is no file's id takes none."""
    return max((_bytes_of(services, file) for file in files if isinstance(file, str)), default=0)


def _bytes_of(services: Services, file_id: str) -> int:
    try:
        return services.files.get(file_id).stored
    except JobNotFound:
        return 0


def checked_with(services: Services, spec: JobSpec, sources: Sources) -> Checked:
    """Check a job with files for which there is room; see `check`."""
    given = _given(spec)
    findings = Findings(given)
    check_size(findings, services.shared.limits, abbreviated(given))
    findings.raise_if_any()
    prepared = prepare(spec, services.shared.limits, sources)
    hooks = tuple(
        new_webhook(hook, services.shared.webhook_allowed_networks, f"/webhooks/{index}")
        for index, hook in enumerate(spec.webhooks)
    )
    source = None if spec.from_checkpoint is None else _fitting(services, spec.from_checkpoint, prepared.model)
    answer = DryRunAnswer(
        summary=asdict(prepared.summary),
        policy_reach=ReachShape.of(prepared.reach),
        warnings=list(prepared.warnings),
    ).model_dump(mode="json")
    new = NewJob(
        given,
        prepared.summary.total_steps,
        prepared.summary.epochs,
        {name: answer[name] for name in ("summary", "policy_reach", "warnings")},
        webhooks=hooks,
    )
    return Checked(new, answer, source)


def _given(spec: JobSpec) -> dict[str, Any]:
    """Return the job as it was sent, without its webhooks, whose secrets are not shown."""
    given = spec.given()
    given.pop("webhooks", None)
    return given


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


def _fitting(services: Services, name: str, model: Model) -> Checkpoint:
    """Return the checkpoint of that name, whose weights are those of the model."""
    try:
        source = services.store.checkpoint(name)
        shapes = weight_shapes(services.artifacts, source)
    except JobNotFound as error:
        raise SpecError([_missing(name)]) from error
    wrong = misfits(model.weight_specs, shapes)
    places = layer_places(model.network)
    if wrong:
        raise SpecError(
            FieldError(
                "checkpoint_mismatch",
                "ValueError",
                f"Layer {layer!r} does not fit checkpoint {source.id!r}: {text}. "
                "The model must have the layers, by name and shape, of the one that was saved.",
                pointer_to(places.get(layer, (_START,))),
            )
            for layer, text in wrong.items()
        )
    return source


def _missing(name: str) -> FieldError:
    text = (
        f"There is no checkpoint {name!r} (any more). Give the id of a checkpoint that GET "
        "/v1/training/jobs/{id}/checkpoints lists, or of a job that has one."
    )
    return FieldError("checkpoint_not_found", "ValueError", text, f"/{_START}")


def replayed(services: Services, spec: JobSpec, key: str | None) -> Job | None:
    """Return the job that this key made before, or None; asked before anything is checked or counted.

    Raises:
        IdempotencyMismatch: the key came before with another job.
    """
    if key is None:
        return None
    hooks = tuple(_unchecked(hook) for hook in spec.webhooks)
    return services.store.replayed(key, _digest_of(_given(spec), hooks))


def known_or_checked(services: Services, spec: JobSpec, key: str | None) -> Job | Checked:
    """Return the job that this key made before, or else the job as it was checked; one wait for a thread does both.

    Raises:
        IdempotencyMismatch: the key came before with another job.
        SpecError: see `check`.
    """
    return replayed(services, spec, key) or check(services, spec)


def submit(services: Services, checked: Checked, key: str | None) -> Job:
    """Queue a checked job and announce it.

    Raises:
        IdempotencyMismatch: the key came before with another job.
        Refused: the tenant has as many jobs as it may.
        SpecError: the checkpoint it begins with went away meanwhile.
    """
    require_room(services, 1)
    new = started(services, checked)
    try:
        job = services.store.submit(new, idempotency_key=key, request_hash=_digest_of(new.spec, new.webhooks))
    except BaseException:
        discard(services, new)
        raise
    if job.id != new.id:
        discard(services, new)
    services.waker.wake(job)
    return job


def started(services: Services, checked: Checked) -> NewJob:
    """Return the job with a copy of the checkpoint it begins with, so that it needs the other job no more.

    Raises:
        SpecError: the checkpoint is gone.
    """
    new, source = checked.new, checked.source
    if source is None:
        return new
    try:
        same = continues(new.spec, services.store.spec(source.job_id))
        return replace(new, start=copied(services.artifacts, source, new.id, optimizer=same))
    except JobNotFound as error:
        raise SpecError([_missing(str(new.spec[_START]))]) from error


def discard(services: Services, new: NewJob) -> None:
    """Delete the files of a job that was not made."""
    if new.start is not None:
        services.artifacts.delete(new.id)


def _digest_of(spec: Mapping[str, Any], hooks: Sequence[NewWebhook]) -> str:
    return digest([spec, *map(asdict, hooks)] if hooks else spec)


def digest(given: Any) -> str:
    """Return what tells one request from another."""
    return hashlib.sha256(json.dumps(given, sort_keys=True).encode()).hexdigest()
