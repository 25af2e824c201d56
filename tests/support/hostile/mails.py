"""Messages and mailboxes with more parts, levels or headers than any has, and broken ones."""

import struct

from tests.support.containers import mailbox_of, message
from tests.support.hostile import Hostile, hostile
from tests.support.outlook_files import outlook_message

_HEAD = (
    b"From: a@example.org\nTo: b@example.org\nDate: Sat, 28 Nov 2026 10:00:00 +0000\nMessage-ID: <1@x>\n"
    b"Subject: Tides\n"
)
_MIME = _HEAD + b"MIME-Version: 1.0\n"


def _parts(count: int) -> bytes:
    part = b"--b\nContent-Type: application/octet-stream\nContent-Disposition: attachment; filename=a.txt\n\nx\n"
    return _MIME + b"Content-Type: multipart/mixed; boundary=b\n\n" + part * count + b"--b--\n"


def _levels(count: int) -> bytes:
    levels = b"".join(b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (n, n) for n in range(count))
    return _MIME + levels + b"\nThe end.\n"


def _messages_in_messages(count: int) -> bytes:
    return _MIME + (b"Content-Type: message/rfc822\n\n" + _HEAD) * count + b"\nThe innermost.\n"


def _attached(name: bytes, content: bytes) -> bytes:
    return (
        _MIME + b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nThe body.\n--b\nContent-Type: text/plain\n"
        b'Content-Disposition: attachment; filename="' + name + b'"\n\n' + content + b"\n--b--\n"
    )


def _looping_outlook() -> bytes:
    """Return a message whose table of sectors leads in circles."""
    content = bytearray(outlook_message("Tides", "Words."))
    fat = struct.unpack_from("<L", content, 76)[0]
    at = (fat + 1) * 512
    content[at : at + 400] = struct.pack("<100L", *([0, *range(99)]))
    return bytes(content)


MAILS: tuple[Hostile, ...] = (
    hostile("eml: 20,000 parts", "parts.eml", lambda: _parts(20_000), heavy=True),
    hostile("eml: 2,000 parts", "some-parts.eml", lambda: _parts(2_000), ready="Tides"),
    hostile("eml: parts in parts 3,000 deep", "levels.eml", lambda: _levels(3_000)),
    hostile("eml: messages in messages 500 deep", "inner.eml", lambda: _messages_in_messages(500), ready="Tides"),
    hostile(
        "eml: headers without end", "headers.eml", lambda: _HEAD + b"X-A: b\n" * 500_000, ready="Tides", heavy=True
    ),
    hostile(
        "eml: one header of 20 MB",
        "header.eml",
        lambda: _HEAD + b"Cc: " + b"a@b.c, " * 3_000_000 + b"\n\nBody.",
        ready="Tides",
        heavy=True,
    ),
    hostile(
        "eml: comments in comments",
        "comments.eml",
        lambda: _HEAD.replace(b"To: b", b"To: " + b"(" * 50_000 + b"b") + b"\nBody.",
        ready="Body.",
    ),
    hostile(
        "eml: encoded words that are none",
        "words.eml",
        lambda: _HEAD.replace(b"Tides", b"=?utf-8?b?" + b"=?" * 9_999) + b"\nBody.",
        ready="Body.",
    ),
    hostile(
        "eml: base64 that is none",
        "base64.eml",
        lambda: _MIME + b"Content-Transfer-Encoding: base64\n\n" + b"!@#$%^" * 1_000,
        ready="Tides",
    ),
    hostile(
        "eml: a character set that is none",
        "charset.eml",
        lambda: _MIME + b'Content-Type: text/plain; charset="\0x\xff"\n\nBody.',
        ready="Body.",
    ),
    hostile(
        "eml: cut off in an attachment",
        "cut.eml",
        lambda: message(attachments={"a.txt": b"x" * 9_000})[:-5_000],
        ready="Tides",
    ),
    hostile(
        "eml: an attachment with a path",
        "path.eml",
        lambda: _attached(b"../../etc/cron.d/x.txt", b"Words."),
        ready="etc/cron.d/x.txt",
    ),
    hostile(
        "eml: an attachment called by NUL and marks",
        "marks.eml",
        lambda: _attached("a\0\u202eb\u2066.txt".encode(), b"Words."),
        ready="The body.",
    ),
    hostile("eml: nothing but empty headers", "nothing.eml", lambda: b"From:\nDate:\nMessage-ID:\n\n\n"),
    hostile(
        "mbox: 30,000 messages of nothing",
        "many.mbox",
        lambda: mailbox_of(b"From: a@b.c\nDate: x\n\n") * 30_000,
        ready="mailbox",
        heavy=True,
    ),
    hostile(
        "mbox: a first line alone",
        "first.mbox",
        lambda: b"From a@b.c Sat Nov 28 10:00:00 2026\nX: y\n",
        ready="message",
    ),
    hostile("msg: cut off", "cut.msg", lambda: outlook_message("Tides", "Words.")[:3_000]),
    hostile("msg: sectors in circles", "loop.msg", _looping_outlook),
    hostile("ole: random", "random.doc", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(range(256)) * 20),
    hostile("ole: a header of zeros", "zeros.xls", lambda: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(5_000)),
)
