"""Blobs in a dictionary, counting what a read returns."""

from collections.abc import Mapping
from typing import BinaryIO


class MemoryBlobs:
    """`bytes_read` counts what reads returned."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.bytes_read = 0

    def put(self, key: str, content: bytes) -> None:
        self.kept[key] = content

    def put_file(self, key: str, file: BinaryIO) -> None:
        self.put(key, file.read())

    def put_all(self, contents: Mapping[str, bytes]) -> None:
        self.kept |= contents

    def read(self, key: str, start: int = 0, length: int | None = None) -> bytes:
        content = self.kept[key][start:] if length is None else self.kept[key][start : start + length]
        self.bytes_read += len(content)
        return content

    def discard_copies(self, key: str) -> None:
        """Nothing is copied."""

    def delete(self, key: str) -> int:
        return len(self.kept.pop(key, b""))
