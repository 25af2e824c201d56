"""Runs the HTTP server from the command line, and shuts it down gracefully."""

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
from api.cli.http_protocol import Connections, build_protocol_class
from api.http.bounds import MAX_HEADER_BYTES
from api.main import create_app
from ingest.storage.errors import DataFolderBusyError

# Thread switch interval of the interpreter, in seconds, which is a tenth of Python's default. The event loop wakes up
# for every request and probe, and each time it may wait for every busy thread in turn. At three times the service's
# capacity, this interval reduced the p99 of `/health/live` from 158 to 102 ms, and that of a light tenant next to a
# heavy tenant from 240 to 83 ms.
_SWITCH_SECONDS = 0.0005


@contextmanager
def exclude_startup_from_gc(*, collect_first: bool = True) -> Iterator[None]:
    """Exclude all objects that exist at the start of the `with` block from garbage collection within it.

    A full collection stops every thread, for 0.22 s when measured. Most objects are modules and startup state, which
    live as long as the process, so visiting them is useless. If `collect_first` is false, the collection before the
    block is skipped too. Objects that were already excluded remain excluded.
    """
    was_frozen = gc.get_freeze_count()
    if collect_first:
        gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        if not was_frozen:
            gc.unfreeze()


_TICK_SECONDS = 0.1
# Timeout of idle connections, in seconds. It is longer than the idle timeouts of load balancers and clients, so that
# they close connections first. A request that is sent over a connection that the server is closing gets no response.
KEEP_ALIVE_SECONDS = 75
# Number of connections that the kernel queues. These connections count toward the limit on open files, because all of
# them may be accepted at once before surplus connections are closed.
_BACKLOG = 2_048
# Number of open files, sockets and pipes to allow for, other than client connections.
_OWN_FILES = 1_024


def serve_requests(services: Services, on_listening: Callable[[str], None]) -> None:
    """Serve requests until SIGINT or SIGTERM. Calls `on_listening` with the address once the server is listening.

    Raises `DataFolderBusyError` if the port is in use.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    _raise_open_files_limit(services.settings.connections_at_once + _BACKLOG + _OWN_FILES)
    server = ApiServer(services, on_listening)
    with exclude_startup_from_gc():
        server.run()
    if not server.started:
        settings = services.settings
        raise DataFolderBusyError(
            f"Cannot listen on {settings.host}:{settings.port}.",
            hint="Stop the program that uses the port, or choose another port such as `--port 8001`.",
        )


def _raise_open_files_limit(required_limit: int) -> None:
    """Raise the process's limit on open files to `required_limit`, or as far as the system allows.

    Whenever the process runs out of file descriptors, the event loop stops accepting connections for a second.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < required_limit:
        most = required_limit if hard == resource.RLIM_INFINITY else min(required_limit, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))


def exit_process() -> None:
    """Exit immediately with status 0 if daemon threads are still running. Otherwise, do nothing.

    Call this after everything has been closed. Before Python 3.14, a daemon thread that runs C++ code aborts the
    process when the interpreter finalizes. An inference that outlasts the workers' shutdown timeout is such a thread;
    its document is processed again after the next start.
    """
    # guard: exit-with-computing-threads
    if any(thread.daemon for thread in threading.enumerate()):
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


class ApiServer(uvicorn.Server):
    """A uvicorn server that calls `greet` with its address once it is listening.

    On a signal, it drains its connections. The caller closes everything else after `run` returns.
    """

    def __init__(self, services: Services, on_listening: Callable[[str], None]) -> None:
        settings = services.settings
        super().__init__(
            uvicorn.Config(
                create_app(services),
                host=settings.host,
                port=settings.port,
                log_level="warning",
                access_log=False,
                lifespan="on",
                log_config=None,  # Keep the logging configuration from `configure_logging`.
                http=build_protocol_class(
                    Connections(settings.connections_at_once, settings.connections_of_address, settings.proxies),
                    head_seconds=settings.head_seconds,
                ),
                ws="none",  # Disable WebSocket, because an upgrade would bypass the limits of the protocol class.
                forwarded_allow_ips=[str(network) for network in settings.proxies],
                h11_max_incomplete_event_size=2 * MAX_HEADER_BYTES,
                backlog=_BACKLOG,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=settings.drain_seconds,
            )
        )
        self._services = services
        self._greet = on_listening

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Let SIGINT and SIGTERM stop only the server, so that the caller can close everything else in order.

        The base class raises the signal again after the block, which would end the process too early.
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
        await self._wait_for_load_balancers()
        await super().shutdown(sockets)  # type: ignore[arg-type]

    async def _wait_for_load_balancers(self) -> None:
        """Keep serving until load balancers have noticed that this process is not ready. A second Ctrl-C skips this.

        Meanwhile, each response closes its connection, so that few idle connections remain. A request sent over an idle
        connection while the server stops would get no response.
        """
        end = time.monotonic() + self._services.settings.leave_seconds
        while time.monotonic() < end and not self.force_exit:
            await asyncio.sleep(_TICK_SECONDS)
