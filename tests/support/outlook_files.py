"""Outlook messages for tests: an OLE file with the streams that a message has (MS-CFB, MS-OXMSG)."""

import struct
from collections.abc import Mapping

_SECTOR = 512
_NONE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
# Streams below this size would stand in a stream of their own, so that all are made longer.
_CUTOFF = 4096
_UNICODE, _BYTES, _BINARY = 0x001F, 0x001E, 0x0102
_CODE_PAGE = 0x3FFD


def ole_file(streams: Mapping[str, bytes]) -> bytes:
    """Return an OLE file; a name with a slash is a stream in a storage."""
    storages = sorted({name.rpartition("/")[0] for name in streams} - {""})
    order = [*storages, *streams]
    sectors: list[bytes] = []
    chains: list[list[int]] = []
    starts: dict[str, int] = {}
    for name, content in streams.items():
        starts[name] = len(sectors)
        pieces = [content[at : at + _SECTOR].ljust(_SECTOR, b"\0") for at in range(0, len(content), _SECTOR)]
        chains.append(list(range(len(sectors), len(sectors) + len(pieces))))
        sectors += pieces
    number = {name: index for index, name in enumerate(order, start=1)}

    def children(storage: str) -> list[int]:
        return [number[name] for name in order if name.rpartition("/")[0] == storage]

    def entry(name: str, kind: int, siblings: list[int], own: int, start: int = 0, size: int = 0) -> bytes:
        """Siblings hang on each other to the right, in their order: readers that walk the tree find them all."""
        at = siblings.index(own) if own in siblings else -1
        right = siblings[at + 1] if 0 <= at < len(siblings) - 1 else _NONE
        inner = children(name) if kind == 1 else children("") if kind == 5 else []
        encoded = (name.rpartition("/")[2] + "\0").encode("utf-16-le")
        head = encoded.ljust(64, b"\0") + struct.pack("<HBB", len(encoded), kind, 1)
        links = struct.pack("<LLL", _NONE, right, inner[0] if inner else _NONE)
        return head + links + bytes(36) + struct.pack("<LQ", start, size)

    entries = [entry("Root Entry", 5, [], 0, _END)]
    for name in order:
        siblings = children(name.rpartition("/")[0])
        if name in storages:
            entries.append(entry(name, 1, siblings, number[name]))
        else:
            entries.append(entry(name, 2, siblings, number[name], starts[name], len(streams[name])))
    directory = b"".join(entries).ljust(-(-len(entries) // 4) * _SECTOR, b"\0")
    first = len(sectors)
    pieces = [directory[at : at + _SECTOR] for at in range(0, len(directory), _SECTOR)]
    chains.append(list(range(first, first + len(pieces))))
    sectors += pieces
    fat_count = -(-(len(sectors) + 1) // (_SECTOR // 4 - 1))
    fat = [_NONE] * (fat_count * _SECTOR // 4)
    for chain in chains:
        for one, other in zip(chain, [*chain[1:], _END], strict=True):
            fat[one] = other
    fat_sectors = list(range(len(sectors), len(sectors) + fat_count))
    for sector in fat_sectors:
        fat[sector] = _FAT
    header = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(16) + struct.pack("<HHHHH6x", 0x3E, 3, 0xFFFE, 9, 6)
    header += struct.pack("<LLLLLLLLL", 0, fat_count, first, 0, _CUTOFF, _END, 0, _END, 0)
    header += struct.pack("<109L", *fat_sectors, *[_NONE] * (109 - fat_count))
    return header + b"".join(sectors) + struct.pack(f"<{len(fat)}L", *fat)


def outlook_message(
    subject: str, body: str, attachments: Mapping[str, bytes] | None = None, messages: Mapping[str, str] | None = None
) -> bytes:
    """Return a message of Outlook; `messages` are attached to it, their bodies by their subjects."""
    texts = {0x0037: subject, 0x1000: body, 0x0C1A: "Ann Poe", 0x001A: "IPM.Note"}
    streams = _properties("", texts, header=32)
    for index, (name, content) in enumerate((attachments or {}).items()):
        storage = f"__attach_version1.0_#{index:08X}/"
        streams |= _properties(storage, {0x3707: name}, {0x3701: content}, {0x3705: 1}, header=8)
    for index, (inner, text) in enumerate((messages or {}).items(), start=len(attachments or {})):
        storage = f"__attach_version1.0_#{index:08X}/"
        streams |= _properties(storage, {0x3001: inner}, numbers={0x3705: 5}, header=8)
        embedded = f"{storage}__substg1.0_3701000D/"
        streams |= _properties(embedded, {0x0037: inner, 0x1000: text, 0x0C1A: "Bob Poe"}, header=24)
        streams |= _properties(
            f"{embedded}__attach_version1.0_#00000000/",
            {0x3707: "inner.txt"},
            {0x3701: b"Words of an inner file."},
            {0x3705: 1},
            header=8,
        )
    return ole_file(streams)


def outlook_message_in(code_page: int, codec: str, subject: str, body: str) -> bytes:
    """Return a message whose texts are in a code page of Windows, as Outlook kept them before it kept Unicode."""
    streams: dict[str, bytes] = {}
    table = bytes(32) + struct.pack("<HHLLL", 3, _CODE_PAGE, 6, code_page, 0)
    for tag, text in {0x0037: subject, 0x1000: body, 0x0C1A: "Ann Poe"}.items():
        content = text.encode(codec)
        streams[f"__substg1.0_{tag:04X}{_BYTES:04X}"] = content.ljust(_CUTOFF)
        table += struct.pack("<HHLLL", _BYTES, tag, 6, len(content) + 1, 0)
    return ole_file({**streams, "__properties_version1.0": table.ljust(_CUTOFF, b"\0")})


def _properties(
    storage: str,
    texts: Mapping[int, str],
    binaries: Mapping[int, bytes] | None = None,
    numbers: Mapping[int, int] | None = None,
    *,
    header: int,
) -> dict[str, bytes]:
    streams: dict[str, bytes] = {}
    table = bytes(header)
    for tag, text in texts.items():
        streams[f"{storage}__substg1.0_{tag:04X}001F"] = text.ljust(_CUTOFF // 2).encode("utf-16-le")
        table += struct.pack("<HHLLL", _UNICODE, tag, 6, len(text) * 2 + 2, 0)
    for tag, content in (binaries or {}).items():
        streams[f"{storage}__substg1.0_{tag:04X}0102"] = content.ljust(_CUTOFF, b"\n")
        table += struct.pack("<HHLLL", _BINARY, tag, 6, len(content), 0)
    for tag, number in (numbers or {}).items():
        table += struct.pack("<HHLLL", 3, tag, 6, number, 0)
    streams[f"{storage}__properties_version1.0"] = table.ljust(_CUTOFF, b"\0")
    return streams
