"""The stock `openai` package against Halfstep: only `base_url` is ours.

pip install openai
halfstep serve &
python examples/openai_client.py
"""

import os
import time

from openai import BadRequestError, ConflictError, NotFoundError, OpenAI

ENDED = ("succeeded", "failed", "cancelled")

client = OpenAI(base_url=os.environ.get("HALFSTEP_URL", "http://127.0.0.1:8000") + "/v1", api_key="none")


def wait(job_id, *statuses):
    """Ask until the job has one of the statuses."""
    while (job := client.fine_tuning.jobs.retrieve(job_id)).status not in statuses:
        time.sleep(0.2)  # noqa: TID251  (a script for people to read)
    return job


# A network of Dense layers 64 -> 32 -> 10 on the built-in digits, in mixed_float16.
job = client.fine_tuning.jobs.create(
    model="dense-32-10",
    training_file="digits",
    suffix="first",
    seed=1,
    metadata={"team": "vision"},
    method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 4, "batch_size": 64}}},
)
print("created", job.object, job.status)
job = wait(job.id, *ENDED)
print("ended", job.status, "and made", "a model" if job.fine_tuned_model else "nothing")

events = list(client.fine_tuning.jobs.list_events(job.id, limit=5))
print("last event:", events[0].message)
checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
print("checkpoints:", len(checkpoints) > 0, "train_loss" in checkpoints[0].metrics.model_dump(exclude_none=True))

# The next job goes on from the first one's weights; what OpenAI has no words for goes into `halfstep`.
longer = client.fine_tuning.jobs.create(
    model=job.fine_tuned_model,
    training_file="digits",
    hyperparameters={"n_epochs": 900},
    extra_body={"halfstep": {"policy": "mixed_bfloat16", "priority": 1}},
)
wait(longer.id, "running")
print("paused:", client.fine_tuning.jobs.pause(longer.id) and wait(longer.id, "paused").status)
print("resumed:", client.fine_tuning.jobs.resume(longer.id).status in ("queued", "running"))
print("cancelled:", client.fine_tuning.jobs.cancel(longer.id) and wait(longer.id, *ENDED).status)
print("listed:", [job.suffix for job in client.fine_tuning.jobs.list(metadata={"team": "vision"})][:1])

for call, argument in (
    (client.fine_tuning.jobs.retrieve, "job-nobody"),
    (client.fine_tuning.jobs.resume, longer.id),
    (lambda model: client.fine_tuning.jobs.create(model=model, training_file="digits"), "gpt-9"),
):
    try:
        call(argument)
    except (NotFoundError, ConflictError, BadRequestError) as error:
        print(type(error).__name__, error.status_code, error.code)
