"""Receives uploads: multipart forms and bare bodies, written to disk block by block, never whole in memory."""

import re
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.problems import BadRequestError
from api.threads import Threads
from ingest.catalog.catalog import Accepted
from ingest.errors import InputError, UploadError
from ingest.inbound import check_text, read_json, read_metadata
from ingest.intake import Upload, UploadRequest
from ingest.metadata import require_metadata, require_own_sight, require_readers

_MAX_FIELD_BYTES = 64 * 1024
_MAX_PARTS = 1000
COLLECTION = re.compile(r"[\w.-]{1,128}")

Receive = Callable[[UploadRequest], AbstractContextManager[Upload]]


@dataclass
class Received:
    """The outcomes of the files of one request, in their order. A refused file never stops the others."""

    outcomes: list[tuple[str, Accepted | UploadError]] = field(default_factory=list)


async def receive_body(
    stream: AsyncIterator[bytes], request: UploadRequest, receive: Receive, threads: Threads
) -> Received:
    """Receive the whole body as one file. Raises the `UploadError`s."""
    with ExitStack() as stack:
        upload = await threads.run(stack.enter_context, receive(request))
        async for block in stream:
            if block:
                await threads.run(upload.write, block)
        return Received([(request.name, await threads.run(upload.accept))])


async def receive_form(
    stream: AsyncIterator[bytes], content_type: str, request: UploadRequest, receive: Receive, threads: Threads
) -> Received:
    """Receive each named part as a document; fields apply to the files after them.

    Raises `BadRequestError` for a malformed form, and `InputError` for a field whose text cannot be taken; files before
    the fault are kept.
    """
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise BadRequestError("The multipart form names no boundary.", hint="Let the HTTP client set Content-Type.")
    form = _Form(request, receive)
    try:
        parser = MultipartParser(boundary, form.callbacks())
        async for block in stream:
            if block:
                # The parser calls back into disk writes, so it runs where waiting is allowed.
                await threads.run(parser.write, block)
        await threads.run(parser.finalize)
    except FormParserError as error:
        raise BadRequestError(f"The multipart form is broken: {error}", hint="Send it again.") from error
    finally:
        await threads.run(form.close)
    if not form.received.outcomes:
        raise BadRequestError("The form holds no file.", hint="Send at least one part with a file name.")
    return form.received


class _Form:
    """The parser's callbacks. They run one at a time, each in some worker thread."""

    def __init__(self, request: UploadRequest, receive: Receive) -> None:
        self.received = Received()
        self._request = request
        self._receive = receive
        self._parts = 0
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._field_name: str | None = None
        self._field = b""
        self._stack = ExitStack()
        self._upload: Upload | None = None
        self._file: UploadRequest | None = None

    def callbacks(self) -> Any:  # noqa: ANN401 - the parser's own TypedDict of optional callbacks
        return {
            "on_part_begin": self._part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._header_end,
            "on_headers_finished": self._headers_finished,
            "on_part_data": self._part_data,
            "on_part_end": self._part_end,
        }

    def close(self) -> None:
        self._stack.close()

    def _part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise BadRequestError(f"The form has over {_MAX_PARTS} parts.", hint="Send the files in several requests.")
        self._headers, self._field_name, self._field, self._file = {}, None, b"", None

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"filename*") or options.get(b"filename")
        if name is None:
            self._field_name = _text(options.get(b"name", b""), "form")
            return
        # A name is for display, so one in another encoding does not make its file unwelcome.
        shown = check_text(name.decode("utf-8", "replace"), "form.filename")
        declared = self._headers.get(b"content-type", b"").decode("latin-1") or None
        self._file = replace(self._request, name=shown, declared_type=declared)
        self._guard(lambda: setattr(self, "_upload", self._stack.enter_context(self._receive(self._file))))  # type: ignore[arg-type]

    def _part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field_name is not None:
            self._field += data[start:end]
            if len(self._field) > _MAX_FIELD_BYTES:
                raise BadRequestError(f"The field {self._field_name!r} is too long.")
        elif self._upload is not None:
            upload = self._upload
            self._guard(lambda: upload.write(data[start:end]))

    def _part_end(self) -> None:
        if self._field_name is not None:
            self._take_field(self._field_name, self._field)
        elif self._upload is not None and self._file is not None:
            upload, name = self._upload, self._file.name
            self._guard(lambda: self.received.outcomes.append((name, upload.accept())))
            self._leave()

    def _take_field(self, name: str, content: bytes) -> None:
        if name == "metadata":
            self._request = replace(self._request, attributes=metadata(content))
            return
        value = _text(content, name)
        if name == "collection":
            if not COLLECTION.fullmatch(value):
                raise BadRequestError(
                    f"{value[:40]!r} is no name for a collection.",
                    hint="Use 1 to 128 letters, digits, dots, hyphens and underscores.",
                )
            self._request = replace(self._request, collection=value)
        elif name == "batch":
            self._request = replace(self._request, batch_id=value)
        elif name == "readers":
            listed = listed_readers(content)
            given = None if listed is None else readers(listed, self._request.sender)
            self._request = replace(self._request, readers=given)
        else:
            raise BadRequestError(
                f"The form has an unknown field {name!r}.", hint="Known: collection, batch, metadata, readers, files."
            )

    def _guard(self, step: Callable[[], object]) -> None:
        """Record a refused file as an outcome; the parts after it go on."""
        try:
            step()
        except UploadError as error:
            name = self._file.name if self._file else ""
            self.received.outcomes.append((name, error))
            self._leave()

    def _leave(self) -> None:
        self._upload = None
        self._stack.close()


def metadata(content: bytes) -> dict[str, Any]:
    """Read user metadata: a JSON object of plain values. Raises `InputError` and `MetadataError`."""
    return require_metadata(read_metadata(content))


def readers(subjects: Collection[str], own: frozenset[str] | None) -> frozenset[str]:
    """Check the readers that a principal gives a document; `own` are its own subjects. Raises `MetadataError`."""
    found = require_readers(subjects)
    require_own_sight(found, own)
    return found


def listed_readers(content: bytes) -> list[str] | None:
    """Read a JSON list of subjects; null is the whole tenant. Raises `BadRequestError` and `InputError`."""
    value = read_json(content, "readers")
    if value is None or (isinstance(value, list) and all(isinstance(each, str) for each in value)):
        return value
    raise BadRequestError("readers is no JSON list of texts.", hint='Send a list such as ["user:ann", "group:hr"].')


def _text(content: bytes, at: str) -> str:
    try:
        return check_text(content.decode("utf-8"), at)
    except UnicodeDecodeError as error:
        raise InputError(at, "A field of a form must be UTF-8.") from error
