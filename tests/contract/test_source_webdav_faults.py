"""WebDAV servers that misbehave: no short list looks complete, and nothing is read that must not be."""

import os
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ingest.sources.errors import (
    ItemGoneError,
    ItemRefusedError,
    ItemUnchangedError,
    SourceRefusedError,
    SourceUnavailableError,
)
from ingest.sources.port import SourceContext, SourceItem
from ingest.sources.webdav import WebDavOptions
from ingest.sources.webdav_paths import parse_root
from ingest.sources.webdav_source import WebDavSource
from ingest.storage.webhooks.destinations import Destinations
from tests.support.web_server import Request, WebServer, open_web_server

_LONG_AGO = "Tue, 01 Dec 2020 10:00:00 GMT"
_FOLDER = "<d:resourcetype><d:collection/></d:resourcetype>"


def describe(href: str, props: str = "<d:resourcetype/>", failed: str = "", status: int = 404) -> str:
    found = f"<d:propstat><d:prop>{props}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>"
    failed = failed and f"<d:propstat><d:prop>{failed}</d:prop><d:status>HTTP/1.1 {status} X</d:status></d:propstat>"
    return f"<d:response><d:href>{href}</d:href>{found}{failed}</d:response>"


def refuse(href: str, status: int) -> str:
    return f"<d:response><d:href>{href}</d:href><d:status>HTTP/1.1 {status} X</d:status></d:response>"


def build_list(*entries: str) -> str:
    spaces = 'xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns"'
    return f'<?xml version="1.0"?><d:multistatus {spaces}>{"".join(entries)}</d:multistatus>'


def add_list(server: WebServer, folder: str, *entries: str) -> None:
    server.add(folder, build_list(describe(folder, _FOLDER), *entries), "application/xml", 207)


@pytest.fixture
def server() -> Iterator[WebServer]:
    with open_web_server() as site:
        yield site


@pytest.fixture
def context(tmp_path: Path) -> SourceContext:
    return SourceContext(Destinations.parse("127.0.0.0/8"), tmp_path, timeout_seconds=5)


def open_source(server: WebServer, context: SourceContext, max_folders: int = 100, **options: Any) -> WebDavSource:  # noqa: ANN401
    found, root = WebDavOptions(url=f"{server.url}/dav/", **options), parse_root(f"{server.url}/dav/")
    assert root is not None
    return WebDavSource(root, found, context, sleep=lambda _: None, max_folders=max_folders)


def list_files(server: WebServer, context: SourceContext, **options: Any) -> Mapping[str, SourceItem]:  # noqa: ANN401
    with closing(open_source(server, context, **options)) as source:
        return {item.path: item for item in source.list_items()}


def read_file(server: WebServer, context: SourceContext, item: SourceItem | str, known: str = "") -> bytes:
    item = SourceItem(item, item) if isinstance(item, str) else item
    with closing(open_source(server, context)) as source, source.open_item(item, known) as opened:
        return b"".join(opened.blocks)


def test_addresses_are_read_in_all_spellings(server: WebServer, context: SourceContext) -> None:
    host = server.url.removeprefix("http://")
    spelled = ("/dav/a b.txt", "/dav/b%e4.txt", f"{server.url}/dav/c%2Fd.txt", f"https://{host}/dav/%65.txt")
    add_list(server, "/dav/", *map(describe, spelled), describe("/dav//f%C3%A9"), describe("/dav/g?h#i.txt"))
    found = list_files(server, context)
    assert set(found) == {"a b.txt", "b�.txt", "c/d.txt", "e.txt", "fé", "g?h#i.txt"}
    assert found["c/d.txt"].name == "c_d.txt"
    for path, address in (("b�.txt", "/dav/b%E4.txt"), ("c/d.txt", "/dav/c%2Fd.txt"), ("e.txt", "/dav/e.txt")):
        server.add(address, "text", "text/plain")
        assert read_file(server, context, found[path]) == b"text"


def test_an_entry_outside_the_folder_is_an_error(server: WebServer, context: SourceContext) -> None:
    outside = ("/", "/other/a.txt", "/davy/a.txt", "/dav/b/c.txt", "http://127.0.0.2/dav/a.txt", "a.txt")
    for href in (*outside, "/dav/../a.txt", "/dav/%2e%2e/a.txt", "http://u@127.0.0.1/dav/a.txt", "ftp://a.org/dav/a"):
        add_list(server, "/dav/", describe(href, _FOLDER))
        with pytest.raises(SourceRefusedError, match="not in this folder"):
            list_files(server, context)
    assert set(server.requests) == {"/dav/"}


def test_a_folder_that_lists_its_parent_or_itself_below_is_an_error(server: WebServer, context: SourceContext) -> None:
    add_list(server, "/dav/", describe("/dav/a/", _FOLDER), describe("/dav/a", _FOLDER))
    add_list(server, "/dav/a/", describe("/dav/", _FOLDER))
    with pytest.raises(SourceRefusedError, match="not in this folder"):
        list_files(server, context)
    add_list(server, "/dav/a/", describe("/dav/a/b.txt"))
    assert set(list_files(server, context)) == {"a/b.txt"}
    assert server.requests["/dav/a/"] == 2


def test_folders_without_end_are_an_error(server: WebServer, context: SourceContext) -> None:
    def answer(request: Request) -> None:
        path = request.path
        if server.requests.total() > 300:
            request.reply(b"enough", status=404)
            return
        entries = (describe(path, _FOLDER), *(describe(f"{path}{name}/", _FOLDER) for name in "ab"))
        request.reply(build_list(*entries).encode(), "application/xml", 207)

    server.answer_others = answer
    with pytest.raises(SourceRefusedError, match="100 folders deep"):
        list_files(server, context)
    assert server.requests.total() == 100

    def answer_five(request: Request) -> None:
        if request.path.count("/") < 7:
            answer(request)
        else:
            request.reply(build_list(describe(request.path, _FOLDER)).encode(), "application/xml", 207)

    server.answer_others = answer_five
    assert list_files(server, context) == {}
    with pytest.raises(SourceRefusedError, match="more than 50 folders"):
        list_files(server, context, max_folders=50)


def test_lists_that_are_cut_off_or_damaged_are_errors(server: WebServer, context: SourceContext) -> None:
    whole = build_list(describe("/dav/", _FOLDER), describe("/dav/a.txt"), describe("/dav/b.txt"))
    broken = [whole[:at] for at in range(whole.index("<d:response>"), len(whole), 7)]
    incomplete = (
        build_list(),
        build_list(describe("/dav/a.txt")),
        build_list(describe("/dav/", _FOLDER), "<d:response><d:href>/dav/a.txt</d:href></d:response>"),
        build_list(describe("/dav/", _FOLDER), "<d:response><d:status>HTTP/1.1 200 OK</d:status></d:response>"),
        whole.replace("HTTP/1.1 200 OK", "fine"),
    )
    for body in (*broken, *incomplete):
        server.add("/dav/", body, "application/xml", 207)
        with pytest.raises(SourceUnavailableError):
            list_files(server, context)

    def promise_more(request: Request) -> None:
        request.send_response(207)
        request.send_header("Content-Length", str(len(whole) + 1))
        request.end_headers()
        request.wfile.write(whole.encode())
        request.close_connection = True

    server.pages["/dav/"] = promise_more
    with pytest.raises(SourceUnavailableError):
        list_files(server, context)


def test_entities_are_not_read(server: WebServer, context: SourceContext, tmp_path: Path) -> None:
    (tmp_path / "key.txt").write_text("secret")
    whole = build_list(describe("/dav/", _FOLDER), describe("/dav/a&x;.txt"))
    names = ["x" * length for length in range(1, 11)]
    bomb = f'<!ENTITY {names[-1]} "y">'
    for name, inner in pairwise(names):
        bomb += '<!ENTITY {} "{}">'.format(name, f"&{inner};" * 10)
    for entity in ("<!ENTITY x ''>", f"<!ENTITY x SYSTEM 'file://{tmp_path}/key.txt'>", bomb):
        body = whole.replace("<d:multistatus", f"<!DOCTYPE d:multistatus [{entity}]><d:multistatus", 1)
        server.add("/dav/", body, "application/xml", 207)
        with pytest.raises(SourceUnavailableError, match="entit"):
            list_files(server, context)


def test_an_entry_cannot_fill_the_memory(server: WebServer, context: SourceContext) -> None:
    add_list(server, "/dav/", describe("/dav/a.txt", "<d:x/>" * 500_000))
    with pytest.raises(SourceUnavailableError, match="entry of more than"):
        list_files(server, context)


def test_a_folder_with_many_files_is_listed_in_little_memory(server: WebServer, context: SourceContext) -> None:
    add_list(server, "/dav/", *(describe(f"/dav/a-file-with-a-name-{number}.txt") for number in range(30_000)))
    with closing(open_source(server, context)) as source:
        items = source.list_items()
        next(items)
        before = measure_memory()
        assert sum(1 for _ in items) == 29_999
        assert measure_memory() - before < 10_000_000  # The whole list would take 80 MB.


def measure_memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_list_that_is_too_large_is_an_error(server: WebServer, context: SourceContext) -> None:
    add_list(server, "/dav/", *(describe(f"/dav/{number}.txt") for number in range(100)))
    with pytest.raises(SourceRefusedError, match="at most"):
        list_files(server, replace(context, max_item_bytes=1_000))


def test_folders_that_cannot_be_listed_are_errors(server: WebServer, context: SourceContext) -> None:
    refused, away = SourceRefusedError, SourceUnavailableError
    server.add("/dav/a/b.txt", "text")
    for path in ("/dav/", "/dav/a/"):
        add_list(server, "/dav/", describe("/dav/a/", _FOLDER))
        for status, error in ((401, refused), (403, refused), (404, away), (410, away), (500, away), (503, away)):
            server.add(path, "no", status=status)
            with pytest.raises(error):
                list_files(server, context)
        server.add(path, "<html>Welcome</html>")
        with pytest.raises(SourceRefusedError, match="not a WebDAV folder"):
            list_files(server, context)
        server.add(path, "<html>Welcome</html>", status=207)
        with pytest.raises(SourceRefusedError, match="list of a WebDAV folder"):
            list_files(server, context)
    assert list_files(server, context, exclude=["a"]) == {}


def test_a_server_that_hangs_is_an_error(server: WebServer, context: SourceContext) -> None:
    add_list(server, "/dav/", describe("/dav/a.txt"), describe("/dav/b/", _FOLDER))
    server.pages |= {"/dav/a.txt": Request.hang, "/dav/b/": Request.hang}
    impatient = replace(context, timeout_seconds=0.3)
    with pytest.raises(SourceUnavailableError, match="respond"):
        list_files(server, impatient)
    with pytest.raises(SourceUnavailableError, match="respond"):
        read_file(server, impatient, "a.txt")


def test_entries_that_the_server_does_not_describe_are_errors(server: WebServer, context: SourceContext) -> None:
    kind = "<d:resourcetype/>"
    for entry, error in (
        (refuse("/dav/a", 403), SourceRefusedError),
        (refuse("/dav/a", 507), SourceUnavailableError),
        (describe("/dav/a", "", kind, 403), SourceRefusedError),
        (describe("/dav/a", "", kind, 500), SourceUnavailableError),
    ):
        add_list(server, "/dav/", entry, describe("/dav/b.txt"))
        with pytest.raises(error, match="does not describe"):
            list_files(server, context)
        assert set(list_files(server, context, exclude=["a"])) == {"b.txt"}
    # Properties that a server does not have, and a file that was removed in the meantime.
    missing = describe("/dav/c.txt", "", f"{kind}<d:getetag/><oc:owner-id/>")
    denied = describe("/dav/d.txt", kind, "<d:getetag/>", 403)
    add_list(server, "/dav/", refuse("/dav/a", 404), missing, denied)
    assert {path: item.version for path, item in list_files(server, context).items()} == {"c.txt": "", "d.txt": ""}


def test_a_folder_that_is_removed_during_the_listing_is_left_out(server: WebServer, context: SourceContext) -> None:
    add_list(server, "/dav/", describe("/dav/a/", _FOLDER), describe("/dav/z.txt"))
    add_list(server, "/dav/a/", describe("/dav/a/b/", _FOLDER), describe("/dav/a/c.txt"))
    with pytest.raises(SourceUnavailableError, match="does not find it"):
        list_files(server, context)
    with closing(open_source(server, context)) as source:
        source.list_items()
        server.add("/dav/a/b/", build_list(describe("/dav/a/b/", _FOLDER), describe("/dav/a/b/d.txt")), status=207)
        items = source.list_items()
        assert next(items).path == "a/b/d.txt"
        del server.pages["/dav/a/b/"], server.pages["/dav/a/"]
        assert [item.path for item in items] == ["a/c.txt", "z.txt"]  # Their list was received before.

    def remove_folder(request: Request) -> None:
        add_list(server, "/dav/", describe("/dav/z.txt"))
        request.reply(b"", status=404)

    add_list(server, "/dav/", describe("/dav/a/", _FOLDER), describe("/dav/z.txt"))
    server.pages["/dav/a/"] = remove_folder
    assert set(list_files(server, context)) == {"z.txt"}


def test_files_that_cannot_be_read_are_refused_or_gone(server: WebServer, context: SourceContext) -> None:
    add_list(server, "/dav/", describe("/dav/a.txt"))
    for status, error in ((401, SourceRefusedError), (403, ItemRefusedError), (500, SourceUnavailableError)):
        server.add("/dav/a.txt", "no", status=status)
        with pytest.raises(error):
            read_file(server, context, "a.txt")
    del server.pages["/dav/a.txt"]
    with pytest.raises(ItemRefusedError, match="404"):
        read_file(server, context, "a.txt")  # It is listed, so its document must stay.
    for gone in ("b.txt", "c/d/e.txt"):
        with pytest.raises(ItemGoneError):
            read_file(server, context, gone)
    server.add("/dav/", "no", status=404)
    with pytest.raises(SourceUnavailableError):
        read_file(server, context, "b.txt")


def test_redirects_are_not_followed(server: WebServer, context: SourceContext) -> None:
    with open_web_server() as other:
        add_list(other, "/dav/")
        other.add("/dav/a.txt", "text")
        server.redirect("/dav/", f"{other.url}/dav/", 307).redirect("/dav/a.txt", f"{other.url}/dav/a.txt")
        with pytest.raises(SourceRefusedError, match="redirects"):
            list_files(server, context)
        with pytest.raises(ItemRefusedError, match="302"):
            read_file(server, context, "a.txt")
        assert not other.requests


def test_an_address_that_leads_to_a_private_network_is_refused(server: WebServer, context: SourceContext) -> None:
    add_list(server, "/dav/", describe("/dav/a.txt"))
    elsewhere = replace(context, destinations=Destinations.parse("127.0.0.2/32"))
    with pytest.raises(SourceRefusedError, match="public"):
        list_files(server, elsewhere)
    with pytest.raises(SourceRefusedError, match="public"):
        read_file(server, elsewhere, "a.txt")
    assert not server.requests


def test_sizes_are_limited_whatever_the_server_announces(server: WebServer, context: SourceContext) -> None:
    size = "<d:resourcetype/><d:getcontentlength>{}</d:getcontentlength>"
    add_list(server, "/dav/", describe("/dav/a.txt", size.format(5)), describe("/dav/b.txt", size.format(10**12)))
    found = list_files(server, context)
    server.add("/dav/a.txt", "x" * 2_000).add("/dav/b.txt", "small", ETag='"1"')
    limited = replace(context, max_item_bytes=1_000)
    with pytest.raises(ItemRefusedError, match="1,000"):
        read_file(server, limited, found["a.txt"])
    assert read_file(server, limited, found["b.txt"]) == b"small"

    def end_early(request: Request) -> None:
        request.send_response(200)
        request.send_header("Content-Length", "1000")
        request.end_headers()
        request.wfile.write(b"x" * 500)
        request.close_connection = True

    server.pages["/dav/a.txt"] = end_early
    with pytest.raises(SourceUnavailableError):
        read_file(server, context, found["a.txt"])


def test_versions_are_tags_or_else_dates_with_sizes(server: WebServer, context: SourceContext) -> None:
    dated = "<d:resourcetype/><d:getcontentlength>4</d:getcontentlength>"
    dated += f"<d:getlastmodified>{_LONG_AGO}</d:getlastmodified>"
    tags = {"a": '"1"', "b": "1", "c": 'W/"1"', "d": '"ö"', "e": ""}
    add_list(server, "/dav/", *(describe(f"/dav/{n}", f"{dated}<d:getetag>{t}</d:getetag>") for n, t in tags.items()))
    versions = {path: item.version for path, item in list_files(server, context).items()}
    assert versions == dict.fromkeys("abc", 'etag:"1"') | dict.fromkeys("de", f"dated:{_LONG_AGO} 4")
    server.add("/dav/a", "text", ETag='"1"').add("/dav/e", "text", Last_Modified=_LONG_AGO)
    for path in "ae":
        with pytest.raises(ItemUnchangedError):
            read_file(server, context, path, versions[path])
    assert server.seen_headers[0].get("If-None-Match") is None
    # The version of the content that was received, which is newer than the list.
    server.add("/dav/a", "text", ETag='"2"')
    with closing(open_source(server, context)) as source, source.open_item(SourceItem("a", "a")) as opened:
        assert opened.item.version == 'etag:"2"'
    # A server that claims that nothing has changed, although nothing is known.
    server.add("/dav/a", "", status=304)
    with pytest.raises(ItemRefusedError):
        read_file(server, context, "a")


def test_the_owner_is_told_by_properties_of_nextcloud_or_of_access_control(
    server: WebServer, context: SourceContext
) -> None:
    kind, shown = "<d:resourcetype/>", "<oc:owner-display-name>{}</oc:owner-display-name>"
    add_list(
        server,
        "/dav/",
        describe("/dav/a", f"{kind}<oc:owner-id>ann</oc:owner-id>{shown.format('Ann Müller')}"),
        describe("/dav/b", f"{kind}<d:owner><d:href>/principals/users/b%C3%B6b/</d:href></d:owner>"),
        describe("/dav/c", kind + shown.format("someone/ann")),
        describe("/dav/d", kind, "<oc:owner-id/>", 404),
        describe("/dav/e", kind, "<oc:owner-id/><d:owner/>", 403),
    )
    owners = {"ann": ["user:ann"], "böb": ["user:bob"], "*": ["group:all"]}
    found = list_files(server, context, owners=owners)
    assert {path: item.readers for path, item in found.items()} == {
        "a": {"user:ann"},
        "b": {"user:bob"},
        "c": {"group:all"},
        "d": {"group:all"},
        "e": frozenset(),
    }
    assert [item.author for item in found.values()] == ["Ann Müller", "böb", "someone/ann", "", ""]
    assert list_files(server, context)["e"].readers is None
