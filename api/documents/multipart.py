"""Receives uploads as multipart forms or plain bodies, and writes them to disk block by block.

A file is never held in memory as a whole.
"""

import re
from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Generic

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from api.http.problems import BadRequestError
from api.http.threads import Threads
from api.http.unknown import build_repeated_name_error, build_unknown_name_error
from ingest.held_uploads import HeldUploads, Outcome
from ingest.intake import Intake, Kept, Upload, UploadRequest
from ingest.storage.documents.catalog import AcceptedUpload
from ingest.storage.documents.metadata import validate_metadata
from ingest.storage.errors import InputError
from ingest.storage.inbound import check_text, parse_json, parse_metadata_json
from ingest.storage.queue.records import PRIORITIES, JobPriority

_MAX_FIELD_BYTES = 64 * 1024
_MAX_PARTS = 1000
_MAX_FIELDS = 20
# Names of form fields that describe documents. Each of these fields is also accepted as a query parameter.
FIELDS = ("collection", "batch", "metadata", "readers", "priority")
COLLECTION = re.compile(r"[\w.-]{1,128}")

# Returns the subjects for the readers that a caller sets on documents.
CheckReaders = Callable[[Collection[str]], frozenset[str]]
Receive = Callable[[UploadRequest], AbstractContextManager[Upload[AcceptedUpload]]]


@dataclass
class ReceivedFiles:
    """The outcomes of all files in a request, in order. If one file is rejected, the others are still accepted."""

    outcomes: list[Outcome] = field(default_factory=list)


async def receive_body(
    stream: AsyncIterator[bytes], request: UploadRequest, open_upload: Receive, threads: Threads
) -> ReceivedFiles:
    """Receive the whole body as one file. Raises a subclass of `UploadError` if the file is rejected."""
    with ExitStack() as stack:
        upload = await threads.run(stack.enter_context, open_upload(request))
        async for block in stream:
            if block:
                await threads.run(upload.write, block)
        return ReceivedFiles([(request.name, await threads.run(upload.accept))])


async def receive_form(
    stream: AsyncIterator[bytes],
    content_type: str,
    request: UploadRequest,
    intake: Intake,
    threads: Threads,
    check_readers: CheckReaders,
    *,
    url_fields: Collection[str] = (),
) -> ReceivedFiles:
    """Receive each part with a file name as a document. Form fields apply to all files, including those before them.

    `check_readers` returns the subjects for the field `readers`, and may query the catalog. `url_fields` contains the
    names of fields that are already set in the URL. No file is accepted before the end of the
    form. Raises `BadRequestError` for a malformed or truncated form, `InputError` for a field with invalid text, and
    `RequestValidationError` for an unknown or repeated field.
    """
    form = _DocumentForm(request, intake, check_readers, url_fields)
    received = ReceivedFiles()
    try:
        await _parse_form(stream, content_type, form, threads)
        if not len(form.files):
            raise BadRequestError("The form contains no file.", hint="Send at least one part with a file name.")
        outcomes = form.files.accept_files(form.request)
        while (outcome := await threads.run(next, outcomes, None)) is not None:
            received.outcomes.append(outcome)
    finally:
        await threads.run(form.close)
    return received


async def receive_file(
    stream: AsyncIterator[bytes],
    content_type: str,
    request: UploadRequest,
    open_upload: Callable[[UploadRequest], AbstractContextManager[Upload[Kept]]],
    threads: Threads,
    check_fields: Callable[[Mapping[str, str]], Mapping[str, Any]],
) -> Kept:
    """Receive a form with one file.

    The form's fields may come before or after the file. `check_fields` is called with the fields and returns the
    attributes of the request that they set. Raises a subclass of `UploadError`, and the same errors as `check_fields`
    and `receive_form`. If an error is raised, the file is not stored.
    """
    form = _SingleFileForm(request, open_upload)
    try:
        await _parse_form(stream, content_type, form, threads)
        if form.upload is None:
            raise BadRequestError(
                "The form contains no file.", hint="Send the file as the part `file`, with a file name."
            )
        whole = replace(form.request, **check_fields(form.fields))
        return await threads.run(form.upload.accept, whole)
    finally:
        await threads.run(form.close)


async def _parse_form(
    stream: AsyncIterator[bytes], content_type: str, form_parser: "_FormParser", threads: Threads
) -> None:
    _, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if not boundary:
        raise BadRequestError("The multipart form has no boundary.", hint="Let the HTTP client set Content-Type.")
    try:
        parser = MultipartParser(boundary, form_parser.get_callbacks())
        async for block in stream:
            if block:
                # Run the parser in a thread that may block, because its callbacks write to disk.
                await threads.run(parser.write, block)
    except FormParserError as error:
        raise BadRequestError(f"The multipart form is malformed: {error}", hint="Send the form again.") from error
    # guard: form-cut-short
    if not form_parser.has_ended:
        raise BadRequestError(
            "The multipart form is truncated: its final boundary is missing.", hint="Send the form again."
        )


class _FormParser:
    """Callbacks of the multipart parser. They run one at a time, in any worker thread."""

    def __init__(self) -> None:
        self._parts = 0
        self._header_name = b""
        self._header_value = b""
        self._headers: dict[bytes, bytes] = {}
        self._field_name: str | None = None
        self._field = b""
        self._stack = ExitStack()
        self.has_ended = False

    def get_callbacks(self) -> Any:  # noqa: ANN401 - the parser's own TypedDict of optional callbacks
        return {
            "on_part_begin": self._on_part_begin,
            "on_header_field": self._on_header_field,
            "on_header_value": self._on_header_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_part_data": self._on_part_data,
            "on_part_end": self._on_part_end,
            "on_end": self._on_end,
        }

    def close(self) -> None:
        self._stack.close()

    def _on_end(self) -> None:
        self.has_ended = True

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > _MAX_PARTS:
            raise BadRequestError(
                f"The form has more than {_MAX_PARTS} parts.", hint="Send the files in several requests."
            )
        self._headers, self._field_name, self._field = {}, None, b""

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._header_name.lower()] = self._header_value
        self._header_name = self._header_value = b""

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        name = options.get(b"filename*") or options.get(b"filename")
        if name is None:
            self._field_name = _decode_text(options.get(b"name", b""), "form")
            return
        # The name is only displayed, so the file is accepted even if the name's encoding is invalid.
        shown = check_text(name.decode("utf-8", "replace"), "form.filename")
        self._start_file(shown, self._headers.get(b"content-type", b"").decode("latin-1") or None)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._field_name is None:
            self._write_file(data[start:end])
            return
        self._field += data[start:end]
        if len(self._field) > _MAX_FIELD_BYTES:
            raise BadRequestError(f"The field {self._field_name!r} is too long.")

    def _on_part_end(self) -> None:
        if self._field_name is None:
            self._finish_file()
        else:
            self._accept_field(self._field_name, self._field)

    def _accept_field(self, name: str, content: bytes) -> None:
        raise NotImplementedError

    def _start_file(self, name: str, declared_type: str | None) -> None:
        raise NotImplementedError

    def _write_file(self, block: bytes) -> None:
        raise NotImplementedError

    def _finish_file(self) -> None:
        raise NotImplementedError


class _SingleFileForm(_FormParser, Generic[Kept]):
    """A form with one file. The file is accepted only at the end of the form, because fields may follow it."""

    def __init__(
        self, request: UploadRequest, open_upload: Callable[[UploadRequest], AbstractContextManager[Upload[Kept]]]
    ) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.upload: Upload[Kept] | None = None
        self.request = request
        self._receive = open_upload

    def _accept_field(self, name: str, content: bytes) -> None:
        if name in self.fields:
            raise build_repeated_name_error("form", "field", name)
        self.fields[name] = _decode_text(content, name)
        if len(self.fields) > _MAX_FIELDS:
            raise BadRequestError(f"The form has more than {_MAX_FIELDS} fields.")

    def _start_file(self, name: str, declared_type: str | None) -> None:
        if self.upload is not None:
            raise BadRequestError("The form contains several files.", hint="Send one file with each request.")
        self.request = replace(self.request, name=name, declared_type=declared_type)
        self.upload = self._stack.enter_context(self._receive(self.request))

    def _write_file(self, block: bytes) -> None:
        if self.upload is not None:
            self.upload.write(block)

    def _finish_file(self) -> None:
        """Do nothing, because fields may follow the file."""


class _DocumentForm(_FormParser):
    """A form with many files, each of which becomes a document, and fields that apply to all of them.

    `request` accumulates the fields. The fields before a file are checked before its bytes are received, and all fields
    are checked before any file is accepted.
    """

    def __init__(
        self, request: UploadRequest, intake: Intake, check_readers: CheckReaders, url_fields: Collection[str]
    ) -> None:
        super().__init__()
        self.request = request
        self.files = HeldUploads(intake, request)
        self._intake = intake
        self._check_readers = check_readers
        self._given = set(url_fields)

    def close(self) -> None:
        self.files.close()
        super().close()

    def _start_file(self, name: str, declared_type: str | None) -> None:
        if "collection" in self._given:
            self._intake.check_description(replace(self.request, name=name))
        self.files.start_file(name, declared_type)

    def _write_file(self, block: bytes) -> None:
        self.files.write(block)

    def _finish_file(self) -> None:
        self.files.finish_file()

    def _accept_field(self, name: str, content: bytes) -> None:
        if name not in FIELDS:
            raise build_unknown_name_error("form", "form field", name, FIELDS)
        # guard: form-field-twice
        if name in self._given:
            raise build_repeated_name_error("form", "field", name)
        self._given.add(name)
        if name == "metadata":
            self.request = replace(self.request, attributes=parse_metadata(content))
        elif name == "readers":
            listed = parse_readers(content)
            given = None if listed is None else self._check_readers(listed)
            self.request = replace(self.request, readers=given)
        else:
            self.request = replace(self.request, **_parse_field(name, _decode_text(content, name)))


def _parse_field(name: str, value: str) -> dict[str, Any]:
    """Parse a plain-text form field into changes to the upload request. Raises `BadRequestError` if it is invalid."""
    if name == "batch":
        return {"batch_id": value}
    if name == "priority":
        return {"priority": parse_priority(value, "form.priority")}
    if not COLLECTION.fullmatch(value):
        raise BadRequestError(
            f"{value[:40]!r} is not a valid collection name.",
            hint="Use 1 to 128 letters, digits, dots, hyphens and underscores.",
            field_path="form.collection",
        )
    return {"collection": value}


def parse_priority(value: str, field_path: str) -> JobPriority:
    """Parse a priority: `interactive` or `bulk`. Raises `BadRequestError` for any other value."""
    if value not in PRIORITIES:
        raise BadRequestError(
            f"{value[:40]!r} is not a valid priority.", hint="Send `interactive` or `bulk`.", field_path=field_path
        )
    return PRIORITIES[value]


def parse_metadata(content: bytes) -> dict[str, Any]:
    """Parse document metadata, a JSON object of plain values. Raises `InputError` or `MetadataError` if invalid."""
    return validate_metadata(parse_metadata_json(content))


def parse_readers(content: bytes) -> list[str] | None:
    """Parse a JSON list of subjects; null means the whole tenant. Raises `BadRequestError` and `InputError`."""
    value = parse_json(content, "readers")
    if value is None or (isinstance(value, list) and all(isinstance(each, str) for each in value)):
        return value
    raise BadRequestError(
        "`readers` is not a JSON list of strings.", hint='Send a list such as ["user:ann", "group:hr"].'
    )


def _decode_text(content: bytes, field_path: str) -> str:
    try:
        return check_text(content.decode("utf-8"), field_path)
    except UnicodeDecodeError as error:
        raise InputError(field_path, "A form field must be encoded in UTF-8.") from error
