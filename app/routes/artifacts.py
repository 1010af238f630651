"""Files that jobs left: listed, and downloaded whole or in part."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Response

from app.answers import ArtifactAnswer, ListAnswer
from app.deps import JobId, ServicesDep
from app.downloads import ANSWERS, Download, WantedDep, answered
from app.problems import declared
from app.query_route import QueryRoute
from worker.jobs.errors import JobNotFound
from worker.jobs.records import Artifact

router = APIRouter(prefix="/v1/training/jobs", tags=["artifacts"], route_class=QueryRoute)


@router.get("/{job_id}/artifacts", responses=declared(404, 422, 503))
def list_artifacts(job_id: JobId, services: ServicesDep) -> ListAnswer[ArtifactAnswer]:
    """List the files that a job left so far."""
    services.store.get(job_id)
    data = [ArtifactAnswer.of(job_id, artifact) for artifact in services.store.artifacts(job_id)]
    return ListAnswer[ArtifactAnswer].of(data, "name")


@router.head("/{job_id}/artifacts/{name}", include_in_schema=False)
@router.get(
    "/{job_id}/artifacts/{name}",
    response_class=Response,
    responses={**ANSWERS, **declared(404, 416, 422, 503)},
)
def download_artifact(job_id: JobId, name: str, services: ServicesDep, wanted: WantedDep) -> Response:
    """Send a file, or the one range of it that was asked for; its SHA-256 is its ETag and its Repr-Digest."""
    artifact = _find(services.store.artifacts(job_id), job_id, name)
    opened = partial(services.artifacts.open, job_id, name)
    return answered(Download(artifact.name, artifact.sha256, artifact.size, opened), wanted)


def _find(artifacts: tuple[Artifact, ...], job_id: str, name: str) -> Artifact:
    for artifact in artifacts:
        if artifact.name == name:
            return artifact
    raise JobNotFound(f"{job_id}/artifacts/{name}")
