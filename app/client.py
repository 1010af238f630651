"""The SDK: Halfstep over HTTP, in plain Python objects.

    with Client() as halfstep:
        job = halfstep.submit(spec)
        for event in halfstep.events(job["id"]):
            print(event["message"])
        halfstep.download(job["id"], "model.safetensors", Path("model.safetensors"))

Errors, drawn as a tree:

HalfstepError
├── Unreachable          nobody answers at the address
├── Damaged              a download does not have the sha256 that the service says
└── ApiError             the service refused: .status, .code, .detail, .errors, .request_id
    ├── NotFound         404
    ├── Unauthorized     401: no API key, or one that is no good here
    ├── Forbidden        403: the key is for other things
    ├── TooMany          429: a rate limit or a quota is reached
    ├── Conflict         409
    ├── Invalid          400, 413, 415, 422: the request is at fault, .errors says where
    └── ServiceFault     5xx
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Pause
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from app.policy_calls import PolicyCalls

DEFAULT_URL = "http://127.0.0.1:8000"
JOBS = "/v1/training/jobs"
FILES = "/v1/files"
SWEEPS = "/v1/sweeps"
TERMINAL = frozenset({"succeeded", "failed", "cancelled"})
RECONNECTS, RECONNECT_SECONDS = 30, 0.5
SILENCE_SECONDS = 60.0
"""A stream so long without even a heartbeat is dead; its connection is made anew."""


class HalfstepError(Exception):
    """Anything that went wrong between here and the service."""


class Unreachable(HalfstepError):
    """Nobody answers at the address."""


class Damaged(HalfstepError):
    """A download does not have the sha256 that the service says."""


class ApiError(HalfstepError):
    """The service refused.

    Attributes:
        status: HTTP status code.
        code: stable name for programs.
        detail: what was received, what is accepted, what to do.
        errors: the single faults: code, type, message, pointer (into the request's JSON).
        request_id: to look for in the service's log.
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status = status
        self.code = str(problem.get("error", {}).get("code", "unknown"))
        self.detail = str(problem.get("detail", f"The service answered with status {status}."))
        self.errors: tuple[Mapping[str, str], ...] = tuple(problem.get("errors", ()))
        self.request_id = str(problem.get("request_id", ""))
        super().__init__(self.detail)


class NotFound(ApiError):
    """There is no such job, checkpoint or artifact."""


class Unauthorized(ApiError):
    """No API key was sent, or one that is unknown, revoked or expired."""


class Forbidden(ApiError):
    """The API key is for other things."""


class TooMany(ApiError):
    """A rate limit or a quota is reached."""


class Conflict(ApiError):
    """The job's state forbids it."""


class Invalid(ApiError):
    """The request is at fault."""


class ServiceFault(ApiError):
    """The service is at fault, or not ready."""


_KINDS: Mapping[int, type[ApiError]] = {
    400: Invalid,
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: TooMany,
}


class Client(PolicyCalls):
    """A connection to one service; what asks about policies is in `app.policy_calls`.

    Args:
        url: where it listens.
        api_key: of a service that asks for one; None takes `HALFSTEP_API_KEY` from the environment.
        timeout: seconds for one answer.
        transport: for tests: an application in place of the network.
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        *,
        api_key: str | None = None,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url
        key = os.environ.get("HALFSTEP_API_KEY", "") if api_key is None else api_key
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, transport=transport)
        self._pause = Pause()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ready(self) -> dict[str, str]:
        """Return what each part of the service says, `ok` where it works; a service may answer and not be ready."""
        with self._reachable():
            response = self._http.get("/readyz")
        if response.status_code != 503:
            _checked(response)
        checks: dict[str, str] = response.json()["checks"]
        return checks

    def submit(self, spec: Mapping[str, Any], *, idempotency_key: str | None = None) -> dict[str, Any]:
        """Send a job; with an idempotency key, a repeated call gets the job of the first.

        Raises:
            Invalid: the job cannot be trained; `errors` says why and where.
        """
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return self._json(
            "POST", JOBS, content=json.dumps(spec), headers={"Content-Type": "application/json", **headers}
        )

    def check(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the job would amount to, without queueing it.

        Raises:
            Invalid: the job cannot be trained.
        """
        return self._json("POST", JOBS, json=spec, params={"dry_run": "true"})

    def inspect(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a model will do: dtypes, loss scaling, memory, and what is doubtful about its numerics.

        Args:
            spec: a job, of which only the model must be there.

        Raises:
            Invalid: the model or what is beside it is at fault; `errors` says why and where.
        """
        return self._json("POST", "/v1/models/inspect", json=spec)

    def sweep(self, job: Mapping[str, Any], grid: Mapping[str, list[Any]], **more: Any) -> dict[str, Any]:
        """Send a job for every combination of the grid's values (lists by JSON pointer into the job), all or none.

        Raises:
            Invalid: a job of the grid cannot be trained; `errors` says which value is at fault.
        """
        return self._json("POST", SWEEPS, json={"job": job, "grid": grid, **more})

    def get_sweep(self, sweep_id: str) -> dict[str, Any]:
        """Return a sweep with its jobs side by side."""
        return self._json("GET", f"{SWEEPS}/{quote(sweep_id, safe='')}")

    def cancel_sweep(self, sweep_id: str) -> dict[str, Any]:
        """Cancel every job of a sweep that has not ended."""
        return self._json("POST", f"{SWEEPS}/{quote(sweep_id, safe='')}/cancel")

    def get(self, job_id: str) -> dict[str, Any]:
        """Return a job.

        Raises:
            NotFound: there is none of that id.
        """
        return self._json("GET", f"{JOBS}/{quote(job_id, safe='')}")

    def jobs(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """Yield jobs, newest first, page after page; filters are those of the API (status, order, limit, ...)."""
        params = {name: value for name, value in filters.items() if value is not None}
        while True:
            page = self._json("GET", JOBS, params=params)
            yield from page["data"]
            if not page["has_more"]:
                return
            params["after"] = page["last_id"]

    def upload(self, path: Path, *, purpose: str = "fine-tune") -> dict[str, Any]:
        """Send a file of training data; it is streamed from the disk.

        Raises:
            Invalid: rows of it cannot be used; `errors` names them.
        """
        with path.open("rb") as file:
            return self._json("POST", FILES, files={"file": (path.name, file)}, data={"purpose": purpose}, timeout=None)

    def files(self, **filters: Any) -> Iterator[dict[str, Any]]:
        """Yield uploaded files, newest first, page after page; filters are those of the API (purpose, order, limit)."""
        params = {name: value for name, value in filters.items() if value is not None}
        while True:
            page = self._json("GET", FILES, params=params)
            yield from page["data"]
            if not page["has_more"]:
                return
            params["after"] = page["last_id"]

    def delete_file(self, file_id: str) -> dict[str, Any]:
        """Delete a file.

        Raises:
            Conflict: a job that may still run is trained on it.
        """
        return self._json("DELETE", f"{FILES}/{quote(file_id, safe='')}")

    def cancel(self, job_id: str) -> dict[str, Any]:
        """Cancel a job; its status is `cancelled`, or `cancelling` until its worker acts.

        Raises:
            Conflict: it has ended.
        """
        return self._json("POST", f"{JOBS}/{quote(job_id, safe='')}/cancel")

    def delete(self, job_id: str) -> None:
        """Forget a job that has ended, and its files.

        Raises:
            Conflict: it has not ended.
        """
        with self._reachable():
            _checked(self._http.delete(f"{JOBS}/{quote(job_id, safe='')}"))

    def metrics(
        self, job_id: str, *names: str, after_step: int = 0, until_step: int | None = None, max_points: int = 1000
    ) -> dict[str, list[Any]]:
        """Return what the training steps measured, as columns of equal length."""
        params: dict[str, Any] = {"name": list(names), "after_step": after_step, "max_points": max_points}
        if until_step is not None:
            params["until_step"] = until_step
        answer = self._json("GET", f"{JOBS}/{quote(job_id, safe='')}/metrics", params=params)
        columns: dict[str, list[Any]] = answer["columns"]
        return columns

    def report(self, job_id: str) -> dict[str, Any]:
        """Return what is known of the run's numerics; what nobody measured is None, and named in `not_recorded`."""
        return self._json("GET", f"{JOBS}/{quote(job_id, safe='')}/report")

    def predict(self, job_id: str, x: Any) -> Any:
        """Return what a finished job's model says of x, one entry a sample; of several outputs a dict by output name.

        Raises:
            Conflict: the job has not succeeded.
            Invalid: x does not fit the model.
        """
        answer = self._json("POST", f"{JOBS}/{quote(job_id, safe='')}/predict", json={"x": x})
        return answer["predictions"]

    def artifacts(self, job_id: str) -> list[dict[str, Any]]:
        """Return the files that a job left."""
        data: list[dict[str, Any]] = self._json("GET", f"{JOBS}/{quote(job_id, safe='')}/artifacts")["data"]
        return data

    def download(self, job_id: str, name: str, target: Path) -> str:
        """Save an artifact as `target`, which appears only once it is whole; return its sha256.

        Raises:
            Damaged: what came is not what the service says it has.
        """
        digest = hashlib.sha256()
        partial = target.with_name(target.name + ".part")
        url = f"{JOBS}/{quote(job_id, safe='')}/artifacts/{quote(name, safe='')}"
        with self._streaming(url) as response, partial.open("wb") as file:
            for chunk in response.iter_bytes():
                digest.update(chunk)
                file.write(chunk)
            expected = response.headers["ETag"].strip('"')
        if digest.hexdigest() != expected:
            partial.unlink()
            raise Damaged(
                f"{name} has the sha256 {digest.hexdigest()}, the service says {expected}; download it again."
            )
        partial.replace(target)
        return expected

    def events(self, job_id: str, *, after: int = 0) -> Generator[dict[str, Any]]:
        """Yield what happens to a job, from event `after` until the job ends.

        A lost connection is made again, and goes on after the last event that came: none is missed, none comes twice.

        Raises:
            Unreachable: the service was away for long.
        """
        failures = 0
        while failures <= RECONNECTS:
            try:
                for event in self._stream(job_id, after):
                    after, failures = event["id"], 0
                    yield event
                    if event["type"].removeprefix("job.") in TERMINAL:
                        return
                # Closed in an orderly way: the service restarts, the stream was at its longest, or all was told.
                if self._all_told(job_id, after):
                    return
            except (Unreachable, ServiceFault):
                failures += 1
            self._pause.wait(RECONNECT_SECONDS)
        raise Unreachable(f"No events of job {job_id} from {self.url} in {RECONNECTS} tries; is the service up?")

    def _all_told(self, job_id: str, after: int) -> bool:
        if self.get(job_id)["status"] not in TERMINAL:
            return False
        rest = self._json("GET", f"{JOBS}/{quote(job_id, safe='')}/events", params={"after": after, "limit": 1})
        return not rest["data"]

    def _stream(self, job_id: str, after: int) -> Iterator[dict[str, Any]]:
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
        url = f"{JOBS}/{quote(job_id, safe='')}/events"
        with self._streaming(url, headers=headers, timeout=httpx.Timeout(30.0, read=SILENCE_SECONDS)) as response:
            for line in response.iter_lines():
                # Each of our events is one line of JSON that holds the id and the type too.
                if line.startswith("data: "):
                    yield json.loads(line.removeprefix("data: "))

    @contextmanager
    def _streaming(self, url: str, **options: Any) -> Iterator[httpx.Response]:
        with self._reachable(), self._http.stream("GET", url, **options) as response:
            if response.is_error:
                response.read()
            yield _checked(response)

    def _json(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        with self._reachable():
            response = _checked(self._http.request(method, url, **options))
        answer: dict[str, Any] = response.json()
        return answer

    @contextmanager
    def _reachable(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            raise Unreachable(f"Nobody answers at {self.url} ({type(error).__name__}: {error}).") from error


def _checked(response: httpx.Response) -> httpx.Response:
    """Return the response, or raise the problem that it tells of."""
    if not response.is_error:
        return response
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    kind = _KINDS.get(response.status_code, ServiceFault if response.status_code >= 500 else ApiError)
    raise kind(response.status_code, problem if isinstance(problem, dict) else {})
