"""Parses network lists, and groups client addresses for limits per client."""

import ipaddress

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Prefix length of the network whose addresses count as one client. Providers assign each customer at least a network of
# this size (RFC 6177).
_IPV6_PREFIX = 64


def parse_networks(text: str) -> tuple[Network, ...]:
    """Parse a comma-separated list of addresses and networks. Raises `ValueError` if an entry is invalid."""
    return tuple(ipaddress.ip_network(each.strip(), strict=False) for each in text.split(",") if each.strip())


def get_network_key(host: str) -> str:
    """Return the key that identifies an address for limits: an IPv4 address, or the network of an IPv6 address."""
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
    """Return the key that identifies a request's client for limits, or None for a Unix socket.

    For requests through a trusted proxy, uvicorn has already replaced the proxy's address with the client's.
    """
    client = scope.get("client")
    return get_network_key(client[0]) if client and client[0] else None
