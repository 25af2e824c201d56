"""The installation id, which ties a catalog, a blob folder and an index together.

The id is stored in a row of the catalog, in the file `INSTALLATION` of the blob folder, and with each generation of the
index. If a catalog were used with the blobs or index of another installation, it would remove their content as unused
and show documents whose content is missing. Therefore each start is refused if the ids do not match. A catalog, folder
or index of an earlier release has no id. It gets one unless it seems to belong to another installation.
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

if TYPE_CHECKING:  # settings import this module, and commands that call a service need no database library
    from ingest.storage.operations.installation_record import InstallationRecord

MARK_FILE = "INSTALLATION"
# Present in the blob folder while a backup is being restored.
RESTORE_MARK_FILE = "RESTORING"
# The maximum number of originals to compare before a blob folder without a marker is accepted as the catalog's folder.
_MAX_COMPARED_ORIGINALS = 1_000


@dataclass(frozen=True)
class Installation:
    """An installation id and, for indexes without a marker, a check whether the catalog has any of given versions."""

    id: str
    knows_version: Callable[[Collection[str]], bool]


def bind_installation(record: "InstallationRecord", blobs: BlobStore) -> Installation:
    """Return the installation that a catalog and a blob folder belong to, and add the id to the one without an id.

    Raises `InstallationMismatchError` if their ids differ, or if one of them has no id and does not seem to belong to
    the other. Raises `RestoreUnfinishedError` if a restore was interrupted.
    """
    # guard: unfinished-restore
    if blobs.find_size(RESTORE_MARK_FILE) is not None:
        raise RestoreUnfinishedError(f"A restore to {blobs.location} was interrupted.")
    recorded, marked = record.load_id(), load_store_mark(blobs)
    if recorded is None or marked is None:
        # guard: blobs-without-id
        _require_related(record, blobs)
        recorded = record.claim_id(marked or str(uuid.uuid4()))
        marked = mark_store(blobs, recorded)
    # guard: blobs-of-installation
    if recorded != marked:
        raise build_mismatch_error(recorded, blobs.location, marked)
    return Installation(recorded, record.has_any_version)


def require_bound(record: "InstallationRecord", blobs: BlobStore) -> str:
    """Return the installation id shared by the catalog and the blobs.

    Raises `InstallationMismatchError` if they have different ids or none.
    """
    recorded, marked = record.load_id(), load_store_mark(blobs)
    if recorded is None or recorded != marked:
        raise build_mismatch_error(recorded, blobs.location, marked)
    return recorded


def require_compatible_folder(record: "InstallationRecord", folder: Path) -> None:
    """Raise `InstallationMismatchError` if the catalog and a blob folder have different ids.

    If one of them has no id, nothing is raised.
    """
    recorded, marked = record.load_id(), read_folder_mark(folder)
    if recorded is not None and marked is not None and recorded != marked:
        raise build_mismatch_error(recorded, f"the blob folder {folder}", marked)


def load_store_mark(blobs: BlobStore) -> str | None:
    """Load the id from a blob store's marker file, or return None if there is no marker file."""
    with suppress(KeyError):
        return blobs.read(MARK_FILE).decode().strip() or None
    return None


def mark_store(blobs: BlobStore, identifier: str, *, replace: bool = False) -> str:
    """Write a blob store's marker file durably, unless it exists and `replace` is false.

    Returns the id in the marker file afterwards.
    """
    written = f"{identifier}\n".encode()
    if replace:
        blobs.put(MARK_FILE, written)
        return identifier
    return blobs.put_if_absent(MARK_FILE, written).decode().strip() or identifier


def build_mismatch_error(recorded: str | None, part: str, marked: str | None) -> InstallationMismatchError:
    """Build the error that says which installation the catalog and the other component belong to."""
    theirs = "has no installation id" if marked is None else f"belongs to installation {marked}"
    ours = "has no installation id" if recorded is None else f"belongs to installation {recorded}"
    return InstallationMismatchError(f"The catalog {ours}, and {part} {theirs}.")


def read_folder_mark(folder: Path) -> str | None:
    """Load the id from a folder's marker file, or return None if there is no marker file."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return (folder / MARK_FILE).read_text().strip() or None
    return None


def write_folder_mark(folder: Path, identifier: str, *, replace: bool = False) -> str:
    """Write a folder's marker file durably, unless it exists and `replace` is false.

    Returns the id in the marker file afterwards.
    """
    draft = folder / f"{MARK_FILE}.{os.getpid()}.{uuid.uuid4().hex}"
    try:
        with draft.open("w") as file:
            file.write(f"{identifier}\n")
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
    return read_folder_mark(folder) or identifier


def _require_related(record: "InstallationRecord", blobs: BlobStore) -> None:
    """Raise `InstallationMismatchError` if the blob store does not seem to belong to the catalog.

    The store does not if it contains only unknown originals, or no originals although there are documents.
    """
    found = list(islice(blobs.iter_keys("original"), _MAX_COMPARED_ORIGINALS))
    if found and not record.has_any_original(found):
        raise InstallationMismatchError(
            f"{_capitalize(blobs.location)} holds originals, but the catalog knows none of {len(found):,} of them."
        )
    if not found and record.list_originals(1):
        raise InstallationMismatchError(
            f"The catalog has documents, but {blobs.location} holds no originals.",
            hint="Check that LEADLINE_HOME or LEADLINE_BLOBS points to them and that the disk is mounted. If the "
            "originals are lost, restore a backup with `leadline restore`.",
        )


def _capitalize(place: str) -> str:
    """Capitalize the name of a location at the beginning of a sentence."""
    return place[:1].upper() + place[1:]
