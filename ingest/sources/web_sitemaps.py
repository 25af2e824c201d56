"""Lists the pages in sitemaps (sitemaps.org, protocol 0.9) and indexes of sitemaps, also compressed ones.

A sitemap is read piece by piece. Of each page, only a digest of its address is kept, to list it once.
"""

import gzip
import hashlib
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, cast

from lxml import etree

from ingest.sources.errors import ItemRefusedError, SourceRefusedError, SourceUnavailableError
from ingest.sources.port import SourceItem
from ingest.sources.web_addresses import HTML_TYPES, normalize_url
from ingest.sources.web_reader import WebReader, build_item
from ingest.sources.web_rules import SiteRules, check_first_reply

# An uncompressed sitemap has at most 50 MB by the protocol.
MAX_SITEMAP_BYTES = 50 * 1024 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
_DAY_CHARS = len("2026-12-02")
_LASTMOD = "lastmod:"


@dataclass(frozen=True)
class SitemapEntry:
    """A page, or another sitemap if `is_sitemap`. `modified` is the `lastmod` as written."""

    url: str
    modified: str
    is_sitemap: bool


def list_sitemap_pages(rules: SiteRules, reader: WebReader, scratch: Path) -> Iterator[SourceItem]:
    """List the pages of the site that its sitemaps name. See `Source.list_items`."""
    return _SitemapList(rules, reader, scratch).list_items()


def get_settled_version(item: SourceItem, now: float) -> str:
    """Return the version that a sitemap has given to an item, or nothing if that does not identify the content.

    Until the second or day of a `lastmod` is over, the page may change again and keep it.
    """
    span = parse_modified(item.version.removeprefix(_LASTMOD)) if item.version.startswith(_LASTMOD) else None
    # guard: source-lastmod-is-over
    return item.version if span is not None and span[1] <= now else ""


class _SitemapList:
    def __init__(self, rules: SiteRules, reader: WebReader, scratch: Path) -> None:
        self._rules = rules
        self._reader = reader
        self._path = scratch / "sitemap"
        self._pages: set[bytes] = set()
        self._disallowed = 0

    def list_items(self) -> Iterator[SourceItem]:
        sitemaps = deque(self._find_sitemaps())
        seen = set(sitemaps)
        while sitemaps:
            for entry in self._iter_entries(sitemaps.popleft()):
                if not entry.is_sitemap:
                    yield from self._list_page(entry)
                elif (address := self._check_sitemap(entry.url)) not in seen:
                    seen.add(address)
                    sitemaps.append(address)
                self._rules.check_count(len(self._pages) + len(seen) - 1)
        if self._disallowed and not self._pages:
            raise SourceRefusedError("robots.txt of the site allows none of the pages in its sitemap to be read.")

    def _find_sitemaps(self) -> list[str]:
        """Return the start address if it is a sitemap, or else the sitemaps that robots.txt names, or the usual one."""
        start = self._rules.start
        with self._reader.open(start) as reply:
            check_first_reply(reply)
            if reply.media_type not in HTML_TYPES:
                return [start]
        named = [self._check_sitemap(each) for each in self._rules.robots.list_sitemaps()]
        return named or [self._check_sitemap("/sitemap.xml")]

    def _iter_entries(self, url: str) -> Iterator[SitemapEntry]:
        try:
            with self._reader.open(url) as reply:
                check_first_reply(reply)
                reply.save(self._path, MAX_SITEMAP_BYTES)
        except ItemRefusedError as error:
            raise SourceRefusedError(error.detail) from error
        # The next sitemap is saved only after all entries of this one have been read.
        yield from iter_entries(self._path, url)

    def _check_sitemap(self, url: str) -> str:
        address = normalize_url(url, self._rules.start)
        if address is None or not self._rules.site.contains(address):
            raise SourceRefusedError(f"The site names the sitemap {url}, which is not on the site, so it is not read.")
        return address

    def _list_page(self, entry: SitemapEntry) -> Iterator[SourceItem]:
        rules = self._rules
        url = normalize_url(entry.url, rules.start, ignore_query=rules.options.ignore_query)
        if url is None or not rules.site.contains(url) or not rules.is_wanted(url):
            return
        key = hashlib.blake2b(url.encode(), digest_size=16).digest()
        if not rules.robots.allows(url):
            self._disallowed += 1
        elif key not in self._pages:
            self._pages.add(key)
            span = parse_modified(entry.modified)
            item = build_item(url)
            yield item if span is None else replace(item, version=_LASTMOD + entry.modified, modified_at=span[0])


def iter_entries(path: Path, url: str) -> Iterator[SitemapEntry]:
    """Yield the entries of a sitemap file. Raises `SourceUnavailableError` if it is damaged or not a sitemap."""
    with path.open("rb") as file:
        is_compressed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        content = _LimitedFile(gzip.GzipFile(fileobj=file) if is_compressed else file, url)
        try:
            yield from _parse_entries(cast(BinaryIO, content), url)
        except (etree.XMLSyntaxError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise SourceUnavailableError(f"{url} is not a complete sitemap: {error}") from error


def _parse_entries(file: BinaryIO, url: str) -> Iterator[SitemapEntry]:
    # Entities are not replaced and no DTD is loaded, so the file can neither grow nor name other files.
    events = etree.iterparse(file, events=("start", "end"), resolve_entities=False, load_dtd=False, no_network=True)
    depth, is_sitemap = 0, False
    for event, element in events:
        name = etree.QName(element).localname if isinstance(element.tag, str) else ""
        if event == "start":
            if depth == 0 and name not in ("urlset", "sitemapindex"):
                raise SourceUnavailableError(f"{url} is not a sitemap, but an XML file with the root <{name}>.")
            depth += 1
            continue
        depth -= 1
        is_sitemap = name == "sitemap"
        if depth == 1:
            if name in ("url", "sitemap") and (address := _find_text(element, "loc")):
                yield SitemapEntry(address, _find_text(element, "lastmod"), is_sitemap)
            element.getparent().remove(element)


def parse_modified(text: str) -> tuple[float, float] | None:
    """Parse a `lastmod` (W3C Datetime). Return its first second, and the first second after it, since 1970."""
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        length = timedelta(days=1) if len(text) == _DAY_CHARS else timedelta(seconds=1)
        return moment.timestamp(), (moment + length).timestamp()
    return None


def _find_text(element: etree._Element, name: str) -> str:
    for child in element:
        if isinstance(child.tag, str) and etree.QName(child).localname == name:
            return (child.text or "").strip()
    return ""


class _LimitedFile:
    """A file that may not be longer than a sitemap, however small its compressed form is."""

    def __init__(self, file: object, url: str) -> None:
        self._file = cast(BinaryIO, file)
        self._url = url
        self._remaining = MAX_SITEMAP_BYTES

    def read(self, size: int) -> bytes:
        block = self._file.read(size)
        self._remaining -= len(block)
        if self._remaining < 0:
            raise SourceUnavailableError(f"{self._url} has more than {MAX_SITEMAP_BYTES:,} bytes, uncompressed.")
        return block
