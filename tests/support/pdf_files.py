"""Small PDF files written by hand, so that a test knows every byte of them."""

import hashlib
from collections.abc import Sequence

_PADDING = bytes.fromhex("28bf4e5e4e758a4164004e56fffa01082e2e00b6d0683e802f0ca9fe6453697a")
_PERMISSIONS = -4  # everything allowed
_FILE_ID = bytes(range(16))
_CATALOG = b"<< /Type /Catalog /Pages 2 0 R >>"
_FONT = b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"

Page = Sequence[str]


def pdf(pages: Sequence[Page], *, title: str | None = None, author: str = "", password: str | None = None) -> bytes:
    """A PDF 1.4 with lines of Windows-1252 text on each page; a page without lines holds a grey box.

    With `password` its streams are encrypted (RC4, 40 bits); the empty password opens without asking.
    """
    key = None if password is None else _file_key(password)
    numbers = range(4, 4 + 2 * len(pages), 2)
    kids = " ".join(f"{number} 0 R" for number in numbers)
    objects = [_CATALOG, f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>".encode(), _FONT]
    for number, lines in zip(numbers, pages, strict=True):
        objects.append(_page(number + 1))
        content = _content(lines)
        if key is not None:
            content = _rc4(_object_key(key, number + 1), content)
        objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content))
    trailer = b"/Root 1 0 R"
    if title is not None:
        names = [(b"Title", title), (b"Author", author)]
        entries = [b"/%b <feff%b>" % (name, text.encode("utf-16-be").hex().encode()) for name, text in names]
        objects.append(b"<< %b >>" % b" ".join(entries))
        trailer += b" /Info %d 0 R" % len(objects)
    if password is not None:
        objects.append(_encryption(password))
        identity = _FILE_ID.hex().encode()
        trailer += b" /Encrypt %d 0 R /ID [<%b> <%b>]" % (len(objects), identity, identity)
    return _file(objects, trailer)


def pdf_of_references(count: int, lines: Page = ("The lamp is lit.",)) -> bytes:
    """A PDF whose page tree names one page `count` times: six bytes a page."""
    kids = b" ".join([b"4 0 R"] * count)
    content = _content(lines)
    objects = [_CATALOG, b"<< /Type /Pages /Kids [%b] /Count %d >>" % (kids, count), _FONT, _page(5)]
    objects.append(b"<< /Length %d >>\nstream\n%b\nendstream" % (len(content), content))
    return _file(objects, b"/Root 1 0 R")


def pdf_of_nested_references(depth: int, width: int) -> bytes:
    """A PDF without counts, in whose page tree each of `depth` nodes names the next one `width` times."""
    kids = [b" ".join([b"%d 0 R" % (number + 1)] * width) for number in range(2, 2 + depth)]
    nodes = [b"<< /Type /Pages /Kids [%b] >>" % each for each in kids]
    return _file([_CATALOG, *nodes, b"<< /Type /Page /MediaBox [0 0 612 792] >>"], b"/Root 1 0 R")


def _page(content: int) -> bytes:
    return (
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> "
        b"/Contents %d 0 R >>" % content
    )


def _content(lines: Page) -> bytes:
    if not lines:
        return b"0.5 g 72 72 200 200 re f"
    shown = b" ".join(b"(%b) Tj T*" % _escaped(line) for line in lines)
    return b"BT /F1 11 Tf 14 TL 60 740 Td %b ET" % shown


def _escaped(line: str) -> bytes:
    return line.encode("cp1252").replace(b"\\", b"\\\\").replace(b"(", b"\\(").replace(b")", b"\\)")


def _file(objects: Sequence[bytes], trailer: bytes) -> bytes:
    out = b"%PDF-1.4\n%\xe2\xe3\xcf\xd3\n"
    offsets = []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    size = len(objects) + 1
    return out + (
        b"xref\n0 %d\n0000000000 65535 f \n%btrailer\n<< /Size %d %b >>\nstartxref\n%d\n%%%%EOF\n"
        % (size, table, size, trailer, len(out))
    )


def _encryption(password: str) -> bytes:
    """The standard security handler, revision 2 (ISO 32000-1, 7.6.3)."""
    check = _rc4(_file_key(password), _PADDING).hex().encode()
    owner = _owner_entry(password).hex().encode()
    return b"<< /Filter /Standard /V 1 /R 2 /O <%b> /U <%b> /P %d >>" % (owner, check, _PERMISSIONS)


def _owner_entry(password: str) -> bytes:
    return _rc4(hashlib.md5(_padded(password)).digest()[:5], _padded(password))


def _file_key(password: str) -> bytes:
    permissions = _PERMISSIONS.to_bytes(4, "little", signed=True)
    return hashlib.md5(_padded(password) + _owner_entry(password) + permissions + _FILE_ID).digest()[:5]


def _object_key(key: bytes, number: int) -> bytes:
    return hashlib.md5(key + number.to_bytes(3, "little") + bytes(2)).digest()[:10]


def _padded(password: str) -> bytes:
    return (password.encode("latin-1") + _PADDING)[:32]


def _rc4(key: bytes, content: bytes) -> bytes:
    state = list(range(256))
    j = 0
    for i in range(256):
        j = (j + state[i] + key[i % len(key)]) % 256
        state[i], state[j] = state[j], state[i]
    out = bytearray()
    i = j = 0
    for byte in content:
        i = (i + 1) % 256
        j = (j + state[i]) % 256
        state[i], state[j] = state[j], state[i]
        out.append(byte ^ state[(state[i] + state[j]) % 256])
    return bytes(out)
