"""Counts requests per minute, in process memory or in a Valkey server shared by the processes of a cluster."""

import time

import structlog
from limits import RateLimitItem, RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter

from ingest.storage.quotas.records import Account, Quota, QuotaStatus

log = structlog.get_logger(__name__)


class RequestRateLimiter:
    """Counts the requests of the last minute, by tenant and by key.

    The window is sliding, so that no burst is possible at a window boundary. While Valkey is unavailable, each process
    counts only its own requests, so that requests are still served.
    """

    def __init__(self, redis_url: str | None = None, *, timeout_seconds: float = 1.0) -> None:
        """Treat Valkey as unavailable if a response takes longer than `timeout_seconds`."""
        self._own = MovingWindowRateLimiter(MemoryStorage())
        self._shared: MovingWindowRateLimiter | None = None
        if redis_url is not None:
            storage = RedisStorage(
                redis_url,
                key_prefix="leadline-requests",
                wrap_exceptions=True,
                socket_connect_timeout=timeout_seconds,
                socket_timeout=timeout_seconds,
            )
            self._shared = MovingWindowRateLimiter(storage)

    def count_request(self, account: Account, owner_type: str, limit: int) -> tuple[bool, QuotaStatus]:
        """Count a request against the `tenant` or `key`. If the limit is reached, return False and count nothing."""
        if self._shared is not None:
            try:
                return _record_hit(self._shared, account, owner_type, limit)
            except StorageError as error:
                log.warning("Valkey unavailable; counting requests per process", error=repr(error))
        return _record_hit(self._own, account, owner_type, limit)


def _record_hit(
    limiter: MovingWindowRateLimiter, account: Account, owner_type: str, limit: int
) -> tuple[bool, QuotaStatus]:
    item: RateLimitItem = RateLimitItemPerMinute(limit)
    who = (account.tenant_id, account.key_id if owner_type == "key" else "")
    taken = limiter.hit(item, *who)
    window = limiter.get_window_stats(item, *who)
    renews_at = max(window.reset_time, time.time())
    standing = QuotaStatus(
        Quota.REQUESTS_PER_MINUTE,
        "key" if owner_type == "key" else "tenant",
        limit,
        limit - window.remaining,
        0,
        renews_at,
    )
    return taken, standing
