"""Runs sequences of dependent requests, such as those of a resumable upload (tus)."""

from __future__ import annotations  # Keeps annotations from importing the schemas at runtime.

from base64 import b64encode
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import httpx

from api.client import schemas
from api.client.calls import Call, CallSequence, ModelReader, read_json
from api.client.content import UploadContent
from api.client.errors import NoAnswerError, ServiceError, StateError, UnavailableError

T = TypeVar("T")

_TUS_HEADERS = {"Tus-Resumable": "1.0.0"}
# Number of attempts in a row without progress after which an upload fails.
_MAX_TRIES = 6
# Number of documents in one request.
_MAX_CHOSEN = 500


class SequenceRun(Generic[T]):
    """A sequence of requests in progress.

    Before each further call of `advance`, set `reply` to the result of the last request.
    """

    result: T

    def __init__(self, sequence: CallSequence[T]) -> None:
        self._steps = sequence.begin()
        self._error: ServiceError | None = None
        self.reply: Any = None

    def advance(self) -> Call[Any] | None:
        """Return the next request, or set `result` and return None if the sequence has finished."""
        error, self._error, reply, self.reply = self._error, None, self.reply, None
        try:
            return self._steps.send(reply) if error is None else self._steps.throw(error)
        except StopIteration as ended:
            self.result = ended.value
            return None

    @contextmanager
    def capture_failure(self) -> Iterator[None]:
        """Capture the error of a failed request, so that `advance` can throw it into the sequence."""
        try:
            yield
        except ServiceError as error:
            self._error = error


def iter_upload_calls(
    source: UploadContent, attributes: Mapping[str, str]
) -> Generator[Call[Any], Any, schemas.DocumentOut]:
    """Yield the requests that upload a file, resuming at the server's offset after a failure."""
    metadata = ",".join(f"{name} {b64encode(value.encode()).decode()}" for name, value in attributes.items())
    headers = {**_TUS_HEADERS, "Upload-Length": str(source.size), "Upload-Metadata": metadata}
    path = yield Call("POST", "/v1/uploads", _parse_upload_path, headers=headers)
    offset, document, tries = 0, None, 0
    while document is None:
        part = UploadContent(source.source, offset)
        sent = {**_TUS_HEADERS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        try:
            arrived, document = yield Call("PATCH", path, _parse_upload_progress, content=part, headers=sent)
        except (NoAnswerError, UnavailableError, StateError):  # The connection broke, or the offset was out of date.
            tries += 1
            if tries == _MAX_TRIES:
                raise
            arrived, document = yield Call("HEAD", path, _parse_upload_progress, headers=_TUS_HEADERS)
        tries = 0 if arrived > offset else tries
        offset = arrived
    uploaded: schemas.DocumentOut = yield Call("GET", document, ModelReader(schemas.DocumentOut))
    return uploaded


def iter_move_calls(
    collection: str, documents: Sequence[str] | Mapping[str, Any]
) -> Generator[Call[Any], Any, schemas.BulkStepOut]:
    """Yield the requests that move documents, given by id or by a filter, to a collection, in steps."""
    choices: list[dict[str, Any]]
    if isinstance(documents, Mapping):
        choices = [{"matching": dict(documents)}]
    else:
        choices = [{"documents": documents[at : at + _MAX_CHOSEN]} for at in range(0, len(documents), _MAX_CHOSEN)]
    done, refused = 0, list[schemas.RefusedOut]()
    for choice in choices:
        body = {"action": "move", "collection": collection, **choice}
        plan = yield Call("POST", "/v1/documents/bulk/plan", read_json, body=body)
        cursor: str | None = plan["cursor"]
        while cursor is not None:
            # Repeating a step is safe, because it skips documents that are in the collection already.
            step = yield Call(
                "POST",
                "/v1/documents/bulk",
                ModelReader(schemas.BulkStepOut),
                body={**body, "cursor": cursor},
                repeatable=True,
            )
            done, cursor = done + step.done, step.next_cursor
            refused += step.refused
    return schemas.BulkStepOut(done=done, refused=refused, next_cursor=None)


def _parse_upload_path(response: httpx.Response) -> str:
    return urlsplit(response.headers["Location"]).path


def _parse_upload_progress(response: httpx.Response) -> tuple[int, str | None]:
    """Return the number of bytes received so far, and the document's path once the upload is complete."""
    return int(response.headers["Upload-Offset"]), response.headers.get("Content-Location")
