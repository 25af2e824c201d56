"""Reads single web pages: follows redirects, checks the status, and delivers the main content of HTML pages."""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

from ingest.parsing.registry import FORMATS
from ingest.sources.checked_http import BLOCK_BYTES, CheckedHttp, Reply, check_address
from ingest.sources.errors import (
    ItemGoneError,
    ItemRefusedError,
    ItemUnavailableError,
    ItemUnchangedError,
    SourceOptionsError,
)
from ingest.sources.port import OpenedItem, SourceContext, SourceItem
from ingest.sources.web_addresses import HTML_TYPES, complete_url, derive_name, normalize_url
from ingest.sources.web_pages import MAX_PAGE_BYTES, WebPage, read_page

_MAX_REDIRECTS = 10
_GONE = frozenset({404, 410})
_MAX_VALIDATOR_CHARS = 500
# A page that is changed twice within a second has the same date both times, so a date this fresh identifies no version.
_FRESH_SECONDS = 60.0
# Types of servers that do not know the type of a file. Its content decides, as for uploads.
_UNKNOWN_TYPES = frozenset({"", "application/octet-stream", "binary/octet-stream"})


@dataclass(frozen=True)
class ReceivedPage:
    """A page whose body has been received. `page` is set for HTML, `path` is the file with the content to deliver."""

    item: SourceItem
    path: Path
    page: WebPage | None


class WebReader:
    """Opens addresses. `check_hop` is called for each address before it is requested, and raises to refuse it."""

    def __init__(
        self,
        http: CheckedHttp,
        context: SourceContext,
        check_hop: Callable[[str], None],
        *,
        ignore_query: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._http = http
        self._context = context
        self._check_hop = check_hop
        self._ignore_query = ignore_query
        self._now = now

    @contextmanager
    def open(self, url: str, headers: Mapping[str, str] | None = None) -> Iterator[Reply]:
        """Open an address and follow its redirects, of which each is checked like an address of its own.

        Raises `ItemRefusedError` if a redirect is invalid or there are too many.
        """
        for _ in range(_MAX_REDIRECTS + 1):
            # guard: source-every-hop
            self._check_hop(url)
            with self._http.open(url, headers) as reply:
                location = reply.headers.get("location", "")
                if not 300 <= reply.status < 400 or reply.status == 304:
                    yield reply
                    return
            target = normalize_url(location, url) if location else None
            if target is None:
                raise ItemRefusedError(f"{url} redirects to the invalid address {location!r}.")
            url = target
        raise ItemRefusedError(f"{url} was reached after {_MAX_REDIRECTS} redirects and redirects again.")

    def describe(self, reply: Reply, item: SourceItem) -> SourceItem:
        """Describe an item with the headers of its response. The version is empty if the headers have none."""
        size = reply.headers.get("content-length", "")
        is_unknown = reply.media_type in _UNKNOWN_TYPES
        modified_at = reply.modified_at
        return replace(
            item,
            name=derive_name(item.url, reply.media_type),
            version=self._build_version(reply),
            media_type=None if is_unknown else reply.media_type,
            size_bytes=int(size) if size.isdecimal() and "content-encoding" not in reply.headers else None,
            modified_at=item.modified_at if modified_at is None else modified_at,
        )

    def receive(self, reply: Reply, item: SourceItem, known_version: str = "") -> ReceivedPage:
        """Receive the body of a page.

        Raises `ItemUnchangedError`, `ItemGoneError`, or `ItemRefusedError` if it cannot be read.
        """
        check_status(reply)
        if not is_readable_type(reply.media_type):
            raise ItemRefusedError(f"{reply.url} has the type {reply.media_type}, which is not read.")
        item = self.describe(reply, item)
        path = self._context.scratch / "page"
        page = None
        is_page = reply.media_type in HTML_TYPES
        reply.save(path, min(MAX_PAGE_BYTES, self._context.max_item_bytes) if is_page else self._context.max_item_bytes)
        if is_page:
            charset = _find_charset(reply)
            page = read_page(path, reply.url, charset, ignore_query=self._ignore_query)
            if page.content is not None:
                path.write_bytes(page.content)
            item = replace(item, author=page.author)
        if is_page or not item.version:
            item = replace(item, version=f"sha256:{_hash_file(path)}")
        if item.version == known_version:
            raise ItemUnchangedError
        return ReceivedPage(replace(item, size_bytes=path.stat().st_size), path, page)

    @contextmanager
    def open_item(self, item: SourceItem, known_version: str = "") -> Iterator[OpenedItem]:
        """Open an item, unless it still has the known version."""
        with self.open(item.url, build_conditions(known_version)) as reply:
            if reply.status == 304:
                raise ItemUnchangedError
            received = self.receive(reply, item, known_version)
        yield OpenedItem(received.item, _iter_blocks(received.path))

    def _build_version(self, reply: Reply) -> str:
        # The digest of a page's main content is the better version: menus and advertisements change more often.
        if reply.media_type in HTML_TYPES:
            return ""
        tag, date = reply.headers.get("etag", ""), reply.headers.get("last-modified", "")
        if tag and len(tag) <= _MAX_VALIDATOR_CHARS and tag.isascii():
            return f"etag:{tag}"
        modified_at = reply.modified_at
        if modified_at is not None and modified_at < self._now() - _FRESH_SECONDS:
            return f"modified:{date}"
        return ""


def build_conditions(version: str) -> dict[str, str]:
    """Build the headers of a conditional request (RFC 9110, 13.1)."""
    kind, _, value = version.partition(":")
    name = {"etag": "If-None-Match", "modified": "If-Modified-Since"}.get(kind)
    return {name: value} if name else {}


def check_status(reply: Reply) -> None:
    """Raise `ItemGoneError` or `ItemRefusedError` unless the response has a page."""
    if reply.status in _GONE:
        raise ItemGoneError
    if reply.status != 200:
        raise ItemUnavailableError(f"{reply.url} answered with the status {reply.status}.")


def is_readable_type(media_type: str) -> bool:
    """Return whether a parser reads this type. The content of text and of unknown types decides later."""
    return media_type in FORMATS or media_type.startswith("text/") or media_type in {*HTML_TYPES, *_UNKNOWN_TYPES}


def build_item(url: str) -> SourceItem:
    """Describe a page of which only the address is known."""
    parts = urlsplit(url)
    return SourceItem(url, derive_name(url, None), path=f"{parts.netloc}{parts.path}", url=url)


@contextmanager
def open_url(url: str, context: SourceContext) -> Iterator[OpenedItem]:
    """Open a single address that a person has entered, and follow its redirects.

    Raises `SourceOptionsError` if the address is invalid or not permitted, `ItemGoneError`, `ItemRefusedError`, or
    the errors of `CheckedHttp.open`.
    """
    address = complete_url(url)
    if address is None:
        raise SourceOptionsError(f"{url!r} is not the address of a web page. Enter an address such as https://a.org/b.")
    check_address(address, context)
    http = CheckedHttp(context.destinations, timeout_seconds=context.timeout_seconds)
    try:
        with WebReader(http, context, lambda _: None).open_item(build_item(address)) as opened:
            yield opened
    finally:
        http.close()


def _find_charset(reply: Reply) -> str | None:
    _, _, charset = reply.headers.get("content-type", "").lower().partition("charset=")
    return charset.partition(";")[0].strip(" \"'") or None


def _hash_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _iter_blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK_BYTES):
            yield block
