"""Caches a tenant's replies by the content of their calls, and merges identical concurrent calls into one request."""

import asyncio
import hashlib
import json
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from copy import copy
from typing import Protocol

import structlog

from ingest.storage.answers.replies import StoredReply
from ingest.storage.documents.records import Work
from rlm.errors import LanguageModelError
from rlm.llm.port import SubCall, SubReply
from rlm.llm.profiles import ModelProfile

log = structlog.get_logger(__name__)


class ReplyCache(Protocol):
    """Stores a tenant's replies. The least recently used replies are evicted first."""

    def load_replies(self, tenant_id: str, keys: Collection[str]) -> Mapping[str, StoredReply]:
        """Return the cached replies, and mark each of them as most recently used."""

    def store_replies(self, tenant_id: str, replies: Sequence[StoredReply], work: Work | None = None) -> None:
        """Store replies, except those that are too large for the cache. Existing replies stay unchanged.

        A reply is removed when any of the document versions in `work` is removed.
        """


def compute_reply_key(tenant_id: str, audience: str, profile: ModelProfile, call: SubCall) -> str:
    """Return a digest of the tenant, the audience that may see its documents, and everything that affects the answer.

    The prompt contains words from the documents, so only a caller who has these words can build the key. A cache hit
    therefore reveals no text that the caller did not send, and users cannot obtain replies about documents that they
    may not read.
    """
    of_audience = [audience] if audience else []
    # guard: cached-replies-by-audience
    # guard: cached-replies-by-tenant
    parts = [tenant_id, *of_audience, profile.fingerprint, *call.content]
    written = json.dumps(parts, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()


class SingleFlight:
    """Merges identical concurrent calls into a single model call. Runs on one event loop."""

    def __init__(self) -> None:
        self._leaders: dict[str, asyncio.Future[SubReply | LanguageModelError | None]] = {}

    async def get_reply(
        self, key: str, fetch_reply: Callable[[], Awaitable[SubReply]], *, is_own_failure: Callable[[], bool]
    ) -> tuple[SubReply, bool]:
        """Return the reply, and whether another call paid for it. Raises the same errors as `fetch_reply`.

        Model errors are also shared, unless `is_own_failure` reports that an error concerns only the leading call. If
        the leading call is cancelled or exhausts its own budget, the next call sends a request itself.
        """
        while (leader := self._leaders.get(key)) is not None:
            outcome = await asyncio.shield(leader)
            if isinstance(outcome, SubReply):
                return outcome, True
            if outcome is not None:
                raise copy(outcome) from outcome
        return await self._lead_request(key, fetch_reply, is_own_failure), False

    async def _lead_request(
        self, key: str, fetch_reply: Callable[[], Awaitable[SubReply]], is_own_failure: Callable[[], bool]
    ) -> SubReply:
        leading = self._leaders[key] = asyncio.get_running_loop().create_future()
        outcome: SubReply | LanguageModelError | None = None
        try:
            outcome = await fetch_reply()
            return outcome
        except LanguageModelError as error:
            outcome = None if is_own_failure() else error
            raise
        finally:
            del self._leaders[key]
            leading.set_result(outcome)


class CachedReplies:
    """The reply cache of the scheduler. If it cannot be read or written, calls go to the model instead.

    The event loop hands replies over to a thread, which writes them in batches.
    """

    def __init__(self, cache: ReplyCache | None, executor: Executor) -> None:
        self._cache = cache
        self._executor = executor
        self._waiting: list[tuple[tuple[str, Work | None], StoredReply, asyncio.Future[None]]] = []
        self._writing: asyncio.Task[None] | None = None

    def load_replies(self, tenant_id: str, keys: Collection[str]) -> Mapping[str, StoredReply]:
        """Load the cached replies for these keys, in the calling thread."""
        try:
            return {} if self._cache is None else self._cache.load_replies(tenant_id, keys)
        except Exception as error:  # noqa: BLE001 - calls work without the cache, at a higher cost
            log.warning("cached replies not read", error=repr(error))
            return {}

    async def find_reply(self, tenant_id: str, key: str) -> StoredReply | None:
        """Return the cached reply for a key, or None."""
        loop = asyncio.get_running_loop()
        return (await loop.run_in_executor(self._executor, self.load_replies, tenant_id, {key})).get(key)

    async def store_reply(self, tenant_id: str, reply: StoredReply, work: Work | None = None) -> None:
        """Store a reply, and return when it has been stored or storing it has failed."""
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(((tenant_id, work), reply, written))
        if self._writing is None:
            self._writing = asyncio.ensure_future(self._write_waiting_replies())
        await written

    async def _write_waiting_replies(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                portion, self._waiting = self._waiting, []
                await loop.run_in_executor(self._executor, self._store_batch, [(each[0], each[1]) for each in portion])
                for _, _, written in portion:
                    if not written.done():
                        written.set_result(None)
        finally:
            self._writing = None

    def _store_batch(self, batch: Sequence[tuple[tuple[str, Work | None], StoredReply]]) -> None:
        for tenant_id, work in dict(batch):
            replies = [reply for made_for, reply in batch if made_for == (tenant_id, work)]
            try:
                if self._cache is not None:
                    self._cache.store_replies(tenant_id, replies, work)
            except Exception as error:  # noqa: BLE001 - a failing cache must not lose a reply that was paid for
                log.warning("replies not cached", replies=len(replies), error=repr(error))
