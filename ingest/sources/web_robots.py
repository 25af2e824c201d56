"""The rules of a site's robots.txt (RFC 9309)."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ingest.sources.checked_http import MAX_WAIT_SECONDS, USER_AGENT, CheckedHttp
from ingest.sources.errors import ItemRefusedError, SourceRefusedError, SourceUnavailableError

if TYPE_CHECKING:
    from protego import Protego

# Crawlers must read at least 500 KiB, and may ignore the rest (RFC 9309, 2.5).
_MAX_BYTES = 500 * 1024


class Robots:
    """Tells which addresses may be read, and waits between requests as robots.txt asks."""

    def __init__(self, rules: "Protego", *, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._rules = rules
        self._clock = clock
        self._sleep = sleep
        self._delay_seconds = _find_delay(rules)
        self._next_at = 0.0

    def allows(self, url: str) -> bool:
        # guard: source-robots
        return bool(self._rules.can_fetch(url, USER_AGENT))

    def list_sitemaps(self) -> list[str]:
        """List the sitemaps that robots.txt names."""
        return list(self._rules.sitemaps)

    def wait_for_turn(self) -> None:
        """Wait until the next request may be sent."""
        now = self._clock()
        if now < self._next_at:
            self._sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + self._delay_seconds


def fetch_robots(http: CheckedHttp, url: str, folder: Path, *, clock: Callable[[], float]) -> Robots:
    """Fetch the robots.txt of a page's server. A server without one allows everything.

    Raises `SourceUnavailableError` if the rules are temporarily unknown, because then nothing may be read (RFC 9309,
    2.3.1.4), and `SourceRefusedError` if requests would have to be too far apart.
    """
    from protego import Protego

    parts = urlsplit(url)
    address = f"{parts.scheme}://{parts.netloc}/robots.txt"
    text = ""
    for _ in range(5):  # RFC 9309, 2.3.1.2: crawlers should follow at least five redirects.
        with http.open(address) as reply:
            if reply.status >= 500:
                raise SourceUnavailableError(f"{address} answered with the status {reply.status}.")
            location = reply.headers.get("location", "")
            if 300 <= reply.status < 400 and location.startswith("/"):
                address = f"{parts.scheme}://{parts.netloc}{location}"
                continue
            if reply.status == 200:
                text = _read_text(folder / "robots.txt", reply.save)
            break
    return Robots(Protego.parse(text), clock=clock, sleep=http.sleep)


def _read_text(path: Path, save: Callable[[Path, int], None]) -> str:
    try:
        save(path, _MAX_BYTES)
    except ItemRefusedError:  # The rest is ignored.
        if not path.exists():
            raise SourceRefusedError("robots.txt of the site is too large.") from None
    with path.open("rb") as file:
        return file.read(_MAX_BYTES).decode("utf-8", "replace")


def _find_delay(rules: "Protego") -> float:
    rate = rules.request_rate(USER_AGENT)
    delay = float(rules.crawl_delay(USER_AGENT) or 0.0)
    seconds = max(delay, rate.seconds / rate.requests if rate is not None and rate.requests else 0.0)
    if seconds > MAX_WAIT_SECONDS:
        raise SourceRefusedError(
            f"robots.txt asks for a pause of {seconds:g} seconds between two requests; at most {MAX_WAIT_SECONDS:g} "
            "seconds are waited.",
            hint=f"Ask the owner of the site to allow the user agent {USER_AGENT!r} shorter pauses.",
        )
    return seconds
