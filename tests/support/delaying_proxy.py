"""A proxy on the loopback interface that passes each request on after a delay, as a server far away answers."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import httpx


class DelayingProxy(BaseHTTPRequestHandler):
    """Passes requests on to a server after a delay, and counts them."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    target: ClassVar[str]
    delay_seconds: ClassVar[float]
    times: ClassVar[list[tuple[float, float]]]  # When each request began and ended, in seconds.
    http: ClassVar[httpx.Client]

    def _pass_on(self) -> None:
        begun = time.monotonic()
        time.sleep(self.delay_seconds)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        reply = self.http.request(
            self.command, self.target + self.path, content=body, headers=dict(self.headers.items())
        )
        self.send_response(reply.status_code)
        for name, value in reply.headers.items():
            if name.casefold() not in {"connection", "transfer-encoding", "content-length"}:
                self.send_header(name, value)
        length = reply.headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(reply.content))
        self.send_header("Content-Length", length)
        self.end_headers()
        self.times.append((begun, time.monotonic()))
        if self.command != "HEAD":
            self.wfile.write(reply.content)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _pass_on

    def log_message(self, *_: object) -> None:
        """Log nothing."""


def count_round_trips(times: Sequence[tuple[float, float]]) -> int:
    """Count the most requests of which each began after the one before had ended."""
    count, end = 0, float("-inf")
    for begun, ended in sorted(times, key=lambda each: each[1]):
        if begun >= end:
            count, end = count + 1, ended
    return count


@contextmanager
def delaying(target: str, delay_ms: int, *, port: int = 0) -> Iterator[tuple[str, type[DelayingProxy]]]:
    """Run a proxy to `target`, and yield its address and its handler. Port 0 is any free one."""
    with httpx.Client(timeout=60) as http:
        members = {"target": target, "times": [], "delay_seconds": delay_ms / 1000, "http": http}
        handler = type("Handler", (DelayingProxy,), members)
        server = ThreadingHTTPServer(("127.0.0.1", port), handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}", handler
        finally:
            server.shutdown()
            server.server_close()
