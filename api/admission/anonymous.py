"""Limits requests without a key: body bytes in memory, open requests, and requests per minute from one address.

Pure ASGI middleware. It runs inside `api.admission.admission.Authentication`, so it knows which requests have a key.
"""

import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.bounds import is_health_check
from api.http.middleware import CALLER
from api.http.problems import AddressLimitError, BodyTooLargeError, ServiceBusyError
from api.settings.addresses import get_client_key
from ingest.storage.counts import format_count

# Maximum size of a request body without a key. Of these requests, a sign-in has a body, with a key or token of up to
# 16,384 characters as JSON, and so has a logout token of the identity provider.
PUBLIC_BODY_BYTES = 32 * 1024
# Matches paths of requests from Slack, which are signed, come from few addresses, and contain messages of up to 40,000
# characters.
_SLACK_PATHS = re.compile(r"/slack/events")
# Matches paths that do not count toward an address's rate limit. Each portal page loads dozens of assets, which are
# served from memory, and Prometheus authenticates with a token.
_UNCOUNTED_PATHS = re.compile(r"/portal/(assets|texts)/.*|/metrics|/slack/events")
_SIGN_IN_PATHS = re.compile(r"/v1/sign-in|/sign-in/provider")
# Fraction of the bytes of all bodies that one address may use, as a divisor: 1/4. The limit leaves some bytes for other
# addresses.
_ADDRESS_BYTES_DIVISOR = 4


@dataclass(frozen=True)
class AnonymousLimits:
    """The limits on requests without a key in one process.

    `body_bytes` limits the size of one body from Slack, and `all_bytes` the total size of all bodies of these requests.
    """

    body_bytes: int
    all_bytes: int
    at_once: int
    per_minute: int
    sign_ins_per_minute: int


class AnonymousLimiter:
    """Rejects requests without a key that are too large or exceed the limits for one address or for the process."""

    def __init__(self, app: ASGIApp, *, limits: AnonymousLimits) -> None:
        self._app = app
        self._limits = limits
        self._rates = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._bodies = _BodyByteCounter(limits.all_bytes)
        self._at_once: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or CALLER in scope or is_health_check(scope):
            await self._app(scope, receive, send)
            return
        address = get_client_key(scope)
        self._count_request(scope["path"], address)
        most = self._limits.body_bytes if _SLACK_PATHS.fullmatch(scope["path"]) else PUBLIC_BODY_BYTES
        most = min(most, self._limits.body_bytes)
        # guard: public-body-size
        _check_content_length(scope, most)
        with self._hold_slot(address), self._bodies.count_bytes(address, receive, most) as counted:
            await self._app(scope, counted, send)

    def _count_request(self, path: str, address: str | None) -> None:
        """Count a request against the rate limit of its address. Raises `AddressLimitError` if the limit is reached."""
        if address is None or _UNCOUNTED_PATHS.fullmatch(path):
            return
        kind, limit = "all", self._limits.per_minute
        if _SIGN_IN_PATHS.fullmatch(path):
            kind, limit = "sign-in", self._limits.sign_ins_per_minute
        item: RateLimitItem = RateLimitItemPerMinute(limit)
        # guard: anonymous-rate
        if not self._rates.hit(item, kind, address):
            raise AddressLimitError(
                f"Your address has reached the limit of {format_count(limit, 'request')} without a key per minute."
            )

    @contextmanager
    def _hold_slot(self, address: str | None) -> Iterator[None]:
        """Hold one of the address's slots for open requests. Raises `AddressLimitError` if none is free."""
        if address is None:
            yield
            return
        # guard: anonymous-requests-at-once
        if self._at_once[address] >= self._limits.at_once:
            raise AddressLimitError(
                f"Your address already has {format_count(self._limits.at_once, 'open request')} without a key."
            )
        self._at_once[address] += 1
        try:
            yield
        finally:
            self._at_once[address] -= 1
            if not self._at_once[address]:
                del self._at_once[address]


class _BodyByteCounter:
    """Counts the bytes of request bodies in memory, per address and in total."""

    def __init__(self, max_bytes: int) -> None:
        self._most = max_bytes
        self._all = 0
        self._of_address: Counter[str] = Counter()

    @contextmanager
    def count_bytes(self, address: str | None, receive: Receive, max_bytes: int) -> Iterator[Receive]:
        """Yield a `receive` that counts the bytes of a body. The bytes are released when the block exits.

        The yielded `receive` raises `BodyTooLargeError` if the body exceeds `max_bytes` bytes, `AddressLimitError` if
        the address exceeds its share, and `ServiceBusyError` if all bodies together exceed their memory limit.
        """
        received = 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            size = len(message.get("body", b""))
            received += size
            self._all += size
            if address is not None:
                self._of_address[address] += size
            if received > max_bytes:
                raise _build_too_large_error(max_bytes)
            # guard: anonymous-body-bytes
            self._require_free_capacity(address)
            return message

        try:
            yield receive_counted
        finally:
            self._all -= received
            if address is not None:
                self._of_address[address] -= received
                if not self._of_address[address]:
                    del self._of_address[address]

    def _require_free_capacity(self, address: str | None) -> None:
        if self._all > self._most:
            raise ServiceBusyError("The memory limit for bodies of requests without a key has been reached.")
        share = self._most // _ADDRESS_BYTES_DIVISOR
        if address is not None and self._of_address[address] > share:
            raise AddressLimitError(
                f"The bodies of requests without a key from your address exceed {share:,} bytes in total."
            )


def _check_content_length(scope: Scope, max_bytes: int) -> None:
    """Check the `Content-Length` before any of the body is read.

    Raises `BodyTooLargeError` if it exceeds `max_bytes`.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and (len(value) > 18 or int(value) > max_bytes):
            raise _build_too_large_error(max_bytes)


def _build_too_large_error(max_bytes: int) -> BodyTooLargeError:
    return BodyTooLargeError(f"Without a key, the body of this request is limited to {max_bytes:,} bytes.")
