"""What every answer tells a browser: do not guess types, frame nothing, run nothing, tell nobody where you were."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = (
    "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy of our own pages: everything from here, and no script written into a page."""
_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_PRIVATE = (b"cache-control", b"no-store")


class Protection:
    """ASGI middleware that adds the headers which a route did not set itself.

    Args:
        app: what answers.
        private: whether answers differ from caller to caller, so that no cache may keep them.
    """

    def __init__(self, app: ASGIApp, *, private: bool) -> None:
        self.app = app
        self._headers = (*_ALWAYS, _PRIVATE) if private else _ALWAYS

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def protecting(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message["headers"]
                given = {name.lower() for name, _ in headers}
                message["headers"] = [*headers, *(pair for pair in self._headers if pair[0] not in given)]
            await send(message)

        await self.app(scope, receive, protecting)
