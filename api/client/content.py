"""The content of an upload, which is read anew for each attempt and does not block the event loop."""

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio.to_thread

_CHUNK_BYTES = 1 << 18


@dataclass(frozen=True)
class UploadContent:
    """A file or bytes to upload. Reading begins at the offset `start`, so that an interrupted upload can continue."""

    source: Path | bytes
    start: int = 0

    @property
    def size(self) -> int:
        """The total size in bytes, including the bytes before `start`."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size

    @property
    def headers(self) -> dict[str, str]:
        return {"Content-Type": "application/octet-stream", "Content-Length": str(self.size - self.start)}

    def iter_chunks(self) -> Iterator[bytes]:
        if isinstance(self.source, bytes):
            for at in range(self.start, len(self.source), _CHUNK_BYTES):
                yield self.source[at : at + _CHUNK_BYTES]
            return
        with self.source.open("rb") as file:
            file.seek(self.start)
            while chunk := file.read(_CHUNK_BYTES):
                yield chunk

    async def aiter_chunks(self) -> AsyncIterator[bytes]:
        chunks = self.iter_chunks()
        try:
            while chunk := await anyio.to_thread.run_sync(next, chunks, b""):
                yield chunk
        finally:
            chunks.close()  # type: ignore[attr-defined]  # it is a generator
