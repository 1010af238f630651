"""Which names a service answers to, and to whose pages: what keeps other people's web pages away from it.

A browser sends requests for any page it shows, also to 127.0.0.1. A page of another site cannot read the answers
(same-origin policy), but two ways lead around that, where no key is asked for: a name of its own that suddenly means
127.0.0.1 (DNS rebinding; so the Host header must be one of ours), and requests that are sent only for their effect
(CSRF; so a browser's Origin header must be that of the service itself).
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

from app.problems import Problem

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_OWN_SITES = frozenset({"", "none", "same-origin"})
"""What Sec-Fetch-Site says of a request that no other site's page has sent; programs send no such header."""


def is_loopback(host: str) -> bool:
    """Whether an address, or the name `localhost`, is reached from this machine only."""
    try:
        return ip_address(host.strip("[]").partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


def exposure(auth: str, host: str) -> str | None:
    """Return why this address must not be served so, or None.

    Args:
        auth: as in the settings.
        host: address that is listened on.
    """
    if auth == "required" or is_loopback(host):
        return None
    return (
        f"{host} can be reached from other machines, and nobody would be asked for a key. Set HALFSTEP_AUTH=required "
        "and make a key with `halfstep keys create`, or listen on 127.0.0.1."
    )


def name_of(host: str) -> str:
    """Return the Host header without its port, in lower case."""
    name, _, port = host.lower().rpartition(":")
    return name if port.isdecimal() and name else host.lower()


@dataclass(frozen=True)
class AnyHost:
    """Where keys are asked for: a page that was led here has none to send."""

    def refusal(self, method: str, server: str, host: str, origin: str | None, site: str = "") -> Problem | None:
        """Refuse nothing."""
        return None


@dataclass(frozen=True)
class NamedHosts:
    """Answers to these names only, and to these pages.

    Attributes:
        names: that a Host header may say, without port.
        origins: of other sites whose pages may send what changes something (`https://dashboard.example`).
        loopback: whether the connection must have come in on the loopback interface.
    """

    names: Collection[str]
    origins: Collection[str]
    loopback: bool

    def refusal(self, method: str, server: str, host: str, origin: str | None, site: str = "") -> Problem | None:
        """Return why a request is refused, or None.

        Args:
            method: of the request.
            server: address of our end of the connection.
            host: its Host header.
            origin: its Origin header; what is no browser sends none.
            site: its Sec-Fetch-Site header; browsers send it with every request, and pages cannot change it.
        """
        if self.loopback and server not in LOOPBACK_NAMES and not _local(server):
            return _OUTSIDE
        if name_of(host) not in self.names:
            return _strange_host(host, self.names)
        if method in _SAFE or origin in self.origins:
            return None
        if origin is None:
            return None if site in _OWN_SITES else _strange_origin(f"{site} (Sec-Fetch-Site)")
        return None if urlsplit(origin).netloc == host.lower() else _strange_origin(origin)


def _local(server: str) -> bool:
    """A path is that of a Unix socket."""
    return server.startswith("/") or is_loopback(server)


_OUTSIDE = Problem(
    403,
    "loopback_only",
    "This service asks for no keys, so it answers on loopback only; start it with HALFSTEP_AUTH=required.",
)


def _strange_host(host: str, names: Collection[str]) -> Problem:
    text = f"Received the Host {host!r}; accepted are {', '.join(sorted(names))}. HALFSTEP_ALLOWED_HOSTS adds names."
    return Problem(400, "host_not_allowed", text)


def _strange_origin(origin: str) -> Problem:
    text = (
        f"Received a request that changes something from a page of {origin!r}, which is another site; "
        "HALFSTEP_CORS_ORIGINS lists the sites that may."
    )
    return Problem(403, "cross_origin", text)
