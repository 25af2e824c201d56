"""The feed between processes: a short Redis or Valkey stream for each tenant, read by one thread in each process.

The server may be unreachable, restarted or cleared at any time. In this case announcements are lost, and watchers rely
on polling. Whenever the reader may have missed an announcement, it wakes every watcher of the tenant.
"""

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any, cast

import structlog
from redis import Redis
from redis.exceptions import RedisError

from ingest.storage.feed.feed import LocalFeed, Wake

_KEY = "leadline:changes:{}"
_FIELD = "document"
_ALL_DOCUMENTS = ""  # stands for all documents of the tenant
# Maximum length of a stream: longer than a reader's usual backlog, but short enough for thousands of tenants. The
# server also holds the job queues in memory and evicts nothing.
_MAX_STREAM_LENGTH = 2_000
_READ_AT_ONCE = 500
# Time without changes after which a tenant's stream is removed.
_EXPIRES_SECONDS = 600
# Maximum time for which a read blocks. A tenant that is first watched during a read is included only in the next read.
_BLOCK_MILLISECONDS = 200
_RETRY_SECONDS = 2.0

log = structlog.get_logger(__name__)


class RedisFeed:
    """A feed on a Redis server. It connects on first use.

    One thread sends announcements. Another thread reads announcements while there are watchers.
    """

    def __init__(self, url: str) -> None:
        self._redis = Redis.from_url(
            url, decode_responses=True, socket_connect_timeout=2, socket_timeout=5, health_check_interval=10
        )
        self._local = LocalFeed()
        self._changed = threading.Condition()
        self._unsent: dict[str, set[str]] = {}
        self._closing = False
        self._threads: dict[str, threading.Thread] = {}

    def announce(self, tenant_id: str, documents: Collection[str] | None) -> None:
        with self._changed:
            unsent = self._unsent.setdefault(tenant_id, set())
            if documents is None or len(unsent) + len(documents) > _READ_AT_ONCE:
                unsent.clear()
                unsent.add(_ALL_DOCUMENTS)
            elif _ALL_DOCUMENTS not in unsent:
                unsent.update(documents)
            self._start_thread("send", self._run_sender)
            self._changed.notify_all()

    @contextmanager
    def watch(self, tenant_id: str, document_id: str | None, wake: Wake) -> Iterator[None]:
        with self._local.watch(tenant_id, document_id, wake):
            with self._changed:
                self._start_thread("read", self._run_reader)
                self._changed.notify_all()
            yield

    def close(self) -> None:
        """Stop the feed, after a short wait for pending announcements to be sent."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for thread in self._threads.values():
            thread.join(timeout=3.0)
        self._redis.close()

    def _start_thread(self, name: str, work: Any) -> None:  # noqa: ANN401 - a method of this class
        if name not in self._threads and not self._closing:
            self._threads[name] = threading.Thread(target=work, name=f"feed-{name}", daemon=True)
            self._threads[name].start()

    def _run_sender(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._unsent or self._closing)
                unsent, self._unsent = self._unsent, {}
                if not unsent:
                    return
            try:
                self._add_to_streams(unsent)
            except (RedisError, OSError) as error:
                log.warning("feed server unreachable, watchers fall back to polling", error=repr(error))
                self._pause()

    def _add_to_streams(self, unsent: dict[str, set[str]]) -> None:
        with self._redis.pipeline(transaction=False) as pipeline:
            for tenant, documents in unsent.items():
                key = _KEY.format(tenant)
                for document in documents:
                    pipeline.xadd(key, {_FIELD: document}, maxlen=_MAX_STREAM_LENGTH, approximate=True)
                pipeline.expire(key, _EXPIRES_SECONDS)
            pipeline.execute()

    def _run_reader(self) -> None:
        """Read the streams of watched tenants, each from the position after its last entry read."""
        positions: dict[str, str] = {}
        while not self._closing:
            try:
                self._read_streams(positions)
            except (RedisError, OSError) as error:
                log.warning("feed server unreachable, watchers fall back to polling", error=repr(error))
                positions.clear()
                self._pause()

    def _read_streams(self, positions: dict[str, str]) -> None:
        watched = self._local.list_watched()
        for tenant in set(positions).difference(watched):
            del positions[tenant]
        for tenant in set(watched).difference(positions):
            positions[tenant] = self._fetch_end(tenant)
            self._local.announce(tenant, None)  # announcements made before the first read were missed
        if not positions:
            with self._changed:
                self._changed.wait_for(lambda: self._local.list_watched() or self._closing)
            return
        streams = {_KEY.format(tenant): position for tenant, position in positions.items()}
        found = self._redis.xread(cast(Any, streams), count=_READ_AT_ONCE, block=_BLOCK_MILLISECONDS)
        for key, entries in cast("list[tuple[str, list[tuple[str, dict[str, str]]]]]", found or []):
            tenant = key.removeprefix(_KEY.format(""))
            positions[tenant] = self._wake_watchers(tenant, entries)

    def _wake_watchers(self, tenant: str, entries: list[tuple[str, dict[str, str]]]) -> str:
        """Wake a tenant's watchers and return the new position in its stream.

        If the reader is far behind, it skips to the end of the stream.
        """
        documents = {entry.get(_FIELD, _ALL_DOCUMENTS) for _, entry in entries}
        if len(entries) < _READ_AT_ONCE:
            self._local.announce(tenant, None if _ALL_DOCUMENTS in documents else documents)
            return entries[-1][0]
        end = self._fetch_end(tenant)
        self._local.announce(tenant, None)
        return end

    def _fetch_end(self, tenant: str) -> str:
        last = cast("list[tuple[str, dict[str, str]]]", self._redis.xrevrange(_KEY.format(tenant), count=1))
        return last[0][0] if last else "0-0"

    def _pause(self) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._closing, timeout=_RETRY_SECONDS)
