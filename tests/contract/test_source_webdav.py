"""A WebDAV folder as a source, against a real server."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ingest.sources.errors import ItemGoneError, ItemRefusedError, SourceOptionsError, SourceRefusedError
from ingest.sources.port import Source, SourceContext, SourceItem
from ingest.sources.registry import SOURCE_KINDS
from ingest.storage.webhooks.destinations import Destinations
from tests.contract.source_contract import Place, SourceContract, list_by_name, read_item
from tests.support.dav_server import PASSWORD, USER, DavServer, open_dav_server


@dataclass
class DavPlace:
    server: DavServer
    scratch: Path
    options: dict[str, object] = field(default_factory=dict)
    max_item_bytes: int = 10_000_000

    def write(self, name: str, content: bytes) -> None:
        self.server.write(name, content)

    def remove(self, name: str) -> None:
        (self.server.folder / name).unlink()

    def stop(self) -> None:
        self.server.stop()

    def open(self) -> AbstractContextManager[Source]:
        kind = SOURCE_KINDS["webdav"]
        usual = {"url": self.server.url, "username": USER, "password": PASSWORD}
        networks = Destinations.parse("127.0.0.0/8")
        context = SourceContext(networks, self.scratch, timeout_seconds=10, max_item_bytes=self.max_item_bytes)
        return closing(kind.build(kind.options.model_validate(usual | self.options), context))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DavServer]:
    (tmp_path / "documents").mkdir()
    with open_dav_server(tmp_path / "documents") as server:
        yield server


@pytest.fixture
def place(server: DavServer, tmp_path: Path) -> DavPlace:
    return DavPlace(server, tmp_path)


class TestWebDav(SourceContract):
    @pytest.fixture
    def place(self, place: DavPlace) -> Place:
        return place


def list_paths(place: DavPlace) -> set[str]:
    with place.open() as source:
        return {item.path for item in source.list_items()}


def test_files_of_subfolders_have_their_path_and_hidden_files_are_left_out(place: DavPlace) -> None:
    for name in ("a.txt", "b/Ü 100%/c+d&e=#f?.TXT", ".git/config", "b/~$d.txt"):
        place.write(name, name.encode())
    assert list_paths(place) == {"a.txt", "b/Ü 100%/c+d&e=#f?.TXT"}
    item = list_by_name(place)["c+d&e=#f?.TXT"]
    assert read_item(place, item) == b"b/\xc3\x9c 100%/c+d&e=#f?.TXT"
    assert item.url.endswith("/dav/b/%C3%9C%20100%25/c+d&e=%23f%3F.TXT")
    assert item.modified_at is not None
    assert 1_600_000_000 <= item.modified_at < 1_600_000_100
    place.options = {"include": ["*.txt"], "exclude": ["b/ü*/"]}
    assert list_paths(place) == {"a.txt", "b/~$d.txt"}


def test_excluded_folders_are_not_listed(place: DavPlace) -> None:
    place.write("a.txt", b"text")
    place.write("private/b.txt", b"text")
    place.options = {"exclude": ["private"]}
    assert list_paths(place) == {"a.txt"}
    assert place.server.seen == ["PROPFIND /dav/"]


def test_a_subfolder_can_be_a_source(place: DavPlace) -> None:
    place.write("Ü b/a.txt", b"text")
    for address in ("Ü b", "Ü%20b/", "%c3%9c%20b"):
        place.options = {"url": place.server.url + address}
        assert list_paths(place) == {"a.txt"}
        assert read_item(place, list_by_name(place)["a.txt"]) == b"text"


def test_a_file_is_asked_for_only_if_its_tag_changed(place: DavPlace) -> None:
    place.write("a.txt", b"one")
    version = list_by_name(place)["a.txt"].version
    assert version.startswith('etag:"')
    place.write("a.txt", b"three")
    assert read_item(place, list_by_name(place)["a.txt"], version) == b"three"


def test_a_change_right_after_reading_is_never_missed(place: DavPlace) -> None:
    """The tags of this server are made of the second and the size."""
    path = place.server.folder / "a.txt"
    path.write_bytes(b"one")
    with place.open() as source, source.open_item(list_by_name(place)["a.txt"]) as opened:
        version = opened.item.version
    path.write_bytes(b"two")
    assert read_item(place, list_by_name(place)["a.txt"], version) == b"two"
    assert version == ""


def test_credentials_that_are_rejected_are_an_error(place: DavPlace) -> None:
    place.write("a.txt", b"text")
    listed = list_by_name(place)["a.txt"]
    for username, password in ((USER, "wrong"), ("", "")):
        place.options = {"username": username, "password": password}
        with pytest.raises(SourceRefusedError, match="rejected"):
            list_by_name(place)
        with pytest.raises(SourceRefusedError, match="rejected"):
            read_item(place, listed)


def test_an_address_that_is_no_folder_is_refused(place: DavPlace) -> None:
    place.write("a.txt", b"text")
    place.options = {"url": f"{place.server.url}a.txt"}
    with pytest.raises(SourceRefusedError, match="not a folder"):
        list_by_name(place)
    for address in ("ftp://a.org/", "https://a.org/%2e%2e/x", "https://a.org/?path=x", "http://10.0.0.1/"):
        place.options = {"url": address}
        with pytest.raises(SourceOptionsError):
            place.open()


def test_an_id_does_not_lead_out_of_the_folder(place: DavPlace) -> None:
    (place.server.folder.parent / "key.txt").write_text("secret")
    place.write("b/a.txt", b"text")
    place.options = {"url": f"{place.server.url}b/"}
    for wanted in ("../b/a.txt", "/bytes/../b/a.txt", "/bytes/%2e%2e/b/a.txt", "./a.txt", "", "/bytes/a b"):
        with pytest.raises(ItemGoneError):
            read_item(place, SourceItem(wanted, "a.txt"))
    assert not [each for each in place.server.seen if each.startswith("GET")]


def test_a_path_that_is_too_long_for_an_id_is_refused(place: DavPlace) -> None:
    place.write("/".join(["f" * 200] * 6) + "/deep.txt", b"deep")
    with pytest.raises(ItemRefusedError, match="characters"):
        read_item(place, list_by_name(place)["deep.txt"])


def test_a_file_above_the_limit_is_refused(place: DavPlace) -> None:
    place.write("a.txt", b"x" * 6_000)
    place.max_item_bytes = 5_000
    with pytest.raises(ItemRefusedError, match="5,000"):
        read_item(place, list_by_name(place)["a.txt"])


def test_circles_of_links_end(tmp_path: Path) -> None:
    """The server's system gives up after 40 links."""
    folder = tmp_path / "linked"
    (folder / "a").mkdir(parents=True)
    (folder / "a" / "b.txt").write_bytes(b"text")
    (folder / "a" / "circle").symlink_to(folder)
    with open_dav_server(folder, follows_links=True) as server:
        place = DavPlace(server, tmp_path)
        assert {"a/b.txt", "a/circle/a/b.txt"} < list_paths(place)
        assert len(server.seen) < 100
        place.options = {"exclude": ["circle"]}
        assert list_paths(place) == {"a/b.txt"}


def test_owners_are_mapped_to_readers(place: DavPlace) -> None:
    for name in ("a.txt", "b.txt", "c.txt"):
        place.write(name, b"text")
    place.server.set_owner("a.txt", "ann", "Ann Müller")
    place.server.set_owner("b.txt", "bob", "ann")
    assert list_by_name(place)["a.txt"].readers is None
    assert list_by_name(place)["a.txt"].author == "Ann Müller"
    place.options = {"owners": {"ann": ["user:ann"], "bob": ["group:hr"]}}
    readers = {name: item.readers for name, item in list_by_name(place).items()}
    assert readers == {"a.txt": frozenset({"user:ann"}), "b.txt": frozenset({"group:hr"}), "c.txt": frozenset()}
    place.options = {"owners": {"Ann Müller": ["user:ann"], "*": ["group:all"]}}
    readers = {name: item.readers for name, item in list_by_name(place).items()}
    assert readers["a.txt"] == frozenset({"user:ann"})
    assert readers["b.txt"] == readers["c.txt"] == frozenset({"group:all"})
    place.options = {"owners": {"ann": ["ann"]}}
    with pytest.raises(ValueError, match="not a valid subject"):
        place.open()
