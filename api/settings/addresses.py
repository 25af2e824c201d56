"""Addresses of clients: which count as one, and whose word about the address of others is taken."""

import ipaddress

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# The smallest network that a provider gives a customer (RFC 6177): whoever has one address of it has all of them.
_IPV6_PREFIX = 64


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read addresses and networks with commas between them. Raises `ValueError`."""
    return tuple(ipaddress.ip_network(each.strip(), strict=False) for each in text.split(",") if each.strip())


def get_network_key(host: str) -> str:
    """Return the name under which requests from an address are counted: itself, or its network of IPv6."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))


def get_client_key(scope: Scope) -> str | None:
    """Return the name under which the client of a request is counted; None for one over a Unix socket.

    Behind a trusted proxy uvicorn has put the address of the proxy's client there.
    """
    client = scope.get("client")
    return get_network_key(client[0]) if client and client[0] else None
