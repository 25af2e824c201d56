"""A backup of an installation, made while it runs: the catalog, and the files that the catalog names.

    FOLDER/catalog.sqlite   every row of the catalog, as of one moment
    FOLDER/blobs/...        originals, texts and tables, under their keys
    FOLDER/SHA256SUMS       a line for each of these files, as `sha256sum -c` reads it
    FOLDER/manifest.json    what it is a backup of, and counts; written last, so a folder without it is no backup

Files in a blob folder are written once, so a hard link is a copy as long as the disk is well. Files of a bucket are
fetched, and sealed ones are opened: a backup is as readable as a disk is. The index is not in it: it is
made again from the texts.
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
# Each time around, documents that were deleted or replaced meanwhile are left out; what is missing then is lost.
_MAX_ROUNDS = 5
_SHA256 = re.compile(r"[0-9a-f]{64}")

# Receives what is being done, how much is done and how much there is.
Advanced = Callable[[str, int, int], None]


@dataclass(frozen=True)
class BackupManifest:
    """What a backup is of, and what it holds; `lost` and `damaged` are keys that the installation itself had lost."""

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
    catalog: CatalogCopies, blobs: BlobStore, folder: Path, advanced: Advanced, *, link: bool = True
) -> BackupManifest:
    """Make a backup in a new or empty folder, or go on with one that was broken off there.

    Uploads and deletions may go on: files come first, then the catalog, then the files that it names besides. If one of
    these is gone, its document was deleted or replaced, and the catalog is copied again. Raises `BackupError`, and
    `StorageFullError`.
    """
    _prepare_folder(folder)
    take = _BackupWriter(blobs, folder, link=link)
    everything = [key for kind in BLOB_KINDS for key in blobs.iter_keys(kind)]
    for number, key in enumerate(everything, start=1):
        take(key)
        advanced("Files", number, len(everything))
    missing: set[str] = set()
    for _ in range(_MAX_ROUNDS):
        contents = _copy_catalog(catalog, blobs, folder, advanced)
        before = missing
        missing = {each.key for each in contents if not take(each.key) and each.required}
        # guard: backup-later-catalog
        if missing == before:
            break
    named = {each.key for each in contents}
    # guard: backup-without-deleted
    _discard_stale_files(folder, named)
    return _finish(folder, contents, missing - take.unreadable, take.unreadable & named, advanced)


def read_manifest(folder: Path) -> BackupManifest:
    """Read a backup's manifest. Raises `BackupError` for a folder that is no whole backup."""
    try:
        raw = json.loads((folder / MANIFEST).read_text())
        made = BackupManifest(**{**raw, "lost": tuple(raw["lost"]), "damaged": tuple(raw["damaged"])})
    except FileNotFoundError as error:
        broken_off = (folder / _UNFINISHED_FILE).exists()
        raise BackupError(
            f"{folder} holds {'a backup that was broken off' if broken_off else 'no backup'}.",
            hint="`leadline backup` with the same folder goes on with it." if broken_off else None,
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise BackupError(f"{folder / MANIFEST} cannot be read: {error}.") from error
    if made.format != _FORMAT:
        raise BackupError(f"{folder} has format {made.format}, and this release reads {_FORMAT}.")
    if compute_file_sha256(folder / SUMS) != made.sums_sha256:
        raise BackupError(f"{folder / SUMS} is not what the manifest says.")
    return made


def read_sums(folder: Path) -> dict[str, str]:
    """Return the hash of each file of a backup, by its path in the folder, the catalog's among them.

    Raises `BackupError` for a line that no backup has, such as one with a path that leads out of the folder.
    """
    with (folder / SUMS).open() as lines:
        sums = {path: digest for digest, _, path in (line.rstrip("\n").partition("  ") for line in lines)}
    foreign = next((path for path, digest in sums.items() if not _is_listed(path, digest)), None)
    # guard: backup-list-in-folder
    if foreign is not None:
        raise BackupError(
            f"{folder / SUMS} names {foreign!r}, which is no file of a backup.",
            hint="Somebody changed it after the backup was made: restore another backup.",
        )
    if CATALOG not in sums:
        raise BackupError(f"{folder / SUMS} does not name {CATALOG}.")
    return sums


def verify_backup(folder: Path, advanced: Advanced) -> list[str]:
    """Read every file of a backup and return what is wrong with it, each in a sentence.

    Each file is compared with its hash, and with the digest in the catalog. Raises `BackupError` where it is none.
    """
    manifest, sums = read_manifest(folder), read_sums(folder)
    unread = [key for key in manifest.damaged if f"{BLOBS}/{key}" not in sums]
    wrong = [
        f"{BLOBS}/{key} is not in the backup: it was changed in the store, and could not be opened." for key in unread
    ]
    for number, (path, digest) in enumerate(sums.items(), start=1):
        try:
            if compute_file_sha256(folder / path) != digest:
                wrong.append(f"{path} has other bytes than when the backup was made.")
        except FileNotFoundError:
            wrong.append(f"{path} is missing.")
        advanced("Files", number, len(sums))
    wrong += [f"{BLOBS}/{key} is in no list." for key in _list_blob_keys(folder) if f"{BLOBS}/{key}" not in sums]
    wrong += _verify_catalog(folder, sums)
    return wrong


def verify_contents(catalog: CatalogCopies, blobs: BlobStore, advanced: Advanced) -> list[str]:
    """Read every file of a running installation that has a digest, and check that all others are there.

    Return what is wrong, each in a sentence. What seems wrong is looked at twice, because documents may be deleted or
    made again meanwhile.
    """
    contents = catalog.list_files(group_tables_by_version(blobs.iter_keys("tables")))
    suspicious = set()
    for number, each in enumerate(contents, start=1):
        if _describe_damage(each, blobs):
            suspicious.add(each.key)
        advanced("Files", number, len(contents))
    again = catalog.list_files(group_tables_by_version(blobs.iter_keys("tables"))) if suspicious else []
    return sorted(wrong for each in again if each.key in suspicious and (wrong := _describe_damage(each, blobs)))


def _describe_damage(content: CatalogFile, blobs: BlobStore) -> str:
    """Return what is wrong with a file, in a sentence; nothing if it is as it should be."""
    try:
        # guard: verify-compares-digests
        if content.sha256 is not None and compute_blocks_sha256(blobs.iter_blocks(content.key)) != content.sha256:
            return f"{content.key} has other bytes than were written."
        if content.required and blobs.find_size(content.key) is None:
            return f"{content.key} is missing."
    except KeyError:
        return f"{content.key} is missing." if content.required else ""
    except (BlobKeyError, BlobChangedError) as error:
        return error.detail
    return ""


def group_tables_by_version(keys: Iterable[str]) -> Mapping[str, Sequence[str]]:
    """List the keys of record tables by the version that they are of."""
    found: dict[str, list[str]] = {}
    for key in keys:
        found.setdefault(parse_version_id(key), []).append(key)
    return found


def write_durably(path: Path, content: str) -> None:
    """Write a file in one step, on the disk when this returns."""
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
        raise BackupError(f"{folder} holds a backup already.", hint="Name a new folder for each backup.")
    if present and _UNFINISHED_FILE not in present:
        raise BackupError(f"{folder} is not empty.", hint="Name a new folder for each backup.")
    write_durably(folder / _UNFINISHED_FILE, "A backup without manifest.json is not whole.\n")


def _is_listed(path: str, digest: str) -> bool:
    """True if a line of the sums names the catalog, or a file of one of the kinds that a backup holds."""
    key = path.removeprefix(f"{BLOBS}/")
    is_blob = key != path and key.partition("/")[0] in BLOB_KINDS and is_valid_key(key)
    return (is_blob or path == CATALOG) and _SHA256.fullmatch(digest) is not None


class _BackupWriter:
    """Puts files into a backup. A sealed file that was changed cannot be opened: it is left out and `unreadable`."""

    def __init__(self, blobs: BlobStore, folder: Path, *, link: bool) -> None:
        self._blobs = blobs
        self._folder = folder
        self._link = link
        self.unreadable: set[str] = set()

    def __call__(self, key: str) -> bool:
        """Put a file into the backup unless it is there; return false if the installation cannot give it any more."""
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
    """Link a file; false where the file systems differ or have no links."""
    try:
        os.link(source, target)
    except FileNotFoundError:
        raise
    except OSError:
        return False
    return True


def _copy_catalog(catalog: CatalogCopies, blobs: BlobStore, folder: Path, advanced: Advanced) -> Sequence[CatalogFile]:
    """Copy the catalog as it is now, and return the files that the copy names."""
    draft = folder / f"{CATALOG}.new"
    for path in folder.glob(f"{draft.name}*"):
        path.unlink()
    catalog.save(draft, lambda done, total: advanced("Catalog", done, total))
    contents = list_files_of_copy(draft, group_tables_by_version(blobs.iter_keys("tables")))
    draft.replace(folder / CATALOG)
    return contents


def _discard_stale_files(folder: Path, wanted: Collection[str]) -> None:
    """Remove files of documents that were deleted before the catalog was copied."""
    for key in _list_blob_keys(folder):
        if key not in wanted:
            (folder / BLOBS / key).unlink()


def _list_blob_keys(folder: Path) -> list[str]:
    root = folder / BLOBS
    return [path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()]


def _finish(
    folder: Path,
    contents: Sequence[CatalogFile],
    missing: Collection[str],
    unreadable: Collection[str],
    advanced: Advanced,
) -> BackupManifest:
    hashes = {each.key: each.sha256 for each in contents if each.sha256 is not None}
    keys, damaged, size = sorted(_list_blob_keys(folder)), list(unreadable), (folder / CATALOG).stat().st_size
    lines = [f"{compute_file_sha256(folder / CATALOG)}  {CATALOG}\n"]
    for number, key in enumerate(keys, start=1):
        digest = compute_file_sha256(folder / BLOBS / key)
        if hashes.get(key, digest) != digest:
            damaged.append(key)
        lines.append(f"{digest}  {BLOBS}/{key}\n")
        size += (folder / BLOBS / key).stat().st_size
        advanced("Hashes", number, len(keys))
    write_durably(folder / SUMS, "".join(lines))
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
        lost=tuple(sorted(missing)),
        damaged=tuple(sorted(damaged)),
    )
    os.sync()  # the files and their folders before the manifest that vouches for them
    write_durably(folder / MANIFEST, json.dumps(asdict(made), indent=2))
    (folder / _UNFINISHED_FILE).unlink()
    return made


def _verify_catalog(folder: Path, sums: dict[str, str]) -> list[str]:
    """Compare the catalog in a backup with the hashes of the files beside it."""
    try:
        with closing(sqlite3.connect(f"file:{folder / CATALOG}?mode=ro&immutable=1", uri=True)) as catalog:
            (state,) = catalog.execute("PRAGMA integrity_check").fetchone()
            named = dict(catalog.execute("SELECT blob_key, content_sha256 FROM versions").fetchall())
            named |= _load_digests(catalog)
    except sqlite3.DatabaseError as error:
        return [f"{CATALOG} cannot be read: {error}."]
    wrong = [] if state == "ok" else [f"{CATALOG} is damaged: {state}."]
    for key, digest in named.items():
        if sums.get(f"{BLOBS}/{key}", digest) != digest:
            wrong.append(f"{BLOBS}/{key} was damaged before the backup: it has other bytes than were written.")
    return wrong


def _load_digests(catalog: sqlite3.Connection) -> dict[str, str]:
    """Return the digests of texts and tables in a backup's catalog, by key; an earlier release's has none."""
    tables = catalog.execute("SELECT count(*) FROM sqlite_master WHERE name = 'content_digests'").fetchone()
    if not tables[0]:
        return {}
    rows = catalog.execute("SELECT version_id, file, sha256 FROM content_digests").fetchall()
    return {build_file_key(version, file): bytes(sha256).hex() for version, file, sha256 in rows}
