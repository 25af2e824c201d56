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

_LOOK_SECONDS = 1.0
_RENEWALS = 3  # in the time of a lease

Piece = TypeVar("Piece")


class Leases(Protocol[Piece]):
    """Where pieces of work wait. `renew` raises `LeaseLostError`."""

    def claim(self, *, limit: int) -> Sequence[Piece]: ...

    def renew(self, piece: Piece, /) -> None: ...


class Attempt(Protocol):
    """One attempt at a piece. `about` is what each line of the log says of it."""

    @property
    def about(self) -> Mapping[str, str]: ...

    async def make(self) -> None:
        """Do the work, and record what came of it. Raises nothing."""

    async def hand_over(self) -> None:
        """Let another process take the piece at once."""


class LeasedWork(Generic[Piece]):
    """Takes pieces while it runs, `at_once` of them. `wake` has it look at once; it looks every second besides."""

    def __init__(
        self,
        served: Services,
        leases: Leases[Piece],
        attempt: Callable[[Piece], Attempt],
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
                    await self._take()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._wake.wait(), _LOOK_SECONDS)
        finally:
            await ended(*self._under_way)

    async def _take(self) -> None:
        room = self._at_once - len(self._under_way)
        if room <= 0 or not self._served.accepting:
            return
        for piece in await self._threads.run(partial(self._leases.claim, limit=room)):
            task = asyncio.create_task(self._hold(piece))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            task.add_done_callback(lambda _: self._wake.set())  # another may have waited for it

    async def _hold(self, piece: Piece) -> None:
        """Work on a piece while its lease is renewed; who loses the lease writes nothing more."""
        attempt = self._attempt(piece)
        with structlog.contextvars.bound_contextvars(**attempt.about):
            work, renewal = asyncio.create_task(attempt.make()), asyncio.create_task(self._renewed(piece))
            try:
                await asyncio.wait({work, renewal}, return_when=asyncio.FIRST_COMPLETED)
                if not work.done():
                    log.warning("work for Slack is somebody else's by now")
            except asyncio.CancelledError:  # the process stops: another goes on at once
                await ended(work, renewal)
                await attempt.hand_over()
                raise
            finally:
                await ended(work, renewal)

    async def _renewed(self, piece: Piece) -> None:
        """Renew the lease until it is lost, or was not renewed for all of its time."""
        renewed_at = time.monotonic()
        while time.monotonic() - renewed_at < LEASE_SECONDS:
            await asyncio.sleep(LEASE_SECONDS / _RENEWALS)
            try:
                await self._threads.run(self._leases.renew, piece)
                renewed_at = time.monotonic()
            except CatalogUnavailableError:
                continue
            except LeaseLostError:
                return


async def ended(*tasks: asyncio.Task[None]) -> None:
    """Cancel tasks, and wait until they are over."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
