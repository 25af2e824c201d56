"""A web server of a test's own on a port of this machine: files with links or a sitemap, and pages that misbehave."""

import gzip
import hashlib
import html
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self
from urllib.parse import quote, unquote

Answer = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """A request, and the means to answer it in any way."""

    protocol_version = "HTTP/1.1"
    # Otherwise the body waits for the acknowledgement of the headers.
    disable_nagle_algorithm = True
    site: "WebServer"

    def do_GET(self) -> None:
        self.site.requests[self.path] += 1
        self.site.seen_headers.append(dict(self.headers))
        answer = self.site.pages.get(self.path) or self.site.pages.get(unquote(self.path))
        (answer or self.site.answer_others)(self)

    def do_PROPFIND(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def do_POST(self) -> None:
        self.do_GET()

    def reply(self, body: bytes, media_type: str = "text/html", status: int = 200, **headers: str) -> None:
        """Send a whole response; underscores in the names of headers become hyphens."""
        if headers.get("ETag") and self.headers["If-None-Match"] == headers["ETag"]:
            body, status = b"", 304
        self.send_response(status)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def hang(self) -> None:
        """Answer nothing until the server ends."""
        self.site.ending.wait(60)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


def not_found(request: Request) -> None:
    request.reply(b"not found", "text/plain", 404)


@dataclass
class WebServer:
    """`pages` maps paths to answers. `requests` counts requests by path."""

    url: str = ""
    pages: dict[str, Answer] = field(default_factory=dict)
    answer_others: Answer = not_found
    requests: Counter[str] = field(default_factory=Counter)
    seen_headers: list[dict[str, str]] = field(default_factory=list)
    ending: threading.Event = field(default_factory=threading.Event)
    stop: Callable[[], None] = lambda: None
    files: dict[str, tuple[bytes, str]] = field(default_factory=dict)

    def add(
        self, path: str, body: str | bytes, media_type: str = "text/html", status: int = 200, **headers: str
    ) -> Self:
        """Add a page that is always answered in the same way."""
        content = body.encode() if isinstance(body, str) else body
        self.pages[path] = lambda request: request.reply(content, media_type, status, **headers)
        return self

    def redirect(self, path: str, target: str, status: int = 302) -> Self:
        return self.add(path, b"", status=status, Location=target)

    # Files, as in the contract of sources.

    def write(self, name: str, content: bytes) -> None:
        self.files[name] = content, datetime.now(UTC).isoformat()
        tag = f'"{hashlib.sha256(content).hexdigest()}"'
        self.pages[f"/files/{name}"] = lambda request: request.reply(content, "text/plain", ETag=tag)

    def remove(self, name: str) -> None:
        del self.files[name], self.pages[f"/files/{name}"]

    def list_links(self, request: Request) -> None:
        links = "".join(f"<li><a href='{quote(name, safe='')}'>{html.escape(name)}</a></li>" for name in self.files)
        request.reply(f"<!DOCTYPE html><meta charset=utf-8><title>Files</title><ul>{links}</ul>".encode())

    def list_sitemap(self, request: Request) -> None:
        entries = (
            f"<url><loc>{self.url}/files/{quote(name, safe='')}</loc><lastmod>{at}</lastmod></url>"
            for name, (_, at) in self.files.items()
        )
        request.reply(build_sitemap("".join(entries)), "application/xml")


def build_sitemap(entries: str, root: str = "urlset", *, compressed: bool = False) -> bytes:
    space = "http://www.sitemaps.org/schemas/sitemap/0.9"
    content = f'<?xml version="1.0" encoding="UTF-8"?><{root} xmlns="{space}">{entries}</{root}>'.encode()
    return gzip.compress(content) if compressed else content


@contextmanager
def open_web_server() -> Iterator[WebServer]:
    """Run a server on a free port of this machine."""
    site = WebServer()
    handler = type("Handler", (Request,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    stopped = threading.Event()

    def stop() -> None:
        if not stopped.is_set():
            stopped.set()
            site.ending.set()
            server.shutdown()
            server.server_close()
            thread.join()

    site.url, site.stop = f"http://127.0.0.1:{server.server_address[1]}", stop
    try:
        yield site
    finally:
        stop()
