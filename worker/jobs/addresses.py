"""Where we may send to for others: public addresses only, unless a setting allows more.

Whoever may name a URL could otherwise make the service knock at doors that only it can reach (CWE-918). A name is
resolved once, every address of it is judged, and the connection goes to a judged address: what the name means a moment
later does not matter.
"""

import socket
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Resolve = Callable[[str, int], Sequence[str]]

_NAT64 = IPv6Network("64:ff9b::/96")
_NOT_GLOBAL = tuple(
    map(
        ip_network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4"),
            *("::/127", "64:ff9b:1::/48", "100::/64", "100:0:0:1::/64", "2001:2::/48", "2001:db8::/32"),
            *("2001:10::/28", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8"),
        ),
    )
)
"""IANA's registries of special-purpose addresses (2025-10) and the site-local ones of RFC 3879: what is not global.

Python's own tables are those of its release; what IANA has added since would pass for public.
"""
_FORBIDDEN_PORTS = frozenset({0})


class AddressRefused(Exception):
    """The host has an address that we do not send to; `str(error)` may be told."""


def resolved(host: str, port: int) -> list[str]:
    """Ask the system for the addresses of a host; odd spellings of numbers (2130706433, 0x7f.1) are read as it does.

    Raises:
        OSError: the name is unknown.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def checked(host: str, port: int, allowed: Iterable[str], resolve: Resolve = resolved) -> list[str]:
    """Return the addresses of a host, all of which may be sent to.

    Args:
        host: a name or an address, as in a URL, without brackets.
        port: to be connected to.
        allowed: networks (CIDR) that may be sent to although they are not public.
        resolve: from a host to its addresses.

    Raises:
        AddressRefused: one of them may not, or the host has none.
    """
    if port in _FORBIDDEN_PORTS:
        raise AddressRefused(f"Port {port} cannot be connected to.")
    try:
        addresses = resolve(host, port)
    except (OSError, UnicodeError) as error:
        raise AddressRefused(f"The host {host!r} has no address.") from error
    networks = [ip_network(network, strict=False) for network in allowed]
    for text in addresses:
        address = ip_address(text.partition("%")[0])
        inner = [address, *_embedded(address)]
        open_to_all = all(_is_public(each) and not is_own(each) for each in inner)
        if not open_to_all and not any(_within(each, networks) for each in inner):
            raise AddressRefused(
                f"The host {host!r} is at an address that is not public, or is this machine's. The setting "
                "HALFSTEP_WEBHOOK_ALLOWED_NETWORKS lists networks that are allowed all the same."
            )
    if not addresses:
        raise AddressRefused(f"The host {host!r} has no address.")
    return list(addresses)


def literal(host: str) -> str | None:
    """Return the address that a host is when it is no name, in whatever spelling; None of a name."""
    try:
        return str(ip_address(host.partition("%")[0]))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except (OSError, UnicodeError):
        return None


def _is_public(address: Address) -> bool:
    odd = address.is_multicast or address.is_reserved or address.is_unspecified or address.is_loopback
    # What embeds an IPv4 address is judged by that one.
    if isinstance(address, IPv6Address) and _embedded(address):
        return True
    return address.is_global and not odd and not _within(address, _NOT_GLOBAL)


def is_own(address: Address) -> bool:
    """Whether an interface of this machine has the address: only then can a socket be bound to it."""
    family = socket.AF_INET if isinstance(address, IPv4Address) else socket.AF_INET6
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((str(address), 0))
        except OSError:
            return False
    return True


def _embedded(address: Address) -> list[IPv4Address]:
    """IPv4 addresses that an IPv6 one leads to: mapped, compatible, 6to4, Teredo, NAT64."""
    if isinstance(address, IPv4Address):
        return []
    teredo = address.teredo
    found = [address.ipv4_mapped, address.sixtofour, *(teredo or ())]
    number = int(address)
    if address in _NAT64 or (number >> 32 == 0 and number > 1):
        found.append(IPv4Address(number & 0xFFFFFFFF))
    return [each for each in found if each is not None]


def _within(address: Address, networks: Iterable[object]) -> bool:
    return any(address in network for network in networks)  # type: ignore[operator]
