"""A blob store that seals files. They cannot be read without a key, and changes to them are detected.

`ingest.storage.blobs.sealed_format` describes the format. Files in the previous format, and plain files written before
keys were configured, are accepted until the catalog records that every file is bound to its name. After that they are
rejected, because anyone with write access to the store could have placed them there. The store's own records, whose
keys contain no slash, and unfinished uploads are not sealed.
"""

import hashlib
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, cast

from cryptography.exceptions import InvalidTag

from ingest.storage.blobs.keyring import KeyRing
from ingest.storage.blobs.sealed_format import (
    FRAME_BYTES,
    HEAD_BYTES,
    SEALED_FRAME_BYTES,
    SealHead,
    SealingFile,
    get_bound_name,
    has_seal_head,
    parse_key_id,
)
from ingest.storage.blobs.store import BlobStore, IncomingUpload, SpoolFolder, iter_range_blocks
from ingest.storage.errors import BlobChangedError, BlobKeyError
from ingest.storage.sealing import SEALED_MARKER, InMemorySealRecord, Sealing, SealRecord

# Folders whose files `leadline blobs` counts and reseals.
SEALED_KINDS = ("original", "text", "tables", "quarantine")
_MARKER = b"leadline keeps sealed files here\n"
_MAX_CACHED_HEADS = 4096
# Time within which each process notices that it must reject files in earlier formats.
_POLICY_CACHE_SECONDS = 5.0


class FileFormat(StrEnum):
    """The formats that a stored file can have."""

    BOUND = "bound to its name"
    UNBOUND = "encrypted, but not bound to its name"
    PLAIN = "not encrypted"
    FOREIGN = "encrypted with a key that is missing"


@dataclass
class _SealingPolicy:
    """Caches the formats allowed by the catalog.

    Once all files of a store are bound, they stay bound, so the catalog is not queried again.
    """

    record: SealRecord
    always_binds: bool
    clock: Callable[[], float] = time.monotonic
    _is_bound: bool = False
    _known_until: float = 0.0

    def should_reject_unbound_files(self) -> bool:
        """Return whether files that are not bound to their names must be rejected, as far as this process knows."""
        if not self._is_bound and self.clock() >= self._known_until:
            self._load_sealing()
        return self._is_bound

    def should_bind_new_files(self) -> bool:
        """Return whether new files must be bound to their names, according to the current record."""
        return self.always_binds or self._is_bound or self._load_sealing() is not Sealing.MIXED

    def _load_sealing(self) -> Sealing:
        found = self.record.load_sealing()
        self._is_bound = found is Sealing.BOUND
        self._known_until = self.clock() + _POLICY_CACHE_SECONDS
        return found


class SealedBlobs:
    """Wraps another blob store and seals its files."""

    def __init__(self, blobs: BlobStore, key_ring: KeyRing, record: SealRecord, *, always_binds: bool = False) -> None:
        """Wrap a store. `record` determines which formats are read and written.

        If `always_binds` is true, new files are bound to their names regardless of the record.
        """
        self.inner = blobs
        self.record = record
        self._ring = key_ring
        self._policy = _SealingPolicy(record, always_binds)
        self._heads: OrderedDict[str, SealHead | None] = OrderedDict()
        self._lock = threading.Lock()
        self.local_folder = blobs.local_folder
        self.concurrent_reads = blobs.concurrent_reads
        self.copies = blobs.copies
        self._room = SpoolFolder(blobs.local_folder, 0)

    @property
    def location(self) -> str:
        return self.inner.location

    def add_seal_marker(self) -> None:
        """Add a marker to the store unless it has one, so that its sealed files are not mistaken for plain files.

        In an empty store, every file is bound from the start, because no earlier release has written to it.
        """
        if self.inner.find_size(SEALED_MARKER) is not None:
            return
        if not any(True for kind in SEALED_KINDS for _ in self.inner.iter_keys(kind)):
            self.record.record_sealing(Sealing.BOUND)
        self.inner.put_if_absent(
            SEALED_MARKER, self._seal_content(SEALED_MARKER, _MARKER, is_bound=self._policy.should_bind_new_files())
        )

    def require_marker_key(self) -> None:
        """Raise `BlobKeyError` unless one of the keys can decrypt the store's marker.

        A store without a marker is accepted.
        """
        try:
            note = self.inner.read(SEALED_MARKER)
        except KeyError:
            return
        head = self._parse_head(SEALED_MARKER, note)
        try:
            is_ours = head is not None and self._decrypt_frames(SEALED_MARKER, head, note[HEAD_BYTES:], 0) == _MARKER
        except BlobChangedError:
            is_ours = False
        if not is_ours:
            raise BlobKeyError(f"The marker {SEALED_MARKER} in {self.location} was changed or damaged.")

    def put(self, key: str, content: bytes) -> None:
        self.put_file(key, BytesIO(content))

    def put_file(self, key: str, file: BinaryIO) -> None:
        at = file.tell()
        size = file.seek(0, os.SEEK_END) - at
        file.seek(at)
        if "/" not in key:
            self.inner.put_file(key, file)
            return

        def put(is_bound: bool) -> None:
            file.seek(at)
            self._evict_head(key)
            self.inner.put_file(key, cast(BinaryIO, SealingFile(file, self._build_head(key, size, is_bound=is_bound))))
            self._evict_head(key)

        self._write_in_recorded_format(put)

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        def put(is_bound: bool) -> None:
            for key in contents:
                self._evict_head(key)
            self.inner.put_all(
                {key: self._seal_content(key, content, is_bound=is_bound) for key, content in contents.items()}
            )
            for key in contents:
                self._evict_head(key)

        self._write_in_recorded_format(put)

    def put_if_absent(self, key: str, content: bytes) -> bytes:
        return self.inner.put_if_absent(key, content)

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        try:
            return self._open_range(key, start, length)
        except (BlobChangedError, BlobKeyError):
            # The file may have been rewritten since its head was cached or it was copied.
            self.discard_copies(key)
            return self._open_range(key, start, length)

    def find_size(self, key: str) -> int | None:
        try:
            head = self._find_head(key)
        except KeyError:
            return None
        return self.inner.find_size(key) if head is None else head.size

    def iter_blocks(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        return iter_range_blocks(self, key, start, end)

    def delete(self, key: str) -> int:
        self._evict_head(key)
        return self.inner.delete(key)

    def discard_copies(self, key: str) -> None:
        self._evict_head(key)
        self.inner.discard_copies(key)

    def copy(self, source_key: str, key: str) -> None:
        with self.provide_local_file(source_key) as path, path.open("rb") as file:
            self.put_file(key, file)

    def move(self, source_key: str, key: str) -> bool:
        if get_bound_name(source_key) != get_bound_name(key):
            try:
                self.copy(source_key, key)
            except KeyError:
                return False
            self.delete(source_key)
            return True
        self._evict_head(source_key)
        self._evict_head(key)
        return self.inner.move(source_key, key)

    def get_local_path(self, key: str) -> Path | None:
        return None

    @contextmanager
    def provide_local_file(self, key: str) -> Iterator[Path]:
        with self._room.provide_spooled_file(self.iter_blocks(key)) as path:
            yield path

    def iter_keys(self, prefix: str) -> Iterator[str]:
        return self.inner.iter_keys(prefix)

    def get_age_seconds(self, key: str) -> float:
        return self.inner.get_age_seconds(key)

    def receive_upload(self, *, max_bytes: int) -> AbstractContextManager[IncomingUpload]:
        return self.inner.receive_upload(max_bytes=max_bytes)

    @contextmanager
    def resume_upload(
        self, key: str, size: int, digest: "hashlib._Hash", *, max_bytes: int
    ) -> Iterator[IncomingUpload]:
        with self.inner.resume_upload(key, size, digest, max_bytes=max_bytes) as incoming:
            yield incoming
        if incoming.kept:
            self.inner.delete(key)

    def iter_upload_blocks(self, key: str) -> Iterator[bytes]:
        return self.inner.iter_upload_blocks(key)

    def commit_upload(self, incoming: IncomingUpload, key: str) -> None:
        with incoming.open_reader() as file:
            self.put_file(key, file)
        incoming.kept = True

    def discard_unfinished_uploads(self, *, min_age_seconds: float = 0.0) -> int:
        return self.inner.discard_unfinished_uploads(min_age_seconds=min_age_seconds)

    def require_free_space(self, size: int = 0) -> None:
        self.inner.require_free_space(size)

    def has_processing_space(self) -> bool:
        return self.inner.has_processing_space()

    def require_response(self) -> None:
        self.inner.require_response()

    def detect_file_format(self, key: str) -> FileFormat:
        """Return the format of a stored file, even if the catalog does not allow this format.

        Raises `KeyError` if the file does not exist.
        """
        written = self.inner.read(key, 0, HEAD_BYTES)
        if not has_seal_head(written):
            return FileFormat.PLAIN
        if parse_key_id(written) not in self._ring.by_id:
            return FileFormat.FOREIGN
        return FileFormat.BOUND if SealHead(written, b"", key).is_bound else FileFormat.UNBOUND

    def reseal_file(self, key: str, *, accept_unbound: bool = False) -> bool:
        """Seal a file with the first key in the current format.

        Returns false if it is already sealed with this key and format. If the file is rewritten concurrently, the new
        file is kept, because it was sealed with the first key. Once the catalog records that every file is bound, an
        unbound file is rejected unless `accept_unbound` is true. Raises `KeyError` if the file does not exist,
        `BlobKeyError` if no key can decrypt it, and `BlobChangedError` if it was changed or is rejected.
        """
        # guard: reseal-refuses-unbound
        readable = self.create_permissive_view() if accept_unbound else self
        before = readable._reload_head(key)
        is_first = before is not None and before.key_id == self._ring.sealing_key[0]
        if before is not None and is_first and (before.is_bound or not self._policy.should_bind_new_files()):
            return False
        with readable.provide_local_file(key) as path, path.open("rb") as file:
            now = readable._reload_head(key)
            if (now and now.written) != (before and before.written):
                return False
            self.put_file(key, file)
        return True

    def create_permissive_view(self) -> "SealedBlobs":
        """Return a view of this store that also reads unbound files."""
        return SealedBlobs(self.inner, self._ring, InMemorySealRecord())

    def reseal_marker(self) -> None:
        """Seal the marker with the first key. Call this after all files are resealed, before removing other keys."""
        self.inner.put(
            SEALED_MARKER, self._seal_content(SEALED_MARKER, _MARKER, is_bound=self._policy.should_bind_new_files())
        )

    def _write_in_recorded_format(self, write: Callable[[bool], None]) -> None:
        """Write files in the recorded format, and write them again if the record changed in the meantime.

        Resealing starts after the change and covers the files written before it. Writing a second time covers files
        written during the change, so that no file stays unbound.
        """
        bound = self._policy.should_bind_new_files()
        write(bound)
        # guard: file-bound-while-resealing
        if not bound and self._policy.should_bind_new_files():
            write(True)

    def _open_range(self, key: str, start: int, length: int | None) -> bytes:
        head = self._find_head(key)
        return self.inner.read(key, start, length) if head is None else self._read_frames(key, head, start, length)

    def _read_frames(self, key: str, head: SealHead, start: int, length: int | None) -> bytes:
        end = head.size if length is None else min(head.size, start + length)
        if start >= end:
            self._authenticate_head(key, head)
            return b""
        first, last = start // FRAME_BYTES, (end - 1) // FRAME_BYTES
        at = HEAD_BYTES + first * SEALED_FRAME_BYTES
        sealed = self.inner.read(key, at, (last - first + 1) * SEALED_FRAME_BYTES)
        opened = self._decrypt_frames(key, head, sealed, first)
        found = opened[start - first * FRAME_BYTES : end - first * FRAME_BYTES]
        # guard: truncated-sealed-file
        if len(found) != end - start:  # The last frames of the file are missing.
            raise _build_changed_error(key)
        return found

    def _authenticate_head(self, key: str, head: SealHead) -> None:
        """Authenticate the head by decrypting the first frame.

        The size in the head can be trusted only if the first frame can be decrypted with the head.
        """
        if head.is_bound:
            self._decrypt_frames(key, head, self.inner.read(key, HEAD_BYTES, SEALED_FRAME_BYTES), 0)

    def _decrypt_frames(self, key: str, head: SealHead, sealed_frames: bytes, first_frame: int) -> bytes:
        """Decrypt frames, of which the first is number `first_frame`.

        Raises `BlobChangedError` if a frame was changed.
        """
        pieces = []
        # Always decrypt at least one frame, because an empty file in the bound format has one frame without content.
        for number, at in enumerate(range(0, max(1, len(sealed_frames)), SEALED_FRAME_BYTES), start=first_frame):
            expected = min(FRAME_BYTES, head.size - number * FRAME_BYTES)
            try:
                frame = head.decrypt_frame(number, sealed_frames[at : at + SEALED_FRAME_BYTES])
            except InvalidTag as error:
                raise _build_changed_error(key) from error
            if len(frame) != expected:
                raise _build_changed_error(key)
            pieces.append(frame)
        return b"".join(pieces)

    def _seal_content(self, key: str, content: bytes, *, is_bound: bool) -> bytes:
        return SealingFile(BytesIO(content), self._build_head(key, len(content), is_bound=is_bound)).read()

    def _build_head(self, key: str, size: int, *, is_bound: bool) -> SealHead:
        return SealHead.create(self._ring.sealing_key, size, get_bound_name(key), is_bound=is_bound)

    def _find_head(self, key: str) -> SealHead | None:
        """Return the head of a sealed file, or None for a plain file.

        Raises `KeyError` if the file does not exist, `BlobKeyError` if no key can decrypt it, and `BlobChangedError` if
        the file's format is no longer accepted.
        """
        if "/" not in key:
            return None
        head = self._find_cached_head(key)
        # guard: unbound-files-refused
        if (head is None or not head.is_bound) and self._policy.should_reject_unbound_files():
            found = FileFormat.PLAIN if head is None else FileFormat.UNBOUND
            raise BlobChangedError(
                f"{key} in {self.location} is {found}, but every file must be encrypted and bound to its name."
            )
        return head

    def _find_cached_head(self, key: str) -> SealHead | None:
        with self._lock:
            if key in self._heads:
                self._heads.move_to_end(key)
                return self._heads[key]
        head = self._parse_head(key, self.inner.read(key, 0, HEAD_BYTES))
        if head is not None:
            # guard: sealed-empty-file
            if not head.size:
                self._authenticate_head(key, head)
            with self._lock:
                self._heads[key] = head
                while len(self._heads) > _MAX_CACHED_HEADS:
                    self._heads.popitem(last=False)
        return head

    def _reload_head(self, key: str) -> SealHead | None:
        self._evict_head(key)
        return self._find_head(key)

    def _parse_head(self, key: str, head_bytes: bytes) -> SealHead | None:
        head_bytes = head_bytes[:HEAD_BYTES]
        if not has_seal_head(head_bytes):
            return None
        if len(head_bytes) != HEAD_BYTES:
            raise _build_changed_error(key)
        identifier = parse_key_id(head_bytes)
        found = self._ring.by_id.get(identifier)
        if found is None:
            raise BlobKeyError(
                f"{key} in {self.location} was sealed with key {identifier.hex()}, which is not in LEADLINE_BLOB_KEYS."
            )
        return SealHead(head_bytes, found, get_bound_name(key))

    def _evict_head(self, key: str) -> None:
        with self._lock:
            self._heads.pop(key, None)


def _build_changed_error(key: str) -> BlobChangedError:
    return BlobChangedError(f"{key} was changed or damaged in the file store.")
