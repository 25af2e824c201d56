"""Requests that depend on the replies before them: how far they are, and those of an upload that goes on (tus)."""

from __future__ import annotations  # as in `operations`

from base64 import b64encode
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import httpx

from api.client import schemas
from api.client.calls import Call, CallSequence, ModelReader
from api.client.content import UploadContent
from api.client.errors import NoAnswerError, ServiceError, StateError, UnavailableError

T = TypeVar("T")

_TUS_HEADERS = {"Tus-Resumable": "1.0.0"}
# How often in a row an upload is continued without that any of it has arrived.
_MAX_TRIES = 6


class SequenceRun(Generic[T]):
    """Steps under way: `following` is the next request, None once there is a `result`."""

    result: T

    def __init__(self, wanted: CallSequence[T]) -> None:
        self._steps = wanted.begin()
        self._error: ServiceError | None = None
        self.reply: Any = None

    def advance(self) -> Call[Any] | None:
        error, self._error, reply, self.reply = self._error, None, self.reply, None
        try:
            return self._steps.send(reply) if error is None else self._steps.throw(error)
        except StopIteration as ended:
            self.result = ended.value
            return None

    @contextmanager
    def capture_failure(self) -> Iterator[None]:
        """Leave what becomes of a failed request to the steps."""
        try:
            yield
        except ServiceError as error:
            self._error = error


def upload_in_parts(source: UploadContent, about: Mapping[str, str]) -> Generator[Call[Any], Any, schemas.DocumentOut]:
    """Send a file, from where it was cut each time that its connection breaks."""
    described = ",".join(f"{name} {b64encode(value.encode()).decode()}" for name, value in about.items())
    headers = {**_TUS_HEADERS, "Upload-Length": str(source.size), "Upload-Metadata": described}
    path = yield Call("POST", "/v1/uploads", _read_location, headers=headers)
    offset, document, tries = 0, None, 0
    while document is None:
        part = UploadContent(source.source, offset)
        sent = {**_TUS_HEADERS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        try:
            arrived, document = yield Call("PATCH", path, _read_progress, content=part, headers=sent)
        except (NoAnswerError, UnavailableError, StateError):  # cut, or what arrived of an earlier try was not known
            tries += 1
            if tries == _MAX_TRIES:
                raise
            arrived, document = yield Call("HEAD", path, _read_progress, headers=_TUS_HEADERS)
        tries = 0 if arrived > offset else tries
        offset = arrived
    made: schemas.DocumentOut = yield Call("GET", document, ModelReader(schemas.DocumentOut))
    return made


def _read_location(response: httpx.Response) -> str:
    return urlsplit(response.headers["Location"]).path


def _read_progress(response: httpx.Response) -> tuple[int, str | None]:
    """Read how much has arrived, and the address of the document that it became."""
    return int(response.headers["Upload-Offset"]), response.headers.get("Content-Location")
