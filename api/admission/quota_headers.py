"""Reports remaining quotas in the `RateLimit-Policy` and `RateLimit` response headers.

Source: draft-ietf-httpapi-ratelimit-headers. Dollars are given in cents.
"""

import time
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.middleware import CALLER
from ingest.storage.accounts.records import Principal
from ingest.storage.quotas.records import NANODOLLARS, Quota, QuotaStatus

_STANDINGS_KEY = "quota_standings"
_WINDOWS = {"minute": 60, "day": 86_400}
_CENT_NANODOLLARS = NANODOLLARS // 100


def add_quota_headers(request: Request, statuses: Sequence[QuotaStatus]) -> None:
    """Add `statuses`, the used and remaining quotas, to the response headers of `request`."""
    request.scope[_STANDINGS_KEY].update({(each.of, each.quota): each for each in statuses})


# A function that counts a request and returns the remaining request quotas. The function raises `QuotaExceededError` if
# a quota is used up.
Count = Callable[[Principal], Awaitable[Sequence[QuotaStatus]]]


class RequestQuotas:
    """Pure ASGI middleware that counts requests before their bodies are read, and adds quota headers to responses."""

    def __init__(self, app: ASGIApp, *, count: Count) -> None:
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope.get(CALLER)
        if caller is None:
            await self._app(scope, receive, send)
            return
        counted = await self._count(caller)
        standings: dict[object, QuotaStatus] = {(each.of, each.quota): each for each in counted}
        scope[_STANDINGS_KEY] = standings

        async def send_with_quota_headers(message: Message) -> None:
            if message["type"] == "http.response.start" and standings:
                message["headers"] = [*message.get("headers", []), *_format_quota_headers(list(standings.values()))]
            await send(message)

        await self._app(scope, receive, send_with_quota_headers)


def _format_quota_headers(statuses: Sequence[QuotaStatus]) -> list[tuple[bytes, bytes]]:
    policies, left = [], []
    for each in statuses:
        name = f'"{each.of}.{each.quota}"'
        window = _WINDOWS.get(each.quota.rpartition("_per_")[2])
        unit = ';qu="cents"' if each.quota.is_in_dollars else ""
        policies.append(
            f"{name};q={_convert_header_amount(each.quota, each.limit)}{unit}" + (f";w={window}" if window else "")
        )
        seconds = None if each.renews_at is None else max(0, round(each.renews_at - time.time()))
        left.append(
            f"{name};r={_convert_header_amount(each.quota, each.remaining)}"
            + ("" if seconds is None else f";t={seconds}")
        )
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(left).encode())]


def _convert_header_amount(quota: Quota, amount: int) -> int:
    return amount // _CENT_NANODOLLARS if quota.is_in_dollars else amount
