"""The folder as a source, on the real file system."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import pytest

from ingest.sources.errors import (
    ItemGoneError,
    ItemRefusedError,
    SourceOptionsError,
    SourceRefusedError,
    SourceUnavailableError,
)

# Loaded here, because an ordinary user may be unable to read the code.
from ingest.sources.folder_files import FolderSource
from ingest.sources.port import Source, SourceContext, SourceItem
from ingest.sources.registry import SOURCE_KINDS
from ingest.storage.webhooks.destinations import Destinations
from tests.contract.source_contract import SourceContract, list_by_name, read_item

# A file that was modified just now has no version yet, so files of tests are older.
_LONG_AGO = count(1_600_000_000)


@dataclass
class FolderPlace:
    top: Path
    options: dict[str, object] = field(default_factory=dict)
    max_item_bytes: int = 10_000_000

    @property
    def folder(self) -> Path:
        return self.top / "documents"

    def write(self, name: str, content: bytes) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (0, next(_LONG_AGO)))

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    def stop(self) -> None:
        self.folder.rename(self.top / "unmounted")

    def open(self) -> AbstractContextManager[Source]:
        kind = SOURCE_KINDS["folder"]
        options = kind.options.model_validate({"path": str(self.folder), **self.options})
        context = SourceContext(Destinations(), self.top, folders=(self.top,), max_item_bytes=self.max_item_bytes)
        source = kind.build(options, context)
        assert isinstance(source, FolderSource)
        return closing(source)


@pytest.fixture
def place(tmp_path: Path) -> FolderPlace:
    (tmp_path / "documents").mkdir()
    return FolderPlace(tmp_path)


class TestFolder(SourceContract):
    @pytest.fixture
    def place(self, place: FolderPlace) -> FolderPlace:
        return place


@pytest.fixture
def shared_place() -> Iterator[FolderPlace]:
    """A folder that other users can reach, unlike the temporary folders of the tests."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        Path(name).chmod(0o755)
        (Path(name) / "documents").mkdir(mode=0o755)
        yield FolderPlace(Path(name))


@contextmanager
def act_as_ordinary_user() -> Iterator[None]:
    """Give up root's permissions, to which no file is closed."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def list_paths(place: FolderPlace) -> set[str]:
    with place.open() as source:
        return {item.path for item in source.list_items()}


def test_files_of_subfolders_have_their_path_and_hidden_files_are_left_out(place: FolderPlace) -> None:
    for name in ("a.txt", "b/c/d.TXT", ".git/config", "b/~$d.txt", "b/.x.txt"):
        place.write(name, b"text")
    assert list_paths(place) == {"a.txt", "b/c/d.TXT"}
    place.options = {"include": ["*.txt"], "exclude": ["b/c/"]}
    assert list_paths(place) == {"a.txt", "b/~$d.txt", "b/.x.txt"}


def test_a_change_right_after_reading_is_never_missed(place: FolderPlace) -> None:
    """Clocks of file systems are coarse, so a second change may leave the modification time as it is."""
    place.write("a.txt", b"one")
    path = place.folder / "a.txt"
    os.utime(path)
    status = path.stat()
    version = list_by_name(place)["a.txt"].version
    path.write_bytes(b"two")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert read_item(place, list_by_name(place)["a.txt"], version) == b"two"
    assert version == ""


def test_symbolic_links_are_not_followed_and_circles_end(place: FolderPlace) -> None:
    secret = place.top / "secret"
    secret.mkdir()
    (secret / "key.txt").write_text("secret")
    place.write("a/b.txt", b"text")
    (place.folder / "a" / "circle").symlink_to(place.folder)
    (place.folder / "out").symlink_to(secret)
    (place.folder / "key.txt").symlink_to(secret / "key.txt")
    assert list_paths(place) == {"a/b.txt"}
    for wanted in ("out/key.txt", "key.txt", "../secret/key.txt", "a/../../secret/key.txt", "/etc/passwd"):
        with pytest.raises(ItemGoneError):
            read_item(place, SourceItem(wanted, "key.txt"))


def test_a_folder_that_becomes_a_link_after_listing_is_not_followed(place: FolderPlace) -> None:
    place.write("a/key.txt", b"text")
    listed = list_by_name(place)["key.txt"]
    shutil.rmtree(place.folder / "a")
    (place.top / "secret").mkdir()
    (place.top / "secret" / "key.txt").write_text("secret")
    (place.folder / "a").symlink_to(place.top / "secret")
    with pytest.raises(ItemGoneError):
        read_item(place, listed)


def test_only_permitted_folders_are_read(place: FolderPlace) -> None:
    for path in ("/etc", f"{place.top}/../..", "documents"):
        place.options = {"path": path}
        with pytest.raises(SourceOptionsError):
            place.open()
    (place.top / "link").symlink_to("/etc")
    place.options = {"path": str(place.top / "link")}
    with pytest.raises(SourceOptionsError):
        place.open()


def test_a_folder_that_becomes_a_link_out_is_refused(place: FolderPlace) -> None:
    with place.open() as source:
        place.stop()
        place.folder.symlink_to("/etc")
        with pytest.raises(SourceRefusedError):
            list(source.list_items())


def test_a_share_without_its_marker_is_an_error(place: FolderPlace) -> None:
    place.options = {"marker": "mounted.txt"}
    place.write("mounted.txt", b"yes")
    place.write("a.txt", b"text")
    listed = list_by_name(place)["a.txt"]
    place.stop()
    place.folder.mkdir()  # The empty folder below a mount point.
    with pytest.raises(SourceUnavailableError, match="mounted"):
        list_by_name(place)
    with pytest.raises(SourceUnavailableError):
        read_item(place, listed)


def test_a_share_that_is_unmounted_during_the_listing_is_an_error(place: FolderPlace) -> None:
    place.write("a.txt", b"text")
    place.write("b.txt", b"text")
    with place.open() as source:
        items = source.list_items()
        next(items)
        place.stop()
        place.folder.mkdir()
        with pytest.raises(SourceUnavailableError):
            list(items)


def test_a_subfolder_that_cannot_be_read_is_an_error(shared_place: FolderPlace) -> None:
    shared_place.write("a.txt", b"text")
    shared_place.write("b/c.txt", b"text")
    (shared_place.folder / "b").chmod(0)
    with act_as_ordinary_user():
        with pytest.raises(SourceRefusedError, match="b cannot be read"):
            list_paths(shared_place)
        shared_place.options = {"exclude": ["b"]}
        assert list_paths(shared_place) == {"a.txt"}
    (shared_place.folder / "b").chmod(0o700)


def test_only_an_unreadable_file_is_refused(shared_place: FolderPlace) -> None:
    shared_place.write("a.txt", b"text")
    shared_place.write("b.txt", b"text")
    (shared_place.folder / "a.txt").chmod(0o644)
    (shared_place.folder / "b.txt").chmod(0)
    with act_as_ordinary_user():
        items = list_by_name(shared_place)
        assert read_item(shared_place, items["a.txt"]) == b"text"
        with pytest.raises(ItemRefusedError, match=r"b\.txt"):
            read_item(shared_place, items["b.txt"])


def test_a_file_that_changes_while_it_is_read_is_refused(place: FolderPlace) -> None:
    place.write("a.txt", b"x" * 3_000_000)
    listed = list_by_name(place)["a.txt"]
    with place.open() as source, source.open_item(listed) as opened:
        next(opened.blocks)
        with (place.folder / "a.txt").open("r+b") as file:
            file.write(b"y")
        with pytest.raises(ItemRefusedError, match="changed"):
            list(opened.blocks)


def test_a_file_above_the_limit_is_refused(place: FolderPlace) -> None:
    place.max_item_bytes = 10
    place.write("a.txt", b"x" * 11)
    with pytest.raises(ItemRefusedError):
        read_item(place, list_by_name(place)["a.txt"])


def test_pipes_are_left_out_and_never_waited_for(place: FolderPlace) -> None:
    place.write("a.txt", b"text")
    listed = list_by_name(place)["a.txt"]
    place.remove("a.txt")
    os.mkfifo(place.folder / "a.txt")
    assert list_paths(place) == set()
    with pytest.raises(ItemGoneError):
        read_item(place, listed)


def test_names_that_are_not_utf_8_are_read_and_long_paths_are_refused(place: FolderPlace) -> None:
    raw = os.fsencode(place.folder) + b"/caf\xe9.txt"
    Path(os.fsdecode(raw)).write_bytes(b"coffee")
    place.write("/".join(["f" * 200] * 6) + "/deep.txt", b"deep")
    items = list_by_name(place)
    assert read_item(place, items["caf�.txt"]) == b"coffee"
    assert all(len(item.id) <= 1_000 and item.id.isprintable() for item in items.values())
    with pytest.raises(ItemRefusedError, match="characters"):
        read_item(place, items["deep.txt"])


def test_a_large_folder_is_listed_lazily(place: FolderPlace) -> None:
    for number in range(3_000):
        (place.folder / f"{number}.txt").touch()
    open_before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    with place.open() as source:
        items = source.list_items()
        next(items)
        for path in place.folder.iterdir():
            path.unlink()
        assert len(list(items)) < 2_999  # Only the entries that were read ahead are known.
        del items
    assert len(os.listdir("/proc/self/fd")) == open_before  # noqa: PTH208


def test_owners_are_mapped_to_readers(place: FolderPlace) -> None:
    place.write("a.txt", b"text")
    uid = str((place.folder / "a.txt").stat().st_uid)
    assert list_by_name(place)["a.txt"].readers is None
    place.options = {"owners": {uid: ["user:ann", "group:hr"]}}
    assert list_by_name(place)["a.txt"].readers == frozenset({"user:ann", "group:hr"})
    place.options = {"owners": {"somebody-else": ["user:ann"]}}
    assert list_by_name(place)["a.txt"].readers == frozenset()
    place.options = {"owners": {"somebody-else": ["user:ann"], "*": ["group:all"]}}
    assert list_by_name(place)["a.txt"].readers == frozenset({"group:all"})
    place.options = {"owners": {"ann": ["ann"]}}
    with pytest.raises(ValueError, match="not a valid subject"):
        place.open()
