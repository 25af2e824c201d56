"""An OpenAI-compatible server that does to each request what a test says, and notices when its client hangs up."""

import json
import select
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["Request"], None]


class MisbehavingOpenAI(ThreadingHTTPServer):
    """The next request gets the next of `behaviours`, and the last of them is for all that follow.

    `requests` are the bodies in the order of their arrival; `hung_up` counts clients that left before their answer's
    end, and `under_way` those that wait for one. `served` is its list of models, or the status instead of one, and
    `looks` how often that was asked for. With a `release` it is one of vLLM.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.behaviours: list[Behaviour] = [replies("ok")]
        self.requests: list[dict[str, Any]] = []
        self.served: list[dict[str, Any]] | int = 404
        self.release = ""
        self.looks = 0
        self.hung_up = 0
        self.under_way = 0
        self.most_under_way = 0
        self.stopping = False
        self.changed = threading.Condition()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def wait_until(self, state: Callable[["MisbehavingOpenAI"], bool], seconds: float = 120.0) -> bool:
        with self.changed:
            return self.changed.wait_for(lambda: state(self), seconds)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 - the base class's signature
        return None


class Request(BaseHTTPRequestHandler):
    """One request, and what a behaviour can do to it."""

    server: MisbehavingOpenAI
    body: dict[str, Any]

    def log_message(self, *_: object) -> None:
        return None

    def do_GET(self) -> None:
        if self.path == "/version":  # as vLLM has it, beside /v1
            self._json({"version": self.server.release}) if self.server.release else self.refuse(404)
            return
        self.server.looks += 1
        if isinstance(self.server.served, int):
            self.refuse(self.server.served)
        else:
            self._json({"object": "list", "data": self.server.served})

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        server = self.server
        with server.changed:
            behaviour = server.behaviours.pop(0) if len(server.behaviours) > 1 else server.behaviours[0]
            server.requests.append(self.body)
            server.under_way += 1
            server.most_under_way = max(server.most_under_way, server.under_way)
            server.changed.notify_all()
        try:
            behaviour(self)
        except ConnectionError:
            self._hung_up()
        finally:
            with server.changed:
                server.under_way -= 1
                server.changed.notify_all()

    def refuse(
        self, status: int, headers: Mapping[str, str] | None = None, error: Mapping[str, Any] | None = None
    ) -> None:
        content = json.dumps({"error": error or {"message": "No.", "code": "no"}}).encode()
        self.send_response(status)
        fields = {"Content-Type": "application/json", "Content-Length": str(len(content)), **(headers or {})}
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def whole(self, text: str) -> None:
        """A good answer that is not streamed."""
        message = {"role": "assistant", "content": text}
        counted = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        answer = {"id": "x", "object": "chat.completion", "created": 0, "model": self.body["model"]}
        self._json({**answer, "choices": [choice], "usage": counted})

    def _json(self, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def begin(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()

    def raw(self, line: bytes) -> None:
        self.wfile.write(line)
        self.wfile.flush()

    def piece(self, text: str, finish: str | None = None, **delta_fields: str) -> None:
        delta = {"role": "assistant", "content": text, **delta_fields}
        self._event([{"index": 0, "delta": delta, "finish_reason": finish}], None)

    def usage(self, prompt: int, completion: int) -> None:
        counted = {"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion}
        self._event([], counted)
        self.raw(b"data: [DONE]\n\n")

    def until_hang_up(self, pause_seconds: float = 0.02) -> bool:
        """Wait a little; whether the client has left meanwhile."""
        readable, _, _ = select.select([self.connection], [], [], pause_seconds)
        return self.server.stopping or (bool(readable) and not self.connection.recv(1))

    def silence(self) -> None:
        while not self.until_hang_up():
            pass
        self._hung_up()

    def _hung_up(self) -> None:
        with self.server.changed:
            self.server.hung_up += 1
            self.server.changed.notify_all()

    def _event(self, choices: list[dict[str, Any]], usage: dict[str, int] | None) -> None:
        chunk = {"id": "x", "object": "chat.completion.chunk", "created": 0, "model": self.body["model"]}
        self.raw(f"data: {json.dumps({**chunk, 'choices': choices, 'usage': usage})}\n\n".encode())


def replies(text: str, *, finish: str = "stop", prompt: int = 20, completion: int = 5) -> Behaviour:
    """A good answer in two pieces; `completion` 0 leaves the usage out."""

    def behave(request: Request) -> None:
        request.begin()
        half = len(text) // 2
        request.piece(text[:half])
        request.piece(text[half:], finish)
        if completion:
            request.usage(prompt, completion)

    return behave


def says(text: str) -> Behaviour:
    """The same answer to every request, in pieces or whole, as it is asked for."""
    streamed = replies(text)

    def behave(request: Request) -> None:
        if request.body.get("stream"):
            streamed(request)
        else:
            request.whole(text)

    return behave


def picky(refusal: Callable[[dict[str, Any]], dict[str, Any] | None], text: str) -> Behaviour:
    """Refuses each request for which `refusal` gives an error, and answers the others."""

    def behave(request: Request) -> None:
        if error := refusal(request.body):
            request.refuse(400, error=error)
        else:
            says(text)(request)

    return behave


def refuses(status: int, **headers: str) -> Behaviour:
    return lambda request: request.refuse(status, {name.replace("_", "-"): value for name, value in headers.items()})


def hangs(request: Request) -> None:
    """Takes the request and says nothing."""
    request.silence()


def hangs_after_a_word(request: Request) -> None:
    request.begin()
    request.piece("It ")
    request.silence()


def drips(request: Request) -> None:
    """A piece every fiftieth of a second, for ever."""
    request.begin()
    while not request.until_hang_up():
        request.piece(" drop")
    request._hung_up()


def cuts(request: Request) -> None:
    """Ends the stream in mid-answer."""
    request.begin()
    request.piece("It ")


def not_a_stream(request: Request) -> None:
    request.begin()
    request.raw(b"<html>Bad gateway</html>\n\n")


def broken_events(request: Request) -> None:
    request.begin()
    request.raw(b'data: {"choices": [{"delta"\n\n')


def other_events(request: Request) -> None:
    """JSON, but of no completion."""
    request.begin()
    request.raw(b'data: {"choices": [{"delta": 7}], "usage": "much"}\n\n')


def wrong_utf8(request: Request) -> None:
    request.begin()
    request.raw(b'data: {"choices": [{"index": 0, "delta": {"content": "\xff\xfe"}}]}\n\n')


@contextmanager
def misbehaving_openai() -> Iterator[MisbehavingOpenAI]:
    """A server on loopback for the length of the block."""
    with MisbehavingOpenAI() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stopping = True
            server.shutdown()
            thread.join()
