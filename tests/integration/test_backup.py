"""A backup is whole while uploads and deletions go on, a broken-off one is none, and what is put back is the same."""

import hashlib
import json
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from api.build.embedded import open_catalog
from api.build.index_access import open_index_access
from api.settings.settings import Settings
from ingest.storage.blobs.store import DirectoryBlobs
from ingest.storage.db.database import build_sqlite_url, open_database
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.records import VersionState
from ingest.storage.errors import BackupError, RestoreUnfinishedError
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.operations import backup as backups
from ingest.storage.operations.backup import (
    MANIFEST,
    BackupManifest,
    create_backup,
    read_manifest,
    verify_backup,
    verify_stored_files,
)
from ingest.storage.operations.copying import CatalogCopies
from ingest.storage.operations.installation import bind_installation, read_folder_marker
from ingest.storage.operations.installation_record import InstallationRecord
from ingest.storage.operations.restore import RestoreResult, RestoreTarget, restore_backup
from ingest.storage.texts.texts import Texts
from retrieval.encoders.port import HashingEmbedder
from retrieval.encoders.registry import wrap_encoder
from tests.integration.test_older_catalog import SUBJECTS, require_served, upload
from tests.support.books import book
from tests.support.service import running
from tests.support.worker_fixture import WorkerFixture

TABLE = "id,name\n1,Ann\n2,Bob\n"


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[WorkerFixture]:
    made = WorkerFixture(tmp_path / "home")
    yield made
    made.engine.dispose()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "backup"


class Target:
    """An empty installation to restore to."""

    def __init__(self, home: Path) -> None:
        home.mkdir(parents=True)
        self.home = home
        self.engine = open_database(build_sqlite_url(home / "catalog.sqlite"))
        self.blobs = DirectoryBlobs(home / "blobs")
        self.record = InstallationRecord(self.engine)

    def restore(
        self,
        folder: Path,
        advanced: backups.Advanced = lambda *_: None,
        taken: Callable[[int], bool] = lambda _: False,
        **how: bool,
    ) -> RestoreResult:
        parts = RestoreTarget(CatalogCopies(self.engine), self.record, GenerationRecords(self.engine), self.blobs)
        return restore_backup(folder, parts, advanced, is_index_taken=taken, **how)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    made = Target(tmp_path / "restored")
    yield made
    made.engine.dispose()


def quiet(*_: object) -> None:
    return None


def backup(
    worker: WorkerFixture, folder: Path, advanced: backups.Advanced = quiet, *, link: bool = True
) -> BackupManifest:
    return create_backup(CatalogCopies(worker.engine), worker.blobs, folder, advanced, use_links=link)


def when(what: str, act: Callable[[], object]) -> backups.Advanced:
    """Act once, when the backup is at something."""
    left = [act]

    def advanced(at: str, done: int, total: int) -> None:
        if at == what and left:
            left.pop()()

    return advanced


def documents(engine_of: WorkerFixture | Target) -> dict[str, str]:
    """The live documents, each with the hash of its original as it is in the blobs."""
    return {
        document.id: hashlib.sha256(engine_of.blobs.read(document.version.blob_key)).hexdigest()
        for document in Catalog(engine_of.engine).list_documents("ann", limit=500)
    }


def ready(worker: WorkerFixture, *texts: str) -> list[str]:
    made = [worker.upload(text, f"{number}.md") for number, text in enumerate(texts)]
    worker.work_off()
    assert {worker.state(document) for document in made} == {VersionState.READY}
    return [document.id for document in made]


def test_what_is_uploaded_and_backed_up_is_served_again_after_everything_was_destroyed(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "backup"
    with running(home) as (services, client):
        before = dict(zip(upload(client, SUBJECTS[:4]), SUBJECTS[:4], strict=True))
        during: list[str] = []
        uploading = threading.Thread(target=lambda: during.extend(upload(client, SUBJECTS[4:])))
        uploading.start()
        engine = open_database(build_sqlite_url(home / "catalog.sqlite"))
        bind_installation(InstallationRecord(engine), services.contents.blobs)
        made = create_backup(CatalogCopies(engine), services.contents.blobs, folder, quiet)
        engine.dispose()
        uploading.join()
        identifier = read_folder_marker(home / "blobs")
    assert made.documents >= 4
    assert (made.lost, made.damaged) == ((), ())
    assert verify_backup(folder, quiet) == []
    shutil.rmtree(home)

    there = Target(home)
    there.restore(folder)
    there.engine.dispose()
    settings = Settings(home=home, llm="none")
    with open_index_access(settings, cluster=None, encoders=wrap_encoder(HashingEmbedder())) as access:
        access.build_restored_generation(lambda progress, uncommitted: None)
        assert [generation.id for generation in access.records.list_live_generations()] == [2]
    assert read_folder_marker(home / "blobs") == identifier
    with running(home) as (services, client):
        require_served(client, before)
        assert services.documents.catalog.compute_state_totals("default")
        with open_catalog(home) as opened:
            assert len(opened.keys.list_keys("default")) > 0


def test_a_backup_broken_off_is_none_and_goes_on_where_it_was(
    worker: WorkerFixture, folder: Path, target: Target
) -> None:
    ready(worker, book(1), book(2), TABLE)

    def end() -> None:
        raise KeyboardInterrupt

    for stage in ("Files", "Catalog", "Hashes"):
        with pytest.raises(KeyboardInterrupt):
            backup(worker, folder, when(stage, end))
        with pytest.raises(BackupError, match="interrupted"):
            target.restore(folder)
        with pytest.raises(BackupError, match="interrupted"):
            verify_backup(folder, quiet)
    assert documents(target) == {}
    backup(worker, folder)
    assert verify_backup(folder, quiet) == []
    target.restore(folder)
    assert documents(target) == documents(worker) != {}


@pytest.mark.parametrize("stage", ["Files", "Catalog"])
@pytest.mark.parametrize("what", ["delete", "replace", "upload"])
def test_what_happens_during_a_backup_does_not_tear_it(
    worker: WorkerFixture, folder: Path, target: Target, stage: str, what: str
) -> None:
    first, second = ready(worker, book(1), book(2))

    def act() -> None:
        if what == "delete":
            worker.deleter.delete_document("ann", first)
        elif what == "replace":
            worker.replace(worker.catalog.load_document("ann", first), book(3))
            worker.work_off()
        else:
            worker.upload(book(3), "late.md")
            worker.work_off()

    made = backup(worker, folder, when(stage, act))
    assert (made.lost, made.damaged) == ((), ())
    assert verify_backup(folder, quiet) == []
    target.restore(folder)
    restored = documents(target)
    assert second in restored
    assert set(restored.values()) <= {hashlib.sha256(book(number).encode()).hexdigest() for number in (1, 2, 3)}
    assert verify_stored_files(CatalogCopies(target.engine), target.blobs, quiet) == []
    if (stage, what) == ("Files", "delete"):
        assert restored == documents(worker)


def test_a_document_that_came_and_went_during_a_backup_is_not_in_it(
    worker: WorkerFixture, folder: Path, target: Target
) -> None:
    ready(worker, book(1))
    came: list[str] = []
    gone = when("Catalog", lambda: worker.deleter.delete_document("ann", came[0]))
    coming = when("Files", lambda: came.extend(ready(worker, book(2))))

    def advanced(what: str, done: int, total: int) -> None:
        coming(what, done, total)
        gone(what, done, total)

    made = backup(worker, folder, advanced)
    assert (made.documents, made.lost) == (1, ())
    target.restore(folder)
    assert documents(target) == documents(worker)


def test_what_was_deleted_before_the_backup_is_not_in_it(worker: WorkerFixture, folder: Path) -> None:
    first, _ = ready(worker, book(1), book(2))
    version = worker.catalog.load_document("ann", first).version

    def advanced(what: str, done: int, total: int) -> None:
        if what == "Files" and done == total:  # every file is in the folder by now
            worker.deleter.delete_document("ann", first)

    backup(worker, folder, advanced)
    names = {path.name.partition(".")[0] for path in (folder / "blobs").rglob("*") if path.is_file()}
    assert version.id not in names
    assert Path(version.blob_key).name not in names


def test_record_tables_and_texts_come_back_byte_for_byte(worker: WorkerFixture, folder: Path, target: Target) -> None:
    document = worker.upload(TABLE, "people.csv")
    worker.work_off()
    backup(worker, folder)
    target.restore(folder)
    for kind in ("original", "text", "tables"):
        keys = sorted(worker.blobs.iter_keys(kind))
        assert sorted(target.blobs.iter_keys(kind)) == keys != []
        assert all(target.blobs.read(key) == worker.blobs.read(key) for key in keys)
    version = worker.catalog.load_document("ann", document.id).version
    assert Texts(target.blobs).read(version.id) == worker.texts.read(version.id)


def test_verifying_names_every_file_that_is_not_as_it_was(worker: WorkerFixture, folder: Path, target: Target) -> None:
    ready(worker, book(1), book(2))
    backup(worker, folder, link=False)
    original, other = sorted((folder / "blobs" / "original").rglob("*/*"))
    original.write_bytes(original.read_bytes()[::-1])
    other.unlink()
    (folder / "blobs" / "original" / "stray").write_text("of nobody")
    wrong = "\n".join(verify_backup(folder, quiet))
    assert f"{original.name} has changed since" in wrong
    assert f"{other.name} is missing" in wrong
    assert "stray is not listed" in wrong
    with pytest.raises(BackupError):
        target.restore(folder)
    with pytest.raises(RestoreUnfinishedError):
        bind_installation(target.record, target.blobs)


def test_damaged_bytes_are_not_put_back(worker: WorkerFixture, folder: Path, target: Target) -> None:
    ready(worker, book(1))
    backup(worker, folder, link=False)
    (original,) = (path for path in (folder / "blobs" / "original").rglob("*") if path.is_file())
    original.write_bytes(b"rotten")
    with pytest.raises(BackupError, match="has changed since"):
        target.restore(folder)
    assert list(target.blobs.iter_keys("original")) == []


def test_an_original_that_the_installation_had_lost_or_that_was_damaged_is_named(
    worker: WorkerFixture, folder: Path
) -> None:
    ready(worker, book(1), book(2))
    (lost, _), (damaged, _) = ((d.version.blob_key, d) for d in worker.catalog.list_documents("ann"))
    worker.blobs.resolve_path(lost).unlink()
    worker.blobs.resolve_path(damaged).write_bytes(b"rotten")
    assert sorted(verify_stored_files(CatalogCopies(worker.engine), worker.blobs, quiet)) == sorted(
        [f"{lost} is missing.", f"{damaged} has changed since it was written."]
    )
    made = backup(worker, folder)
    assert (made.lost, made.damaged) == ((lost,), (damaged,))
    (said,) = verify_backup(folder, quiet)
    assert "damaged before the backup" in said


def listing(folder: Path, *added: tuple[str, bytes]) -> None:
    """Add files to the list of a backup, and vouch for it in the manifest, as anybody can who may write the folder."""
    sums, manifest = folder / "SHA256SUMS", folder / MANIFEST
    lines = [f"{hashlib.sha256(content).hexdigest()}  {path}\n" for path, content in added]
    sums.write_text(sums.read_text() + "".join(lines))
    told = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**told, "sums_sha256": hashlib.sha256(sums.read_bytes()).hexdigest()}))


@pytest.mark.parametrize(
    "path",
    [
        "blobs/../../escaped",
        "blobs//{tmp}/escaped",
        "blobs/original/../../../escaped",
        "blobs/uploads/ab/planted",
        "blobs/lock",
        "blobs/INSTALLATION",
        "../escaped",
        "escaped",
    ],
)
def test_a_restore_refuses_a_list_with_a_path_that_no_backup_has_and_writes_nothing(
    worker: WorkerFixture, folder: Path, target: Target, tmp_path: Path, path: str
) -> None:
    ready(worker, book(1))
    backup(worker, folder)
    path, content = path.format(tmp=tmp_path), b"planted"
    source = folder / path
    source.parent.mkdir(parents=True, exist_ok=True)
    source.write_bytes(content)
    listing(folder, (path, content))
    planted = {each for each in tmp_path.rglob("*") if each.is_file() and each.read_bytes() == content}
    with pytest.raises(BackupError, match="cannot be part of a backup"):
        target.restore(folder)
    with pytest.raises(BackupError, match="cannot be part of a backup"):
        verify_backup(folder, quiet)
    assert {each for each in tmp_path.rglob("*") if each.is_file() and each.read_bytes() == content} == planted
    assert list(target.blobs.iter_keys("original")) == []
    assert bind_installation(target.record, target.blobs)  # nothing was begun


def test_a_restore_writes_only_files_that_the_catalog_of_the_backup_names(
    worker: WorkerFixture, folder: Path, target: Target
) -> None:
    ready(worker, book(1), TABLE)
    backup(worker, folder)
    strangers = [f"{kind}/ab/{'ab' * 16}" for kind in ("original", "text", "tables")]
    for key in strangers:
        (folder / "blobs" / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / "blobs" / key).write_bytes(b"planted")
    listing(folder, *((f"blobs/{key}", b"planted") for key in strangers))
    done = target.restore(folder)
    assert [key for key in strangers if target.blobs.find_size(key) is not None] == []
    assert done.left_out == tuple(sorted(strangers))
    assert documents(target) == documents(worker)


def test_a_folder_of_a_backup_is_its_users_alone(worker: WorkerFixture, folder: Path) -> None:
    ready(worker, book(1))
    backup(worker, folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_restore_takes_no_place_that_is_taken_unless_told(
    worker: WorkerFixture, folder: Path, tmp_path: Path
) -> None:
    ready(worker, book(1))
    backup(worker, folder)
    kept = documents(worker)
    (later,) = ready(worker, book(2))
    taken = Target.__new__(Target)
    taken.home, taken.engine, taken.blobs, taken.record = tmp_path, worker.engine, worker.blobs, worker.record
    with pytest.raises(BackupError, match="it has 2 documents"):
        taken.restore(folder)
    original = worker.catalog.load_document("ann", later).version.blob_key
    taken.restore(folder, replace=True)
    assert documents(worker) == kept
    assert worker.blobs.read(original)
    (saved,) = worker.blobs.local_folder.glob("catalog-replaced-*.sqlite")
    engine = open_database(build_sqlite_url(saved))
    with engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM documents").scalar() == 2
    engine.dispose()


def test_a_restore_broken_off_keeps_services_out_and_can_be_given_again(
    worker: WorkerFixture, folder: Path, target: Target
) -> None:
    ready(worker, book(1))
    backup(worker, folder)

    def end() -> None:
        raise KeyboardInterrupt

    for stage in ("Files", "Catalog"):
        with pytest.raises(KeyboardInterrupt):
            target.restore(folder, when(stage, end))
        with pytest.raises(RestoreUnfinishedError):
            bind_installation(target.record, target.blobs)
    target.restore(folder)
    assert bind_installation(target.record, target.blobs).id == worker.record.load_id()
    assert documents(target) == documents(worker)


def test_a_copy_beside_the_original_has_an_id_of_its_own(worker: WorkerFixture, folder: Path, target: Target) -> None:
    ready(worker, book(1))
    backup(worker, folder)
    target.restore(folder, assign_new_id=True)
    assert target.record.load_id() == read_folder_marker(target.blobs.local_folder) != worker.record.load_id()


def test_the_index_that_is_made_anew_has_a_number_that_no_index_has(
    worker: WorkerFixture, folder: Path, target: Target
) -> None:
    GenerationRecords(worker.engine).ensure_first_generation("encoder", "sparse", 8)
    backup(worker, folder)
    target.restore(folder, taken=lambda number: number in (1, 2, 4))
    beside = GenerationRecords(target.engine).find_inactive_generation()
    assert beside is not None
    assert (beside.id, beside.encoder) == (5, "encoder")


def test_files_are_linked_where_that_can_be_done_and_copied_when_told(worker: WorkerFixture, tmp_path: Path) -> None:
    ready(worker, book(1))
    for link in (True, False):
        folder = tmp_path / f"linked {link}"
        backup(worker, folder, link=link)
        (original,) = (path for path in (folder / "blobs" / "original").rglob("*") if path.is_file())
        key = original.relative_to(folder / "blobs").as_posix()
        assert original.samefile(worker.blobs.resolve_path(key)) == link


def test_a_folder_that_holds_a_backup_or_anything_else_is_not_written_to(worker: WorkerFixture, folder: Path) -> None:
    ready(worker, book(1))
    backup(worker, folder)
    with pytest.raises(BackupError, match="already contains a backup"):
        backup(worker, folder)
    (folder / MANIFEST).unlink()
    with pytest.raises(BackupError, match="is not empty"):
        backup(worker, folder)
    with pytest.raises(BackupError, match="contains no backup"):
        read_manifest(folder)
