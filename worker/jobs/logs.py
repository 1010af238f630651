"""How every process logs: one line an event on standard error, for people or as JSON, with what it belongs to.

Whoever handles a request or a slice binds `request_id` or `job_id` once (`belonging`); every line logged meanwhile, by
whatever library, carries it.
"""

import logging
import re
from contextlib import AbstractContextManager
from typing import Literal

import structlog
from structlog.contextvars import bound_contextvars
from structlog.typing import EventDict, Processor

Format = Literal["console", "json"]
LONGEST, LONGEST_TRACE = 1000, 20_000
"""Characters of one value of a line, and of a traceback."""
_STEERING = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def configure(form: Format) -> None:
    """Send every logger of this process to standard error, from level INFO."""
    last: Processor = structlog.processors.JSONRenderer()
    if form == "console":
        # Its own choice, where rich is installed, shows the values of all variables: tokens and passwords among them.
        last = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.ExtraAdder(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.CallsiteParameterAdder([structlog.processors.CallsiteParameter.PROCESS]),
    ]
    errors: list[Processor] = [structlog.processors.format_exc_info] if form == "json" else []
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *errors, _on_one_line, last],
    )
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
    # One line for each message that comes in says nothing that the slice's own line does not.
    logging.getLogger("celery.worker.strategy").setLevel(logging.WARNING)
    for chatty in ("httpx", "alembic.runtime.plugins", "alembic.runtime.migration"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def _on_one_line(_logger: object, _method: str, entry: EventDict) -> EventDict:
    """Cut what is long, and escape what would begin a line that we did not write, or steer a terminal.

    A path is what its caller likes, and as long.
    """
    return {key: _cut(value, LONGEST_TRACE) if key == "exception" else _escaped(value) for key, value in entry.items()}


def _escaped(value: object) -> object:
    if not isinstance(value, str):
        return value
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), str(_cut(value, LONGEST)))


def _cut(value: object, longest: int) -> object:
    """Return a text without its middle, if it is longer than that."""
    if not isinstance(value, str) or len(value) <= longest:
        return value
    return f"{value[: longest // 2]} ... ({len(value) - longest:,} characters left out) ... {value[-longest // 2 :]}"


def belonging(**names: str) -> AbstractContextManager[None]:
    """Name what every line logged in this block belongs to."""
    return bound_contextvars(**names)
