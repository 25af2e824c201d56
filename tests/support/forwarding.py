"""A listener on the loopback interface that passes the bytes of each connection on, for balancers and lines to cut."""

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from typing import Self

# A host and a port, or the path of a Unix socket.
Address = tuple[str, int] | str


class Forwarder:
    """Pass each connection on to the first of `targets` that takes it; a client whom none takes is hung up on."""

    block_bytes = 1 << 16

    def __init__(self, *, port: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", port), backlog=256)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def targets(self) -> Sequence[Address]:
        """Name where a new connection may go, the best first."""
        raise NotImplementedError

    def lets_pass(self, size: int, before: int) -> bool:
        """Say whether a block of this many bytes goes to the server, after so many; if not, its connection is cut."""
        del size, before
        return True

    @contextmanager
    def running(self) -> Iterator[Self]:
        """Pass on in threads until the end of the block."""
        accepting = threading.Thread(target=self._accept)
        accepting.start()
        try:
            yield self
        finally:
            with suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            accepting.join()
            self.hang_up()

    @property
    def is_used(self) -> bool:
        """True if a connection is open."""
        with self._lock:
            return bool(self._open)

    def hang_up(self) -> None:
        """Break every connection that is open."""
        with self._lock:
            for each in self._open:
                with suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=[client], daemon=True).start()

    def _connect(self, client: socket.socket) -> None:
        with client:
            server = self._server()
            if server is None:
                return
            with closing(server):
                for each in (client, server):
                    if each.family != socket.AF_UNIX:  # Two parts of one message are not held back.
                        each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with self._lock:
                    self._open |= {client, server}
                back = threading.Thread(target=self._back, args=[server, client], daemon=True)
                back.start()
                self._forth(client, server)
                back.join()
                with self._lock:
                    self._open -= {client, server}

    def _server(self) -> socket.socket | None:
        for address in self.targets():
            with suppress(OSError):
                return _connect(address)
        return None

    def _forth(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        with suppress(OSError):
            while block := client.recv(self.block_bytes):
                if not self.lets_pass(len(block), passed):
                    for each in (client, server):
                        each.shutdown(socket.SHUT_RDWR)
                    return
                server.sendall(block)
                passed += len(block)
        with suppress(OSError):
            server.shutdown(socket.SHUT_WR)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        with suppress(OSError):
            while block := server.recv(self.block_bytes):
                client.sendall(block)
        with suppress(OSError):
            client.shutdown(socket.SHUT_WR)


def _connect(address: Address) -> socket.socket:
    if not isinstance(address, str):
        return socket.create_connection(address)
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection
