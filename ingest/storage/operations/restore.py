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
from ingest.storage.blobs.store import BlobStore, translating_out_of_room
from ingest.storage.errors import BackupError
from ingest.storage.generations.store import GenerationRecords
from ingest.storage.operations.backup import (
    BLOBS,
    CATALOG,
    Advanced,
    Manifest,
    read_manifest,
    read_sums,
    tables_by_version,
)
from ingest.storage.operations.copying import CatalogCopies, contents_of
from ingest.storage.operations.installation import RESTORING, mark
from ingest.storage.operations.installation_record import InstallationRecord
from ingest.storage.sealing import Sealing

_READ_BYTES = 1024 * 1024


@dataclass(frozen=True)
class RestoredParts:
    """What a backup is put back into."""

    catalog: CatalogCopies
    record: InstallationRecord
    generations: GenerationRecords
    blobs: BlobStore


@dataclass(frozen=True)
class Restored:
    """The manifest of a backup that was put back, and the keys of files in it that its catalog does not name."""

    manifest: Manifest
    left_out: tuple[str, ...] = ()


def restore(
    folder: Path,
    parts: RestoredParts,
    advanced: Advanced,
    *,
    taken: Callable[[int], bool],
    replace: bool = False,
    as_new: bool = False,
) -> Restored:
    """Put a backup back into a catalog and a blob folder, which no process may have open.

    Both must be empty, unless `replace`: then the catalog that there is is kept beside the blobs, and files that the
    backup does not have stay, for upkeep to put aside. The installation's id is the backup's, or a new one with
    `as_new`. A new generation of the index awaits being built; `taken` tells which numbers have an index already.
    Only files that the backup's catalog names are put back; the rest is `left_out`.

    Until this returns, no service starts on these parts; broken off, it can be done again. Raises `BackupError`.
    """
    manifest, sums, blobs = read_manifest(folder), read_sums(folder), parts.blobs
    begun_before = _restoring(blobs) == manifest.sums_sha256
    if not begun_before:
        _require_idle(parts.catalog)
        if not replace:
            _require_empty(parts)
    with _copied(folder / CATALOG, blobs, sums.pop(CATALOG)) as catalog:
        digests = {path.removeprefix(f"{BLOBS}/"): digest for path, digest in sums.items()}
        named = {each.key for each in contents_of(catalog, tables_by_version(_tables_among(digests)))}
        blobs.put(RESTORING, manifest.sums_sha256.encode())
        if replace and not begun_before:
            _save_catalog(parts)
        for number, (key, digest) in enumerate(digests.items(), start=1):
            # guard: restore-writes-named-files
            if key in named:
                _put_back(folder / BLOBS / key, blobs, key, digest)
            advanced("Files", number, len(digests))
        parts.catalog.load(catalog, lambda done, total: advanced("Catalog", done, total))
    if not isinstance(blobs, SealedBlobs):
        parts.record.record_sealing(Sealing.MIXED)  # a catalog that is replaced may be of files that were sealed
    if as_new:
        parts.record.replace(str(uuid.uuid4()))
    mark(blobs, parts.record.id() or manifest.installation, replace=True)
    parts.generations.begin_anew(taken)
    os.sync()  # the files before the end of the restore
    blobs.delete(RESTORING)
    return Restored(manifest, tuple(sorted(digests.keys() - named)))


@contextmanager
def _copied(file: Path, blobs: BlobStore, digest: str) -> Iterator[Path]:
    """Copy a file of the backup for the length of the block: what is done to the copy leaves the backup as it is."""
    copy = blobs.local_folder / "incoming" / uuid.uuid4().hex  # removed at the next start if this process is killed
    try:
        _copy(file, copy, digest)
        yield copy
    finally:
        for path in copy.parent.glob(f"{copy.name}*"):  # SQLite writes files beside a database
            path.unlink()


def _tables_among(keys: Iterable[str]) -> Iterator[str]:
    return (key for key in keys if key.startswith("tables/"))


def _require_idle(catalog: CatalogCopies) -> None:
    if catalog.at_work():
        raise BackupError("Workers are at work on this catalog.", hint="Stop the API, the workers and beat first.")


def _require_empty(parts: RestoredParts) -> None:
    count, originals = parts.catalog.documents(), sum(1 for _ in parts.blobs.keys("original"))
    if count or originals:
        raise BackupError(
            f"There are documents here already: {count:,} in the catalog, and {originals:,} originals.",
            hint="Restore to an empty home and database, or say `--replace`: the catalog that is here is then saved "
            "beside the files, and its place taken.",
        )


def _save_catalog(parts: RestoredParts) -> None:
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    saved = parts.blobs.local_folder / f"catalog-replaced-{stamp}.sqlite"
    parts.catalog.save(saved, lambda done, total: None)


def _restoring(blobs: BlobStore) -> str | None:
    """Return the hash of the backup that is being put back, or None."""
    try:
        return blobs.read(RESTORING).decode()
    except KeyError:
        return None


def _put_back(source: Path, blobs: BlobStore, key: str, digest: str) -> None:
    """Copy a file to its place, in one step. Raises `BackupError` for a damaged one."""
    target = blobs.file(key)
    with _copied(source, blobs, digest) as copy:
        if target is None:
            with copy.open("rb") as file:
                blobs.put_file(key, file)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            copy.replace(target)


def _copy(source: Path, target: Path, digest: str) -> None:
    found = hashlib.sha256()
    try:
        with translating_out_of_room(), source.open("rb") as reading, target.open("wb") as writing:
            while block := reading.read(_READ_BYTES):
                found.update(block)
                writing.write(block)
    except FileNotFoundError as error:
        raise BackupError(f"{source} is missing from the backup.") from error
    # guard: restore-checks-digest
    if found.hexdigest() != digest:
        raise BackupError(f"{source} has other bytes than when the backup was made.")
