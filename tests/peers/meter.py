"""A proxy in front of a model's server: counts requests and tokens, and refuses what is past a budget of calls."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

_TIMEOUT = httpx.Timeout(600.0, connect=5.0)


@dataclass
class Spent:
    """What was asked of the model since the last reset."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    refused: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


class Meter(ThreadingHTTPServer):
    """Forwards to `upstream` (ending in `/v1`); not streamed, for that is how the peers ask."""

    daemon_threads = True

    def __init__(self, upstream: str, max_calls: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = upstream.rstrip("/")
        self.max_calls = max_calls
        self.spent = Spent()
        self.http = httpx.Client(timeout=_TIMEOUT)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def reset(self) -> None:
        """For the next question; calls of the last one that still run count for it, not for the next."""
        self.spent = Spent()

    def admit(self) -> Spent | None:
        """Books a call; None past the budget."""
        spent = self.spent
        with spent.lock:
            if spent.calls >= self.max_calls:
                spent.refused += 1
                return None
            spent.calls += 1
        return spent

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base class's signature
        """A killed peer leaves its requests behind."""


class _Handler(BaseHTTPRequestHandler):
    server: Meter

    def log_message(self, *_: object) -> None:
        return None

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers["content-length"]))
        spent = self.server.admit()
        if spent is None:
            # 403 and not 429: clients try again after that one.
            error = {"error": {"message": "The budget of calls is spent.", "code": "budget_exhausted"}}
            self._send(403, json.dumps(error).encode())
            return
        path = self.path.removeprefix("/v1")
        try:
            response = self.server.http.post(
                f"{self.server.upstream}{path}", content=content, headers={"Content-Type": "application/json"}
            )
        except httpx.HTTPError as error:
            self._send(502, json.dumps({"error": {"message": str(error)}}).encode())
            return
        usage = response.json().get("usage") or {} if response.status_code == 200 else {}
        with spent.lock:
            spent.prompt_tokens += usage.get("prompt_tokens", 0)
            spent.completion_tokens += usage.get("completion_tokens", 0)
        self._send(response.status_code, response.content)

    def _send(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


@contextmanager
def metered(upstream: str, max_calls: int) -> Iterator[Meter]:
    """A meter on loopback for the length of the block."""
    with Meter(upstream, max_calls) as meter:
        thread = threading.Thread(target=meter.serve_forever, daemon=True)
        thread.start()
        yield meter
        meter.shutdown()
        thread.join()
        meter.http.close()
