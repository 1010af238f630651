"""Tells webhooks what happened: signed, to checked addresses only, again and again until the receiver has it.

Signed as Standard Webhooks (https://www.standardwebhooks.com). A message may come twice; its `webhook-id` is the same.
"""

import http.client
import logging
import secrets
import socket
import ssl
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Event, Timer
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.exc import DBAPIError
from standardwebhooks import Webhook as Signer

from worker.heartbeat import is_passing
from worker.jobs.addresses import AddressRefused, Resolve, checked, resolved
from worker.jobs.store import Clock
from worker.jobs.webhooks import GONE, Attempt, Due, WebhookStore
from worker.settings import WorkerSettings

logger = logging.getLogger(__name__)

AT_ONCE = 8
BATCH = 32
MOST_READ = 64 * 1024
JITTER = 0.1
_PORTS = {"http": 80, "https": 443}
_random = secrets.SystemRandom()


class _Pinned(http.client.HTTPConnection):
    """A connection to one checked address, whatever the host's name means by now; redirects are never followed.

    Args:
        host: for the Host header and the certificate.
        port: of the receiver.
        address: to connect to.
        context: of TLS, or None.
        timeout: seconds.
    """

    def __init__(self, host: str, port: int, address: str, context: ssl.SSLContext | None, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._address = address
        self._context = context

    def connect(self) -> None:
        """Connect to the address, not to the name."""
        self.sock = socket.create_connection((self._address, self.port), self.timeout)
        if self._context is not None:
            self.sock = self._context.wrap_socket(self.sock, server_hostname=self.host)

    def cut(self) -> None:
        """End it from another thread: whoever drips his answer byte by byte is not waited for."""
        sock: Any = self.sock
        if sock is not None:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                logger.debug("the connection was gone already")


@dataclass(frozen=True)
class Sender:
    """Sends what is due.

    Attributes:
        store: where it is written.
        settings: whom may be sent to, for how long, when again.
        clock: unix seconds; the store's.
        resolve: from a host to its addresses.
    """

    store: WebhookStore
    settings: WorkerSettings
    clock: Clock = time.time
    resolve: Resolve = resolved

    def round(self) -> int:
        """Send everything that is due now, some at once; return how much that was."""
        due = self.store.take_due(BATCH, lease_seconds=3 * self.settings.webhook_seconds * BATCH / AT_ONCE)
        if due:
            with ThreadPoolExecutor(AT_ONCE) as threads:
                list(threads.map(self._deliver, due))
        return len(due)

    def _deliver(self, due: Due) -> None:
        begun = time.monotonic()
        status_code, error = self._send(due)
        attempt = Attempt(self.clock(), status_code, error, time.monotonic() - begun)
        status, next_at = self._following(due, attempt)
        self.store.settle(due, attempt, status, next_at)
        logger.info("webhook message %s: %s", due.id, status_code or error)

    def _following(self, due: Due, attempt: Attempt) -> tuple[str, float | None]:
        if attempt.status_code is not None and 200 <= attempt.status_code < 300:
            return "delivered", None
        waits = self.settings.webhook_retry_seconds
        if attempt.status_code == GONE or due.attempts >= len(waits):
            return "failed", None
        # Not all at the same moment: a receiver that was down has to get up first.
        return "pending", attempt.at + waits[due.attempts] * _random.uniform(1 - JITTER, 1 + JITTER)

    def _send(self, due: Due) -> tuple[int | None, str | None]:
        try:
            return self._post(due), None
        except AddressRefused as error:
            return None, str(error)
        except TimeoutError:
            return None, f"No answer in {self.settings.webhook_seconds:g} s."
        except (OSError, http.client.HTTPException, ValueError) as error:
            return None, f"{type(error).__name__}: the receiver could not be reached or did not speak HTTP."

    def _post(self, due: Due) -> int:
        parts = urlsplit(due.url)
        host, port = parts.hostname or "", parts.port or _PORTS[parts.scheme]
        address = checked(host, port, self.settings.webhook_allowed_networks, self.resolve)[0]
        context = ssl.create_default_context() if parts.scheme == "https" else None
        connection = _Pinned(host, port, address, context, self.settings.webhook_seconds)
        end = Timer(self.settings.webhook_seconds, connection.cut)
        end.start()
        try:
            path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            connection.request("POST", path, due.body.encode(), headers_of(due, self.clock()))
            answer = connection.getresponse()
            answer.read(MOST_READ)
            return answer.status
        finally:
            end.cancel()
            connection.close()


def headers_of(due: Due, now: float) -> dict[str, str]:
    """Return the headers of a message: its id, the time of this try, and the signature over both and the body."""
    at = datetime.fromtimestamp(now, UTC)
    return {
        "Content-Type": "application/json",
        "User-Agent": "Halfstep",
        "webhook-id": due.id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": Signer(due.secret).sign(due.id, at, due.body),
    }


def run(sender: Sender, stop: Event) -> None:
    """Send until `stop` is set; the database may come and go."""
    while not stop.wait(sender.settings.reaper_seconds):
        try:
            while sender.round() and not stop.is_set():
                continue
        except DBAPIError as error:
            if not is_passing(error):
                raise
            logger.warning("webhooks wait: the database does not answer: %s", error.orig)
