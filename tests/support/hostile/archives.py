"""Archives that explode, reach out of themselves, lie about their content or are broken."""

import io
import stat
import struct
import zipfile
from functools import cache

from tests.support.containers import zip_of
from tests.support.hostile import Hostile, hostile
from tests.support.pdf_files import pdf

_NOTE = "A plain note."


def _bomb(megabytes: int) -> bytes:
    return zip_of({"bomb.txt": b"0" * (megabytes * 1024**2)})


@cache
def _tower(levels: int, width: int) -> bytes:
    """Return archives in archives, `width` in each, with a large text in the innermost."""
    content = zip_of({"bottom.txt": b"0" * 10_000_000})
    for _ in range(levels):
        content = zip_of({f"{number}.zip": content for number in range(width)})
    return content


def _overlapping() -> bytes:
    """Return an archive whose directory names one packed entry a thousand times, as in D. Fifield's bomb."""
    content = bytearray(zip_of({"a.txt": b"0" * 1_000_000}))
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry = bytes(content[start:end])
    entries = b"".join(entry[:46] + b"%05d" % number + entry[51:] for number in range(1_000))
    tail = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1_000, 1_000, len(entries), start, 0)
    return bytes(content[:start]) + entries + tail


def _special(mode: int) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        info = zipfile.ZipInfo("passwd.txt")
        info.create_system, info.external_attr = 3, mode << 16
        archive.writestr(info, "/etc/passwd")
    return made.getvalue()


def _patched(changes: dict[bytes, tuple[int, bytes]]) -> bytes:
    """Return a small archive with bytes changed at offsets behind marks."""
    content = bytearray(zip_of({"note.txt": _NOTE * 20}))
    for mark, (offset, value) in changes.items():
        at = content.index(mark) + offset
        content[at : at + len(value)] = value
    return bytes(content)


def _zip64_lie() -> bytes:
    end64 = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2**60, 2**60, 2**60, 0)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    return b"PK\x03\x04" + bytes(26) + end64 + locator + end


def _many(count: int) -> bytes:
    return zip_of({f"{number}.txt": b"x" for number in range(count)})


ARCHIVES: tuple[Hostile, ...] = (
    hostile("zip: a bomb", "bomb.zip", lambda: _bomb(300), heavy=True),
    hostile(
        "zip: a small bomb among notes",
        "mixed.zip",
        lambda: zip_of({"a.txt": _NOTE, "b.txt": b"0" * 40_000_000}),
        ready="inflates to more than",
    ),
    hostile("zip: overlapping entries", "overlap.zip", _overlapping),
    hostile("zip: nested 12 deep", "deep.zip", lambda: _tower(12, 1), ready="0.zip"),
    hostile("zip: nested 4 deep and 6 wide", "wide.zip", lambda: _tower(4, 6), ready="0.zip", heavy=True),
    hostile(
        "zip: slips",
        "slip.zip",
        lambda: zip_of({"../../../../tmp/slip.txt": _NOTE, "/etc/cron.d/x.txt": _NOTE}),
        ready="etc/cron.d/x.txt",
    ),
    hostile(
        "zip: drives and devices",
        "win.zip",
        lambda: zip_of({"C:\\a.txt": _NOTE, "..\\..\\b.txt": _NOTE}),
        ready="b.txt",
    ),
    hostile("zip: names with direction marks", "rtl.zip", lambda: zip_of({"gpj.\u202etxt.exe": _NOTE}), ready="exe"),
    hostile(
        "zip: names with line ends and marks", "ctl.zip", lambda: zip_of({"a\r\nb\x1b[2J.txt": _NOTE}), ready="b[2J"
    ),
    hostile(
        "zip: a very long name", "long.zip", lambda: zip_of({"d/" * 3_000 + "x" * 5_000 + ".txt": _NOTE}), ready="xxx"
    ),
    hostile("zip: a link", "link.zip", lambda: _special(stat.S_IFLNK | 0o777)),
    hostile("zip: a device", "device.zip", lambda: _special(stat.S_IFBLK | 0o600)),
    hostile(
        "zip: encrypted", "secret.zip", lambda: _patched({b"PK\x03\x04": (6, b"\x01"), b"PK\x01\x02": (8, b"\x01")})
    ),
    hostile(
        "zip: an unknown method",
        "method.zip",
        lambda: _patched({b"PK\x03\x04": (8, b"\x63"), b"PK\x01\x02": (10, b"\x63")}),
    ),
    hostile(
        "zip: a wrong checksum",
        "crc.zip",
        lambda: _patched({b"PK\x03\x04": (14, b"\0\0\0\0"), b"PK\x01\x02": (16, b"\0\0\0\0")}),
    ),
    hostile(
        "zip: a size that lies", "lies.zip", lambda: _patched({b"PK\x01\x02": (24, b"\x01\0\0\0")}), ready="note.txt"
    ),
    hostile(
        "zip: an offset beyond the end", "offset.zip", lambda: _patched({b"PK\x01\x02": (42, b"\xff\xff\xff\x7f")})
    ),
    hostile("zip: cut off", "cut.zip", lambda: _many(50)[:-200]),
    hostile("zip: its first bytes alone", "head.zip", lambda: b"PK\x03\x04" + bytes(40)),
    hostile("zip: sizes of 2^60", "zip64.zip", _zip64_lie),
    hostile("zip: empty", "empty.zip", lambda: b"PK\x05\x06" + bytes(18)),
    hostile("zip: folders alone", "folders.zip", lambda: zip_of({"a/": b"", "a/b/": b""})),
    hostile("zip: programs alone", "programs.zip", lambda: zip_of({"a.exe": b"MZ\x90\0\x03" + bytes(99)})),
    hostile(
        "zip: pictures alone",
        "pictures.zip",
        lambda: zip_of({"a.png": b"\x89PNG\r\n\x1a\n" + bytes(99)}),
        ready="a.png",
    ),
    hostile("zip: 30,000 entries", "many.zip", lambda: _many(30_000), ready="An archive of 30,000", heavy=True),
    hostile(
        "polyglot: PDF and zip", "both.pdf", lambda: pdf([["A page."]]) + zip_of({"note.txt": _NOTE}), ready="A page."
    ),
    hostile(
        "polyglot: zip behind a picture",
        "both.zip",
        lambda: b"\x89PNG\r\n\x1a\n" + bytes(64) + zip_of({"a.txt": _NOTE}),
    ),
    hostile(
        "polyglot: HTML and zip", "both.html", lambda: b"<html><body>A page.</body></html>" + zip_of({"a.txt": _NOTE})
    ),
    hostile("gzip: a bomb", "bomb.gz", lambda: __import__("gzip").compress(b"0" * 50_000_000)),
    hostile("tar", "a.tar", lambda: b"../../etc/passwd".ljust(257, b"\0") + b"ustar\x0000" + bytes(247)),
    hostile("7z: its first bytes", "a.7z", lambda: b"7z\xbc\xaf\x27\x1c\x00\x04" + bytes(100)),
)
