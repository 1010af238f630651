"""Webhooks: who is told of all jobs, and what was told of one. See docs/jobs.md."""

from __future__ import annotations

import re
from dataclasses import asdict
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Path, Response
from pydantic import Field

from app.answers import Answer, ListAnswer
from app.checks import new_webhook
from app.deps import JobId, ServicesDep
from app.json_route import JsonRoute
from app.problems import declared
from app.thread_pools import in_writes
from worker.jobs.errors import JobNotFound
from worker.jobs.webhooks import Delivery, Webhook
from worker.specs.webhooks import WebhookSpec

router = APIRouter(tags=["webhooks"], route_class=JsonRoute)

_HOOKS = "/v1/webhooks"
_WEBHOOK_ID = re.compile(r"whk-[A-Za-z0-9_-]{1,80}")


async def _webhook_id(webhook_id: Annotated[str, Path(description="Id of a webhook.")]) -> str:
    if not _WEBHOOK_ID.fullmatch(webhook_id):
        raise JobNotFound(webhook_id)
    return webhook_id


WebhookId = Annotated[str, Depends(_webhook_id)]


class WebhookAnswer(Answer):
    """Whom we tell of what; the secret is never told again."""

    id: str
    object: Literal["webhook"] = "webhook"
    url: str
    events: list[str]
    when: dict[str, Any] | None
    created_at: float
    disabled_at: float | None = Field(description="Since when it is told nothing more: its receiver answered 410.")

    @classmethod
    def of(cls, webhook: Webhook) -> WebhookAnswer:
        """Return the answer for a webhook."""
        return cls(
            id=webhook.id,
            url=webhook.url,
            events=list(webhook.events),
            when=None if webhook.condition is None else dict(webhook.condition),
            created_at=webhook.created_at,
            disabled_at=webhook.disabled_at,
        )


class AttemptAnswer(Answer):
    """One try to deliver."""

    at: float
    status_code: int | None
    error: str | None
    seconds: float


class DeliveryAnswer(Answer):
    """Something told, or to be told, of a job."""

    id: str = Field(description="The `webhook-id` header, the same at every try.")
    object: Literal["webhook.delivery"] = "webhook.delivery"
    webhook_id: str
    url: str
    job_id: str
    type: str
    status: str = Field(description="pending, delivered or failed.")
    created_at: float
    next_at: float | None = Field(description="When it is tried again.")
    attempts: list[AttemptAnswer]

    @classmethod
    def of(cls, delivery: Delivery) -> DeliveryAnswer:
        """Return the answer for a delivery."""
        return cls(**asdict(delivery))


@router.post(_HOOKS, status_code=201, responses=declared(400, 413, 415, 422, 503))
@in_writes
def create_webhook(request: WebhookSpec, services: ServicesDep, response: Response) -> WebhookAnswer:
    """Be told of every job from now on."""
    webhook = services.webhooks.register(new_webhook(request, services.shared.webhook_allowed_networks))
    response.headers["Location"] = f"{_HOOKS}/{webhook.id}"
    return WebhookAnswer.of(webhook)


@router.get(_HOOKS, responses=declared(503))
def list_webhooks(services: ServicesDep) -> ListAnswer[WebhookAnswer]:
    """List whom we tell of every job; webhooks of single jobs are seen by what they were told."""
    return ListAnswer[WebhookAnswer].of([WebhookAnswer.of(hook) for hook in services.webhooks.registered()], "id")


@router.get(_HOOKS + "/{webhook_id}", responses=declared(404, 422, 503))
def get_webhook(webhook_id: WebhookId, services: ServicesDep) -> WebhookAnswer:
    """Tell about one webhook."""
    return WebhookAnswer.of(services.webhooks.get(webhook_id))


@router.delete(_HOOKS + "/{webhook_id}", status_code=204, responses=declared(404, 422, 503))
@in_writes
def delete_webhook(webhook_id: WebhookId, services: ServicesDep) -> None:
    """Tell nothing more, not even what was still to be told."""
    services.webhooks.remove(webhook_id)


@router.get("/v1/training/jobs/{job_id}/webhooks", responses=declared(404, 422, 503))
def list_deliveries(job_id: JobId, services: ServicesDep) -> ListAnswer[DeliveryAnswer]:
    """List what was or is to be told of a job, with every try."""
    data = [DeliveryAnswer.of(delivery) for delivery in services.webhooks.deliveries(job_id)]
    return ListAnswer[DeliveryAnswer].of(data, "id")
