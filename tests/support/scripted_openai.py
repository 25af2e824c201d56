"""A small OpenAI-compatible server whose model counts, and which misbehaves when told to."""

import json
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

from tests.support.form_filler import fill_schema

Fault = Literal["", "wait", "busy", "down", "hang", "cut", "not_json", "unauthorized", "too_long"]

WINDOW = 8192

Reply = Callable[[dict[str, Any]], str]


class ScriptedOpenAI(ThreadingHTTPServer):
    """Answers every prompt with the numbers from one to nine, or with what `reply` makes of the request.

    `fault` changes how; with `wait` a request is held until its client goes away or the fault is taken back. `dropped`
    counts lost clients, `open` the requests under way. It takes `delay_seconds` for each, or the seconds that
    `choose_delay` returns for the request, and `piece_seconds` before each piece of a stream.
    """

    daemon_threads = True
    request_queue_size = 128  # of five, a burst of connections is refused

    def __init__(
        self, reply: Reply | None = None, *, window_tokens: int = WINDOW, port: int = 0, keeps_requests: bool = True
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.reply = reply
        self.window_tokens = window_tokens
        self.fault: Fault = ""
        self.dropped = 0
        self.requests: list[dict[str, Any]] = []
        self.keeps_requests = keeps_requests
        self.open = 0
        self.delay_seconds = 0.0
        self.choose_delay: Callable[[dict[str, Any]], float] | None = None
        self.retry_after_seconds = 7
        self.piece_seconds = 0.0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base class's signature
        self.dropped += 1


class _Handler(BaseHTTPRequestHandler):
    server: ScriptedOpenAI

    def log_message(self, *_: object) -> None:
        return None

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.server.keeps_requests:
            self.server.requests.append(body)
        self.server.open += 1
        try:
            self._respond(body)
        finally:
            self.server.open -= 1

    def _respond(self, body: dict[str, Any]) -> None:
        choose_delay = self.server.choose_delay
        ready_at = time.monotonic() + (choose_delay(body) if choose_delay else self.server.delay_seconds)
        while self.server.fault == "wait" or time.monotonic() < ready_at:
            if select.select([self.connection], [], [], 0.01)[0]:
                raise ConnectionResetError("the client has gone")
        refusals: dict[Fault, tuple[int, str]] = {
            "busy": (429, "rate_limit_exceeded"),
            "down": (503, "unavailable"),
            "unauthorized": (401, "invalid_api_key"),
            "too_long": (400, "context_length_exceeded"),
        }
        prompt = sum(len(message["content"]) for message in body["messages"]) // 2
        fault = "too_long" if prompt > self.server.window_tokens else self.server.fault
        if fault in refusals:
            status, code = refusals[fault]
            self._json(
                status,
                {"error": {"message": f"It is {code}.", "code": code}},
                {"Retry-After": str(self.server.retry_after_seconds)},
            )
        elif fault == "hang":
            time.sleep(30)
        elif fault == "not_json":
            self._send(200, b"<html>Bad gateway</html>", {"Content-Type": "application/json"})
        else:
            self._answer(body, prompt)

    def _answer(self, body: dict[str, Any], prompt: int) -> None:
        text, reason = (self.server.reply(body), "stop") if self.server.reply else _limited(_count(body), body)
        usage = {
            "prompt_tokens": prompt + 1,
            "completion_tokens": len(text.split()),
            "total_tokens": prompt + 1 + len(text.split()),
        }
        if not body.get("stream"):
            message = {"role": "assistant", "content": text}
            choices = [{"index": 0, "message": message, "finish_reason": reason}]
            self._json(
                200,
                {
                    "id": "x",
                    "object": "chat.completion",
                    "created": 0,
                    "model": body["model"],
                    "choices": choices,
                    "usage": usage,
                },
            )
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        for number, piece in enumerate(_pieces(text)):
            if self.server.fault == "cut" and number == 2:
                return
            time.sleep(self.server.piece_seconds)
            self._event(body, {"index": 0, "delta": {"role": "assistant", "content": piece}, "finish_reason": None})
        self._event(body, {"index": 0, "delta": {}, "finish_reason": reason})
        self._event(body, None, usage)
        self.wfile.write(b"data: [DONE]\n\n")

    def _event(self, body: dict[str, Any], choice: dict[str, Any] | None, usage: dict[str, int] | None = None) -> None:
        chunk = {
            "id": "x",
            "object": "chat.completion.chunk",
            "created": 0,
            "model": body["model"],
            "choices": [choice] if choice else [],
            "usage": usage,
        }
        self.wfile.write(f"data: {json.dumps(chunk)}\n\n".encode())
        self.wfile.flush()

    def _json(self, status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})

    def _send(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def wanted_members(request: dict[str, Any]) -> frozenset[str]:
    """The members of the JSON that a request asks for; none where it asks for words."""
    return frozenset((_schema(request) or {}).get("properties", {}))


def follow_schema(request: dict[str, Any]) -> str:
    """Return JSON that follows the schema of a request, with the smallest values. Raises `ValueError` without one."""
    schema = _schema(request)
    if schema is None:
        raise ValueError("The request asks for words, not for JSON.")
    return json.dumps(fill_schema(schema))


def _schema(request: dict[str, Any]) -> dict[str, Any] | None:
    found: dict[str, Any] | None = request.get("response_format", {}).get("json_schema", {}).get("schema")
    return found


def _count(body: dict[str, Any]) -> str:
    schema = _schema(body)
    return json.dumps(fill_schema(schema)) if schema else "1, 2, 3, 4, 5, 6, 7, 8, 9."


def _limited(text: str, body: dict[str, Any]) -> tuple[str, str]:
    """The text and the finish reason, with `max_tokens` obeyed."""
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    pieces = list(_pieces(text))
    if limit and len(pieces) > limit:
        return "".join(pieces[:limit]), "length"
    return text, "stop"


def _pieces(text: str) -> Iterator[str]:
    for number, word in enumerate(text.split(" ")):
        yield word if number == 0 else f" {word}"


@contextmanager
def scripted_openai(
    reply: Reply | None = None, *, window_tokens: int = WINDOW, keeps_requests: bool = True
) -> Iterator[ScriptedOpenAI]:
    """A server on loopback for the length of the block."""
    with ScriptedOpenAI(reply, window_tokens=window_tokens, keeps_requests=keeps_requests) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
        thread.join()
