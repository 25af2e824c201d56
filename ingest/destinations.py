"""Which servers Leadline sends requests to where a caller names the address: public ones, and networks that are set.

A name is looked up once, its addresses are checked, and the connection is made to a checked address. So a name that
resolves to something else a moment later leads nowhere else.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from ingest.errors import DestinationRefusedError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_PORTS = {"https": 443, "http": 80}
# RFC 6052: IPv6 addresses that lead to the IPv4 address in their last 32 bits.
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


@dataclass(frozen=True)
class Destination:
    """An address apart: `host` as it was written, for certificates and the Host header."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def host_header(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORTS[self.scheme] else f"{host}:{self.port}"

    def url(self, address: Address) -> str:
        """Return the URL with a checked address in the place of the name."""
        host = f"[{address}]" if address.version == 6 else str(address)
        return f"{self.scheme}://{host}:{self.port}{self.target}"


class Destinations:
    """The addresses that may be sent to: public ones by TLS, and those of `networks` in any way."""

    def __init__(self, networks: Sequence[Network] = ()) -> None:
        self._networks = tuple(networks)

    @classmethod
    def within(cls, networks: str) -> "Destinations":
        """Read networks with commas between them. Raises `ValueError` for what is none."""
        return cls([ipaddress.ip_network(each.strip()) for each in networks.split(",") if each.strip()])

    def check(self, url: str) -> Destination:
        """Take an address apart, without looking its name up. Raises `DestinationRefusedError`."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError as error:
            raise DestinationRefusedError(f"{url!r} is no address.") from error
        if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None or parts.fragment:
            raise DestinationRefusedError(f"{url!r} is no https address of a server, without user and fragment.")
        if parts.scheme == "http" and not self._networks:
            raise DestinationRefusedError("The address must begin with https://.")
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        destination = Destination(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], target)
        if (literal := _literal(destination.host)) is not None:
            self._require(destination, literal)
        return destination

    async def resolve(self, url: str) -> tuple[Destination, list[Address]]:
        """Look an address up, and return those of its server that may be reached. Raises `DestinationRefusedError`."""
        destination = self.check(url)
        if (literal := _literal(destination.host)) is not None:
            return destination, [literal]
        try:
            loop = asyncio.get_running_loop()
            found = await loop.getaddrinfo(destination.host, destination.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise DestinationRefusedError(f"There is no server called {destination.host!r}.", hint="") from error
        addresses = [ipaddress.ip_address(str(each[4][0]).partition("%")[0]) for each in found]
        for address in addresses:  # one private address among public ones is an attempt, or a mistake
            # guard: webhook-every-address
            self._require(destination, address)
        return destination, addresses

    def _require(self, destination: Destination, address: Address) -> None:
        if any(address in network for network in self._networks):
            return
        # guard: webhook-public-address
        if not _is_public(address):
            raise DestinationRefusedError(f"{destination.host} is at {address}, which is no public address.")
        if destination.scheme != "https":
            raise DestinationRefusedError("The address must begin with https://.")


def _literal(host: str) -> Address | None:
    """Return the address that a host is written as, in any way that a resolver reads without asking anybody."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # `127.1`, `0x7f000001`, `2130706433`
    except OSError:
        return None


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in _NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved
