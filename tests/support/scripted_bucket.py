"""A server of S3's protocol on loopback that answers as a test says, and records the requests."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

_DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


@dataclass(frozen=True)
class Answer:
    """An answer. The header Content-Length is the length of the body, unless it is among the headers or None there.

    The connection is closed after the body if `is_cut`.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    is_cut: bool = False


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]

    @property
    def is_list(self) -> bool:
        return "list-type" in self.query or "comp" in self.query


@dataclass
class ScriptedBucket:
    """The running server. `answer` decides about each request."""

    url: str
    answer: Callable[[Request], Answer]
    seen: list[Request] = field(default_factory=list)


def build_object(body: bytes, tag: str = "one", **headers: str | None) -> Answer:
    """Build the answer with an object. Underscores in the names of headers stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Answer(200, body, {"ETag": f'"{tag}"', "Last-Modified": _DATE, **named})


def build_page(sizes: Mapping[str, int], next_page: str = "") -> Answer:
    """Build a page of a list: the keys with their sizes, and the token of the next page."""
    contents = "".join(
        f"<Contents><Key>{escape(key)}</Key><Size>{size}</Size><ETag>&quot;one&quot;</ETag>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
        for key, size in sizes.items()
    )
    token = f"<NextContinuationToken>{next_page}</NextContinuationToken>" if next_page else ""
    return Answer(200, f"<ListBucketResult>{contents}{token}</ListBucketResult>".encode())


def build_error(status: int, code: str = "Scripted") -> Answer:
    return Answer(status, f"<Error><Code>{code}</Code></Error>".encode())


@contextmanager
def open_scripted_bucket(answer: Callable[[Request], Answer]) -> Iterator[ScriptedBucket]:
    """Run the server until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            headers = {name.lower(): value for name, value in self.headers.items()}
            request = Request(self.command, unquote(parts.path), query, headers)
            bucket.seen.append(request)
            given = bucket.answer(request)
            self.send_response(given.status)
            for name, value in {"Content-Length": str(len(given.body)), **given.headers}.items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(given.body)
            self.close_connection = given.is_cut or given.headers.get("Content-Length", "") is None

        do_HEAD = do_POST = do_PUT = do_GET

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        bucket = ScriptedBucket(f"http://127.0.0.1:{server.server_port}", answer)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield bucket
        finally:
            server.shutdown()
