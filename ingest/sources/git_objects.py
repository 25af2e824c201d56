"""Unpacks the objects that a Git server sends into files, within limits on their sizes.

dulwich would hold each object in memory, at the size that the server has announced. Here, only objects that are stored
as a difference to another are held in memory, up to a limit. The id of each object is computed from its content, so a
server cannot pass one content off as another.
"""

import hashlib
import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from dulwich.errors import ApplyDeltaError
from dulwich.pack import OFS_DELTA, REF_DELTA, apply_delta

from ingest.sources.errors import SourceRefusedError, SourceUnavailableError

_BLOCK_BYTES = 65_536
_KINDS = {1: b"commit", 2: b"tree", 3: b"blob", 4: b"tag"}
# The longest numbers in packs have ten bytes of seven bits.
_MAX_SHIFT = 63


@dataclass(frozen=True)
class PackLimits:
    """Limits of a pack. Larger objects are left out; more objects or bytes are an error.

    `delta_bytes` limits objects that are stored as a difference. `total_bytes` counts all bytes that are decompressed,
    read or written.
    """

    object_bytes: int
    delta_bytes: int = 128 * 1024**2
    total_bytes: int = 16 * 1024**3
    objects: int = 300_000


class ObjectFolder:
    """The objects of a pack, in files that are named by their ids."""

    def __init__(self, path: Path, hash_name: str) -> None:
        self.hash_name = hash_name
        self.id_bytes = hashlib.new(hash_name, usedforsecurity=False).digest_size
        self._path = path
        for number in range(256):
            (path / f"{number:02x}").mkdir(parents=True)

    def find(self, object_id: str) -> Path | None:
        """Find the file of an object."""
        path = self._locate(object_id)
        return path if path.is_file() else None

    def write(self, kind: bytes, size: int, parts: Iterable[bytes], max_bytes: int) -> bytes:
        """Write an object, unless it is larger than `max_bytes`. Return its id."""
        digest = hashlib.new(self.hash_name, b"%s %d\0" % (kind, size), usedforsecurity=False)
        temporary = self._path / "new"
        with temporary.open("wb") as file:
            for part in parts:
                digest.update(part)
                if size <= max_bytes:
                    file.write(part)
        if size <= max_bytes:
            temporary.replace(self._locate(digest.hexdigest()))
        return digest.digest()

    def _locate(self, object_id: str) -> Path:
        return self._path / object_id[:2] / object_id[2:]


@dataclass(frozen=True)
class _Delta:
    """An object that is stored as a difference: where it begins, where its instructions do, and their size."""

    offset: int
    start: int
    size: int


def unpack_objects(pack: Path, folder: ObjectFolder, limits: PackLimits) -> None:
    """Unpack a pack. Raises `SourceUnavailableError` if it is damaged, and `SourceRefusedError` at the limits."""
    with pack.open("rb") as file:
        _Unpacking(file, folder, limits).run()


class _Unpacking:
    def __init__(self, file: BinaryIO, folder: ObjectFolder, limits: PackLimits) -> None:
        self._file = file
        self._folder = folder
        self._limits = limits
        self._bytes_left = limits.total_bytes
        self._leaves_out = False
        # The objects so far by their offset and by their id: the kind and the id.
        self._known: dict[int | bytes, tuple[bytes, bytes]] = {}
        # The differences by the offset or the id of the object that they apply to.
        self._waiting: defaultdict[int | bytes, list[_Delta]] = defaultdict(list)

    def run(self) -> None:
        end = self._check_whole()
        for _ in range(self._read_count()):
            self._read_object()
        if self._file.tell() != end:
            raise _report_damage("it has other objects than announced")
        self._resolve_all()

    def _check_whole(self) -> int:
        """Check the digest at the end of the pack. Return where it begins."""
        digest = hashlib.new(self._folder.hash_name, usedforsecurity=False)
        end = self._file.seek(0, 2) - self._folder.id_bytes
        self._file.seek(0)
        left = max(0, end)
        while block := self._file.read(min(_BLOCK_BYTES, left)):
            digest.update(block)
            left -= len(block)
        # guard: source-git-whole-pack
        if self._file.read() != digest.digest():
            raise _report_damage("its digest is wrong")
        self._file.seek(0)
        return end

    def _read_count(self) -> int:
        header = self._read(12)
        if header[:4] != b"PACK" or header[4:8] not in (b"\0\0\0\2", b"\0\0\0\3"):
            raise _report_damage("it is no pack")
        count = int.from_bytes(header[8:], "big")
        if count > self._limits.objects:
            raise SourceRefusedError(
                f"The branch has {count:,} files and folders; at most {self._limits.objects:,} are read.",
                hint="Split the repository.",
            )
        return count

    def _read_object(self) -> None:
        offset = self._file.tell()
        number, size = self._read_head()
        if (kind := _KINDS.get(number)) is not None:
            content = self._inflate(size)
            self._record(offset, kind, self._folder.write(kind, size, content, self._limits.object_bytes))
            self._leaves_out |= size > self._limits.object_bytes
            return
        if number == OFS_DELTA:
            base: int | bytes = offset - self._read_distance()
        elif number == REF_DELTA:
            base = self._read(self._folder.id_bytes)
        else:
            raise _report_damage("it has an object of an unknown kind")
        self._waiting[base].append(_Delta(offset, self._file.tell(), size))
        for _ in self._inflate(size):
            pass

    def _record(self, offset: int, kind: bytes, object_id: bytes) -> None:
        self._known[offset] = self._known[object_id] = kind, object_id

    def _resolve_all(self) -> None:
        """Write the objects that are stored as differences, each after the one that it applies to."""
        ready = [base for base in self._waiting if base in self._known]
        while ready:
            base = ready.pop()
            kind, base_id = self._known[base]
            for delta in self._waiting.pop(base, ()):
                made = self._resolve(kind, base_id, delta)
                if made is not None:
                    self._record(delta.offset, kind, made)
                    ready += [each for each in (delta.offset, made) if each in self._waiting]
        if self._waiting and not self._leaves_out:
            raise _report_damage("it lacks objects")

    def _resolve(self, kind: bytes, base_id: bytes, delta: _Delta) -> bytes | None:
        """Write an object. Return its id, or None if it is too large, or the object that it applies to is."""
        base = self._folder.find(base_id.hex())
        limit = min(self._limits.delta_bytes, self._limits.object_bytes)
        if base is None or max(base.stat().st_size, delta.size) > self._limits.delta_bytes:
            self._leaves_out = True
            return None
        self._spend(base.stat().st_size)
        self._file.seek(delta.start)
        instructions = b"".join(self._inflate(delta.size))
        size = _read_result_size(instructions)
        # guard: source-git-delta-size
        if size > limit:
            self._leaves_out = True
            return None
        self._spend(size)
        try:
            content = apply_delta(base.read_bytes(), instructions)
        except ApplyDeltaError as error:
            raise _report_damage(str(error)) from error
        return self._folder.write(kind, size, content, limit)

    def _inflate(self, size: int) -> Iterator[bytes]:
        """Decompress content in blocks. It must have the announced size."""
        inflater = zlib.decompressobj()
        left = size
        while not inflater.eof:
            block = inflater.unconsumed_tail or self._file.read(min(_BLOCK_BYTES, size + 64))
            if not block:
                raise _report_damage("it ends early")
            try:
                part = inflater.decompress(block, min(_BLOCK_BYTES, left + 1))
            except zlib.error as error:
                raise _report_damage(str(error)) from error
            left -= len(part)
            # guard: source-git-object-size
            if left < 0:
                raise _report_damage("an object is larger than announced")
            self._spend(len(part))
            yield part
        if left:
            raise _report_damage("an object is smaller than announced")
        self._file.seek(-len(inflater.unused_data), 1)

    def _spend(self, count: int) -> None:
        self._bytes_left -= count
        # guard: source-git-unpacked-size
        if self._bytes_left < 0:
            raise SourceRefusedError(
                f"The files of the branch have more than {self._limits.total_bytes:,} bytes, which is the limit.",
                hint="Split the repository.",
            )

    def _read(self, count: int) -> bytes:
        found = self._file.read(count)
        if len(found) != count:
            raise _report_damage("it ends early")
        return found

    def _read_head(self) -> tuple[int, int]:
        """Read the kind and the size of an object."""
        byte = self._read(1)[0]
        number, size, shift = byte >> 4 & 7, byte & 15, 4
        while byte & 0x80 and shift <= _MAX_SHIFT:
            byte = self._read(1)[0]
            size |= (byte & 0x7F) << shift
            shift += 7
        return number, size

    def _read_distance(self) -> int:
        """Read how far before an object the one is that it applies to."""
        byte = self._read(1)[0]
        distance = byte & 0x7F
        while byte & 0x80 and distance < 1 << _MAX_SHIFT:
            byte = self._read(1)[0]
            distance = (distance + 1) << 7 | byte & 0x7F
        return distance


def _read_result_size(instructions: bytes) -> int:
    """Read the size of the object that instructions make, which follows the size of the one that they apply to."""
    sizes, size, shift = [], 0, 0
    for byte in instructions[:20]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if not byte & 0x80:
            sizes.append(size)
            size = shift = 0
    if len(sizes) < 2:
        raise _report_damage("a difference has no size")
    return sizes[1]


def _report_damage(reason: str) -> SourceUnavailableError:
    return SourceUnavailableError(f"The server sent a damaged pack: {reason}.")
