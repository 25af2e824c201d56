"""The Git repository as a source, against Git's own server, and servers that misbehave."""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from ingest.sources.errors import (
    ItemGoneError,
    ItemRefusedError,
    SourceOptionsError,
    SourceRefusedError,
    SourceUnavailableError,
)
from ingest.sources.git_source import GitSource
from ingest.sources.port import Source, SourceContext, SourceItem
from ingest.sources.registry import SOURCE_KINDS
from ingest.storage.webhooks.destinations import Destinations
from tests.contract.source_contract import Place, SourceContract, list_by_name, read_item
from tests.support.git_server import PATH, Repository, open_git_server
from tests.support.web_server import Request, WebServer, open_web_server

_REFS = f"{PATH}/info/refs?service=git-upload-pack"
_FETCH = f"{PATH}/git-upload-pack"


@dataclass
class GitPlace:
    repository: Repository
    server: WebServer
    scratch: Path
    options: dict[str, Any] = field(default_factory=dict)
    max_item_bytes: int = 10_000_000
    timeout_seconds: float = 10
    networks: str = "127.0.0.0/8"

    def write(self, name: str, content: bytes) -> None:
        self.repository.write(name, content)

    def remove(self, name: str) -> None:
        self.repository.remove(name)

    def stop(self) -> None:
        self.server.stop()

    def open(self) -> AbstractContextManager[Source]:
        kind = SOURCE_KINDS["git"]
        options = kind.options.model_validate({"url": f"{self.server.url}{PATH}", **self.options})
        context = SourceContext(Destinations.parse(self.networks), self.scratch)
        context = replace(context, max_item_bytes=self.max_item_bytes, timeout_seconds=self.timeout_seconds)
        return closing(kind.build(options, context))


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def server(repository: Repository) -> Iterator[WebServer]:
    with open_git_server(repository) as site:
        yield site


@pytest.fixture
def place(repository: Repository, server: WebServer, tmp_path: Path) -> GitPlace:
    (tmp_path / "scratch").mkdir()
    return GitPlace(repository, server, tmp_path / "scratch")


class TestGit(SourceContract):
    @pytest.fixture
    def place(self, place: GitPlace) -> Place:
        return place


class TestGitWithFilters(SourceContract):
    """Servers such as GitHub's can leave out large files."""

    @pytest.fixture
    def repository(self, tmp_path: Path) -> Repository:
        return Repository(tmp_path / "repository", settings={"uploadpack.allowFilter": "true"})

    @pytest.fixture
    def place(self, place: GitPlace) -> Place:
        return place


class TestGitWithSha256(SourceContract):
    @pytest.fixture
    def repository(self, tmp_path: Path) -> Repository:
        return Repository(tmp_path / "repository", hash_name="sha256")

    @pytest.fixture
    def place(self, place: GitPlace) -> Place:
        return place


def list_paths(place: GitPlace) -> set[str]:
    with place.open() as source:
        return {item.path for item in source.list_items()}


def test_an_unchanged_branch_transfers_nothing_but_its_name(place: GitPlace) -> None:
    place.write("a.txt", b"one")
    with place.open() as source:
        first = source.list_changes("")
        assert first is not None
        assert ([item.name for item in first.items], first.is_complete) == (["a.txt"], True)
    place.server.requests.clear()
    with place.open() as source:
        same = source.list_changes(first.cursor)
        assert same is not None
        assert ([*same.items], [*same.removed], same.cursor, same.is_complete) == ([], [], first.cursor, False)
    assert place.server.requests == {_REFS: 1, _FETCH: 1}  # The second one lists the branches.
    place.write("b.txt", b"two")
    with place.open() as source:
        changed = source.list_changes(first.cursor)
        assert changed is not None
        assert {item.name for item in changed.items} == {"a.txt", "b.txt"}
        assert changed.cursor != first.cursor


def test_all_files_of_a_sync_are_of_one_commit(place: GitPlace) -> None:
    place.write("a.txt", b"one")
    with place.open() as source:
        (item,) = source.list_items()
        place.write("a.txt", b"two")
        with source.open_item(item) as opened:
            assert (opened.item, b"".join(opened.blocks)) == (item, b"one")


def test_a_branch_and_a_folder_are_selected(place: GitPlace) -> None:
    for name in ("readme.md", "docs/a.txt", "docs/.hidden/b.txt", "docs/deep/er/c.txt", "docs/deep/x.tmp"):
        place.write(name, b"text")
    assert list_paths(place) == {"readme.md", "docs/a.txt", "docs/deep/er/c.txt"}
    place.options = {"path": "/docs/", "exclude": ["deep/er"]}
    assert list_paths(place) == {"docs/a.txt", "docs/.hidden/b.txt", "docs/deep/x.tmp"}
    for outside in ("readme.md", "docs/deep/er/c.txt"):
        with pytest.raises(ItemGoneError):
            read_item(place, SourceItem(outside, "a"))
    place.repository.run("update-ref", "refs/heads/next/one", "refs/heads/main")
    place.write("docs/d.txt", b"text")
    place.options = {"path": "docs", "branch": "next/one", "include": ["*.txt"], "exclude": []}
    assert list_paths(place) == {"docs/a.txt", "docs/.hidden/b.txt", "docs/deep/er/c.txt"}


def test_a_folder_or_branch_that_is_missing_is_an_error(place: GitPlace) -> None:
    place.write("docs/a.txt", b"text")
    for path in ("doc", "docs/a.txt", "docs/b"):
        place.options = {"path": path}
        with pytest.raises(SourceRefusedError, match="no folder"):
            list_paths(place)
    place.options = {"branch": "master"}
    with pytest.raises(SourceRefusedError, match="no branch master") as caught:
        list_paths(place)
    assert caught.value.hint == "Its branches are: main."


def test_a_branch_of_an_empty_repository_and_hidden_branches_are_errors(place: GitPlace) -> None:
    place.options = {"branch": "other"}
    with pytest.raises(SourceRefusedError, match="no branch"):
        list_paths(place)
    place.options = {}
    place.write("a.txt", b"text")
    place.repository.run("config", "transfer.hideRefs", "refs/heads")
    place.repository.run("config", "lsrefs.unborn", "ignore")
    with pytest.raises(SourceRefusedError, match="no main branch"):
        list_paths(place)


def test_a_link_or_submodule_is_left_out_and_never_followed(place: GitPlace) -> None:
    place.write("docs/a.txt", b"text")
    commit = place.repository.run("rev-parse", "main")
    place.repository.write("link.txt", b"docs/a.txt", "120000")
    place.repository.write("folder", b"docs", "120000")
    place.repository.point("module", commit, "160000")
    assert list_paths(place) == {"docs/a.txt"}
    for path in (
        "link.txt",
        "folder",
        "folder/a.txt",
        "module",
        "module/a.txt",
        "docs",
        "../a.txt",
        "docs/../link.txt",
    ):
        with pytest.raises(ItemGoneError):
            read_item(place, SourceItem(path, "a"))


def test_names_that_git_does_not_make_lead_nowhere(place: GitPlace) -> None:
    blob = place.repository.run("hash-object", "-w", "--stdin", content=b"text")
    names = (b"..", b".", b"../a.txt", b"/etc/passwd", b"caf\xe9.txt", b"a.txt")
    tree = place.repository.make_tree(*(("100644", name, blob) for name in names))
    top = place.repository.make_tree(("40000", b"..", tree), ("40000", b"docs", tree))
    place.repository.commit(top)
    with place.open() as source:
        items = list(source.list_items())
        assert {item.path for item in items} == {"docs/a.txt", "docs/caf�.txt"}
        for item in items:
            with source.open_item(item) as opened:
                assert b"".join(opened.blocks) == b"text"
    assert {each.name for each in place.scratch.iterdir()} == {"objects"}


def test_folders_that_contain_themselves_in_effect_are_not_listed_without_end(
    place: GitPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = place.repository.run("hash-object", "-w", "--stdin", content=b"text")
    tree = place.repository.make_tree(*(("100644", b"%02d.txt" % each, blob) for each in range(20)))
    for _ in range(8):
        tree = place.repository.make_tree(*(("40000", b"%02d" % each, tree) for each in range(20)))
    place.repository.commit(tree)
    monkeypatch.setattr("ingest.sources.git_source._MAX_ENTRIES", 10_000)
    with pytest.raises(SourceRefusedError, match="10,000 paths"):
        list_paths(place)
    for _ in range(100):
        tree = place.repository.make_tree(("40000", b"d", tree))
    place.repository.commit(tree)
    with pytest.raises(SourceRefusedError, match="100 folders deep"):
        list_paths(place)


def test_a_file_in_large_file_storage_is_refused(place: GitPlace) -> None:
    place.write("a.pdf", b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12345\n")
    with pytest.raises(ItemRefusedError, match="Git LFS"):
        read_item(place, list_by_name(place)["a.pdf"])


@pytest.mark.parametrize("filters", ["true", "false"])
def test_a_file_above_the_limit_is_refused_and_others_are_read(place: GitPlace, filters: str) -> None:
    place.repository.run("config", "uploadpack.allowFilter", filters)
    place.max_item_bytes = 1_000
    place.write("a.txt", b"x" * 1_001)
    place.write("b.txt", b"x" * 1_000)
    items = list_by_name(place)
    with pytest.raises(ItemRefusedError, match="1,000"):
        read_item(place, items["a.txt"])
    assert len(read_item(place, items["b.txt"])) == 1_000


def test_similar_files_are_read_whole(place: GitPlace) -> None:
    """They are sent as differences to each other."""
    contents = {f"{n}.txt": b"".join(b"line %d of %d\n" % (m * n % 97, m) for m in range(5_000)) for n in range(1, 20)}
    for name, content in contents.items():
        place.write(name, content)
    place.repository.run("repack", "-adfq", "--depth=50", "--window=50")
    place.options = {}
    with place.open() as source:
        read = {}
        for item in source.list_items():
            with source.open_item(item) as opened:
                read[item.name] = b"".join(opened.blocks)
    assert read == contents


def answer_status(status: int) -> Any:  # noqa: ANN401
    return lambda request: request.reply(b"no", "text/plain", status)


@pytest.mark.parametrize(
    ("status", "error", "told"),
    [
        (401, SourceRefusedError, "asks for credentials"),
        (403, SourceRefusedError, "asks for credentials"),
        (404, SourceRefusedError, "no such repository"),
        (500, SourceUnavailableError, "500"),
        (200, SourceRefusedError, "not the address of a Git repository"),
    ],
)
def test_a_server_that_says_no_is_an_error(place: GitPlace, status: int, error: type[Exception], told: str) -> None:
    place.write("a.txt", b"text")
    place.server.pages[_REFS] = answer_status(status)
    with pytest.raises(error, match=told):
        list_paths(place)
    with pytest.raises(error, match=told):
        read_item(place, SourceItem("a.txt", "a.txt"))


def test_the_credentials_are_sent_to_the_repository_alone(place: GitPlace) -> None:
    place.write("a.txt", b"text")
    place.options = {"password": "secret-token"}
    with open_web_server() as other:
        other.answer_others = place.repository.answer

        def require_login(request: Request) -> None:
            if request.headers["Authorization"] == "Basic Z2l0OnNlY3JldC10b2tlbg==":
                place.repository.answer(request)
            else:
                request.reply(b"", "text/plain", 401)

        place.server.answer_others = require_login
        assert list_paths(place) == {"a.txt"}
        place.options = {"username": "ann", "password": "wrong"}
        with pytest.raises(SourceRefusedError, match="does not accept the credentials"):
            list_paths(place)
        place.server.redirect(_REFS, f"{other.url}{_REFS}")
        assert list_paths(place) == {"a.txt"}
        assert other.seen_headers
        assert not any("Authorization" in headers for headers in other.seen_headers)


def test_a_redirect_to_a_private_address_is_refused(place: GitPlace) -> None:
    place.write("a.txt", b"text")
    place.networks = "127.0.0.1/32"
    for target in (f"http://127.0.0.2:1{_REFS}", f"http://169.254.169.254{_REFS}", "file:///etc/passwd"):
        place.server.redirect(_REFS, target)
        with pytest.raises(SourceRefusedError):
            list_paths(place)
    place.server.redirect(_REFS, _REFS)
    with pytest.raises(SourceRefusedError, match="redirects"):
        list_paths(place)


def test_the_environment_and_configuration_files_are_not_used(
    place: GitPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.write("a.txt", b"text")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    (tmp_path / ".gitconfig").write_text(
        f'[url "http://127.0.0.1:1"]\n insteadOf = {place.server.url}\n[http]\n proxy = http://127.0.0.1:1\n'
    )
    assert list_paths(place) == {"a.txt"}


def test_a_server_that_hangs_is_given_up(place: GitPlace) -> None:
    place.write("a.txt", b"text")
    place.timeout_seconds = 0.3
    place.server.pages[_FETCH] = Request.hang
    with pytest.raises(SourceUnavailableError, match="did not respond"):
        list_paths(place)


@pytest.mark.parametrize("change", [lambda pack: pack[:-30], lambda pack: pack.replace(b"PACK", b"PICK", 1)])
def test_a_response_that_is_cut_or_damaged_is_an_error(place: GitPlace, change: Any) -> None:  # noqa: ANN401
    place.write("a.txt", b"text")

    def damage(request: Request) -> None:
        reply = request.reply
        request.reply = lambda body, *rest, **more: reply(  # type: ignore[method-assign]
            change(body) if b"PACK" in body else body, *rest, **more
        )
        place.repository.answer(request)

    place.server.pages[_FETCH] = damage
    with pytest.raises(SourceUnavailableError):
        list_paths(place)


def test_a_folder_that_the_server_does_not_send_is_an_error(place: GitPlace) -> None:
    """A server may leave it out by a filter that nobody asked for."""
    place.write("docs/a.txt", b"text")
    place.write("b.txt", b"text")
    place.repository.run("config", "uploadpack.allowFilter", "true")

    def leave_out(request: Request) -> None:
        content = request.rfile.read(int(request.headers["Content-Length"]))
        # Packets begin with their length.
        wanted, changed = b"001ffilter blob:limit=10000001\n", b"0012filter tree:1\n"
        if b"ls-refs" not in content:
            assert wanted in content
            content = content.replace(wanted, changed)
            request.headers.replace_header("Content-Length", str(len(content)))
        request.rfile = BytesIO(content)
        place.repository.answer(request)

    place.server.pages[_FETCH] = leave_out
    with pytest.raises(SourceUnavailableError, match="did not send"):
        list_paths(place)


def test_a_repository_above_the_limit_is_an_error(place: GitPlace, monkeypatch: pytest.MonkeyPatch) -> None:
    place.write("a.bin", os.urandom(100_000))
    monkeypatch.setattr("ingest.sources.git_http.MAX_PACK_BYTES", 50_000)
    with pytest.raises(SourceRefusedError, match="too large"):
        list_paths(place)


@pytest.mark.parametrize(
    "url",
    [
        "git@example.org:team/handbook.git",
        "ssh://example.org/handbook",
        "/srv/git/handbook",
        "file:///srv/git",
        "https://example.org/",
        "https://user:password@example.org/handbook",
        "https://example.org/handbook?x=1",
        "https://127.0.0.2/handbook",
    ],
)
def test_addresses_other_than_of_permitted_servers_are_refused(place: GitPlace, url: str) -> None:
    place.networks = "127.0.0.1/32"
    place.options = {"url": url}
    with pytest.raises(SourceOptionsError):
        place.open()


@pytest.mark.parametrize("options", [{"path": "a/../b"}, {"path": ".."}, {"path": "a//b"}, {"branch": "a b\n"}])
def test_options_that_are_no_paths_or_branches_are_refused(place: GitPlace, options: dict[str, str]) -> None:
    place.options = options
    with pytest.raises(ValueError, match="must be"):
        place.open()


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("https://github.com/a/b.git", "https://github.com/a/b/blob/next/x/a%20b%23.md"),
        ("https://gitlab.com/a/b/c", "https://gitlab.com/a/b/c/-/blob/next/x/a%20b%23.md"),
        ("https://example.org/a/b", ""),
    ],
)
def test_the_pages_of_known_servers_are_the_addresses_of_files(
    place: GitPlace, monkeypatch: pytest.MonkeyPatch, url: str, page: str
) -> None:
    place.options = {"url": url}
    with place.open() as source:
        assert isinstance(source, GitSource)
        from ingest.sources.git_http import Head

        source.__dict__["_head"] = Head("next", "0" * 40)
        assert source._build_url(b"x/a b#.md") == page
