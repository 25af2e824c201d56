"""The headers of tus 1.0.0, a protocol for resumable uploads (https://tus.io/protocols/resumable-upload)."""

import binascii
import hashlib
from base64 import b64decode
from collections.abc import Mapping
from email.utils import formatdate
from hmac import compare_digest
from typing import Annotated, Any

from fastapi import Depends, Header

from api.admission.access import Writer
from api.documents import multipart
from api.http.problems import TUS_VERSION as VERSION
from api.http.problems import ApiError, BadRequestError
from ingest.intake import UploadRequest
from ingest.storage.accounts.records import Principal
from ingest.storage.inbound import check_text
from ingest.storage.queue.records import JobPriority
from ingest.storage.uploads.partial import PartialUpload

EXTENSIONS = "creation,expiration,checksum,termination"
MEDIA_TYPE = "application/offset+octet-stream"
RESUMABLE = {"Tus-Resumable": VERSION, "Tus-Version": VERSION}
# Checksum algorithms. MD5 is omitted because it is insecure, and CRC32 because hashlib does not support it.
ALGORITHMS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256, "sha512": hashlib.sha512}
_KNOWN = {"filename", "name", "filetype", "type", "collection", "metadata", "readers", "batch", "priority"}


class VersionUnsupportedError(ApiError):
    """The client does not use this version of tus."""

    code = "tus_version"
    status = 412
    default_hint = f"Send `Tus-Resumable: {VERSION}`; POST /v1/files accepts whole files from OpenAI's clients."


class ChecksumMismatchError(ApiError):
    """The received bytes do not match their checksum, so none of them were stored."""

    code = "checksum_mismatch"
    status = 460
    default_hint = "Send the bytes again from the same offset."


class MediaTypeError(ApiError):
    """A PATCH request to an upload does not have the content type that tus requires."""

    code = "media_type"
    status = 415
    default_hint = f"Send `Content-Type: {MEDIA_TYPE}`."


async def require_tus_version(_: Writer, tus_resumable: Annotated[str | None, Header()] = None) -> None:
    """Raise `VersionUnsupportedError` if the client uses another version of tus.

    The caller's scope is checked first, as in all routes.
    """
    if tus_resumable != VERSION:
        raise VersionUnsupportedError(
            f"This service supports tus {VERSION}, but the request uses {str(tus_resumable)[:20]!r}."
        )


RequiresVersion = Depends(require_tus_version)


def build_progress_headers(upload: PartialUpload, offset: int | None = None) -> dict[str, str]:
    """Return the headers with an upload's offset, length, expiry and, if the upload is complete, its document."""
    headers = {
        **RESUMABLE,
        "Upload-Offset": str(upload.received if offset is None else offset),
        "Upload-Length": str(upload.length),
        "Upload-Expires": formatdate(upload.ends_at, usegmt=True),
        "Cache-Control": "no-store",
    }
    if upload.header:
        headers["Upload-Metadata"] = upload.header
    return headers | (build_document_header(upload.document_id) if upload.document_id else {})


def build_document_header(document_id: str) -> dict[str, str]:
    """Return the header with the address of a completed upload's document."""
    return {"Content-Location": f"/v1/documents/{document_id}"}


def parse_metadata_header(header: str, check_readers: multipart.CheckReaders) -> dict[str, Any]:
    """Parse an `Upload-Metadata` header. Unknown keys are ignored.

    Raises `BadRequestError`, `InputError` or `MetadataError` for invalid values.
    """
    found: dict[str, str] = {}
    for pair in filter(None, (each.strip() for each in header.split(","))):
        key, _, value = pair.partition(" ")
        if key in _KNOWN:
            found[key] = _decode_text(key, value)
    name = found.get("filename") or found.get("name") or "unnamed"
    collection = found.get("collection") or "default"
    if not multipart.COLLECTION.fullmatch(collection):
        raise BadRequestError(
            f"{collection[:40]!r} is not a valid collection name.",
            hint="Use 1 to 128 letters, digits, dots, hyphens and underscores.",
        )
    priority = found.get("priority") or "interactive"
    if priority.upper() not in JobPriority.__members__:
        raise BadRequestError(f"{priority[:40]!r} is not a valid priority.", hint="Send `interactive` or `bulk`.")
    listed = multipart.parse_readers(found["readers"].encode()) if "readers" in found else None
    return {
        "name": check_text(name, "Upload-Metadata.filename"),
        "declared_type": found.get("filetype") or found.get("type") or None,
        "collection": collection,
        "metadata": multipart.parse_metadata(found.get("metadata", "{}").encode()),
        "readers": None if listed is None else sorted(check_readers(listed)),
        "batch": found.get("batch") or None,
        "priority": priority.upper(),
    }


def build_upload_request(metadata: Mapping[str, Any], caller: Principal) -> UploadRequest:
    """Build the same upload request as `POST /v1/documents` does for this caller."""
    readers = metadata["readers"]
    return UploadRequest(
        caller.tenant_id,
        metadata["collection"],
        metadata["name"],
        declared_type=metadata["declared_type"],
        attributes=metadata["metadata"],
        priority=JobPriority[metadata["priority"]],
        batch_id=metadata["batch"],
        key_id=caller.key_id or "",
        owner=caller.owner,
        readers=None if readers is None else frozenset(readers),
        sender=caller.readers,
        collections=caller.collections,
    )


class Checksum:
    """The `Upload-Checksum` of a body, computed as the body arrives. Raises `BadRequestError` for an invalid header."""

    def __init__(self, header: str) -> None:
        algorithm, _, value = header.strip().partition(" ")
        if algorithm not in ALGORITHMS:
            raise BadRequestError(
                f"The checksum algorithm {algorithm[:40]!r} is not supported.", hint=f"Use {', '.join(ALGORITHMS)}."
            )
        self._wanted = _decode_base64("Upload-Checksum", value)
        self._digest = ALGORITHMS[algorithm]()

    def update(self, block: bytes) -> None:
        self._digest.update(block)

    def require_match(self) -> None:
        """Raise `ChecksumMismatchError` if the received body does not match."""
        if not compare_digest(self._digest.digest(), self._wanted):
            raise ChecksumMismatchError("The checksum of the received bytes does not match.")


def _decode_text(key: str, value: str) -> str:
    try:
        return check_text(_decode_base64(f"Upload-Metadata.{key}", value).decode(), f"Upload-Metadata.{key}")
    except UnicodeDecodeError as error:
        raise BadRequestError(
            f"Upload-Metadata.{key} is not encoded in UTF-8.",
            hint="Encode the text in UTF-8 before encoding it in Base64.",
        ) from error


def _decode_base64(field_path: str, value: str) -> bytes:
    try:
        return b64decode(value.strip(), validate=True)
    except binascii.Error as error:
        raise BadRequestError(f"{field_path} is not valid Base64.", hint="Encode the value in Base64.") from error
