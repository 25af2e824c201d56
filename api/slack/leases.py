"""Work queued in the catalog. A process claims an item with a lease, which expires if the process dies."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Generic, Protocol, TypeVar

import structlog

from api.admission.services import Services
from api.http.threads import Threads
from ingest.storage.errors import CatalogUnavailableError, LeaseLostError
from ingest.storage.slack.usage import LEASE_SECONDS

log = structlog.get_logger(__name__)

_POLL_SECONDS = 1.0
# Number of renewals per lease period. With several renewals, one failed renewal does not lose the lease.
_RENEWALS_PER_LEASE = 3

Piece = TypeVar("Piece")


class Leases(Protocol[Piece]):
    """A queue of work items. `renew` raises `LeaseLostError` if another process holds the lease."""

    def claim(self, *, limit: int) -> Sequence[Piece]: ...

    def renew(self, item: Piece, /) -> None: ...


class LeasedAttempt(Protocol):
    """One attempt at a work item. `about` is the context for its log lines."""

    @property
    def about(self) -> Mapping[str, str]: ...

    async def execute(self) -> None:
        """Process the work item, and record the result. Must not raise."""

    async def release(self) -> None:
        """Requeue the work item, so that another process can claim it immediately."""


class LeasedWorker(Generic[Piece]):
    """Claims work items, and processes several of them concurrently.

    It looks for new work items every second, and immediately after `wake`.
    """

    def __init__(
        self,
        services: Services,
        leases: Leases[Piece],
        build_attempt: Callable[[Piece], LeasedAttempt],
        threads: Threads,
        *,
        max_concurrent: int,
    ) -> None:
        self._served = services
        self._leases = leases
        self._attempt = build_attempt
        self._threads = threads
        self._at_once = max_concurrent
        self._wake = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Process work items until cancelled, then requeue unfinished items for another process."""
        try:
            while True:
                self._wake.clear()
                with suppress(CatalogUnavailableError):
                    await self._claim_work_items()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _POLL_SECONDS)
        finally:
            await cancel_tasks(*self._under_way)

    async def _claim_work_items(self) -> None:
        room = self._at_once - len(self._under_way)
        if room <= 0 or not self._served.accepting:
            return
        for piece in await self._threads.run(partial(self._leases.claim, limit=room)):
            task = asyncio.create_task(self._run_attempt(piece))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            task.add_done_callback(lambda _: self._wake.set())  # Claim the next work item for the free slot.

    async def _run_attempt(self, item: Piece) -> None:
        """Process a work item while renewing its lease.

        The attempt is cancelled if the lease is lost, so that only the new holder writes.
        """
        attempt = self._attempt(item)
        with structlog.contextvars.bound_contextvars(**attempt.about):
            work, renewal = asyncio.create_task(attempt.execute()), asyncio.create_task(self._renew_until_lost(item))
            try:
                await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    log.warning("lease lost, work stopped")
            except asyncio.CancelledError:  # Release the lease, so that another process can continue immediately.
                await cancel_tasks(work, renewal)
                await attempt.release()
                raise
            finally:
                await cancel_tasks(work, renewal)

    async def _renew_until_lost(self, item: Piece) -> None:
        """Renew a work item's lease until it is lost, or until it expires because renewals fail."""
        renewed_at = time.monotonic()
        while time.monotonic() - renewed_at < LEASE_SECONDS:
            await asyncio.sleep(LEASE_SECONDS / _RENEWALS_PER_LEASE)
            try:
                await self._threads.run(self._leases.renew, item)
                renewed_at = time.monotonic()
            except CatalogUnavailableError:
                continue
            except LeaseLostError:
                return


async def cancel_tasks(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks and wait until they have finished."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
