"""The adapter of web sites."""

import base64
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from ingest.sources.checked_http import CheckedHttp
from ingest.sources.port import OpenedItem, SourceChanges, SourceContext, SourceItem
from ingest.sources.web import WebOptions
from ingest.sources.web_crawl import list_linked_pages
from ingest.sources.web_reader import WebReader
from ingest.sources.web_robots import fetch_robots
from ingest.sources.web_rules import SiteRules
from ingest.sources.web_sitemaps import get_settled_version, list_sitemap_pages


class WebSource:
    """The pages of one web site. `clock` and `sleep` keep the pauses that the site asks for."""

    def __init__(
        self,
        start: str,
        options: WebOptions,
        context: SourceContext,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._scratch = context.scratch
        self._now = now
        headers = {}
        if options.username:
            credentials = f"{options.username}:{options.password.get_secret_value()}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
        seconds = context.timeout_seconds
        self._http = CheckedHttp(context.destinations, timeout_seconds=seconds, headers=headers, sleep=sleep)
        self._rules = SiteRules(start, options, lambda: fetch_robots(self._http, start, context.scratch, clock=clock))
        hop = self._rules.check_hop
        self._reader = WebReader(self._http, context, hop, ignore_query=options.ignore_query, now=now)

    def list_items(self) -> Iterator[SourceItem]:
        if self._rules.options.find == "sitemap":
            return list_sitemap_pages(self._rules, self._reader, self._scratch)
        return list_linked_pages(self._rules, self._reader)

    @contextmanager
    def open_item(self, item: SourceItem, known_version: str = "") -> Iterator[OpenedItem]:
        with self._reader.open_item(item, known_version) as opened:
            settled = get_settled_version(item, self._now())
            yield replace(opened, item=replace(opened.item, version=settled)) if settled else opened

    def list_changes(self, cursor: str) -> SourceChanges | None:
        return None

    def close(self) -> None:
        self._http.close()
