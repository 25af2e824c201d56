"""Backs up a running installation: the catalog and the files that it names.

    FOLDER/catalog.sqlite   every row of the catalog, as of one moment
    FOLDER/blobs/...        originals, texts and tables, under their keys
    FOLDER/SHA256SUMS       one line per file, in the format that `sha256sum -c` reads
    FOLDER/manifest.json    a summary with counts; written last, so a backup without it is incomplete

Files in a blob folder are never changed, so they are hard-linked instead of copied. Files in a bucket are downloaded.
Sealed files are decrypted, so anyone who can read the disk can read the backup. The index is not part of a backup,
because it can be rebuilt from the texts.
"""

import json
import os
import re
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version as release_of
from pathlib import Path

from ingest.storage.blobs.store import BlobStore, compute_blocks_sha256, fsync_path, is_valid_key, translate_disk_errors
from ingest.storage.digests import build_file_key, compute_file_sha256, parse_version_id
from ingest.storage.errors import BackupError, BlobChangedError, BlobKeyError
from ingest.storage.operations.copying import CatalogCopies, CatalogFile, list_files_of_copy

MANIFEST, SUMS, CATALOG, BLOBS = "manifest.json", "SHA256SUMS", "catalog.sqlite", "blobs"
BLOB_KINDS = ("original", "text", "tables")
_UNFINISHED_FILE = "unfinished"
_FORMAT = 1
# Maximum number of rounds of a backup. Each round copies the catalog again, without documents that were deleted or
# replaced since the previous round. Files that are still missing after the last round are reported as lost.
_MAX_ROUNDS = 5
_SHA256 = re.compile(r"[0-9a-f]{64}")

# Function that reports progress: the name of the step, the completed amount and the total amount.
Advanced = Callable[[str, int, int], None]


@dataclass(frozen=True)
class BackupManifest:
    """A summary of a backup.

    `lost` and `damaged` list the keys of files that were missing or damaged in the installation.
    """

    installation: str
    release: str
    made_at: str
    documents: int
    originals: int
    files: int
    size_bytes: int
    sums_sha256: str
    lost: tuple[str, ...] = ()
    damaged: tuple[str, ...] = ()
    format: int = _FORMAT


def create_backup(
    catalog: CatalogCopies, blobs: BlobStore, folder: Path, report_progress: Advanced, *, use_links: bool = True
) -> BackupManifest:
    """Create a backup in a new or empty folder, or continue a backup that was interrupted there.

    Uploads and deletions may continue meanwhile. Files are copied first, then the catalog, and then the files that the
    copied catalog names in addition. If such a file no longer exists, its document was deleted or replaced, and the
    catalog is copied again. Raises `BackupError` if the folder cannot be used, and `StorageFullError` if the disk is
    full.
    """
    _prepare_folder(folder)
    take = _BackupWriter(blobs, folder, use_links=use_links)
    everything = [key for kind in BLOB_KINDS for key in blobs.iter_keys(kind)]
    for number, key in enumerate(everything, start=1):
        take(key)
        report_progress("Files", number, len(everything))
    missing: set[str] = set()
    for _ in range(_MAX_ROUNDS):
        contents = _copy_catalog(catalog, blobs, folder, report_progress)
        before = missing
        missing = {each.key for each in contents if not take(each.key) and each.required}
        # guard: backup-later-catalog
        if missing == before:
            break
    named = {each.key for each in contents}
    # guard: backup-without-deleted
    _remove_stale_files(folder, named)
    return _write_manifest(folder, contents, missing - take.unreadable, take.unreadable & named, report_progress)


def read_manifest(folder: Path) -> BackupManifest:
    """Load a backup's manifest. Raises `BackupError` if the folder does not contain a complete backup."""
    try:
        raw = json.loads((folder / MANIFEST).read_text())
        made = BackupManifest(**{**raw, "lost": tuple(raw["lost"]), "damaged": tuple(raw["damaged"])})
    except FileNotFoundError as error:
        broken_off = (folder / _UNFINISHED_FILE).exists()
        raise BackupError(
            f"{folder} contains {'an interrupted backup' if broken_off else 'no backup'}.",
            hint="Continue it by running `leadline backup` with the same folder." if broken_off else None,
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise BackupError(f"{folder / MANIFEST} cannot be read: {error}.") from error
    if made.format != _FORMAT:
        raise BackupError(
            f"The backup in {folder} has format {made.format}, but this release reads only format {_FORMAT}."
        )
    if compute_file_sha256(folder / SUMS) != made.sums_sha256:
        raise BackupError(f"{folder / SUMS} does not match the manifest.")
    return made


def read_checksums(folder: Path) -> dict[str, str]:
    """Read the SHA-256 of each file in a backup, including the catalog, keyed by the file's path in the folder.

    Raises `BackupError` if a line cannot belong to a backup, for example because its path leads out of the folder.
    """
    with (folder / SUMS).open() as lines:
        sums = {path: digest for digest, _, path in (line.rstrip("\n").partition("  ") for line in lines)}
    foreign = next((path for path, digest in sums.items() if not _is_backup_entry(path, digest)), None)
    # guard: backup-list-in-folder
    if foreign is not None:
        raise BackupError(
            f"{folder / SUMS} lists {foreign!r}, which cannot be part of a backup.",
            hint="The file was changed after the backup was made. Restore another backup.",
        )
    if CATALOG not in sums:
        raise BackupError(f"{folder / SUMS} does not list {CATALOG}.")
    return sums


def verify_backup(folder: Path, report_progress: Advanced) -> list[str]:
    """Verify every file of a backup, and return a sentence for each problem.

    Each file is compared with its SHA-256 in the backup and with its digest in the catalog. Raises `BackupError` if
    the folder does not contain a complete backup.
    """
    manifest, sums = read_manifest(folder), read_checksums(folder)
    unread = [key for key in manifest.damaged if f"{BLOBS}/{key}" not in sums]
    wrong = [
        f"{BLOBS}/{key} is not in the backup because it was changed in the store and could not be decrypted."
        for key in unread
    ]
    for number, (path, digest) in enumerate(sums.items(), start=1):
        try:
            if compute_file_sha256(folder / path) != digest:
                wrong.append(f"{path} has changed since the backup was made.")
        except FileNotFoundError:
            wrong.append(f"{path} is missing.")
        report_progress("Files", number, len(sums))
    wrong += [
        f"{BLOBS}/{key} is not listed in {SUMS}." for key in _list_blob_keys(folder) if f"{BLOBS}/{key}" not in sums
    ]
    wrong += _verify_catalog(folder, sums)
    return wrong


def verify_stored_files(catalog: CatalogCopies, blobs: BlobStore, report_progress: Advanced) -> list[str]:
    """Verify all files of a running installation, and return a sentence for each problem.

    Files without a digest are only checked for existence. Each problem is checked a second time, because documents may
    be deleted or processed again in the meantime.
    """
    contents = catalog.list_files(group_tables_by_version(blobs.iter_keys("tables")))
    suspicious = set()
    for number, each in enumerate(contents, start=1):
        if _describe_damage(each, blobs):
            suspicious.add(each.key)
        report_progress("Files", number, len(contents))
    again = catalog.list_files(group_tables_by_version(blobs.iter_keys("tables"))) if suspicious else []
    return sorted(wrong for each in again if each.key in suspicious and (wrong := _describe_damage(each, blobs)))


def _describe_damage(catalog_file: CatalogFile, blobs: BlobStore) -> str:
    """Return a sentence that describes a file's problem, or an empty string if the file is intact."""
    try:
        # guard: verify-compares-digests
        if (
            catalog_file.sha256 is not None
            and compute_blocks_sha256(blobs.iter_blocks(catalog_file.key)) != catalog_file.sha256
        ):
            return f"{catalog_file.key} has changed since it was written."
        if catalog_file.required and blobs.find_size(catalog_file.key) is None:
            return f"{catalog_file.key} is missing."
    except KeyError:
        return f"{catalog_file.key} is missing." if catalog_file.required else ""
    except (BlobKeyError, BlobChangedError) as error:
        return error.detail
    return ""


def group_tables_by_version(keys: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """Group the keys of record tables by version id."""
    found: dict[str, list[str]] = {}
    for key in keys:
        found.setdefault(parse_version_id(key), []).append(key)
    return found


def write_file_durably(path: Path, content: str) -> None:
    """Write a file atomically and durably."""
    draft = path.with_name(f"{path.name}.new")
    with translate_disk_errors(), draft.open("w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    fsync_path(path.parent)


def _prepare_folder(folder: Path) -> None:
    # guard: private-backup-folder
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    present = {path.name for path in folder.iterdir()}
    if MANIFEST in present:
        raise BackupError(f"{folder} already contains a backup.", hint="Use a new folder for each backup.")
    if present and _UNFINISHED_FILE not in present:
        raise BackupError(f"{folder} is not empty.", hint="Use a new folder for each backup.")
    write_file_durably(folder / _UNFINISHED_FILE, "A backup without manifest.json is incomplete.\n")


def _is_backup_entry(path: str, digest: str) -> bool:
    """Return whether a line of the checksum file is valid: it lists the catalog or a file that backups contain."""
    key = path.removeprefix(f"{BLOBS}/")
    is_blob = key != path and key.partition("/")[0] in BLOB_KINDS and is_valid_key(key)
    return (is_blob or path == CATALOG) and _SHA256.fullmatch(digest) is not None


class _BackupWriter:
    """Adds files to a backup. `unreadable` lists sealed files that cannot be decrypted because they were changed."""

    def __init__(self, blobs: BlobStore, folder: Path, *, use_links: bool) -> None:
        self._blobs = blobs
        self._folder = folder
        self._link = use_links
        self.unreadable: set[str] = set()

    def __call__(self, key: str) -> bool:
        """Add a file to the backup unless it contains the file already. Return false if the file cannot be added.

        This is the case if the installation no longer has the file, or if the file cannot be decrypted.
        """
        target = self._folder / BLOBS / key
        if target.exists():
            return True
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.new")
        draft.unlink(missing_ok=True)
        self.unreadable.discard(key)
        try:
            path = self._blobs.get_local_path(key)
            with translate_disk_errors():
                if not (self._link and path is not None and _link_file(path, draft)):
                    with draft.open("xb") as file:
                        file.writelines(self._blobs.iter_blocks(key))
        except (FileNotFoundError, KeyError):
            return False
        except BlobChangedError:
            draft.unlink(missing_ok=True)
            self.unreadable.add(key)
            return False
        draft.rename(target)
        return True


def _link_file(source: Path, target: Path) -> bool:
    """Create a hard link. Return false if the file systems do not allow it."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def _copy_catalog(
    catalog: CatalogCopies, blobs: BlobStore, folder: Path, report_progress: Advanced
) -> Sequence[CatalogFile]:
    """Copy the current catalog to the backup, and return the files named in the copy."""
    draft = folder / f"{CATALOG}.new"
    for path in folder.glob(f"{draft.name}*"):
        path.unlink()
    catalog.save_copy(draft, lambda done, total: report_progress("Catalog", done, total))
    contents = list_files_of_copy(draft, group_tables_by_version(blobs.iter_keys("tables")))
    draft.replace(folder / CATALOG)
    return contents


def _remove_stale_files(folder: Path, named_keys: Collection[str]) -> None:
    """Remove the files that the copied catalog does not name, because their documents were deleted."""
    for key in _list_blob_keys(folder):
        if key not in named_keys:
            (folder / BLOBS / key).unlink()


def _list_blob_keys(folder: Path) -> list[str]:
    root = folder / BLOBS
    return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


def _write_manifest(
    folder: Path,
    catalog_files: Sequence[CatalogFile],
    missing_keys: Collection[str],
    unreadable_keys: Collection[str],
    report_progress: Advanced,
) -> BackupManifest:
    hashes = {each.key: each.sha256 for each in catalog_files if each.sha256 is not None}
    keys, damaged, size = sorted(_list_blob_keys(folder)), list(unreadable_keys), (folder / CATALOG).stat().st_size
    lines = [f"{compute_file_sha256(folder / CATALOG)}  {CATALOG}\n"]
    for number, key in enumerate(keys, start=1):
        digest = compute_file_sha256(folder / BLOBS / key)
        if hashes.get(key, digest) != digest:
            damaged.append(key)
        lines.append(f"{digest}  {BLOBS}/{key}\n")
        size += (folder / BLOBS / key).stat().st_size
        report_progress("Hashes", number, len(keys))
    write_file_durably(folder / SUMS, "".join(lines))
    with closing(sqlite3.connect(f"file:{folder / CATALOG}?mode=ro", uri=True)) as catalog:
        live = catalog.execute("SELECT count(*) FROM documents WHERE deleted_at IS NULL").fetchone()[0]
        (installation,) = catalog.execute("SELECT id FROM installation").fetchone()
    made = BackupManifest(
        installation=installation,
        release=release_of("leadline"),
        made_at=datetime.now(UTC).isoformat(timespec="seconds"),
        documents=live,
        originals=sum(key.startswith("original/") for key in keys),
        files=len(lines),
        size_bytes=size,
        sums_sha256=compute_file_sha256(folder / SUMS),
        lost=tuple(sorted(missing_keys)),
        damaged=tuple(sorted(damaged)),
    )
    os.sync()  # Flush files and folders first, because the manifest marks the backup as complete.
    write_file_durably(folder / MANIFEST, json.dumps(asdict(made), indent=2))
    (folder / _UNFINISHED_FILE).unlink()
    return made


def _verify_catalog(folder: Path, checksums: dict[str, str]) -> list[str]:
    """Compare the digests in a backup's catalog with the checksums of its files. Return a sentence for each problem."""
    try:
        with closing(sqlite3.connect(f"file:{folder / CATALOG}?mode=ro&immutable=1", uri=True)) as catalog:
            (state,) = catalog.execute("PRAGMA integrity_check").fetchone()
            named = dict(catalog.execute("SELECT blob_key, content_sha256 FROM versions").fetchall())
            named |= _load_digests(catalog)
    except sqlite3.DatabaseError as error:
        return [f"{CATALOG} cannot be read: {error}."]
    wrong = [] if state == "ok" else [f"{CATALOG} is damaged: {state}."]
    for key, digest in named.items():
        if checksums.get(f"{BLOBS}/{key}", digest) != digest:
            wrong.append(f"{BLOBS}/{key} was damaged before the backup was made.")
    return wrong


def _load_digests(catalog: sqlite3.Connection) -> dict[str, str]:
    """Load the digests of texts and tables from a backup's catalog, keyed by file key.

    Returns no digests for catalogs from earlier releases, which contain none.
    """
    tables = catalog.execute("SELECT count(*) FROM sqlite_master WHERE name = 'content_digests'").fetchone()
    if not tables[0]:
        return {}
    rows = catalog.execute("SELECT version_id, file, sha256 FROM content_digests").fetchall()
    return {build_file_key(version, file): bytes(sha256).hex() for version, file, sha256 in rows}
