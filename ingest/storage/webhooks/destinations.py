"""Checks URLs from callers before requests are sent to them. Public servers and configured networks are allowed.

A host name is resolved once, and the connection goes to one of the checked addresses. Therefore the check cannot be
bypassed by changing the name's addresses afterwards.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ingest.storage.errors import DestinationRejectedError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS = {"https": 443, "http": 80}
PUBLIC_PORTS = frozenset({443, 8443})
# IPv6 addresses that embed an IPv4 address in their last 32 bits (RFC 6052).
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")
# IANA's special-purpose registries (RFC 6890), listed here because Python's tables differ between releases. In IPv6,
# only global unicast addresses can be public (RFC 4291).
_SPECIAL_IPV4 = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",
            "127.0.0.0/8",
            "169.254.0.0/16",
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.31.196.0/24",
            "192.52.193.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "192.175.48.0/24",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",
            "240.0.0.0/4",
        ),
    )
)
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_IPV6 = tuple(
    map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "2002::/16", "2620:4f:8000::/48", "3fff::/20"))
)


@dataclass(frozen=True)
class Destination:
    """A parsed URL. `host` is spelled as in the URL, for certificates and the Host header."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def build_url(self, address: Address) -> str:
        """Build the URL with a checked IP address instead of the host name."""
        host = f"[{address}]" if address.version == 6 else str(address)
        return f"{self.scheme}://{host}:{self.port}{self.target}"


class Destinations:
    """Checks destinations. Public addresses are allowed with TLS on certain ports, and all addresses in `networks`."""

    def __init__(self, networks: Sequence[Network] = (), ports: Collection[int] = PUBLIC_PORTS) -> None:
        self._networks = tuple(networks)
        self._ports = frozenset(ports)

    @classmethod
    def parse(cls, networks: str, ports: str = "") -> "Destinations":
        """Parse the comma-separated networks, and the comma-separated ports allowed for public addresses.

        Raises `ValueError` if a network or port is invalid.
        """
        found = [ipaddress.ip_network(each.strip()) for each in networks.split(",") if each.strip()]
        return cls(found, _parse_ports(ports) or PUBLIC_PORTS)

    def with_ports(self, ports: Collection[int]) -> "Destinations":
        """Return a copy for another protocol, which allows these ports of public addresses."""
        return Destinations(self._networks, ports)

    def check_url(self, url: str) -> Destination:
        """Parse a URL without resolving its host name. Raises `DestinationRejectedError` if the URL is not allowed."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise DestinationRejectedError(f"{url!r} is not a valid URL.") from error
        if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None or parts.fragment:
            raise DestinationRejectedError(
                f"{url!r} must be an https:// URL with a host and without user info or a fragment."
            )
        if parts.scheme == "http" and not self._networks:
            raise DestinationRejectedError("The address must begin with https://.")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        destination = Destination(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], target)
        if (literal := _parse_ip_address(destination.host)) is not None:
            self._require_allowed_address(destination, literal)
        elif not self._networks:
            self._require_allowed_port(destination)
        return destination

    async def resolve(self, url: str) -> tuple[Destination, list[Address]]:
        """Parse a URL and resolve its host name. Return the destination and its IP addresses.

        Raises `DestinationRejectedError` if the URL or one of the addresses is not allowed.
        """
        destination = self.check_url(url)
        if (literal := _parse_ip_address(destination.host)) is not None:
            return destination, [literal]
        try:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(destination.host, destination.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise DestinationRejectedError(
                f"The host name {destination.host!r} could not be resolved.", hint=""
            ) from error
        addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]
        for address in addresses:  # A private address among public ones is an attack or a mistake.
            # guard: webhook-every-address
            self._require_allowed_address(destination, address)
        return destination, addresses

    def _require_allowed_address(self, destination: Destination, address: Address) -> None:
        if any(address in network for network in self._networks):
            return
        # guard: webhook-public-address
        if not _is_public_address(address):
            raise DestinationRejectedError(f"{destination.host} resolves to {address}, which is not a public address.")
        if destination.scheme != "https":
            raise DestinationRejectedError("The address must begin with https://.")
        # guard: webhook-public-port
        self._require_allowed_port(destination)

    def _require_allowed_port(self, destination: Destination) -> None:
        if destination.port not in self._ports:
            allowed = " and ".join(map(str, sorted(self._ports)))
            raise DestinationRejectedError(
                f"Port {destination.port} of {destination.host} is not allowed for webhooks.",
                hint=f"Use port {allowed}, or add this port to LEADLINE_WEBHOOK_PORTS.",
            )


def _parse_ports(ports: str) -> list[int]:
    found = [int(each) for each in ports.split(",") if each.strip()]
    for port in found:
        if not 0 < port < 65_536:
            raise ValueError(f"{port} is not a valid port. Ports range from 1 to 65535.")
    return found


def _parse_ip_address(host: str) -> Address | None:
    """Parse a host that is an IP address, in any form that resolvers accept. Returns None if it is a name."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # For example `127.1`, `0x7f000001` or `2130706433`.
    except OSError:
        return None


def _is_public_address(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public_address(inner)
        return address in _GLOBAL_IPV6 and not any(address in network for network in _SPECIAL_IPV6)
    return not any(address in network for network in _SPECIAL_IPV4)
