"""Client addresses: which ones count as the same client, and which proxies may report the addresses of others."""

import ipaddress

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Providers assign each customer at least this network (RFC 6177), so all of its addresses count as one client.
_IPV6_PREFIX = 64


def parse_networks(text: str) -> tuple[Network, ...]:
    """Parse addresses and networks, separated by commas. Raises `ValueError`."""
    return tuple(ipaddress.ip_network(each.strip(), strict=False) for each in text.split(",") if each.strip())


def get_network_key(host: str) -> str:
    """Return the key under which an address is counted: the address itself, or its network for IPv6."""
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
    """Return the key under which a request's client is counted; None for a Unix socket.

    Behind a trusted proxy, uvicorn has already set the address to that of the proxy's client.
    """
    client = scope.get("client")
    return get_network_key(client[0]) if client and client[0] else None
