"""Client addresses: which addresses count as the same client, and which proxies may report client addresses."""

import ipaddress

from starlette.types import Scope

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Providers assign each customer at least a network of this size (RFC 6177), so all addresses in such a network count as
# one client.
_IPV6_PREFIX = 64


def parse_networks(text: str) -> tuple[Network, ...]:
    """Parse a comma-separated list of addresses and networks. Raises `ValueError` if one of them is invalid."""
    return tuple(ipaddress.ip_network(each.strip(), strict=False) for each in text.split(",") if each.strip())


def get_network_key(host: str) -> str:
    """Return the key under which an address is counted: the network of an IPv6 address, or an IPv4 address itself."""
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
    """Return the key under which a request's client is counted, or None for a Unix socket.

    If the request came through a trusted proxy, uvicorn has already replaced the address with that of the proxy's
    client.
    """
    client = scope.get("client")
    return get_network_key(client[0]) if client and client[0] else None
