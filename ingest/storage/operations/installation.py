"""The installation id, which shows that a catalog, a blob folder and an index belong together.

The id is stored in a row of the catalog, in the file `INSTALLATION` of the blob folder, and with each generation of the
index. A catalog that is used with the blobs or index of another installation would remove their content as unused, and
show documents without content. Therefore the service does not start if the ids do not match. A catalog, folder or index
from an earlier release has no id. It gets one unless it seems to belong to another installation.
"""

import os
import uuid
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from ingest.storage.blobs.store import BlobStore, fsync_path
from ingest.storage.errors import InstallationMismatchError, RestoreUnfinishedError

# The settings import this module, and commands that only call a service must work without the database library.
if TYPE_CHECKING:
    from ingest.storage.operations.installation_record import InstallationRecord

MARK_FILE = "INSTALLATION"
# Name of the file that the blob folder contains while a backup is being restored.
RESTORE_MARK_FILE = "RESTORING"
# Maximum number of originals to compare with the catalog before a blob folder without a marker is accepted.
_MAX_COMPARED_ORIGINALS = 1_000


@dataclass(frozen=True)
class Installation:
    """An installation's id, and a function that returns whether its catalog contains any of some versions.

    The function is used for indexes without a marker.
    """

    id: str
    knows_version: Callable[[Collection[str]], bool]


def bind_installation(record: "InstallationRecord", blobs: BlobStore) -> Installation:
    """Return the installation that a catalog and a blob store belong to. If either has no id, it gets one.

    Raises `InstallationMismatchError` if their ids differ, or if one has no id and does not seem to belong to the
    other. Raises `RestoreUnfinishedError` if a restore was interrupted.
    """
    # guard: unfinished-restore
    if blobs.find_size(RESTORE_MARK_FILE) is not None:
        raise RestoreUnfinishedError(f"A restore to {blobs.location} was interrupted.")
    recorded, marked = record.load_id(), load_store_marker(blobs)
    if recorded is None or marked is None:
        # guard: blobs-without-id
        _require_related_store(record, blobs)
        recorded = record.claim_id(marked or str(uuid.uuid4()))
        marked = write_store_marker(blobs, recorded)
    # guard: blobs-of-installation
    if recorded != marked:
        raise build_mismatch_error(recorded, blobs.location, marked)
    return Installation(recorded, record.has_any_version)


def require_same_installation(record: "InstallationRecord", blobs: BlobStore) -> str:
    """Return the installation id that the catalog and the blob store share.

    Raises `InstallationMismatchError` if their ids differ, or if either has no id.
    """
    recorded, marked = record.load_id(), load_store_marker(blobs)
    if recorded is None or recorded != marked:
        raise build_mismatch_error(recorded, blobs.location, marked)
    return recorded


def require_compatible_folder(record: "InstallationRecord", folder: Path) -> None:
    """Raise `InstallationMismatchError` if the catalog and a blob folder both have an id, and the ids differ."""
    recorded, marked = record.load_id(), read_folder_marker(folder)
    if recorded is not None and marked is not None and recorded != marked:
        raise build_mismatch_error(recorded, f"the blob folder {folder}", marked)


def load_store_marker(blobs: BlobStore) -> str | None:
    """Load the installation id from a blob store's marker file, or return None if it has no marker."""
    with suppress(KeyError):
        return blobs.read(MARK_FILE).decode().strip() or None
    return None


def write_store_marker(blobs: BlobStore, installation_id: str, *, replace: bool = False) -> str:
    """Write a blob store's marker file durably. An existing one is kept unless `replace` is true.

    Returns the id that the marker file contains afterwards.
    """
    written = f"{installation_id}\n".encode()
    if replace:
        blobs.put(MARK_FILE, written)
        return installation_id
    return blobs.put_if_absent(MARK_FILE, written).decode().strip() or installation_id


def build_mismatch_error(catalog_id: str | None, component: str, component_id: str | None) -> InstallationMismatchError:
    """Build the error that names the installations of the catalog and of another component."""
    theirs = "has no installation id" if component_id is None else f"belongs to installation {component_id}"
    ours = "has no installation id" if catalog_id is None else f"belongs to installation {catalog_id}"
    return InstallationMismatchError(f"The catalog {ours}, and {component} {theirs}.")


def read_folder_marker(folder: Path) -> str | None:
    """Load the installation id from a folder's marker file, or return None if it has no marker."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return (folder / MARK_FILE).read_text().strip() or None
    return None


def write_folder_marker(folder: Path, installation_id: str, *, replace: bool = False) -> str:
    """Write a folder's marker file durably. An existing one is kept unless `replace` is true.

    Returns the id that the marker file contains afterwards.
    """
    draft = folder / f"{MARK_FILE}.{os.getpid()}.{uuid.uuid4().hex}"
    try:
        with draft.open("w") as file:
            file.write(f"{installation_id}\n")
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(folder / MARK_FILE)
        else:
            with suppress(FileExistsError):
                os.link(draft, folder / MARK_FILE)
    finally:
        draft.unlink(missing_ok=True)
    fsync_path(folder)
    return read_folder_marker(folder) or installation_id


def _require_related_store(record: "InstallationRecord", blobs: BlobStore) -> None:
    """Raise `InstallationMismatchError` if the blob store does not seem to belong to the catalog.

    It does not if all of its originals are unknown, or if it has no originals although the catalog has documents.
    """
    found = list(islice(blobs.iter_keys("original"), _MAX_COMPARED_ORIGINALS))
    if found and not record.has_any_original(found):
        raise InstallationMismatchError(
            f"{_capitalize_location(blobs.location)} contains originals, but the catalog has none of the "
            f"{len(found):,} checked."
        )
    if not found and record.list_originals(1):
        raise InstallationMismatchError(
            f"The catalog has documents, but {blobs.location} contains no originals.",
            hint="Check that LEADLINE_HOME or LEADLINE_BLOBS points to the originals and that the disk is mounted. If "
            "the originals are lost, restore a backup with `leadline restore`.",
        )


def _capitalize_location(location: str) -> str:
    """Capitalize the first letter of a location for the beginning of a sentence."""
    return location[:1].upper() + location[1:]
