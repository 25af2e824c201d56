"""Bytes of the store as a download: whole, or the range that a client asks for."""

import re
from collections.abc import Mapping

from fastapi import Request
from fastapi.responses import FileResponse, Response, StreamingResponse

from ingest.blobs import BlobStore
from ingest.errors import OriginalLostError

_TYPE = "application/octet-stream"
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def download(blobs: BlobStore, key: str, request: Request, headers: Mapping[str, str]) -> Response:
    """Return a blob. A file of this machine is sent as such; others are read a block at a time.

    Several ranges in one request are answered with all of it, as RFC 9110 allows. Raises `OriginalLostError`.
    """
    path = blobs.file(key)
    if path is not None and path.is_file():
        return FileResponse(path, media_type=_TYPE, headers=dict(headers))
    size = None if path is not None else blobs.size(key)
    if size is None:
        raise OriginalLostError("The original bytes are no longer in the store of files.")
    found = _range(request.headers.get("range", ""), size)
    start, end = found or (0, size)
    more = {**headers, "Accept-Ranges": "bytes", "Content-Length": str(end - start)}
    if start >= size > 0:
        return Response(status_code=416, headers={"Content-Range": f"bytes */{size}"})
    if found:
        more["Content-Range"] = f"bytes {start}-{end - 1}/{size}"
    return StreamingResponse(blobs.blocks(key, start, end), 206 if found else 200, more, media_type=_TYPE)


def _range(asked: str, size: int) -> tuple[int, int] | None:
    """Return the range that a header names, as offsets; None for none, or for one that cannot be read."""
    match = _RANGE.fullmatch(asked.strip())
    if match is None or not any(match.groups()):
        return None
    first, last = match.groups()
    if not first:
        return max(0, size - int(last)), size
    end = min(size, int(last) + 1) if last else size
    return (int(first), end) if int(first) < end or int(first) >= size else None
