"""A job as one moving line in the terminal: steps, loss, loss scale, skipped steps."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from app.client import Client

_FIELDS = (
    "loss [bold]{task.fields[loss]}[/bold]  "
    "scale [bold]{task.fields[scale]}[/bold]  "
    "skipped [bold]{task.fields[skipped]}[/bold]"
)


def watch(client: Client, job_id: str, console: Console) -> dict[str, Any]:
    """Show a job until it ends, and return it as it ended.

    On something that is no terminal, each event that tells of a change is a line of its own.

    Raises:
        app.client.HalfstepError: there is no such job, or the service is gone.
    """
    job = client.get(job_id)
    state, fields = TextColumn("{task.description}"), TextColumn(_FIELDS)
    columns = (state, BarColumn(), MofNCompleteColumn(), fields, TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        line = progress.add_task(job["status"], total=job["progress"]["total_steps"], **_fields(job))
        skipped = 0
        for event in client.events(job_id):
            skipped += event["data"].get("more", 1) if event["type"] == "job.skipped_step" else 0
            _show(progress, line, event, skipped)
            if event["type"] == "job.warning":
                console.print(f"warning: {event['message']}", markup=False)
            elif not console.is_terminal and event["type"] not in _QUIET:
                console.print(_line(event), markup=False)
        job = client.get(job_id)
        progress.update(line, description=job["status"], completed=job["progress"]["step"], **_fields(job))
    return job


_QUIET = frozenset({"job.metrics", "job.skipped_step", "job.checkpoint"})
_STATES = frozenset({"job.queued", "job.running", "job.cancelling", "job.pausing", "job.paused"})


def _line(event: dict[str, Any]) -> str:
    logs = {name: value for name, value in event["data"].get("logs", {}).items() if name != "nonfinite"}
    return " ".join([event["message"], *(f"{name} {shown(value)}" for name, value in logs.items())])


def _fields(job: dict[str, Any]) -> dict[str, Any]:
    loss, scale = job["metrics"].get("loss"), job["loss_scale"]
    return {"loss": shown(loss), "scale": shown(scale), "skipped": str(job["skipped_steps"])}


def shown(value: float | None) -> str:
    """Return a loss or a loss scale in few characters; a dash for none."""
    return "-" if value is None else f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def _show(progress: Progress, line: TaskID, event: dict[str, Any], skipped: int) -> None:
    data = event["data"]
    if event["type"] in _STATES:
        progress.update(line, description=event["type"].removeprefix("job."))
    if "step" in data:
        progress.update(line, completed=data["step"])
    fields: dict[str, Any] = {"skipped": str(skipped)}
    for name, key in (("loss", "loss"), ("scale", "loss_scale_after")):
        if key in data:
            fields[name] = shown(data[key])
    progress.update(line, **fields)
