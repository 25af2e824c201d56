"""Requests written byte by byte to a socket, as no client library would."""

import json
import socket
from typing import Any
from urllib.parse import urlsplit

Answer = tuple[int, dict[str, str], Any]


def connected(url: str, *, seconds: float = 120.0) -> socket.socket:
    """A connection to the server of an URL; reading from it fails after `seconds` of silence."""
    where = urlsplit(url)
    return socket.create_connection((str(where.hostname), int(where.port or 80)), timeout=seconds)


def head(method: str, path: str, **headers: str) -> bytes:
    """The head of a request; underscores in names of headers become hyphens."""
    lines = [f"{method} {path} HTTP/1.1", "Host: test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def answer(connection: socket.socket) -> Answer:
    """Read one response with a length: status, headers in lower case, and the body's JSON if it is some."""
    with connection.makefile("rb") as file:
        status = int(file.readline().split()[1])
        headers: dict[str, str] = {}
        while line := file.readline().strip():
            name, _, value = line.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        body = file.read(int(headers.get("content-length", "0")))
    return status, headers, json.loads(body) if "json" in headers.get("content-type", "") else body
