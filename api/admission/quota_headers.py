"""Tells callers what is left of their quotas, in the header fields `RateLimit-Policy` and `RateLimit` of the IETF.

Source: draft-ietf-httpapi-ratelimit-headers. Dollars are told in cents.
"""

import time
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http.middleware import CALLER
from ingest.storage.accounts.records import Principal
from ingest.storage.quotas.records import NANODOLLARS, Quota, Standing

_STANDINGS = "quota_standings"
_WINDOWS = {"minute": 60, "day": 86_400}
_CENT = NANODOLLARS // 100


def tell(request: Request, standings: Sequence[Standing]) -> None:
    """Have the response to a request say how these quotas stand."""
    request.scope[_STANDINGS].update({(each.of, each.quota): each for each in standings})


# Counts a request of a caller, and returns how the quotas of requests stand. Raises `QuotaExceededError`.
Count = Callable[[Principal], Awaitable[Sequence[Standing]]]


class RequestQuotas:
    """A pure ASGI wrapper that counts requests before their bodies are read, and says how quotas stand in responses."""

    def __init__(self, app: ASGIApp, *, count: Count) -> None:
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        caller = scope.get(CALLER)
        if caller is None:
            await self._app(scope, receive, send)
            return
        counted = await self._count(caller)
        standings: dict[object, Standing] = {(each.of, each.quota): each for each in counted}
        scope[_STANDINGS] = standings

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and standings:
                message["headers"] = [*message.get("headers", []), *_headers(list(standings.values()))]
            await send(message)

        await self._app(scope, receive, answer)


def _headers(standings: Sequence[Standing]) -> list[tuple[bytes, bytes]]:
    policies, left = [], []
    for each in standings:
        name = f'"{each.of}.{each.quota}"'
        window = _WINDOWS.get(each.quota.rpartition("_per_")[2])
        unit = ';qu="cents"' if each.quota.in_dollars else ""
        policies.append(f"{name};q={_counted(each.quota, each.limit)}{unit}" + (f";w={window}" if window else ""))
        seconds = None if each.renews_at is None else max(0, round(each.renews_at - time.time()))
        left.append(f"{name};r={_counted(each.quota, each.left)}" + ("" if seconds is None else f";t={seconds}"))
    return [(b"ratelimit-policy", ", ".join(policies).encode()), (b"ratelimit", ", ".join(left).encode())]


def _counted(quota: Quota, amount: int) -> int:
    return amount // _CENT if quota.in_dollars else amount
