"""`leadline blobs`: what is said of how files are sealed, and what sealing them anew does."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from api.build.embedded import open_catalog
from api.cli.blobs import app
from api.settings.settings import Settings
from ingest.storage.blobs.keyring import generate_key
from ingest.storage.blobs.opening import open_blobs
from ingest.storage.blobs.sealed import SealedBlobs
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.sealing import InMemorySealRecord, Sealing
from tests.support.catalogs import migrated_sqlite

KEYS = "text/ab/one.txt", "original/cd/two"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    migrated_sqlite(tmp_path / "catalog.sqlite")
    for name, value in {"HOME": str(tmp_path), "BLOB_KEYS": generate_key(), "LLM": "none"}.items():
        monkeypatch.setenv(f"LEADLINE_{name}", value)
    return tmp_path


def blobs(*words: str) -> Result:
    return CliRunner().invoke(app, words, catch_exceptions=False)


def store(home: Path, sealing: Sealing) -> SealedBlobs:
    opened = open_blobs(
        Settings(home=home, blob_keys=os.environ["LEADLINE_BLOB_KEYS"]), home, InMemorySealRecord(sealing)
    )
    assert isinstance(opened, SealedBlobs)
    return opened


def recorded(home: Path) -> Sealing:
    with open_catalog(home) as opened:
        return opened.installation.load_sealing()


def test_files_of_the_release_before_are_counted_and_bound_by_sealing_them_anew(home: Path) -> None:
    plain = DirectoryBlobs(home / "blobs")
    plain.put(KEYS[0], b"from before there was a key")
    store(home, Sealing.MIXED).put(KEYS[1], b"as before")
    shown = blobs("show")
    assert shown.exit_code == 0
    assert "1 original, 1 text" in shown.stdout
    assert "1 not encrypted" in shown.stdout
    assert "1 encrypted, but not bound to its name" in shown.stdout
    assert "leadline blobs reseal" in " ".join(shown.stdout.split())
    assert "Re-encrypted 2 of 2 files" in blobs("reseal").stdout
    assert recorded(home) is Sealing.BOUND
    shown = blobs("show")
    assert "2 bound to its name" in shown.stdout
    assert "reseal" not in shown.stdout
    assert store(home, Sealing.BOUND).read(KEYS[0]) == b"from before there was a key"


def test_files_that_are_refused_are_named_and_end_with_1(home: Path) -> None:
    store(home, Sealing.BOUND).put(KEYS[1], b"ours")
    assert blobs("reseal").exit_code == 0
    DirectoryBlobs(home / "blobs").put(KEYS[0], b"planted")
    for words in ("show", "reseal"):
        said = blobs(words)
        assert said.exit_code == 1
        assert KEYS[0] in said.stdout
        assert "rejected" in said.stdout
    accepted = blobs("reseal", "--accept-unbound")
    assert (accepted.exit_code, "Re-encrypted 1 of 2 files" in accepted.stdout) == (0, True)
    assert blobs("show").exit_code == 0


def test_files_that_are_not_sealed_are_said_not_to_be(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEADLINE_BLOB_KEYS")
    DirectoryBlobs(home / "blobs").put(KEYS[0], b"plain")
    assert "LEADLINE_BLOB_KEYS is not set" in blobs("show").stdout
