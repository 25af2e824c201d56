"""A proxy whose connections break off while something is sent through them."""

import socket
import threading
from urllib.parse import urlsplit


class Cutting:
    """A proxy that cuts each connection after so many bytes from its client, until it is told to let all pass."""

    def __init__(self, url: str, after: int) -> None:
        self.after = after
        self.cuts = 0
        self._to = urlsplit(url).hostname, urlsplit(url).port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._to) as server:
            threading.Thread(target=_pump, args=(server, client), daemon=True).start()
            passed = 0
            try:
                while block := client.recv(4_096):
                    server.sendall(block)
                    passed += len(block)
                    if passed > self.after:
                        self.cuts += 1
                        self.after *= 2
                        return
            except OSError:
                return


def _pump(source: socket.socket, target: socket.socket) -> None:
    try:
        while block := source.recv(65_536):
            target.sendall(block)
    except OSError:
        pass
