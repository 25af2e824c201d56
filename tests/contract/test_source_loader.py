"""LangChain document loaders as a source: one on LangChain's base class, and loaders of LangChain's community."""

import shutil
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ingest.sources.errors import ItemRefusedError, SourceOptionsError, SourceUnavailableError
from ingest.sources.port import Source, SourceContext, SourceItem
from ingest.sources.registry import SOURCE_KINDS
from ingest.storage.webhooks.destinations import Destinations
from tests.contract.source_contract import Place, SourceContract

_FOLDER = "tests.support.loaders.FolderLoader"
_COUNTING = "tests.support.loaders.CountingLoader"
_CSV = "langchain_community.document_loaders.CSVLoader"
_TEXT = "langchain_community.document_loaders.TextLoader"
_OBSIDIAN = "langchain_community.document_loaders.ObsidianLoader"
_MISSING = "tests.support.loaders.MissingLoader"
_PERMITTED = frozenset({_FOLDER, _COUNTING, _CSV, _TEXT, _OBSIDIAN, _MISSING})


@pytest.fixture
def scratches(tmp_path: Path) -> Path:
    folder = tmp_path / "scratches"
    folder.mkdir()
    return folder


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    return folder


@dataclass
class LoaderPlace:
    folder: Path
    scratches: Path

    def write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    def remove(self, name: str) -> None:
        (self.folder / name).unlink()

    def stop(self) -> None:
        shutil.rmtree(self.folder)

    def open(self) -> AbstractContextManager[Source]:
        return closing(build_loader(self.scratches, _FOLDER, {"folder": str(self.folder)}))


class TestLoader(SourceContract):
    @pytest.fixture
    def place(self, files: Path, scratches: Path) -> Place:
        return LoaderPlace(files, scratches)


def build_loader(scratches: Path, path: str, arguments: dict[str, Any], **options: Any) -> Source:  # noqa: ANN401
    """Build an adapter that has an empty folder of its own, as in each sync."""
    kind = SOURCE_KINDS["langchain"]
    scratch = scratches / str(len(list(scratches.iterdir())))
    scratch.mkdir()
    context = SourceContext(Destinations(), scratch, loaders=_PERMITTED, max_item_bytes=2_000_000)
    return kind.build(kind.options(loader=path, arguments=arguments, **options), context)


def read_all(source: Source) -> dict[str, tuple[SourceItem, str]]:
    found = {}
    for item in source.list_items():
        with source.open_item(item) as opened:
            found[item.name] = opened.item, b"".join(opened.blocks).decode()
    return found


def test_the_parts_of_a_source_are_one_document_with_its_metadata(files: Path, scratches: Path) -> None:
    (files / "a.txt").write_bytes(b"page 1page 2")
    found = read_all(build_loader(scratches, _FOLDER, {"folder": str(files), "part_bytes": 6}))
    item, text = found["a.txt"]
    assert text == "page 1\n\npage 2"
    assert (item.author, item.modified_at, item.id) == ("Ann", 1_796_083_200.0, str(files / "a.txt"))


def test_documents_without_a_source_are_known_by_their_content(scratches: Path) -> None:
    found = read_all(build_loader(scratches, _COUNTING, {"count": 3}))
    assert sorted(text for _, text in found.values()) == ["document 0", "document 1", "document 2"]
    assert {item.id for item, _ in found.values()} == {
        item.id for item, _ in read_all(build_loader(scratches, _COUNTING, {"count": 3})).values()
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # langchain-community says that it will end
def test_loaders_of_the_community_are_read(files: Path, scratches: Path) -> None:
    (files / "parts.csv").write_text("part,hours\nseal,500\nfilter,900\n")
    (files / "page.txt").write_text("Grade 46")
    (files / "note.md").write_text("---\ntitle: Valves\n---\nValve 7 is open.")
    csv = read_all(build_loader(scratches, _CSV, {"file_path": str(files / "parts.csv")}))
    assert csv["parts.csv"][1] == "part: seal\nhours: 500\n\npart: filter\nhours: 900"
    page = read_all(build_loader(scratches, _TEXT, {"file_path": str(files / "page.txt")}))
    assert page["page.txt"][1] == "Grade 46"
    note, text = read_all(build_loader(scratches, _OBSIDIAN, {"path": str(files)}))["Valves"]
    assert text.strip().endswith("Valve 7 is open.")
    assert note.modified_at == pytest.approx((files / "note.md").stat().st_mtime)


def test_only_permitted_loaders_are_built(scratches: Path) -> None:
    for path in ("subprocess.Popen", "os.system", "tests.support.loaders.Other", ""):
        with pytest.raises(SourceOptionsError, match="not permitted"):
            build_loader(scratches, path, {})


def test_a_loader_that_is_missing_or_rejects_its_arguments_says_so(files: Path, scratches: Path) -> None:
    for path, arguments, reason in ((_MISSING, {}, "not installed"), (_FOLDER, {"wrong": 1}, "rejected its arguments")):
        with pytest.raises(SourceOptionsError, match=reason):
            list(build_loader(scratches, path, arguments).list_items())
    with pytest.raises(SourceOptionsError, match="not a JSON object") as caught:
        build_loader(scratches, _FOLDER, {}, secret_arguments="hidden-value")
    assert "hidden-value" not in str(caught.value)


def test_errors_of_a_loader_show_no_credentials(files: Path, scratches: Path) -> None:
    secret = '{"api_key": "hidden-value"}'
    source = build_loader(scratches, _FOLDER, {"folder": str(files / "missing")}, secret_arguments=secret)
    with pytest.raises(SourceUnavailableError, match=r"no folder for the key \*\*\*"):
        list(source.list_items())


def test_a_loader_with_too_many_documents_is_stopped(scratches: Path) -> None:
    with pytest.raises(SourceOptionsError, match="more than 1,000"):
        list(build_loader(scratches, _COUNTING, {"count": 1_001}, max_documents=1_000).list_items())


def test_a_large_document_is_refused(files: Path, scratches: Path) -> None:
    (files / "a.txt").write_bytes(b"x" * 2_000_001)
    source = build_loader(scratches, _FOLDER, {"folder": str(files)})
    (item,) = source.list_items()
    with pytest.raises(ItemRefusedError), source.open_item(item):
        pass
