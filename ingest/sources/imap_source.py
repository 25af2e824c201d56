"""The adapter of IMAP mailboxes."""

import re
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any

from imap_tools import AND, MailMessage

from ingest.sources.errors import ItemGoneError, ItemRefusedError, ItemUnchangedError, SourceUnavailableError
from ingest.sources.imap_connection import CheckedMailBox, open_mailbox, translate_errors
from ingest.sources.mailbox import MailboxOptions, build_server_url
from ingest.sources.port import OpenedItem, SourceChanges, SourceContext, SourceItem
from ingest.storage.tables.types import EML_MEDIA_TYPE
from ingest.storage.webhooks.destinations import Destinations

# The content of a message never changes as long as it has its number (RFC 9051, 2.3.1.1).
_VERSION = "1"
_HEADERS_AT_ONCE = 100
_BLOCK_BYTES = 1024 * 1024
_MAX_NAME_CHARS = 150
_DAY_SECONDS = 86_400.0
# Only the beginning of three headers, because headers may be as long as messages.
_HEADER_PARTS = "(UID RFC822.SIZE BODY.PEEK[HEADER.FIELDS (SUBJECT FROM DATE)]<0.16384>)"
_quoted = re.compile(rb'BODY\[\](?:<\d+>)? "(?P<content>(?:[^"\\]|\\.)*)"')
_unsafe = re.compile(r"[/\\\x00-\x1f\x7f]+")


class ImapSource:
    """The messages in some folders of a mailbox. Nothing is marked as read.

    The id of a message has its folder, the validity of the folder's numbers (UIDVALIDITY), and its number (UID).
    """

    def __init__(
        self,
        options: MailboxOptions,
        context: SourceContext,
        destinations: Destinations,
        *,
        tls: ssl.SSLContext | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._options = options
        self._context = context
        self._destinations = destinations
        self._tls = tls
        self._now = now
        self._connected: CheckedMailBox | None = None
        self._selected: tuple[str, int] | None = None

    def list_items(self) -> Iterator[SourceItem]:
        for folder in dict.fromkeys(self._options.folders):
            validity, uids = self._list_uids(folder)
            for at in range(0, len(uids), _HEADERS_AT_ONCE):
                for message in self._fetch_headers(folder, validity, uids[at : at + _HEADERS_AT_ONCE]):
                    yield _build_item(folder, validity, message)

    @contextmanager
    def open_item(self, item: SourceItem, known_version: str = "") -> Iterator[OpenedItem]:
        if known_version == _VERSION:
            raise ItemUnchangedError
        limit = self._context.max_item_bytes
        if item.size_bytes is not None and item.size_bytes > limit:
            raise ItemRefusedError(f"The message has {item.size_bytes:,} bytes; at most {limit:,} are read.")
        folder, validity, uid = item.id.rsplit("/", 2)
        if self._select(folder) != int(validity):
            raise ItemGoneError
        path = self._context.scratch / "message"
        size = 0
        with path.open("wb") as file:
            for block in self._iter_blocks(uid):
                size += len(block)
                if size > limit:
                    raise ItemRefusedError(f"The message has more than {limit:,} bytes, which is the limit.")
                file.write(block)
        with path.open("rb") as file:
            yield OpenedItem(item, iter(lambda: file.read(_BLOCK_BYTES), b""))

    def list_changes(self, cursor: str) -> SourceChanges | None:
        return None

    def close(self) -> None:
        if self._connected is not None:
            client = self._connected.client
            with suppress(client.error, OSError):
                client.logout()
            with suppress(OSError):
                client.shutdown()  # If the server did not accept the command, the connection is still open.
            self._connected = None

    @property
    def _mailbox(self) -> CheckedMailBox:
        if self._connected is None:
            options, seconds = self._options, self._context.timeout_seconds
            found = open_mailbox(self._destinations, build_server_url(options), options.security, seconds, self._tls)
            self._connected = found
            password = options.password.get_secret_value()
            with translate_errors(options.host, "rejected the user name or the password"):
                # All servers have LOGIN, which takes ASCII.
                login = found.login if (options.username + password).isascii() else found.login_utf8
                login(options.username, password, initial_folder=None)
        return self._connected

    def _select(self, folder: str) -> int:
        """Open a folder for reading, unless it is open, and return the validity of its numbers."""
        if self._selected is None or self._selected[0] != folder:
            mailbox = self._mailbox
            self._selected = None
            with translate_errors(self._options.host, f"does not open the folder {folder!r}"):
                mailbox.folder.set(folder, readonly=True)
            numbers = mailbox.client.untagged_responses.get("UIDVALIDITY")
            last = numbers[-1] if numbers else None
            if not isinstance(last, bytes) or not last.isdigit():
                raise SourceUnavailableError(
                    f"{self._options.host} keeps no lasting numbers of messages in {folder!r}."
                )
            self._selected = folder, int(last)
        return self._selected[1]

    def _list_uids(self, folder: str) -> tuple[int, list[str]]:
        validity = self._select(folder)
        days = self._options.days
        since = datetime.fromtimestamp(self._now() - days * _DAY_SECONDS, UTC).date() if days else None
        with translate_errors(self._options.host):
            return validity, self._mailbox.uids(AND(date_gte=since) if since else "ALL")

    def _fetch_headers(self, folder: str, validity: int, uids: list[str]) -> list[MailMessage]:
        # Between two batches, another folder may have been opened.
        if self._select(folder) != validity:
            raise SourceUnavailableError(f"The folder {folder!r} was replaced while it was listed.")
        found = self._fetch(",".join(uids), _HEADER_PARTS)
        return [
            MailMessage([each, *found[at + 1 : at + 2]]) for at, each in enumerate(found) if isinstance(each, tuple)
        ]

    def _fetch(self, uids: str, parts: str) -> list[Any]:
        with translate_errors(self._options.host):
            state, found = self._mailbox.client.uid("FETCH", uids, parts)
        if state != "OK":
            raise SourceUnavailableError(f"{self._options.host} did not return the messages: {found!r}.")
        return found

    def _iter_blocks(self, uid: str) -> Iterator[bytes]:
        """Yield a message block by block, so that a large one does not fill the memory."""
        offset = 0
        while True:
            found = self._fetch(uid, f"(BODY.PEEK[]<{offset}.{_BLOCK_BYTES}>)")
            if all(each is None for each in found):
                raise ItemGoneError
            block = b"".join(_find_content(each) for each in found)
            # A server may return less than asked for, so that only an empty block is the end.
            # guard: source-mail-whole
            if not block:
                return
            yield block
            offset += len(block)


def _find_content(response: bytes | tuple[bytes, bytes]) -> bytes:
    """Return the content in a part of a response: a literal, or a quoted string. Other parts have none."""
    if isinstance(response, tuple):
        return response[1]
    found = _quoted.search(response)
    return re.sub(rb"\\(.)", rb"\1", found["content"]) if found else b""


def _build_item(folder: str, validity: int, message: MailMessage) -> SourceItem:
    subject = _unsafe.sub("_", message.subject).strip()[:_MAX_NAME_CHARS] or "Message"
    sender = message.from_values
    return SourceItem(
        f"{folder}/{validity}/{message.uid}",
        f"{subject}.eml",
        _VERSION,
        message.size_rfc822 or None,
        EML_MEDIA_TYPE,
        path=folder,
        author="" if sender is None else sender.name or sender.email,
        modified_at=message.date.timestamp() if message.date_str else None,
    )
