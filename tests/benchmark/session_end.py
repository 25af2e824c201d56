"""Measure how soon access ends after an identity provider takes it away: `python -m tests.benchmark.session_end`.

Two API processes on PostgreSQL, a worker, and the certified provider. For each case, the seconds from the change at the
provider until the search, the portal and an open stream of each process refuse.
"""

import argparse
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from ingest.storage.queue.records import JobKind
from tests.support.certified_provider import CertifiedProvider, running_provider
from tests.support.cluster import Cluster, running_cluster, wait_until
from tests.support.postgres import running_postgres

_TEXT = "# Lighthouse\n\nAda Brandt kept the lighthouse.\n"
_PATIENCE_SECONDS = 120.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interval", type=float, default=10.0, help="seconds between refreshes of a session")
    interval = parser.parse_args().interval
    with ExitStack() as stack:
        provider = stack.enter_context(running_provider())
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        postgres = stack.enter_context(running_postgres())
        settings = {f"LEADLINE_{name.upper()}": str(value) for name, value in provider.settings.items()}
        settings["LEADLINE_OIDC_SESSION_REFRESH_SECONDS"] = str(interval)
        cluster = stack.enter_context(running_cluster(home, postgres.catalog_database(), apis=2, settings=settings))
        for port in cluster.replicas:
            wait_until(partial(_is_live, port), what="each process answers", seconds=_PATIENCE_SECONDS)
        documents = _upload(cluster)
        provider.set_service(cluster.url)
        changes: Mapping[str, Callable[[], None]] = {
            "disabled": lambda: provider.change_account("ann", disabled=True),
            "out of the group": lambda: provider.change_account("ann", groups=[]),
            "logged out by the provider": lambda: provider.end_sessions("ann"),
        }
        print(f"seconds with a refresh every {interval:g} s, of each process")
        for name, change in changes.items():
            provider.change_account("ann", disabled=False, groups=["lawyers"])
            found = _measure(cluster, provider, documents, change, is_left=name == "out of the group")
            print(f"{name}: " + "; ".join(f"{what} {' / '.join(found[what])}" for what in sorted(found)), flush=True)


def _measure(
    cluster: Cluster,
    provider: CertifiedProvider,
    documents: tuple[str, str],
    change: Callable[[], None],
    *,
    is_left: bool,
) -> dict[str, list[str]]:
    """Sign ann in, and return the seconds until each kind of access ended, for each process."""
    closed, waiting = documents
    found: dict[str, list[str]] = {}
    with ExitStack() as stack:
        browsers = [stack.enter_context(_browser(port)) for port in cluster.replicas]
        asked = browsers[0].get("/sign-in/provider").headers["location"]
        back = urlsplit(provider.sign_in(asked, "ann"))
        assert browsers[0].get(f"{back.path}?{back.query}").status_code == 303
        browsers[1].cookies.update(browsers[0].cookies)
        csrf = browsers[0].get("/v1/session").json()["csrf"]

        def can_search(http: httpx.Client) -> bool:
            query = {"query": "Who kept the lighthouse?"}
            response = http.post("/v1/search", json=query, headers={"X-CSRF-Token": csrf})
            return response.status_code == 200 and closed in response.text

        checks: dict[str, Callable[[httpx.Client], bool]] = {"search": can_search}
        if not is_left:  # Who leaves a group stays signed in.
            checks["portal"] = lambda http: http.get("/library").status_code == 200
        assert all(check(http) for http in browsers for check in checks.values())
        streams = [] if is_left else [_follow(http, f"/v1/documents/{waiting}/events") for http in browsers]
        started = time.monotonic()
        change()
        threads = [_Watch(what, partial(check, http), started) for what, check in checks.items() for http in browsers]
        threads += [_Watch("stream", stream.is_alive, started) for stream in streams]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(_PATIENCE_SECONDS)
            found.setdefault(thread.what, []).append("no end" if thread.seconds is None else f"{thread.seconds:.1f}")
    return found


class _Watch(threading.Thread):
    """Asks until access has ended, and keeps the seconds since the start."""

    def __init__(self, what: str, has_access: Callable[[], bool], since: float) -> None:
        super().__init__(daemon=True)
        self.what, self._has_access, self._since = what, has_access, since
        self.seconds: float | None = None

    def run(self) -> None:
        while self._has_access():
            if time.monotonic() - self._since > _PATIENCE_SECONDS:
                return
            time.sleep(0.1)
        self.seconds = time.monotonic() - self._since


def _follow(http: httpx.Client, path: str) -> threading.Thread:
    """Read a stream in a thread that ends with the stream."""

    def read() -> None:
        url = f"{http.base_url}{path}"
        # A stream that ends early is what is waited for.
        with suppress(httpx.HTTPError), httpx.stream("GET", url, cookies=http.cookies, timeout=60) as response:
            for _ in response.iter_lines():
                pass

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


@contextmanager
def _browser(port: int) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as http:
        yield http


def _is_live(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/live").status_code == 200
    except httpx.TransportError:
        return False


def _upload(cluster: Cluster) -> tuple[str, str]:
    """Upload a document for the group `lawyers`, and one that waits for a worker."""
    closed = cluster.request(
        "POST", "/v1/documents", params={"name": "closed.md", "readers": "group:lawyers"}, content=_TEXT.encode()
    ).json()["id"]
    wait_until(
        lambda: cluster.request("GET", f"/v1/documents/{closed}").json()["state"] == "ready",
        what="the document is ready",
        seconds=_PATIENCE_SECONDS,
    )
    cluster.jobs.pause_kind(JobKind.INGEST)
    return str(closed), cluster.upload(f"{_TEXT} It waits.", "waiting.md")


if __name__ == "__main__":
    main()
