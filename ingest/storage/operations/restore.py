"""A backup is put back: files first, then the catalog, and a generation of the index to be built from both."""

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
    read_manifest,
    read_sums,
)
from ingest.storage.operations.copying import CatalogCopies, list_files_of_copy
from ingest.storage.operations.installation import RESTORE_MARK_FILE, mark_store
from ingest.storage.operations.installation_record import InstallationRecord
from ingest.storage.sealing import Sealing

_READ_BYTES = 1024 * 1024


@dataclass(frozen=True)
class RestoreTarget:
    """What a backup is put back into."""

    catalog: CatalogCopies
    record: InstallationRecord
    generations: GenerationRecords
    blobs: BlobStore


@dataclass(frozen=True)
class RestoreResult:
    """The manifest of a backup that was put back, and the keys of files in it that its catalog does not name."""

    manifest: BackupManifest
    left_out: tuple[str, ...] = ()


def restore_backup(
    folder: Path,
    parts: RestoreTarget,
    advanced: Advanced,
    *,
    taken: Callable[[int], bool],
    replace: bool = False,
    as_new: bool = False,
) -> RestoreResult:
    """Put a backup back into a catalog and a blob folder, which no process may have open.

    Both must be empty, unless `replace`: then the catalog that there is is kept beside the blobs, and files that the
    backup does not have stay, for upkeep to put aside. The installation's id is the backup's, or a new one with
    `as_new`. A new generation of the index awaits being built; `taken` tells which numbers have an index already.
    Only files that the backup's catalog names are put back; the rest is `left_out`.

    Until this returns, no service starts on these parts; broken off, it can be done again. Raises `BackupError`.
    """
    manifest, sums, blobs = read_manifest(folder), read_sums(folder), parts.blobs
    begun_before = _read_restore_mark(blobs) == manifest.sums_sha256
    if not begun_before:
        _require_idle(parts.catalog)
        if not replace:
            _require_empty(parts)
    with _temporary_copy(folder / CATALOG, blobs, sums.pop(CATALOG)) as catalog:
        digests = {path.removeprefix(f"{BLOBS}/"): digest for path, digest in sums.items()}
        named = {each.key for each in list_files_of_copy(catalog, group_tables_by_version(_iter_table_keys(digests)))}
        blobs.put(RESTORE_MARK_FILE, manifest.sums_sha256.encode())
        if replace and not begun_before:
            _save_catalog(parts)
        for number, (key, digest) in enumerate(digests.items(), start=1):
            # guard: restore-writes-named-files
            if key in named:
                _restore_file(folder / BLOBS / key, blobs, key, digest)
            advanced("Files", number, len(digests))
        parts.catalog.load(catalog, lambda done, total: advanced("Catalog", done, total))
    if not isinstance(blobs, SealedBlobs):
        parts.record.record_sealing(Sealing.MIXED)  # a catalog that is replaced may be of files that were sealed
    if as_new:
        parts.record.replace_id(str(uuid.uuid4()))
    mark_store(blobs, parts.record.load_id() or manifest.installation, replace=True)
    parts.generations.start_anew(taken)
    os.sync()  # the files before the end of the restore
    blobs.delete(RESTORE_MARK_FILE)
    return RestoreResult(manifest, tuple(sorted(digests.keys() - named)))


@contextmanager
def _temporary_copy(file: Path, blobs: BlobStore, digest: str) -> Iterator[Path]:
    """Copy a file of the backup for the length of the block: what is done to the copy leaves the backup as it is."""
    copy = blobs.local_folder / "incoming" / uuid.uuid4().hex  # removed at the next start if this process is killed
    try:
        _copy_file(file, copy, digest)
        yield copy
    finally:
        for path in copy.parent.glob(f"{copy.name}*"):  # SQLite writes files beside a database
            path.unlink()


def _iter_table_keys(keys: Iterable[str]) -> Iterator[str]:
    return (key for key in keys if key.startswith("tables/"))


def _require_idle(catalog: CatalogCopies) -> None:
    if catalog.has_running_jobs():
        raise BackupError("Workers are at work on this catalog.", hint="Stop the API, the workers and beat first.")


def _require_empty(parts: RestoreTarget) -> None:
    count, originals = parts.catalog.count_documents(), sum(1 for _ in parts.blobs.iter_keys("original"))
    if count or originals:
        raise BackupError(
            f"There are documents here already: {count:,} in the catalog, and {originals:,} originals.",
            hint="Restore to an empty home and database, or say `--replace`: the catalog that is here is then saved "
            "beside the files, and its place taken.",
        )


def _save_catalog(parts: RestoreTarget) -> None:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    saved = parts.blobs.local_folder / f"catalog-replaced-{stamp}.sqlite"
    parts.catalog.save(saved, lambda done, total: None)


def _read_restore_mark(blobs: BlobStore) -> str | None:
    """Return the hash of the backup that is being put back, or None."""
    try:
        return blobs.read(RESTORE_MARK_FILE).decode()
    except KeyError:
        return None


def _restore_file(source: Path, blobs: BlobStore, key: str, digest: str) -> None:
    """Copy a file to its place, in one step. Raises `BackupError` for a damaged one."""
    target = blobs.get_local_path(key)
    with _temporary_copy(source, blobs, digest) as copy:
        if target is None:
            with copy.open("rb") as file:
                blobs.put_file(key, file)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy.replace(target)


def _copy_file(source: Path, target: Path, digest: str) -> None:
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
        raise BackupError(f"{source} has other bytes than when the backup was made.")
