"""Downloads of uploaded files, whole or in ranges. Each file is verified against its digest while it is sent."""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from api.http.conditional import has_current_content
from api.http.media import OCTETS
from ingest.storage.blobs.store import BlobStore
from ingest.storage.errors import BlobChangedError, ContentChangedError, OriginalLostError

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


@dataclass(frozen=True)
class OriginalFile:
    """An uploaded file: its key, its SHA-256 in hex, and its name for error messages."""

    key: str
    sha256: str
    what: str

    @property
    def etag(self) -> str:
        return f'"{self.sha256}"'

    def build_changed_error(self) -> ContentChangedError:
        return ContentChangedError(f"{self.what} was changed after it was uploaded.")

    def build_missing_error(self) -> OriginalLostError:
        return OriginalLostError(f"{self.what} is missing from the blob store.")


def build_download(blobs: BlobStore, original: OriginalFile, request: Request, headers: Mapping[str, str]) -> Response:
    """Return a streaming response with an uploaded file or a range of it. The `ETag` is the file's digest.

    The whole file is read and its digest checked, even if only a range is requested. If the digest differs, the
    connection is closed before the last block is sent, so that no client mistakes the transfer for complete. If several
    ranges are requested, the whole file is sent, as RFC 9110 allows. Raises `ContentChangedError` if the stored bytes
    have changed, and `OriginalLostError` if they are missing.
    """
    headers = {**headers, "ETag": original.etag, "Accept-Ranges": "bytes"}
    if has_current_content(request.headers.get("if-none-match", ""), original.etag):
        return Response(status_code=304, headers=headers)
    size = _load_original_size(blobs, original)
    found = _parse_range(request, original.etag, size)
    start, end = found or (0, size)
    if start >= size > 0:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    headers["Content-Length"] = str(end - start)
    if found is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    if request.method == "HEAD":
        return Response(status_code=200 if found is None else 206, headers=headers, media_type=OCTETS)
    blocks = _iter_verified_blocks(blobs, original, start, end)
    # If a file fits in one block, it is verified before the response starts, so that the client gets a problem instead
    # of a broken connection.
    blocks = chain([next(blocks, b"")], blocks)
    return StreamingResponse(blocks, 200 if found is None else 206, headers, media_type=OCTETS)


def _iter_verified_blocks(blobs: BlobStore, original: OriginalFile, start: int, end: int) -> Iterator[bytes]:
    """Read the whole file and yield the bytes from `start` up to but excluding `end`.

    The last block is yielded only after the digest was verified. If the digest differs, `ContentChangedError` is raised
    instead.
    """
    digest, at, held = hashlib.sha256(), 0, b""
    try:
        for block in blobs.iter_blocks(original.key):
            digest.update(block)
            if wanted := block[max(0, start - at) : max(0, end - at)]:
                if held:
                    yield held
                held = wanted
            at += len(block)
    except BlobChangedError as error:
        raise original.build_changed_error() from error
    except KeyError as error:
        raise original.build_missing_error() from error
    # guard: original-compared-while-sent
    if digest.hexdigest() != original.sha256:
        raise original.build_changed_error()
    yield held


def _load_original_size(blobs: BlobStore, original: OriginalFile) -> int:
    try:
        size = blobs.find_size(original.key)
    except BlobChangedError as error:
        raise original.build_changed_error() from error
    if size is None:
        raise original.build_missing_error()
    return size


def _parse_range(request: Request, etag: str, size: int) -> tuple[int, int] | None:
    """Return the requested byte range as offsets, or None if the whole file must be sent.

    The whole file must be sent if the request has no valid range, if `If-Range` names another file, or if the file is
    empty.
    """
    match = _RANGE.fullmatch(request.headers.get("range", "").strip())
    is_same = request.headers.get("if-range", etag) == etag
    if match is None or not any(match.groups()) or not is_same or not size:
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    end = min(size, int(last) + 1) if last else size
    return (int(first), end) if int(first) < end or int(first) >= size else None
