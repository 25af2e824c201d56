"""An id says which catalog, blob folder and index belong together.

It is in a row of the catalog, in the file `INSTALLATION` of the blob folder, and at each generation of the index. A
catalog beside another one's blobs or index would take their content for leftovers of its own, and would show documents
that are not there; so parts that disagree are refused at each start. Parts without an id, from releases that had none,
get it when nothing speaks against that.
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

if TYPE_CHECKING:  # settings import this module, and commands that ask a service need no database's library
    from ingest.storage.operations.installation_record import InstallationRecord

MARK_FILE = "INSTALLATION"
# Stands in the blob folder while a backup is put back.
RESTORE_MARK_FILE = "RESTORING"
# So many originals are compared before an unmarked blob folder is taken for the catalog's own.
_MAX_COMPARED_ORIGINALS = 1_000


@dataclass(frozen=True)
class Installation:
    """An id, and the catalog's word for an unmarked index: `knows_version` is true if one of some versions is known."""

    id: str
    knows_version: Callable[[Collection[str]], bool]


def bind_installation(record: "InstallationRecord", blobs: BlobStore) -> Installation:
    """Return the installation of a catalog and a blob folder, and mark whichever has no id yet.

    Raises `InstallationMismatchError` when they have different ids, and when one without an id does not seem to belong
    to the other. Raises `RestoreUnfinishedError`.
    """
    # guard: unfinished-restore
    if blobs.find_size(RESTORE_MARK_FILE) is not None:
        raise RestoreUnfinishedError(f"A restore to {blobs.location} was broken off.")
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
    """Return the id that catalog and blobs have in common now. Raises `InstallationMismatchError`."""
    recorded, marked = record.load_id(), load_store_mark(blobs)
    if recorded is None or recorded != marked:
        raise build_mismatch_error(recorded, blobs.location, marked)
    return recorded


def require_compatible_folder(record: "InstallationRecord", folder: Path) -> None:
    """Raise `InstallationMismatchError` if the catalog and a blob folder have an id both, and not the same."""
    recorded, marked = record.load_id(), read_folder_mark(folder)
    if recorded is not None and marked is not None and recorded != marked:
        raise build_mismatch_error(recorded, f"the blob folder {folder}", marked)


def load_store_mark(blobs: BlobStore) -> str | None:
    """Return the id in the mark of a store of files; None without one."""
    with suppress(KeyError):
        return blobs.read(MARK_FILE).decode().strip() or None
    return None


def mark_store(blobs: BlobStore, identifier: str, *, replace: bool = False) -> str:
    """Mark a store durably unless it is marked, or in any case with `replace`; return the id that it has now."""
    written = f"{identifier}\n".encode()
    if replace:
        blobs.put(MARK_FILE, written)
        return identifier
    return blobs.put_if_absent(MARK_FILE, written).decode().strip() or identifier


def build_mismatch_error(recorded: str | None, part: str, marked: str | None) -> InstallationMismatchError:
    """Return the error that says which part belongs to which installation."""
    theirs = "has no installation's id" if marked is None else f"belongs to installation {marked}"
    ours = "has no installation's id" if recorded is None else f"belongs to installation {recorded}"
    return InstallationMismatchError(f"The catalog {ours}, and {part} {theirs}.")


def read_folder_mark(folder: Path) -> str | None:
    """Return the id in a folder's mark; None without one."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return (folder / MARK_FILE).read_text().strip() or None
    return None


def write_folder_mark(folder: Path, identifier: str, *, replace: bool = False) -> str:
    """Mark a folder durably unless it is marked, or in any case with `replace`; return the id that it has now."""
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
    """Raise `InstallationMismatchError` if the blobs hold originals and the catalog knows none, or the other way."""
    found = list(islice(blobs.iter_keys("original"), _MAX_COMPARED_ORIGINALS))
    if found and not record.has_any_original(found):
        raise InstallationMismatchError(
            f"{_capitalize(blobs.location)} holds originals, and the catalog knows none of {len(found):,} of them."
        )
    if not found and record.list_originals(1):
        raise InstallationMismatchError(
            f"The catalog has documents, and {blobs.location} holds no original.",
            hint="See that LEADLINE_HOME or LEADLINE_BLOBS names where they are, and that the disk is mounted. If "
            "the originals are lost, `leadline restore` puts a backup back.",
        )


def _capitalize(place: str) -> str:
    """Return the name of a place at the beginning of a sentence."""
    return place[:1].upper() + place[1:]
