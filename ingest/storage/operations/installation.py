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

MARK = "INSTALLATION"
# Stands in the blob folder while a backup is put back.
RESTORING = "RESTORING"
# So many originals are compared before an unmarked blob folder is taken for the catalog's own.
_COMPARED = 1_000


@dataclass(frozen=True)
class Installation:
    """An id, and the catalog's word for an unmarked index: `knows_version` is true if one of some versions is known."""

    id: str
    knows_version: Callable[[Collection[str]], bool]


def tie(record: "InstallationRecord", blobs: BlobStore) -> Installation:
    """Return the installation of a catalog and a blob folder, and mark whichever has no id yet.

    Raises `InstallationMismatchError` when they have different ids, and when one without an id does not seem to belong
    to the other. Raises `RestoreUnfinishedError`.
    """
    # guard: unfinished-restore
    if blobs.size(RESTORING) is not None:
        raise RestoreUnfinishedError(f"A restore to {blobs.place} was broken off.")
    recorded, marked = record.id(), mark_of(blobs)
    if recorded is None or marked is None:
        # guard: blobs-without-id
        _require_related(record, blobs)
        recorded = record.claim(marked or str(uuid.uuid4()))
        marked = mark(blobs, recorded)
    # guard: blobs-of-installation
    if recorded != marked:
        raise mismatch(recorded, blobs.place, marked)
    return Installation(recorded, record.knows_version)


def require_tied(record: "InstallationRecord", blobs: BlobStore) -> str:
    """Return the id that catalog and blobs have in common now. Raises `InstallationMismatchError`."""
    recorded, marked = record.id(), mark_of(blobs)
    if recorded is None or recorded != marked:
        raise mismatch(recorded, blobs.place, marked)
    return recorded


def refuse_foreign(record: "InstallationRecord", folder: Path) -> None:
    """Raise `InstallationMismatchError` if the catalog and a blob folder have an id both, and not the same."""
    recorded, marked = record.id(), read_mark(folder)
    if recorded is not None and marked is not None and recorded != marked:
        raise mismatch(recorded, f"the blob folder {folder}", marked)


def mark_of(blobs: BlobStore) -> str | None:
    """Return the id in the mark of a store of files; None without one."""
    with suppress(KeyError):
        return blobs.read(MARK).decode().strip() or None
    return None


def mark(blobs: BlobStore, identifier: str, *, replace: bool = False) -> str:
    """Mark a store durably unless it is marked, or in any case with `replace`; return the id that it has now."""
    written = f"{identifier}\n".encode()
    if replace:
        blobs.put(MARK, written)
        return identifier
    return blobs.create(MARK, written).decode().strip() or identifier


def mismatch(recorded: str | None, part: str, marked: str | None) -> InstallationMismatchError:
    """Return the error that says which part belongs to which installation."""
    theirs = "has no installation's id" if marked is None else f"belongs to installation {marked}"
    ours = "has no installation's id" if recorded is None else f"belongs to installation {recorded}"
    return InstallationMismatchError(f"The catalog {ours}, and {part} {theirs}.")


def read_mark(folder: Path) -> str | None:
    """Return the id in a folder's mark; None without one."""
    with suppress(FileNotFoundError, NotADirectoryError):
        return (folder / MARK).read_text().strip() or None
    return None


def write_mark(folder: Path, identifier: str, *, replace: bool = False) -> str:
    """Mark a folder durably unless it is marked, or in any case with `replace`; return the id that it has now."""
    draft = folder / f"{MARK}.{os.getpid()}.{uuid.uuid4().hex}"
    try:
        with draft.open("w") as file:
            file.write(f"{identifier}\n")
            file.flush()
            os.fsync(file.fileno())
        if replace:
            draft.replace(folder / MARK)
        else:
            with suppress(FileExistsError):
                os.link(draft, folder / MARK)
    finally:
        draft.unlink(missing_ok=True)
    fsync_path(folder)
    return read_mark(folder) or identifier


def _require_related(record: "InstallationRecord", blobs: BlobStore) -> None:
    """Raise `InstallationMismatchError` if the blobs hold originals and the catalog knows none, or the other way."""
    found = list(islice(blobs.keys("original"), _COMPARED))
    if found and not record.knows_blob(found):
        raise InstallationMismatchError(
            f"{_begun(blobs.place)} holds originals, and the catalog knows none of {len(found):,} of them."
        )
    if not found and record.some_originals(1):
        raise InstallationMismatchError(
            f"The catalog has documents, and {blobs.place} holds no original.",
            hint="See that LEADLINE_HOME or LEADLINE_BLOBS names where they are, and that the disk is mounted. If "
            "the originals are lost, `leadline restore` puts a backup back.",
        )


def _begun(place: str) -> str:
    """Return the name of a place at the beginning of a sentence."""
    return place[:1].upper() + place[1:]
