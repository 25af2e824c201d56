"""Connections to IMAP servers at checked addresses, with limits on the size of responses."""

import asyncio
import imaplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from imap_tools.errors import ImapToolsError
from imap_tools.mailbox import BaseMailBox

from ingest.sources.errors import SourceRefusedError, SourceUnavailableError
from ingest.storage.errors import DestinationRejectedError
from ingest.storage.webhooks.destinations import Address, Destination, Destinations

# Maximum size of one part of a response. Messages are read in smaller parts, so a larger one was not asked for.
MAX_PART_BYTES = 4 * 1024 * 1024


class CheckedMailBox(BaseMailBox):
    """A mailbox whose connection goes to one of the addresses that were checked."""

    def __init__(
        self,
        destination: Destination,
        addresses: list[Address],
        security: Literal["tls", "starttls", "none"],
        timeout_seconds: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._destination = destination
        self._addresses = addresses
        self._security = security
        self._seconds = timeout_seconds
        self._tls = tls or ssl.create_default_context()
        super().__init__()

    def _get_mailbox_client(self) -> imaplib.IMAP4:
        client = _Client(self._destination, self._addresses, self._security == "tls" and self._tls, self._seconds)
        if self._security == "starttls":
            try:
                client.starttls(self._tls)
            except (client.error, OSError):
                with suppress(OSError):  # After a failed handshake, the socket is closed.
                    client.shutdown()
                raise
        return client


class _Client(imaplib.IMAP4):
    """imaplib's client. `tls` encrypts the connection from the beginning."""

    def __init__(
        self, destination: Destination, addresses: list[Address], tls: ssl.SSLContext | Literal[False], seconds: float
    ) -> None:
        self._addresses = addresses
        self._tls = tls
        super().__init__(destination.host, destination.port, seconds)

    def _create_socket(self, timeout: float | None) -> socket.socket:
        # guard: source-mail-checked-address
        connected = _connect_to_any(self._addresses, self.port, timeout)
        return self._tls.wrap_socket(connected, server_hostname=self.host) if self._tls else connected

    def read(self, size: int) -> bytes:
        # guard: source-mail-part-size
        if size > MAX_PART_BYTES:
            raise self.abort(f"a part of {size:,} bytes, which was not asked for")
        return super().read(size)


def open_mailbox(
    destinations: Destinations,
    url: str,
    security: Literal["tls", "starttls", "none"],
    timeout_seconds: float,
    tls: ssl.SSLContext | None = None,
) -> CheckedMailBox:
    """Connect to a server. Raises `SourceUnavailableError`, or `SourceRefusedError` if the address is not allowed."""
    try:
        destination, addresses = asyncio.run(destinations.resolve(url))
    except DestinationRejectedError as error:
        if isinstance(error.__cause__, OSError):
            raise SourceUnavailableError(error.detail) from error
        raise SourceRefusedError(error.detail, hint=error.hint) from error
    with translate_errors(destination.host):
        return CheckedMailBox(destination, addresses, security, timeout_seconds, tls)


@contextmanager
def translate_errors(host: str, refusal: str = "") -> Iterator[None]:
    """Turn the errors of both libraries into ours. `refusal` describes why the server would say no."""
    try:
        yield
    except (imaplib.IMAP4.abort, OSError, EOFError) as error:
        raise SourceUnavailableError(f"The connection to {host} failed: {error!r}.") from error
    except (imaplib.IMAP4.error, ImapToolsError) as error:
        if refusal and "[UNAVAILABLE]" not in str(error).upper():  # RFC 5530
            raise SourceRefusedError(f"{host} {refusal}.") from error
        raise SourceUnavailableError(f"{host} reported an error: {error}.") from error


def _connect_to_any(addresses: list[Address], port: int, timeout: float | None) -> socket.socket:
    for address in addresses[:-1]:
        try:
            return socket.create_connection((str(address), port), timeout)
        except OSError:
            continue
    return socket.create_connection((str(addresses[-1]), port), timeout)
