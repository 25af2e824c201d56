"""A real WebDAV server (WsgiDAV) on a port of this machine, with one user and a folder of files."""

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import httpx
from wsgidav.fs_dav_provider import FilesystemProvider
from wsgidav.wsgidav_app import WsgiDAVApp

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

USER, PASSWORD = "ann", "pässword:1"
_OWNER = (
    '<d:propertyupdate xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns"><d:set><d:prop><oc:owner-id>{id}</oc:owner-id>'
    "<oc:owner-display-name>{name}</oc:owner-display-name></d:prop></d:set></d:propertyupdate>"
)


@dataclass
class DavServer:
    """A running server. `url` is the address of the folder."""

    folder: Path
    url: str
    stop: Callable[[], None]
    seen: list[str]
    dates: Iterator[int] = field(default_factory=lambda: count(1_600_000_000))

    def write(self, name: str, content: bytes) -> None:
        """Write a file with a date long ago, because one that was modified just now has no version yet."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (0, next(self.dates)))

    def set_owner(self, name: str, owner_id: str, display_name: str) -> None:
        """Set the properties by which Nextcloud and ownCloud tell the owner."""
        body = _OWNER.format(id=owner_id, name=display_name)
        # Basic authentication in UTF-8, as RFC 7617 asks for.
        auth = (USER.encode(), PASSWORD.encode())
        httpx.request("PROPPATCH", self.url + name, content=body, auth=auth).raise_for_status()


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing: clients close connections as soon as they know enough."""


class _Handler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Print nothing."""


@contextmanager
def open_dav_server(folder: Path, *, follows_links: bool = False) -> Iterator[DavServer]:
    """Run a server on a free port of this machine."""
    basic: Mapping[str, object] = {"accept_basic": True, "accept_digest": False, "default_to_digest": False}
    app = WsgiDAVApp(
        {
            "provider_mapping": {"/dav": FilesystemProvider(str(folder), fs_opts={"follow_symlinks": follows_links})},
            "simple_dc": {"user_mapping": {"*": {USER: {"password": PASSWORD}}}},
            "http_authenticator": basic,
            "property_manager": True,
            "verbose": 0,
            "logging": {"enable": False},
        }
    )
    seen: list[str] = []

    def answer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        seen.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        found: Iterable[bytes] = app(environ, start_response)
        return found

    server = make_server("127.0.0.1", 0, answer, _Server, _Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    stopped = threading.Event()

    def stop() -> None:
        if not stopped.is_set():
            stopped.set()
            server.shutdown()
            server.server_close()
            thread.join()

    try:
        yield DavServer(folder, f"http://127.0.0.1:{server.server_port}/dav/", stop, seen)
    finally:
        stop()
