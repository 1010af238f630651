"""Tells webhooks what happened: signed, to checked addresses only, again and again until the receiver has it.

Signed as Standard Webhooks (https://www.standardwebhooks.com). A message may come twice; its `webhook-id` is the same.
"""

import http.client
import logging
import math
import secrets
import socket
import ssl
import time
from collections import Counter
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from threading import Event, Lock, Timer
from typing import Any
from urllib.parse import urlsplit

from sqlalchemy.exc import DBAPIError
from standardwebhooks import Webhook as Signer

from worker.heartbeat import is_passing
from worker.jobs.addresses import AddressRefused, Resolve, checked, resolved
from worker.jobs.store import Clock
from worker.jobs.webhooks import GONE, Attempt, Due, Room, WebhookStore
from worker.settings import WorkerSettings

logger = logging.getLogger(__name__)

AT_ONCE, PER_TENANT, PER_RECEIVER = 64, 8, 2
"""Deliveries that are tried at the same time: in all, of one tenant, and to one server."""
LEASE_TIMES = 3
"""A try that is not settled after so many times the longest one is another sender's to make."""
PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 5.0, 300.0
"""How long a receiver that did not answer is left alone: doubled each time, up to the longest."""
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


class UnderWay:
    """The deliveries that are being tried, and the receivers that did not answer; shared by the threads that try."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._silent: Counter[tuple[str, str]] = Counter()
        self.ended = Event()
        """Set whenever one ends: there may be room for another."""

    def room(self) -> Room:
        """How many more may begin."""
        with self._lock:
            return Room(AT_ONCE, PER_TENANT, PER_RECEIVER, dict(self._counts))

    def begin(self, due: Due) -> None:
        """Count a delivery."""
        with self._lock:
            self._counts[due.tenant, due.receiver] += 1

    def end(self, due: Due) -> None:
        """Count it no more."""
        with self._lock:
            self._counts -= Counter({(due.tenant, due.receiver): 1})
        self.ended.set()

    def pause_after(self, due: Due, *, answered: bool) -> float | None:
        """Seconds for which nothing more is sent to the receiver, None for none: longer each time it is silent."""
        with self._lock:
            if answered:
                del self._silent[due.tenant, due.receiver]
                return None
            self._silent[due.tenant, due.receiver] += 1
            times = self._silent[due.tenant, due.receiver]
        return min(math.ldexp(PAUSE_SECONDS, times - 1), LONGEST_PAUSE_SECONDS)


@dataclass(frozen=True)
class Sender:
    """Sends what is due, each delivery in a thread: whoever is slow to answer holds up his own deliveries only.

    Attributes:
        store: where it is written.
        settings: whom may be sent to, for how long, when again.
        clock: unix seconds; the store's.
        resolve: from a host to its addresses.
        under_way: what is being tried.
        threads: in which.
    """

    store: WebhookStore
    settings: WorkerSettings
    clock: Clock = time.time
    resolve: Resolve = resolved
    under_way: UnderWay = field(default_factory=UnderWay)
    threads: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(AT_ONCE, "webhook"))

    def begin(self) -> tuple[Future[None], ...]:
        """Begin to send what is due and has room."""
        due = self.store.take_due(self.under_way.room(), lease_seconds=LEASE_TIMES * self.settings.webhook_seconds)
        for each in due:
            self.under_way.begin(each)
        return tuple(self.threads.submit(self._deliver, each) for each in due)

    def round(self) -> int:
        """Send everything that is due now, and wait until it is tried; return how much that was."""
        count = 0
        while begun := self.begin():
            count += len(begun)
            for each in begun:
                each.result()
        return count

    def _deliver(self, due: Due) -> None:
        begun = time.monotonic()
        try:
            status_code, error, answered = self._send(due)
            attempt = Attempt(self.clock(), status_code, error, time.monotonic() - begun)
            self._settle(due, attempt, answered=answered)
            logger.info("webhook message %s: %s", due.id, status_code or error)
        except DBAPIError as error:  # its lease ends, and it is tried again
            logger.warning("the try of webhook message %s is not noted: %s", due.id, error.orig)
        finally:
            self.under_way.end(due)

    def _settle(self, due: Due, attempt: Attempt, *, answered: bool) -> None:
        pause = self.under_way.pause_after(due, answered=answered)
        if pause is not None:
            lifetime = sum(self.settings.webhook_retry_seconds)
            self.store.postpone(due.tenant, due.receiver, pause, lifetime)
        status, next_at = self._following(due, attempt)
        self.store.settle(due, attempt, status, next_at)

    def _following(self, due: Due, attempt: Attempt) -> tuple[str, float | None]:
        if attempt.status_code is not None and 200 <= attempt.status_code < 300:
            return "delivered", None
        waits = self.settings.webhook_retry_seconds
        if attempt.status_code == GONE or due.attempts >= len(waits):
            return "failed", None
        # Not all at the same moment: a receiver that was down has to get up first.
        return "pending", attempt.at + waits[due.attempts] * _random.uniform(1 - JITTER, 1 + JITTER)

    def _send(self, due: Due) -> tuple[int | None, str | None, bool]:
        """Return the status code, what kept us from it, and whether the receiver is in no doubt of being there."""
        try:
            return self._post(due), None, True
        except AddressRefused as error:
            return None, str(error), True
        except TimeoutError:
            return None, f"No answer in {self.settings.webhook_seconds:g} s.", False
        except (OSError, http.client.HTTPException, ValueError) as error:
            return None, f"{type(error).__name__}: the receiver could not be reached or did not speak HTTP.", False

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
    while not stop.is_set():
        sender.under_way.ended.clear()
        try:
            began = sender.begin()
        except DBAPIError as error:
            if not is_passing(error):
                raise
            logger.warning("webhooks wait: the database does not answer: %s", error.orig)
            began = ()
        if not began:
            # What ends makes room; what becomes due is looked for in the reaper's rhythm.
            sender.under_way.ended.wait(sender.settings.reaper_seconds)
    sender.threads.shutdown(cancel_futures=True)
