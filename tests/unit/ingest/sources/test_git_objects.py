"""Packs that lie: none takes more memory or disk than the limits allow, and none is unpacked in part."""

import hashlib
import zlib
from pathlib import Path

import pytest

from ingest.sources.errors import SourceRefusedError, SourceUnavailableError
from ingest.sources.git_objects import ObjectFolder, PackLimits, unpack_objects

_BLOB, _OFS_DELTA, _REF_DELTA = 3, 6, 7
_LIMITS = PackLimits(1_000_000, delta_bytes=200_000, total_bytes=5_000_000, objects=100)


def encode_size(size: int, shift: int = 7) -> bytes:
    """Encode a number in groups of seven bits, the lowest first."""
    encoded = bytearray()
    while True:
        encoded.append(size & 0x7F | (0x80 if size >> shift else 0))
        size >>= shift
        if not size:
            return bytes(encoded)


def build_object(kind: int, content: bytes, base: bytes = b"", size: int | None = None) -> bytes:
    size = len(content) if size is None else size
    head = bytes([(0x80 if size >> 4 else 0) | kind << 4 | size & 15]) + (encode_size(size >> 4) if size >> 4 else b"")
    return head + base + zlib.compress(content)


def build_pack(*objects: bytes, count: int | None = None) -> bytes:
    pack = b"PACK\0\0\0\2" + (len(objects) if count is None else count).to_bytes(4, "big") + b"".join(objects)
    return pack + hashlib.sha1(pack, usedforsecurity=False).digest()


def build_difference(base_size: int, size: int, *operations: bytes) -> bytes:
    return encode_size(base_size) + encode_size(size) + b"".join(operations)


def identify(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def unpack(tmp_path: Path, pack: bytes, limits: PackLimits = _LIMITS) -> ObjectFolder:
    (tmp_path / "pack").write_bytes(pack)
    folder = ObjectFolder(tmp_path / "objects", "sha1")
    unpack_objects(tmp_path / "pack", folder, limits)
    return folder


def read(folder: ObjectFolder, content: bytes) -> bytes | None:
    path = folder.find(identify(content))
    return None if path is None else path.read_bytes()


def test_objects_and_differences_are_unpacked_in_any_order(tmp_path: Path) -> None:
    base, second, third = b"0123456789", b"0123456789ab", b"0123456789abc"
    copy = b"\x90"  # An operation that copies as many bytes as the next byte says.
    objects = (
        build_object(_REF_DELTA, build_difference(12, 13, copy + b"\x0c", b"\1c"), bytes.fromhex(identify(second))),
        build_object(_REF_DELTA, build_difference(10, 12, copy + b"\x0a", b"\2ab"), bytes.fromhex(identify(base))),
        build_object(_BLOB, base),
        build_object(_BLOB, b""),
    )
    folder = unpack(tmp_path, build_pack(*objects))
    assert [read(folder, each) for each in (base, second, third, b"")] == [base, second, third, b""]


def test_an_object_above_the_limit_is_left_out_with_its_differences(tmp_path: Path) -> None:
    large = b"x" * 1_000_001
    insert = build_object(_REF_DELTA, build_difference(len(large), 1, b"\1a"), bytes.fromhex(identify(large)))
    folder = unpack(tmp_path, build_pack(build_object(_BLOB, large), insert, build_object(_BLOB, b"small")))
    assert [read(folder, each) for each in (large, b"a", b"small")] == [None, None, b"small"]


@pytest.mark.parametrize("size", [0, 10, 999, 1_001, 100_000])
def test_an_object_of_another_size_than_announced_is_an_error(tmp_path: Path, size: int) -> None:
    pack = build_pack(build_object(_BLOB, b"x" * 1_000, size=size))
    with pytest.raises(SourceUnavailableError, match="larger than announced" if size < 1_000 else "smaller"):
        unpack(tmp_path, pack)


def test_a_small_difference_that_makes_a_huge_object_is_left_out(tmp_path: Path) -> None:
    base = b"x" * 60_000
    copies = build_difference(60_000, 60_000 * 100, *[b"\xb0\x60\xea"] * 100)
    pack = build_pack(
        build_object(_BLOB, base),
        build_object(_REF_DELTA, copies, bytes.fromhex(identify(base))),
        build_object(_BLOB, b"b"),
    )
    folder = unpack(tmp_path, pack)
    assert (read(folder, b"x" * 6_000_000), read(folder, base)) == (None, base)


def test_a_small_pack_with_much_content_is_stopped_at_the_limit(tmp_path: Path) -> None:
    pack = build_pack(*[build_object(_BLOB, bytes([each]) * 1_000_000) for each in range(10)])
    assert len(pack) < 50_000
    with pytest.raises(SourceRefusedError, match="5,000,000 bytes"):
        unpack(tmp_path, pack)
    assert sum(each.stat().st_size for each in (tmp_path / "objects").rglob("*") if each.is_file()) <= 5_000_000


def test_a_pack_with_too_many_objects_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with pytest.raises(SourceRefusedError, match="at most 100"):
        unpack(tmp_path, build_pack(count=101))


def test_a_pack_with_a_wrong_digest_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailableError, match="digest"):
        unpack(tmp_path, build_pack(build_object(_BLOB, b"a"))[:-1] + b"\0")


@pytest.mark.parametrize(
    ("pack", "reason"),
    [
        (build_pack(build_object(_BLOB, b"a"), count=2), "an unknown kind|ends early|-3|other|incorrect"),
        (build_pack(build_object(_BLOB, b"a"), build_object(_BLOB, b"b"), count=1), "other objects"),
        (build_pack(build_object(0, b"a")), "unknown kind"),
        (build_pack(build_object(5, b"a")), "unknown kind"),
        (build_pack(b"\xbf" + b"\xff" * 500), "damaged"),
        (build_pack(build_object(_OFS_DELTA, b"\1\1\1a", b"\0")), "lacks objects"),
        (build_pack(build_object(_OFS_DELTA, b"\1\1\1a", b"\x7f")), "lacks objects"),
        (build_pack(build_object(_OFS_DELTA, b"\1\1\1a", b"\xff" * 50)), "damaged"),
        (build_pack(build_object(_REF_DELTA, b"\1\1\1a", b"\1" * 20)), "lacks objects"),
        (
            build_pack(build_object(_BLOB, b"a"), build_object(_REF_DELTA, b"\5\1\1a", bytes.fromhex(identify(b"a")))),
            "size",
        ),
        (
            build_pack(build_object(_BLOB, b"a"), build_object(_REF_DELTA, b"\xff", bytes.fromhex(identify(b"a")))),
            "no size",
        ),
        (b"PACK", "digest"),
        (b"", "digest"),
    ],
)
def test_a_damaged_pack_is_an_error(tmp_path: Path, pack: bytes, reason: str) -> None:
    with pytest.raises(SourceUnavailableError, match=reason):
        unpack(tmp_path, pack)
