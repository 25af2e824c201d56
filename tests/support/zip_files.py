"""Zip and OLE files made for tests, sound and broken."""

import struct
import zipfile
from collections.abc import Mapping
from io import BytesIO

_FREE, _END_OF_CHAIN, _FAT_SECTOR = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD


def zipped(parts: Mapping[str, str | bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """Return an archive of these entries, in this order; an entry called `mimetype` is stored, as its formats ask.

    The same entries give the same bytes at any time, which names of tests are made of.
    """
    target = BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in parts.items():
            stored = zipfile.ZIP_STORED if name == "mimetype" else compression
            archive.writestr(zipfile.ZipInfo(name), content, stored)
    return target.getvalue()


def unzipped(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def ole(*streams: str) -> bytes:
    """Return an OLE file whose root has empty streams of these names, each the right sibling of the one before."""
    header = bytearray(512)
    header[:8] = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
    struct.pack_into("<5H", header, 24, 0x3E, 3, 0xFFFE, 9, 6)
    struct.pack_into("<2L", header, 44, 1, 1)  # one FAT sector; the directory starts at sector 1
    struct.pack_into("<109L", header, 76, 0, *[_FREE] * 108)
    names = ("Root Entry", *streams)
    sectors = -(-len(names) // 4)
    chain = [_FAT_SECTOR, *range(2, sectors + 1), _END_OF_CHAIN]
    fat = struct.pack("<128L", *chain, *[_FREE] * (128 - len(chain)))
    directory = b""
    for at, name in enumerate(names):
        raw = name.encode("utf-16-le") + b"\0\0"
        right = at + 1 if 0 < at < len(streams) else _FREE
        child = 1 if at == 0 and streams else _FREE
        entry = raw.ljust(64, b"\0") + struct.pack("<HBB3L", len(raw), 2 if at else 5, 1, _FREE, right, child)
        directory += entry.ljust(128, b"\0")
    return bytes(header) + fat + directory.ljust(sectors * 512, b"\0")
