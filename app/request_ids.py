"""X-Request-ID: taken from the caller if it is a sane one, else made; in every answer and in every log line."""

from __future__ import annotations

import re
from secrets import token_hex

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.jobs.logs import belonging

HEADER = "X-Request-ID"
_NAME = HEADER.lower().encode()  # as ASGI has it
_SANE = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class RequestIds:
    """ASGI middleware that names each request, in `request.state.request_id` and in the answer's header."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        given = next((value for name, value in scope["headers"] if name == _NAME), b"").decode("latin-1")
        request_id = given if _SANE.fullmatch(given) else f"req-{token_hex(16)}"
        shown = (_NAME, request_id.encode())
        scope.setdefault("state", {})["request_id"] = request_id

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Problems name it themselves; nobody gets it twice.
                message["headers"] = [*(pair for pair in message.get("headers", ()) if pair[0] != _NAME), shown]
            await send(message)

        with belonging(request_id=request_id):
            await self.app(scope, receive, named)
