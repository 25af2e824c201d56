"""Sites that misbehave, against a real server: nothing is read that must not be, and no short list looks complete."""

import gzip
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ingest.sources.errors import (
    ItemGoneError,
    ItemRefusedError,
    ItemUnchangedError,
    SourceOptionsError,
    SourceRefusedError,
    SourceUnavailableError,
)
from ingest.sources.port import SourceContext, SourceItem
from ingest.sources.web import WebOptions
from ingest.sources.web_reader import build_item, open_url
from ingest.sources.web_site import WebSource
from ingest.storage.webhooks.destinations import Destinations
from tests.support.web_server import Request, WebServer, build_sitemap, open_web_server

_PROSE = "<p>The pump is serviced by trained staff every 500 hours, and each service is recorded in the log.</p>"


@pytest.fixture
def server() -> Iterator[WebServer]:
    with open_web_server() as site:
        yield site


@pytest.fixture
def context(tmp_path: Path) -> SourceContext:
    return SourceContext(Destinations.parse("127.0.0.0/8"), tmp_path, timeout_seconds=5)


class Waits(list[float]):
    """A clock that runs only while somebody sleeps."""

    def sleep(self, seconds: float) -> None:
        self.append(seconds)

    def clock(self) -> float:
        return sum(self)


def list_pages(
    server: WebServer,
    context: SourceContext,
    path: str = "/",
    waits: Waits | None = None,
    **options: Any,  # noqa: ANN401
) -> dict[str, SourceItem]:
    waits = Waits() if waits is None else waits
    found = WebOptions(url=server.url + path, **options)
    with closing(WebSource(server.url + path, found, context, clock=waits.clock, sleep=waits.sleep)) as source:
        return {item.id.removeprefix(server.url): item for item in source.list_items()}


def read_page(server: WebServer, context: SourceContext, item: SourceItem, known: str = "", **options: Any) -> bytes:  # noqa: ANN401
    waits = Waits()
    found = WebOptions(url=f"{server.url}/", **options)
    source = WebSource(f"{server.url}/", found, context, clock=waits.clock, sleep=waits.sleep)
    with closing(source), source.open_item(item, known) as opened:
        return b"".join(opened.blocks)


def page(*links: str, text: str = "") -> str:
    return (
        f"<html><body><h1>{text}</h1>{_PROSE}" + "".join(f"<a href='{each}'>x</a>" for each in links) + "</body></html>"
    )


def test_links_are_followed_below_the_folder_of_the_address_only(server: WebServer, context: SourceContext) -> None:
    server.add("/docs/", page("a", "../secret", "http://127.0.0.2/docs/b", "mailto:a@b.org", "a#part", text="1"))
    server.add("/docs/a", page("/docs/", "deeper/c.pdf", "clip.mp4", text="2")).add("/secret", page(text="3"))
    server.add("/docs/deeper/c.pdf", b"%PDF-1.7", "application/pdf", ETag='"1"').add("/docs/clip.mp4", b"", "video/mp4")
    found = list_pages(server, context, "/docs/")
    assert set(found) == {"/docs/", "/docs/a", "/docs/deeper/c.pdf"}
    assert "/secret" not in server.requests
    assert found["/docs/deeper/c.pdf"].version == 'etag:"1"'
    assert found["/docs/a"].version.startswith("sha256:")


def test_loops_of_links_end(server: WebServer, context: SourceContext) -> None:
    server.add("/", page("/a", text="1")).add("/a", page("/", "/b/", text="2"))
    # A server that answers every address below with the same page, whose relative link leads ever deeper.
    server.answer_others = lambda request: request.reply(page("deeper/", text="3").encode())
    server.add("/robots.txt", "", "text/plain")
    assert len(list_pages(server, context)) == 3


def test_a_trap_without_end_ends_at_the_depth_and_at_the_limit_of_pages(
    server: WebServer, context: SourceContext
) -> None:
    def calendar(request: Request) -> None:
        month = int(request.path.rpartition("=")[2] or 0)
        request.reply(page(*(f"/?month={month * 10 + n}" for n in range(1, 10)), text=str(month)).encode())

    server.answer_others = calendar
    server.add("/robots.txt", "", "text/plain").add("/", page("/?month=1", text="start"))
    assert len(list_pages(server, context, max_depth=2)) == 11
    with pytest.raises(SourceOptionsError, match="more than 50"):
        list_pages(server, context, max_pages=50, max_depth=3)
    assert set(list_pages(server, context, ignore_query=True)) == {"/"}


def test_a_page_with_a_session_in_its_address_is_its_canonical_page(server: WebServer, context: SourceContext) -> None:
    head = "<link rel=canonical href='/a'>"
    server.add("/", page("/a?sid=1", "/a?sid=2", text="1"))
    for n in (1, 2):
        server.add(f"/a?sid={n}", head + page(text=f"2 {n}"))
    server.add("/a", head + page(text="2"))
    assert set(list_pages(server, context)) == {"/", "/a"}


def test_robots_txt_is_honoured_with_its_pauses(server: WebServer, context: SourceContext) -> None:
    rules = "User-agent: *\nDisallow: /private\nCrawl-delay: 7\n"
    server.add("/robots.txt", rules, "text/plain").add("/", page("/a", "/private/b", text="1")).add(
        "/a", page(text="2")
    )
    server.redirect("/c", "/private/b").add("/private/b", page(text="3"))
    waits = Waits()
    assert set(list_pages(server, context, waits=waits)) == {"/", "/a"}
    assert list(waits) == [7.0]
    assert "/private/b" not in server.requests
    with pytest.raises(ItemRefusedError, match=r"robots\.txt"):
        read_page(server, context, build_item(f"{server.url}/c"))
    server.add("/robots.txt", "User-agent: *\nDisallow: /\n", "text/plain")
    with pytest.raises(SourceRefusedError, match=r"robots\.txt"):
        list_pages(server, context)
    server.add("/robots.txt", "User-agent: Leadline\nCrawl-delay: 1000000\n", "text/plain")
    with pytest.raises(SourceRefusedError, match="pause"):
        list_pages(server, context)


def test_without_an_answer_for_robots_txt_nothing_is_read(server: WebServer, context: SourceContext) -> None:
    server.add("/", page(text="1")).add("/robots.txt", "", status=500)
    with pytest.raises(SourceUnavailableError, match=r"robots\.txt"):
        list_pages(server, context)
    assert "/" not in server.requests


def test_a_first_page_that_is_refused_or_missing_is_an_error(server: WebServer, context: SourceContext) -> None:
    for status, error in ((403, SourceRefusedError), (401, SourceRefusedError), (404, SourceUnavailableError)):
        server.add("/", "no", status=status).add("/sitemap.xml", "no", status=status)
        for path, find in (("/", "links"), ("/sitemap.xml", "sitemap")):
            with pytest.raises(error, match=str(status)):
                list_pages(server, context, path, find=find)


def test_a_page_that_fails_or_hangs_makes_the_list_incomplete(server: WebServer, context: SourceContext) -> None:
    server.add("/", page("/a", "/b", text="1")).add("/a", "oops", status=500).add("/b", page(text="2"))
    with pytest.raises(SourceUnavailableError, match=r"/a \(status 500\)"):
        list_pages(server, context)
    assert server.requests["/b"] == 1
    server.pages["/a"] = Request.hang
    with pytest.raises(SourceUnavailableError, match="respond"):
        list_pages(server, replace(context, timeout_seconds=0.3))


def test_a_page_that_is_refused_is_listed_so_that_its_document_stays(server: WebServer, context: SourceContext) -> None:
    server.add("/", page("/a", "/b", "/gone", text="1")).add("/a", "no", status=403).redirect("/b", "http://127.0.0.2/")
    found = list_pages(server, context)
    assert set(found) == {"/", "/a", "/b"}
    for name in ("/a", "/b"):
        with pytest.raises(ItemRefusedError):
            read_page(server, context, found[name])
    with pytest.raises(ItemGoneError):
        read_page(server, context, build_item(f"{server.url}/gone"))


def test_a_firewall_that_blocks_the_crawl_halfway_is_an_error(server: WebServer, context: SourceContext) -> None:
    def answer(request: Request) -> None:
        is_blocked = server.requests.total() > 3  # robots.txt, the first page and one more
        request.reply(
            b"blocked" if is_blocked else page("/a", "/b", text=request.path).encode(), status=403 * is_blocked or 200
        )

    server.answer_others = answer
    with pytest.raises(SourceRefusedError, match="403"):
        list_pages(server, context)


def test_a_start_that_leads_elsewhere_is_an_error(server: WebServer, context: SourceContext) -> None:
    server.redirect("/", "http://127.0.0.2:1/login")
    with pytest.raises(SourceRefusedError, match="outside the site"):
        list_pages(server, context)


def test_an_overloaded_server_is_asked_again_when_it_says(server: WebServer, context: SourceContext) -> None:
    answers: list[Callable[[Request], None]] = [
        lambda request: request.reply(b"", status=429, Retry_After="9"),
        lambda request: request.reply(page(text="1").encode()),
    ]
    server.pages["/"] = lambda request: answers.pop(0)(request)
    waits = Waits()
    assert set(list_pages(server, context, waits=waits)) == {"/"}
    assert 9.0 in waits
    server.add("/", "", status=503, Retry_After="86400")
    with pytest.raises(SourceUnavailableError, match="busy"):
        list_pages(server, context)


def test_sizes_are_limited_whatever_the_server_announces(server: WebServer, context: SourceContext) -> None:
    def promise_more(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/plain")
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"x" * 500)
        request.close_connection = True

    def promise_nothing(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/plain")
        request.send_header("Connection", "close")
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b"x" * 10_000)
        request.close_connection = True

    server.pages |= {"/short": promise_more, "/endless": promise_nothing}
    bomb = gzip.compress(b"x" * 50_000_000)
    server.add("/bomb", bomb, "text/plain", Content_Encoding="gzip")
    server.add("/cut", gzip.compress(b"x" * 5_000)[:-9], "text/plain", Content_Encoding="gzip")
    server.add("/odd", b"x", "text/plain", Content_Encoding="br")
    server.add("/large", b"x" * 200_000, "text/plain").add("/movie", b"x", "video/mp4")
    small = replace(context, max_item_bytes=100_000)
    for path in ("/short", "/cut"):
        with pytest.raises(SourceUnavailableError):
            read_page(server, small, build_item(server.url + path))
    for path in ("/endless", "/bomb", "/odd", "/large", "/movie"):
        with pytest.raises(ItemRefusedError):
            read_page(server, small, build_item(server.url + path))


def test_a_body_that_drips_is_given_up(server: WebServer, context: SourceContext) -> None:
    def drip(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "text/plain")
        request.send_header("Content-Length", "100000")
        request.end_headers()
        while not server.ending.wait(0.01):
            request.wfile.write(b"x")

    server.pages["/drip"] = drip
    begin = time.monotonic()
    with pytest.raises(SourceUnavailableError, match="completely"):
        read_page(server, replace(context, timeout_seconds=0.1), build_item(f"{server.url}/drip"))
    assert time.monotonic() - begin < 30


def test_pages_are_asked_for_only_if_they_changed(server: WebServer, context: SourceContext) -> None:
    date = "Tue, 01 Dec 2026 10:00:00 GMT"
    server.add("/a.pdf", b"%PDF-1", "application/pdf", ETag='"one"').add(
        "/b.pdf", b"%PDF-2", "application/pdf", Last_Modified=date
    )
    item = build_item(f"{server.url}/a.pdf")
    with pytest.raises(ItemUnchangedError):
        read_page(server, context, item, 'etag:"one"')
    assert read_page(server, context, item, 'etag:"zero"') == b"%PDF-1"
    with pytest.raises(ItemUnchangedError):
        read_page(server, context, build_item(f"{server.url}/b.pdf"), f"modified:{date}")
    assert server.seen_headers[-1]["If-Modified-Since"] == date


def test_a_page_whose_menu_alone_changed_is_unchanged(server: WebServer, context: SourceContext) -> None:
    for n in (1, 2):
        menu = f"<html><body><nav><a href=/{n}>Item {n}</a></nav><div><h1>Pump</h1>{_PROSE * 3}</div></body></html>"
        server.add("/", menu)
        found = list_pages(server, context)
        server.add("/1", page(text="x")).add("/2", page(text="y"))
        if n == 1:
            first = found["/"].version
    assert found["/"].version == first


def test_sitemaps_are_read_with_their_indexes(server: WebServer, context: SourceContext) -> None:
    entries = "".join(f"<sitemap><loc>{server.url}/map{n}.xml.gz</loc></sitemap>" for n in (1, 2))
    server.add("/index.xml", build_sitemap(entries, "sitemapindex"), "application/xml")
    for n in (1, 2):
        pages = f"<url><loc>{server.url}/p{n}</loc><lastmod>2026-11-0{n}</lastmod></url>"
        pages += f"<url><loc>{server.url}/p1</loc></url>"
        foreign = "<url><loc>http://127.0.0.2/x</loc></url>"
        server.add(f"/map{n}.xml.gz", build_sitemap(pages + foreign, compressed=True), "application/gzip")
    found = list_pages(server, context, "/index.xml", find="sitemap")
    assert {path: item.version for path, item in found.items()} == {
        "/p1": "lastmod:2026-11-01",
        "/p2": "lastmod:2026-11-02",
    }
    server.add("/", page(text="home")).add("/robots.txt", f"Sitemap: {server.url}/index.xml", "text/plain")
    assert set(list_pages(server, context, find="sitemap")) == {"/p1", "/p2"}


def test_a_damaged_or_incomplete_sitemap_is_an_error(server: WebServer, context: SourceContext) -> None:
    entries = "".join(f"<url><loc>{server.url}/p{n}</loc></url>" for n in range(100))
    whole = build_sitemap(entries)
    bomb = (
        b'<!DOCTYPE x [<!ENTITY a "xxxxxxxxxx"><!ENTITY b "&a;&a;&a;">]>'
        + build_sitemap("<url><loc>&b;</loc></url>")[38:]
    )
    for content in (whole[:-50], gzip.compress(whole)[:-30], b"<html><p>Log in</p></html>", b"", b"x"):
        server.add("/sitemap.xml", content, "application/xml")
        with pytest.raises(SourceUnavailableError, match=r"sitemap\.xml"):
            list_pages(server, context, "/sitemap.xml", find="sitemap")
    server.add("/sitemap.xml", bomb, "application/xml")
    assert list_pages(server, context, "/sitemap.xml", find="sitemap") == {}
    foreign = build_sitemap("<sitemap><loc>http://127.0.0.2/map.xml</loc></sitemap>", "sitemapindex")
    server.add("/sitemap.xml", foreign, "application/xml")
    with pytest.raises(SourceRefusedError, match="not on the site"):
        list_pages(server, context, "/sitemap.xml", find="sitemap")
    server.add("/sitemap.xml", whole, "application/xml")
    with pytest.raises(SourceOptionsError, match="more than 60"):
        list_pages(server, context, "/sitemap.xml", find="sitemap", max_pages=60)


def test_the_date_of_a_sitemap_is_a_version_once_its_day_is_over(server: WebServer, context: SourceContext) -> None:
    server.add("/a", page(text="1"))
    item = replace(build_item(f"{server.url}/a"), version="lastmod:2026-12-02")
    midnight = 1_796_256_000.0  # 2026-12-03, UTC
    for now, expected in ((midnight - 1, "sha256:"), (midnight, "lastmod:2026-12-02")):
        options = WebOptions(url=f"{server.url}/", find="sitemap")
        source = WebSource(f"{server.url}/", options, context, now=partial(float, now))
        with closing(source), source.open_item(item) as opened:
            assert opened.item.version.startswith(expected)


def test_credentials_are_sent(server: WebServer, context: SourceContext) -> None:
    server.add("/", page(text="1"))
    list_pages(server, context, username="ann", password="secret")
    assert server.seen_headers[-1]["Authorization"] == "Basic YW5uOnNlY3JldA=="


def test_an_address_that_a_person_enters_is_opened_with_the_same_checks(
    server: WebServer, context: SourceContext
) -> None:
    server.add("/a", f"<title>Pump</title><nav><a href=/>Home</a></nav><div><h1>Pump</h1>{_PROSE * 3}</div>")
    server.redirect("/moved", "/a", 301).redirect("/inside", "http://192.168.0.1/").redirect("/round", "/round")
    with open_url(f"{server.url}/moved", context) as opened:
        content = b"".join(opened.blocks)
    assert (opened.item.name, opened.item.media_type) == ("moved.html", "text/html")
    assert b"trained staff" in content
    assert b"Home" not in content
    with pytest.raises(SourceRefusedError, match="not a public address"), open_url(f"{server.url}/inside", context):
        pass
    with pytest.raises(ItemRefusedError, match="redirects"), open_url(f"{server.url}/round", context):
        pass
    for address in ("ftp://a.org/", "http://10.0.0.1/", "nonsense", f"{server.url}@10.0.0.1/"):
        with pytest.raises(SourceOptionsError), open_url(address, context):
            pass
    with pytest.raises(SourceUnavailableError), open_url("https://host.invalid/", context):
        pass
