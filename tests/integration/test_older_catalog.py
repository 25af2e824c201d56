"""A catalog that is older than its data folder, or another one's: nothing is lost, and the newer one serves it all."""

import os
import shutil
import time
from pathlib import Path

import pytest

from api.cli.doctor import _check_installation
from api.client import Client
from api.settings.settings import Settings
from ingest.storage.blobs.quarantine import Quarantine
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.errors import InstallationMismatchError
from tests.support.service import running

_TWO_DAYS = 2 * 86_400.0
SUBJECTS = ("whales", "ships", "lighthouses", "anchors", "compasses", "sails")


def upload(client: Client, subjects: tuple[str, ...]) -> list[str]:
    """Upload a document about each, and wait until all are ready."""
    made = [
        client.http.post("/v1/documents", params={"name": f"{s}.md"}, content=original(s)).json()["id"]
        for s in subjects
    ]
    while any(client.get(f"/v1/documents/{each}")["state"] != "ready" for each in made):
        time.sleep(0.02)
    return made


def original(subject: str) -> bytes:
    return f"# {subject}\n\nAll about {subject}.\n".encode()


def require_served(client: Client, documents: dict[str, str]) -> None:
    for identifier, subject in documents.items():
        found = client.post("/v1/search", {"query": f"about {subject}", "mode": "bm25"})["hits"]
        assert found[0]["document"] == identifier
        assert client.http.get(f"/v1/documents/{identifier}/original").content == original(subject)
        assert subject in client.http.get(f"/v1/documents/{identifier}/content").text


def age_blobs(home: Path) -> None:
    for path in (home / "blobs").rglob("*"):
        if path.is_file():
            os.utime(path, (time.time() - _TWO_DAYS, time.time() - _TWO_DAYS))


def catalog_files(home: Path) -> list[Path]:
    return list(home.glob("catalog.sqlite*"))


def put_catalog(home: Path, source: Path) -> None:
    for path in catalog_files(home):
        path.unlink()
    shutil.copy(source, home / "catalog.sqlite")


def test_an_older_catalog_loses_nothing_and_the_newer_one_put_back_serves_everything(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running(home) as (_, client):
        documents = dict(zip(upload(client, SUBJECTS[:3]), SUBJECTS[:3], strict=True))
    older, newer = tmp_path / "older.sqlite", tmp_path / "newer.sqlite"
    shutil.copy(home / "catalog.sqlite", older)
    with running(home) as (_, client):
        documents |= dict(zip(upload(client, SUBJECTS[3:]), SUBJECTS[3:], strict=True))
    shutil.copy(home / "catalog.sqlite", newer)
    before = {path.name: path.read_bytes() for path in (home / "blobs" / "original").rglob("*") if path.is_file()}

    put_catalog(home, older)
    age_blobs(home)
    for _ in range(2):
        (home / "unclean").touch()  # so that upkeep runs at the start
        with running(home) as (_, client):
            require_served(client, dict(list(documents.items())[:3]))
    assert (
        len(Quarantine(DirectoryBlobs(home / "blobs")).load_quarantine_dates()) == 9
    )  # originals, texts and maps of three

    put_catalog(home, newer)
    with running(home) as (_, client):
        require_served(client, documents)
    after = {path.name: path.read_bytes() for path in (home / "blobs" / "original").rglob("*") if path.is_file()}
    assert after == before


def test_a_catalog_that_is_not_the_folders_is_refused_at_the_start(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    for folder, subjects in ((home, SUBJECTS[:2]), (other, SUBJECTS[2:4])):
        with running(folder) as (_, client):
            upload(client, subjects)
    before = sorted(path for path in (home / "blobs").rglob("*"))
    (home / "unclean").touch()
    put_catalog(home, other / "catalog.sqlite")
    age_blobs(home)
    with pytest.raises(InstallationMismatchError, match="belongs to installation"), running(home):
        pass
    assert sorted(path for path in (home / "blobs").rglob("*")) == before


def test_a_new_catalog_on_a_full_folder_is_refused_at_the_start(tmp_path: Path) -> None:
    with running(tmp_path) as (_, client):
        upload(client, SUBJECTS[:1])
    for path in catalog_files(tmp_path):
        path.unlink()
    with pytest.raises(InstallationMismatchError), running(tmp_path):
        pass


def test_another_installations_index_is_refused_at_the_start(tmp_path: Path) -> None:
    home, other = tmp_path / "home", tmp_path / "other"
    for folder in (home, other):
        with running(folder) as (_, client):
            upload(client, SUBJECTS[:1])
    shutil.rmtree(home / "index")
    shutil.copytree(other / "index", home / "index")
    with pytest.raises(InstallationMismatchError, match="the index in"), running(home):
        pass


def test_readiness_and_doctor_say_that_upkeep_touches_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with running(tmp_path) as (services, client):
        upload(client, SUBJECTS[:1])
        for number in range(11):
            services.contents.blobs.put(f"original/ab/{number}", b"bytes")
    age_blobs(tmp_path)
    (tmp_path / "unclean").touch()
    monkeypatch.setenv("LEADLINE_HOME", str(tmp_path))
    with running(tmp_path) as (_, client):
        ready = client.http.get("/health/ready")
        assert ready.status_code == 200
        assert ready.json()["parts"]["upkeep"]["state"] == "stopped"
        (said,) = (found for found in _check_installation(Settings()) if found.what == "upkeep")
    assert "11 of 12 originals" in said.found
    assert said.advice
    with running(tmp_path, upkeep_share=1.0) as (_, client):
        assert client.http.get("/health/ready").json()["parts"]["upkeep"]["state"] == "ready"
