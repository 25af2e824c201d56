"""A small load balancer: it passes connections on to the backends that it was told of, in turn."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_BLOCK = 1 << 16


class Balancer:
    """Passes each connection to one backend. One that is taken out gets no new ones; those it has go on."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self._backends: list[int] = []
        self._next = 0
        self._lock = threading.Lock()
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def put_in(self, port: int) -> None:
        with self._lock:
            self._backends.append(port)

    def take_out(self, port: int) -> None:
        with self._lock:
            self._backends.remove(port)

    def run(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=[client], daemon=True).start()

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _connect(self, client: socket.socket) -> None:
        with self._lock:
            self._next += 1
            port = self._backends[self._next % len(self._backends)]
        with client, socket.create_connection(("127.0.0.1", port)) as backend:
            back = threading.Thread(target=_pass_on, args=[backend, client], daemon=True)
            back.start()
            _pass_on(client, backend)
            back.join()


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while block := source.recv(_BLOCK):
            target.sendall(block)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


@contextmanager
def balancing() -> Iterator[Balancer]:
    balancer = Balancer()
    threading.Thread(target=balancer.run, daemon=True).start()
    try:
        yield balancer
    finally:
        balancer.close()
