"""HTTP/1.1 with bounds on what comes before the body: uvicorn has none, neither on the size nor on the time."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES = 64 * 1024
BODY_BYTES = 4096
_REFUSAL = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
    b"content-type: text/plain; charset=utf-8\r\ncontent-length: 27\r\nconnection: close\r\n\r\n"
    b"The headers are too large.\n"
)


class BoundedHttp(HttpToolsProtocol):
    """One connection; the head of a request may have 64 KiB and take 15 seconds, its body must not drip.

    Attributes:
        head_seconds: how long a connection may take to say what it wants; between two requests, uvicorn's own
            keep-alive time counts.
        body_seconds: in each such time, 4 KiB of a body must come: who drips it holds a connection for nothing.
    """

    head_seconds = 15.0
    body_seconds = 15.0
    _head = 0
    _body = 0
    _reading = False
    _fresh = False
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin, and wait no longer than that for the first head."""
        super().connection_made(transport)
        self._timer = self.loop.call_later(self.head_seconds, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._unset_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; what it read of a head that is not at its end is counted."""
        super().data_received(data)
        if not self._reading:
            return
        # The bytes with which a head begins may be another request's end; how many come at once is bounded.
        self._head += 0 if self._fresh else len(data)
        self._fresh = False
        if self._timer is None and not self.transport.is_closing():
            self._timer = self.loop.call_later(self.head_seconds, self.transport.close)
        if self._head > HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_REFUSAL)
            self.transport.close()

    def on_headers_complete(self) -> None:
        """The head is whole: what follows is a body, whose length routes bound."""
        self._reading = False
        self._unset_timer()
        self._expect_body()
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body came."""
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The body is whole."""
        self._unset_timer()
        super().on_message_complete()

    def _expect_body(self) -> None:
        self._body = 0
        self._timer = self.loop.call_later(self.body_seconds, self._look_at_body)

    def _look_at_body(self) -> None:
        # While we hold it up ourselves, because the route is not done with what came, nothing can come.
        if self._body < BODY_BYTES and not self.flow.read_paused:
            self.transport.close()
        else:
            self._expect_body()

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._reading, self._fresh, self._head = True, True, 0

    def _unset_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
