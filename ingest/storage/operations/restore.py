"""Restores a backup: first the files, then the catalog. Then a new generation of the index is started."""

import hashlib
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ingest.storage.blobs.sealed import SealedBlobs
from ingest.storage.blobs.store import BlobStore, translate_disk_errors
from ingest.storage.errors import BackupError
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.operations.backup import (
    BLOBS,
    CATALOG,
    Advanced,
    BackupManifest,
    group_tables_by_version,
    read_checksums,
    read_manifest,
)
from ingest.storage.operations.copying import CatalogCopies, list_files_of_copy
from ingest.storage.operations.installation import RESTORE_MARK_FILE, write_store_marker
from ingest.storage.operations.installation_record import InstallationRecord
from ingest.storage.sealing import Sealing

_READ_BYTES = 1024 * 1024


@dataclass(frozen=True)
class RestoreTarget:
    """The components of the installation into which a backup is restored."""

    catalog: CatalogCopies
    record: InstallationRecord
    generations: GenerationRecords
    blobs: BlobStore


@dataclass(frozen=True)
class RestoreResult:
    """The manifest of the restored backup, and the keys of files that were not restored.

    Files are left out if the backup's catalog does not name them.
    """

    manifest: BackupManifest
    left_out: tuple[str, ...] = ()


def restore_backup(
    folder: Path,
    target: RestoreTarget,
    report_progress: Advanced,
    *,
    is_index_taken: Callable[[int], bool],
    replace: bool = False,
    assign_new_id: bool = False,
) -> RestoreResult:
    """Restore a backup into a catalog and a blob folder that no process has open.

    Both must be empty, unless `replace` is true. In that case, the current catalog is saved next to the blobs, and
    files that are not in the backup remain until the maintenance job quarantines them. The installation gets the
    backup's id or, if `assign_new_id` is true, a new id. Only files that the backup's catalog names are restored. A new
    generation of the index is started and must still be built; `is_index_taken` returns whether a generation id already
    has an index.

    Until this function returns, no service can start with this catalog and blob folder. An interrupted restore can be
    repeated. Raises `BackupError` if the backup cannot be restored here.
    """
    manifest, sums, blobs = read_manifest(folder), read_checksums(folder), target.blobs
    begun_before = _read_restore_marker(blobs) == manifest.sums_sha256
    if not begun_before:
        _require_idle_catalog(target.catalog)
        if not replace:
            _require_empty_target(target)
    with _provide_temporary_copy(folder / CATALOG, blobs, sums.pop(CATALOG)) as catalog:
        digests = {path.removeprefix(f"{BLOBS}/"): digest for path, digest in sums.items()}
        named = {each.key for each in list_files_of_copy(catalog, group_tables_by_version(_iter_table_keys(digests)))}
        blobs.put(RESTORE_MARK_FILE, manifest.sums_sha256.encode())
        if replace and not begun_before:
            _save_catalog(target)
        for number, (key, digest) in enumerate(digests.items(), start=1):
            # guard: restore-writes-named-files
            if key in named:
                _restore_file(folder / BLOBS / key, blobs, key, digest)
            report_progress("Files", number, len(digests))
        target.catalog.load_copy(catalog, lambda done, total: report_progress("Catalog", done, total))
    if not isinstance(blobs, SealedBlobs):
        # The files of the replaced catalog may have been sealed, but the restored files are not.
        target.record.record_sealing(Sealing.MIXED)
    if assign_new_id:
        target.record.replace_id(str(uuid.uuid4()))
    write_store_marker(blobs, target.record.load_id() or manifest.installation, replace=True)
    target.generations.start_empty_generation(is_index_taken)
    os.sync()  # Flush the files before the restore is marked as finished.
    blobs.delete(RESTORE_MARK_FILE)
    return RestoreResult(manifest, tuple(sorted(digests.keys() - named)))


@contextmanager
def _provide_temporary_copy(file: Path, blobs: BlobStore, digest: str) -> Iterator[Path]:
    """Provide a temporary copy of a backup file, so that the backup itself is not changed."""
    # If this process is killed, the next start removes the copy.
    copy = blobs.local_folder / "incoming" / uuid.uuid4().hex
    try:
        _copy_checked_file(file, copy, digest)
        yield copy
    finally:
        for path in copy.parent.glob(f"{copy.name}*"):  # SQLite creates more files next to a database file.
            path.unlink()


def _iter_table_keys(keys: Iterable[str]) -> Iterator[str]:
    return (key for key in keys if key.startswith("tables/"))


def _require_idle_catalog(catalog: CatalogCopies) -> None:
    if catalog.has_running_jobs():
        raise BackupError(
            "Workers are still running jobs of this catalog.", hint="Stop the API, the workers and beat first."
        )


def _require_empty_target(target: RestoreTarget) -> None:
    count, originals = target.catalog.count_documents(), sum(1 for _ in target.blobs.iter_keys("original"))
    if count or originals:
        raise BackupError(
            f"The installation is not empty: it has {count:,} documents and {originals:,} originals.",
            hint="Restore to an empty home and database, or pass `--replace`, which saves the current catalog next to "
            "the files and replaces it.",
        )


def _save_catalog(target: RestoreTarget) -> None:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    saved = target.blobs.local_folder / f"catalog-replaced-{stamp}.sqlite"
    target.catalog.save_copy(saved, lambda done, total: None)


def _read_restore_marker(blobs: BlobStore) -> str | None:
    """Return the checksum of the backup that is being restored, or None if no restore is in progress."""
    try:
        return blobs.read(RESTORE_MARK_FILE).decode()
    except KeyError:
        return None


def _restore_file(source: Path, blobs: BlobStore, key: str, digest: str) -> None:
    """Restore a file atomically. Raises `BackupError` if it is missing or damaged."""
    target = blobs.get_local_path(key)
    with _provide_temporary_copy(source, blobs, digest) as copy:
        if target is None:
            with copy.open("rb") as file:
                blobs.put_file(key, file)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy.replace(target)


def _copy_checked_file(source: Path, target: Path, digest: str) -> None:
    found = hashlib.sha256()
    try:
        with translate_disk_errors(), source.open("rb") as reading, target.open("wb") as writing:
            while block := reading.read(_READ_BYTES):
                found.update(block)
                writing.write(block)
    except FileNotFoundError as error:
        raise BackupError(f"{source} is missing from the backup.") from error
    # guard: restore-checks-digest
    if found.hexdigest() != digest:
        raise BackupError(f"{source} has changed since the backup was made.")
