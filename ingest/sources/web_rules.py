"""The rules about which addresses of a web site are read."""

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import cached_property
from urllib.parse import unquote, urlsplit

from ingest.sources.checked_http import Reply
from ingest.sources.errors import ItemRefusedError, SourceOptionsError, SourceRefusedError, SourceUnavailableError
from ingest.sources.web import WebOptions
from ingest.sources.web_addresses import Site
from ingest.sources.web_robots import Robots


class SiteRules:
    """Decides which addresses belong to the source. robots.txt is fetched when it is first needed."""

    def __init__(self, start: str, options: WebOptions, fetch_robots: Callable[[], Robots]) -> None:
        self.start = start
        self.options = options
        self.site = Site.of_page(start, is_whole=options.find == "sitemap")
        self._fetch_robots = fetch_robots

    @cached_property
    def robots(self) -> Robots:
        return self._fetch_robots()

    def check_hop(self, url: str) -> None:
        """Wait until an address may be requested. Raises `ItemRefusedError` if it may not."""
        # guard: source-stays-on-site
        self._require_on_site(url)
        if not self.robots.allows(url):
            raise ItemRefusedError(f"robots.txt of the site does not allow {url} to be read.")
        self.robots.wait_for_turn()

    def is_wanted(self, url: str) -> bool:
        """Return whether a page becomes a document."""
        patterns = self.options.include
        return (not patterns or _matches(url, patterns)) and not self.is_excluded(url)

    def is_excluded(self, url: str) -> bool:
        return _matches(url, self.options.exclude)

    def check_count(self, count: int) -> None:
        """Raise `SourceOptionsError` if there are too many addresses. A shorter list would remove documents."""
        # guard: source-page-limit
        if count > self.options.max_pages:
            raise SourceOptionsError(
                f"The site has more than {self.options.max_pages:,} addresses, the limit of this source.",
                hint="Increase the limit, or exclude parts of the site. Nothing was removed.",
            )

    def _require_on_site(self, url: str) -> None:
        if not self.site.contains(url):
            raise ItemRefusedError(f"The address leads to {url}, outside the site.")


def check_first_reply(reply: Reply) -> None:
    """Raise an error if the response to the first request is not a page, because then no page can be listed."""
    # guard: source-first-reply
    if reply.status in (401, 403):
        raise SourceRefusedError(f"{reply.url} answered with the status {reply.status}.")
    if reply.status != 200:
        raise SourceUnavailableError(f"{reply.url} answered with the status {reply.status}.")


def _matches(url: str, patterns: tuple[str, ...]) -> bool:
    path = unquote(urlsplit(url).path)
    return any(fnmatchcase(path, each) for each in patterns)
