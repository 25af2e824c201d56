"""Lists the pages of a site by following links, breadth first.

A page that cannot be read for now ends the list with an error, because its links are unknown: the pages that only it
links to would be missing from the list.
"""

from collections import deque
from collections.abc import Iterator

from ingest.sources.checked_http import Reply
from ingest.sources.errors import ItemGoneError, ItemRefusedError, SourceRefusedError, SourceUnavailableError
from ingest.sources.port import SourceItem
from ingest.sources.web_addresses import HTML_TYPES
from ingest.sources.web_reader import WebReader, build_item, check_status, is_readable_type
from ingest.sources.web_rules import SiteRules, check_first_reply

_MAX_SHOWN = 3


def list_linked_pages(rules: SiteRules, reader: WebReader) -> Iterator[SourceItem]:
    """List the start page and the pages below its folder that links lead to. See `Source.list_items`."""
    return _Crawl(rules, reader).list_items()


class _Crawl:
    """The state of one crawl: addresses that are known, and those of them that still have to be read."""

    def __init__(self, rules: SiteRules, reader: WebReader) -> None:
        self._rules = rules
        self._reader = reader
        self._known = {rules.start}
        self._waiting = deque([(rules.start, 0)])
        self._contents: set[bytes] = set()
        self._failures: list[str] = []
        self._is_refused = False

    def list_items(self) -> Iterator[SourceItem]:
        while self._waiting:
            url, depth = self._waiting.popleft()
            try:
                item = self._visit(url, depth)
            except ItemGoneError:
                continue
            except ItemRefusedError as error:
                if url == self._rules.start:
                    raise SourceRefusedError(error.detail, hint=error.hint) from error
                # Listed although it cannot be read: its document is kept, and the sync reports why.
                item = build_item(url)
            if item is not None and self._rules.is_wanted(item.url):
                yield item
        self._check_completeness()

    def _visit(self, url: str, depth: int) -> SourceItem | None:
        """Read a page and note its links. Returns None if it is not a document, or the same as another one."""
        with self._reader.open(url) as reply:
            if url == self._rules.start:
                check_first_reply(reply)
            if reply.status >= 500:
                self._failures.append(f"{url} (status {reply.status})")
                return None
            if reply.status not in (200, 404, 410):
                self._is_refused = True
            check_status(reply)
            if reply.url != url and not self._add_address(reply.url):
                return None
            if reply.media_type not in HTML_TYPES:
                is_readable = is_readable_type(reply.media_type)
                return self._reader.describe(reply, build_item(reply.url)) if is_readable else None
            return self._read_links(reply, depth)

    def _read_links(self, reply: Reply, depth: int) -> SourceItem | None:
        try:
            received = self._reader.receive(reply, build_item(reply.url))
        except ItemRefusedError as error:
            self._failures.append(error.detail)
            raise
        page = received.page
        # Some servers show one page for every address below it, and its relative links lead to ever longer addresses.
        # guard: source-link-loop
        if page is None or page.digest in self._contents:
            return None
        self._contents.add(page.digest)
        if depth < self._rules.options.max_depth:
            for link in page.links:
                self._add_link(link, depth + 1)
        canonical = page.canonical_url
        if canonical and canonical != reply.url and _is_same_but_for_query(canonical, reply.url):
            self._add_link(canonical, depth)
            return None
        return received.item

    def _add_link(self, url: str, depth: int) -> None:
        rules = self._rules
        is_followed = rules.site.contains(url) and not rules.is_excluded(url) and rules.robots.allows(url)
        if is_followed and self._add_address(url):
            self._waiting.append((url, depth))

    def _add_address(self, url: str) -> bool:
        """Record an address. Return whether it is new."""
        if url in self._known:
            return False
        self._known.add(url)
        self._rules.check_count(len(self._known))
        return True

    def _check_completeness(self) -> None:
        """Raise an error if pages may be missing from the list."""
        if self._failures:
            shown = ", ".join(self._failures[:_MAX_SHOWN])
            raise SourceUnavailableError(
                f"{len(self._failures)} pages could not be read, so their links are unknown: {shown}.",
                hint="Nothing was removed. Exclude these pages if they stay unreadable.",
            )
        if self._is_refused:
            # A firewall that has blocked this client in the middle of the crawl refuses the first page, too.
            # guard: source-blocked-crawl
            with self._reader.open(self._rules.start) as reply:
                check_first_reply(reply)


def _is_same_but_for_query(url: str, other: str) -> bool:
    return url.partition("?")[0] == other.partition("?")[0]
