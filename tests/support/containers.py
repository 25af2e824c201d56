"""Archives, messages and mailboxes for tests, made in memory."""

import io
import zipfile
from collections.abc import Mapping
from email.message import EmailMessage


def zip_of(entries: Mapping[str, bytes | str]) -> bytes:
    """Return a ZIP archive of these files, the same bytes each time."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return content.getvalue()


def message(
    subject: str = "Tides",
    body: str = "The flood comes at six.",
    *,
    html: str | None = None,
    attachments: Mapping[str, bytes] | None = None,
    sender: str = "Ann Poe <ann@example.org>",
    date: str = "Sat, 28 Nov 2026 10:00:00 +0000",
) -> bytes:
    """Return a message in the form of RFC 5322."""
    made = EmailMessage()
    made["From"], made["To"] = sender, "bob@example.org"
    made["Subject"], made["Date"] = subject, date
    made["Message-ID"], made["MIME-Version"] = "<1@example.org>", "1.0"
    made.set_content(body)
    if html is not None:
        made.add_alternative(html, subtype="html")
    for name, data in (attachments or {}).items():
        made.add_attachment(data, maintype="application", subtype="octet-stream", filename=name)
    return made.as_bytes()


def mailbox_of(*messages: bytes) -> bytes:
    """Return a mailbox in the form of RFC 4155."""
    first = b"From ann@example.org Sat Nov 28 10:00:00 2026\n"
    return b"".join(first + each.replace(b"\r\n", b"\n").replace(b"\nFrom ", b"\n>From ") + b"\n" for each in messages)
