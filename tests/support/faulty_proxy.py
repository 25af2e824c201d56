"""A proxy on the loopback interface that passes requests on, and the faults a network and a server can have."""

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from socketserver import BaseServer

import httpx


@dataclass(frozen=True)
class Fault:
    """What happens to one request. `passed_on` says whether the server gets it; an answer of None is a lost one.

    With `held_until`, nothing happens to it before that event.
    """

    passed_on: bool = False
    status: int | None = None
    held_until: threading.Event | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)


CUT = Fault()
ANSWER_LOST = Fault(passed_on=True)


@dataclass
class FaultyProxy:
    """`faults` holds, by "METHOD path", what befalls the next requests to it, in turn; `away` cuts every one off.

    `seen` are all requests, and `last` is the query string and the body of the last of each.
    """

    target: str
    url: str = ""
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    last: dict[str, tuple[str, bytes]] = field(default_factory=dict)
    away: bool = False

    def next_fault(self, request: str, query: str, body: bytes) -> Fault | None:
        self.seen.append(request)
        self.last[request] = (query, body)
        if self.away:
            return CUT
        waiting = self.faults.get(request)
        return waiting.pop(0) if waiting else None


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def __init__(self, proxy: FaultyProxy, connection: socket, client: tuple[str, int], server: BaseServer) -> None:
        self._proxy = proxy
        super().__init__(connection, client, server)

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        fault = self._proxy.next_fault(f"{self.command} {path}", query, body)
        if fault is not None and fault.held_until is not None:
            fault.held_until.wait()
        answer = self._from_server(body) if fault is None or fault.passed_on else None
        if (fault is None or fault.held_until) and answer is not None:
            self._answer(answer.status_code, {"Content-Type": answer.headers["Content-Type"]}, answer.content)
        elif fault is not None and fault.status is not None:
            self._answer(fault.status, fault.headers, fault.body)
        else:
            self.close_connection = True

    def _from_server(self, body: bytes) -> httpx.Response | None:
        """None when the server is away, or goes away meanwhile."""
        headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
        with suppress(httpx.TransportError):
            return httpx.request(
                self.command, self._proxy.target + self.path, content=body, headers=headers, timeout=60
            )
        return None

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _pass_on

    def _answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        # Whoever has had enough goes away; only defects of the proxy itself are worth a word.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


@contextmanager
def faulty_proxy(target: str, *, host: str = "127.0.0.1", port: int = 0) -> Iterator[FaultyProxy]:
    """Passes everything on to the server at `target` until `faults` says otherwise. Port 0 is any free one."""
    proxy = FaultyProxy(target)
    with _Server((host, port), partial(_Handler, proxy)) as server:
        proxy.url = f"http://{host}:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()
