"""Predictions of finished models, made in short-lived processes: see `worker.predicting`, which this starts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from threading import BoundedSemaphore
from typing import Any

from app.errors import Refused, invalid
from app.problems import Problem
from app.settings import AppSettings
from worker.jobs.records import Job
from worker.settings import Limits
from worker.specs.errors import FieldError

_BUSY = Problem(
    503, "predictions_busy", "All places for predictions are taken; try again.", headers={"Retry-After": "1"}
)
_MODEL_GONE = Problem(404, "not_found", "The model file of the job is gone.")


class Predictor:
    """Runs one process a request, so many at once, each for so long.

    Args:
        settings: the bounds.
        artifacts_url: where the models lie.
        limits: of models; those that the model was trained under.
    """

    def __init__(self, settings: AppSettings, artifacts_url: str, limits: Limits) -> None:
        self._settings = settings
        self._limits = limits
        self._artifacts_url = artifacts_url
        self._places = BoundedSemaphore(settings.predict_at_once)

    def predict(self, job: Job, x: object) -> dict[str, Any]:
        """Return what the job's model says of x; waits, so not for the event loop.

        Raises:
            Refused: 422 with pointers into x, 404 if the model is gone, 413 if it takes too much, 503 if too many ask.
        """
        if not self._places.acquire(blocking=False):
            raise Refused(_BUSY)
        try:
            said = self._run(job, x)
        finally:
            self._places.release()
        if "errors" in said:
            raise Refused(invalid(tuple(FieldError(**fault) for fault in said["errors"])))
        if "failure" in said:
            raise Refused(_MODEL_GONE if said["failure"] == "model_gone" else self._too_much())
        return said

    def _run(self, job: Job, x: object) -> dict[str, Any]:
        command = [sys.executable, "-m", "worker.predicting", "--parent", str(os.getpid())]
        try:
            done = subprocess.run(
                command,
                input=json.dumps(self._request(job, x)).encode(),
                stdout=subprocess.PIPE,
                env=_environment(os.environ),
                timeout=self._settings.predict_seconds,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise Refused(self._too_much()) from error
        if done.returncode:
            raise Refused(self._too_much())
        said: dict[str, Any] = json.loads(done.stdout)
        return said

    def _request(self, job: Job, x: object) -> dict[str, Any]:
        settings = self._settings
        return {
            "artifacts_url": self._artifacts_url,
            "job_id": job.id,
            "model": job.model,
            "policy": job.policy,
            "policy_scope": job.policy_scope,
            "x": x,
            "limits": self._limits.model_dump(),
            "rows": settings.predict_rows,
            "values": settings.predict_values,
            "memory": settings.predict_memory_bytes,
            "seconds": max(1, int(settings.predict_seconds)),
        }

    def _too_much(self) -> Problem:
        settings = self._settings
        text = (
            f"The prediction took more than {settings.predict_seconds:g} s or {settings.predict_memory_bytes:,} bytes; "
            "send fewer rows, or download model.safetensors and predict on your side."
        )
        return Problem(413, "resource_limit", text)


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """One thread of linear algebra: each would reserve memory of its own."""
    return {**ours, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
