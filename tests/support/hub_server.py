"""A hub on the loopback interface that serves one file, and the faults a hub can have."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from socketserver import BaseServer


@dataclass
class HubFile:
    """What the server has and how it misbehaves; a test changes it between requests.

    `cuts` holds, for each of the next requests, after how many bytes of its body the connection breaks. `statuses`
    are the next requests' answers: 200 with the content, others without any. `requests` records their headers.
    """

    content: bytes
    knows_ranges: bool = True
    states_length: bool = True
    cuts: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    requests: list[dict[str, str]] = field(default_factory=list)
    url: str = ""

    def ranges(self) -> list[str | None]:
        return [request.get("Range") for request in self.requests]

    def start_of(self, request: dict[str, str]) -> int:
        """The first byte to send: 0 unless the request continues the content."""
        wanted = re.fullmatch(r"bytes=(\d+)-", request.get("Range", ""))
        return int(wanted[1]) if wanted and self.knows_ranges else 0


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, served: HubFile, connection: socket, client: tuple[str, int], server: BaseServer) -> None:
        self._served = served
        super().__init__(connection, client, server)

    def do_GET(self) -> None:
        if self.path == "/moved":
            self._answer(302, {"Location": "/file", "Content-Length": "0"})
            return
        request = dict(self.headers)
        self._served.requests.append(request)
        status = self._served.statuses.pop(0) if self._served.statuses else 200
        if status == 200:
            self._send_file(self._served.start_of(request))
        else:
            self._answer(status, {"Content-Length": "0"})

    def _send_file(self, start: int) -> None:
        served, whole = self._served, len(self._served.content)
        headers: dict[str, str] = {}
        if start:
            headers["Content-Range"] = f"bytes {start}-{whole - 1}/{whole}"
        if served.states_length:
            headers["Content-Length"] = str(whole - start)
        else:
            headers["Connection"] = "close"
        self._answer(206 if start else 200, headers)
        body = served.content[start:]
        if served.cuts:
            body = body[: served.cuts.pop(0)]
            self.close_connection = True
        # Whoever has read enough goes away in the middle of the body.
        with suppress(BrokenPipeError, ConnectionResetError):
            self.wfile.write(body)

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def hub_server(content: bytes) -> Iterator[HubFile]:
    """Serves `content` at `url`, which answers with a redirect first, as hubs do."""
    served = HubFile(content)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, served)) as server:
        served.url = f"http://127.0.0.1:{server.server_port}/moved"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
