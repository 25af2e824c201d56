"""Serves HTTP from the command line, with an orderly end."""

import asyncio
import atexit
import gc
import os
import resource
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from api.admission.services import Services
from api.cli.http_protocol import Connections, build_protocol
from api.http.bounds import MAX_HEADER_BYTES
from api.main import create_app
from ingest.storage.errors import DataFolderBusyError

# How long a thread keeps the interpreter while others wait for it, a tenth of Python's own: the event loop wakes up for
# every request and every probe, and waited for each working thread in turn. Measured under three times what the service
# can do: the slowest hundredth of `/health/live` from 158 to 102 ms, a light tenant beside a greedy one from 240 to 83.
_SWITCH_SECONDS = 0.0005


@contextmanager
def exclude_startup_from_gc(*, collect: bool = True) -> Iterator[None]:
    """Exclude all objects made before the block from garbage collections inside it.

    A full collection stops every thread and visits all objects: measured, 0.22 s, in which no request is answered.
    Most objects are modules and state of the start, which stay anyway. A service for one command spares itself the
    collection before, too. What was excluded before the block stays so.
    """
    was_frozen = gc.get_freeze_count()
    if collect:
        gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not was_frozen:
            gc.unfreeze()


_TICK_SECONDS = 0.1
# Longer than balancers and clients keep an idle connection, so that it is they who close it.
KEEP_ALIVE_SECONDS = 75
# Connections that the kernel holds for us, all of which may be accepted at once before surplus ones are closed.
_BACKLOG = 2_048
# Files, sockets and pipes besides connections of clients.
_OWN_FILES = 1_024


def serve(services: Services, greet: Callable[[str], None]) -> None:
    """Serve until a signal. Raises an error in words if the port cannot be had."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    _raise_open_files_limit(services.settings.connections_at_once + _BACKLOG + _OWN_FILES)
    server = ApiServer(services, greet)
    with exclude_startup_from_gc():
        server.run()
    if not server.started:
        settings = services.settings
        raise DataFolderBusyError(
            f"Cannot listen on {settings.host}:{settings.port}.",
            hint="Another program has the port: stop it, or start with `--port 8001`.",
        )


def _raise_open_files_limit(wanted: int) -> None:
    """Raise the limit of open files as far as the process may: without a free one nobody can connect, for a second."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def end_process() -> None:
    """End the process, of which all parts are closed, with status 0 if threads are left; else return.

    Before Python 3.14 a daemon thread that is in C++ while Python ends aborts the process: an inference for a document
    that took longer than the workers wait at their end, and that goes on at the next start.
    """
    # guard: exit-with-computing-threads
    if any(thread.daemon for thread in threading.enumerate()):
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


class ApiServer(uvicorn.Server):
    """Calls `greet` with its address once it listens; a signal drains it, and the caller then closes the rest."""

    def __init__(self, services: Services, greet: Callable[[str], None]) -> None:
        settings = services.settings
        super().__init__(
            uvicorn.Config(
                create_app(services),
                host=settings.host,
                port=settings.port,
                log_level="warning",
                access_log=False,
                lifespan="on",
                log_config=None,  # lines of the server go where ours go
                http=build_protocol(
                    Connections(settings.connections_at_once, settings.connections_of_address, settings.proxies),
                    head_seconds=settings.head_seconds,
                ),
                ws="none",  # an upgrade would leave the bounds of the protocol, and nothing here speaks it
                forwarded_allow_ips=[str(network) for network in settings.proxies],
                h11_max_incomplete_event_size=2 * MAX_HEADER_BYTES,
                backlog=_BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=settings.drain_seconds,
            )
        )
        self._services = services
        self._greet = greet

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM end only the server: the caller then closes everything in order.

        The base class raises the signal again afterwards, which would end the process before that.
        """
        handlers = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            self._greet(f"http://{self._services.settings.host}:{port}")

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        self._services.accepting = False
        # guard: serve-until-balancers-know
        await self._wait_for_balancers()
        await super().shutdown(sockets)  # type: ignore[arg-type]

    async def _wait_for_balancers(self) -> None:
        """Go on serving until balancers have heard that this process is not ready; a second Ctrl-C ends that.

        Each answer closes its connection meanwhile, so that few are idle when they are cut: a request that is sent over
        one of those at that moment gets no answer.
        """
        end = time.monotonic() + self._services.settings.leave_seconds
        while time.monotonic() < end and not self.force_exit:
            await asyncio.sleep(_TICK_SECONDS)
