"""What the job store refuses.

JobsError
├── JobNotFound            no job (or checkpoint, artifact) of that name
├── TransitionRefused      the job's state forbids what was asked
├── IdempotencyMismatch    the key was used before with another request
├── KeyRefused             an API key cannot be made so, or is not there
├── TooManyWebhooks        a tenant has as many as he may
├── FileInUse              a job that may still run is trained on the file
└── LeaseLost              a slice wrote after its job was taken from it
"""

from collections.abc import Sequence

from worker.jobs.states import JobStatus


class JobsError(Exception):
    """Anything the job store refuses; `str(error)` is fit for the caller's eyes."""


class JobNotFound(JobsError):
    """There is nothing of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"There is no {name!r}.")
        self.name = name


class TransitionRefused(JobsError):
    """The job's state forbids what was asked; asking again will not help."""

    def __init__(self, job_id: str, status: JobStatus, wanted: str) -> None:
        super().__init__(f"Job {job_id!r} is {status.value} and cannot be {wanted}.")
        self.job_id = job_id
        self.status = status
        self.wanted = wanted


class IdempotencyMismatch(JobsError):
    """The idempotency key came before with a different request."""

    def __init__(self, key: str) -> None:
        super().__init__(f"Idempotency key {key!r} was used before with a different request; use a new key.")
        self.key = key


class KeyRefused(JobsError):
    """An API key cannot be made as was asked, or there is none of that id."""


class TooManyWebhooks(JobsError):
    """A tenant has as many webhooks as he may."""

    def __init__(self, most: int) -> None:
        super().__init__(f"There are {most} webhooks already, the most there may be; delete one first.")


class FileInUse(JobsError):
    """Jobs that may still run are trained on the file."""

    def __init__(self, file_id: str, job_ids: Sequence[str], count: int) -> None:
        more = f" and {count - len(job_ids)} more" if count > len(job_ids) else ""
        what = f"{', '.join(job_ids)}{more}"
        super().__init__(f"File {file_id!r} is the data of {what}; cancel them or wait for their end, then delete it.")
        self.file_id = file_id
        self.job_ids = tuple(job_ids)


class LeaseLost(JobsError):
    """The slice's claim is stale: another attempt has begun or the job has ended. The slice must stop, unwritten."""

    def __init__(self, job_id: str, attempt: int) -> None:
        super().__init__(f"Attempt {attempt} no longer holds job {job_id!r}.")
        self.job_id = job_id
        self.attempt = attempt
