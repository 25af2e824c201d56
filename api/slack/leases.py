"""Work that waits in the catalog: any process takes any piece, and holds it by a lease, which it loses when it dies."""

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
_RENEWALS_PER_LEASE = 3  # in the time of a lease

Piece = TypeVar("Piece")


class Leases(Protocol[Piece]):
    """Where pieces of work wait. `renew` raises `LeaseLostError`."""

    def claim(self, *, limit: int) -> Sequence[Piece]: ...

    def renew(self, piece: Piece, /) -> None: ...


class LeasedAttempt(Protocol):
    """One attempt at a piece. `about` is what each line of the log says of it."""

    @property
    def about(self) -> Mapping[str, str]: ...

    async def execute(self) -> None:
        """Do the work, and record what came of it. Raises nothing."""

    async def release(self) -> None:
        """Let another process take the piece at once."""


class LeasedWork(Generic[Piece]):
    """Takes pieces while it runs, `at_once` of them. `wake` has it look at once; it looks every second besides."""

    def __init__(
        self,
        served: Services,
        leases: Leases[Piece],
        attempt: Callable[[Piece], LeasedAttempt],
        threads: Threads,
        *,
        at_once: int,
    ) -> None:
        self._served = served
        self._leases = leases
        self._attempt = attempt
        self._threads = threads
        self._at_once = at_once
        self._wake = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Take pieces until it is cancelled; those under way are then put back for another process."""
        try:
            while True:
                self._wake.clear()
                with suppress(CatalogUnavailableError):
                    await self._claim_pieces()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _POLL_SECONDS)
        finally:
            await cancel_tasks(*self._under_way)

    async def _claim_pieces(self) -> None:
        room = self._at_once - len(self._under_way)
        if room <= 0 or not self._served.accepting:
            return
        for piece in await self._threads.run(partial(self._leases.claim, limit=room)):
            task = asyncio.create_task(self._run_attempt(piece))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            task.add_done_callback(lambda _: self._wake.set())  # another may have waited for it

    async def _run_attempt(self, piece: Piece) -> None:
        """Work on a piece while its lease is renewed; who loses the lease writes nothing more."""
        attempt = self._attempt(piece)
        with structlog.contextvars.bound_contextvars(**attempt.about):
            work, renewal = asyncio.create_task(attempt.execute()), asyncio.create_task(self._renew_until_lost(piece))
            try:
                await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    log.warning("work for Slack is somebody else's by now")
            except asyncio.CancelledError:  # the process stops: another goes on at once
                await cancel_tasks(work, renewal)
                await attempt.release()
                raise
            finally:
                await cancel_tasks(work, renewal)

    async def _renew_until_lost(self, piece: Piece) -> None:
        """Renew the lease until it is lost, or was not renewed for all of its time."""
        renewed_at = time.monotonic()
        while time.monotonic() - renewed_at < LEASE_SECONDS:
            await asyncio.sleep(LEASE_SECONDS / _RENEWALS_PER_LEASE)
            try:
                await self._threads.run(self._leases.renew, piece)
                renewed_at = time.monotonic()
            except CatalogUnavailableError:
                continue
            except LeaseLostError:
                return


async def cancel_tasks(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks, and wait until they are over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
