"""The models folder says which files are the ones the manifest names."""

import os
from pathlib import Path

import pytest

from retrieval.errors import ModelFileError, ModelHashError, ModelMissingError
from retrieval.models.manifest import load_model_files
from retrieval.models.store import ModelFileState, ModelStore, get_default_models_directory
from tests.support.model_files import model_file_of, some_bytes

CONTENT = some_bytes(10_000)
OTHER = some_bytes(10_000, seed=1)
FILE = model_file_of(CONTENT)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path, [FILE])


def _state(store: ModelStore, *, full: bool = False) -> ModelFileState:
    return store.check_files(rehash=full)[0].state


def test_a_file_with_the_right_bytes_is_given_out(store: ModelStore) -> None:
    (store.directory / FILE.name).write_bytes(CONTENT)

    assert store.require_verified_path(FILE) == store.directory / FILE.name
    assert store.list_missing_files() == []


def test_a_folder_that_does_not_exist_misses_every_file(tmp_path: Path) -> None:
    store = ModelStore(tmp_path / "nothing" / "here")

    assert store.list_missing_files() == list(load_model_files())
    with pytest.raises(ModelMissingError, match="leadline models fetch"):
        store.require_verified_path(store.files[0])


def test_a_file_of_another_size_is_not_given_out(store: ModelStore) -> None:
    (store.directory / FILE.name).write_bytes(CONTENT[:-1])

    assert _state(store) is ModelFileState.WRONG_SIZE
    with pytest.raises(ModelMissingError, match=r"9,999 bytes, but the manifest specifies 10,000"):
        store.require_verified_path(FILE)


def test_a_file_with_other_bytes_is_not_given_out(store: ModelStore) -> None:
    (store.directory / FILE.name).write_bytes(OTHER)

    assert _state(store) is ModelFileState.WRONG_HASH
    assert store.list_missing_files() == [FILE]
    with pytest.raises(ModelHashError) as caught:
        store.require_verified_path(FILE)
    assert caught.value.expected == FILE.sha256


def test_a_file_that_changed_after_it_was_verified_is_hashed_again(store: ModelStore) -> None:
    path = store.directory / FILE.name
    path.write_bytes(CONTENT)
    store.require_verified_path(FILE)

    path.write_bytes(OTHER)
    os.utime(path, ns=(1, 1))

    assert _state(store) is ModelFileState.WRONG_HASH


def test_a_verified_file_is_not_hashed_at_the_next_start_but_with_full_it_is(store: ModelStore) -> None:
    path = store.directory / FILE.name
    path.write_bytes(CONTENT)
    store.require_verified_path(FILE)
    modified_ns = path.stat().st_mtime_ns

    # The record goes by size and time alone: with both put back, only reading the bytes can tell.
    path.write_bytes(OTHER)
    os.utime(path, ns=(modified_ns, modified_ns))
    restarted = ModelStore(store.directory, [FILE])

    assert _state(restarted) is ModelFileState.VERIFIED
    assert _state(restarted, full=True) is ModelFileState.WRONG_HASH


def test_a_record_for_other_content_does_not_count(store: ModelStore) -> None:
    (store.directory / FILE.name).write_bytes(CONTENT)
    store.require_verified_path(FILE)
    next_release = model_file_of(OTHER)

    with pytest.raises(ModelHashError):
        store.require_verified_path(next_release)


@pytest.mark.parametrize("record", ["", "{", "[]", '"verified"'])
def test_a_damaged_record_only_costs_time(store: ModelStore, record: str) -> None:
    (store.directory / FILE.name).write_bytes(CONTENT)
    (store.directory / f"{FILE.name}.verified").write_text(record, encoding="utf-8")

    assert _state(store) is ModelFileState.VERIFIED


def test_a_folder_that_keeps_no_record_still_serves_its_files(store: ModelStore) -> None:
    (store.directory / FILE.name).write_bytes(CONTENT)
    (store.directory / f"{FILE.name}.verified").mkdir()

    assert store.require_verified_path(FILE).read_bytes() == CONTENT


def test_what_cannot_be_read_is_told_in_words(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = ModelStore(tmp_path / "file", [FILE])

    assert _state(store) is ModelFileState.UNREADABLE
    with pytest.raises(ModelFileError, match="cannot be read"):
        store.require_verified_path(FILE)


def test_a_part_with_the_right_bytes_takes_the_files_place(store: ModelStore) -> None:
    (store.directory / FILE.name).write_bytes(OTHER)
    store.get_part_path(FILE).write_bytes(CONTENT)

    assert store.install_download(FILE).read_bytes() == CONTENT
    assert not store.get_part_path(FILE).exists()
    assert (store.directory / f"{FILE.name}.verified").exists()


def test_a_part_with_other_bytes_is_deleted_and_the_file_left_alone(store: ModelStore) -> None:
    (store.directory / FILE.name).write_bytes(CONTENT)
    store.get_part_path(FILE).write_bytes(OTHER)

    with pytest.raises(ModelHashError):
        store.install_download(FILE)

    assert not store.get_part_path(FILE).exists()
    assert store.require_verified_path(FILE).read_bytes() == CONTENT


def test_the_default_folder_is_in_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert get_default_models_directory() == tmp_path / "leadline" / "models"

    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert get_default_models_directory() == Path("/home/someone/.cache/leadline/models")

    monkeypatch.delenv("XDG_CACHE_HOME")
    assert get_default_models_directory() == Path("/home/someone/.cache/leadline/models")
