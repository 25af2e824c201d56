"""Reseals every sealed file with the first key, binding the file to its name, while the service runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ingest.storage.blobs.checked import CheckedBlobs
from ingest.storage.blobs.sealed import SEALED_KINDS, SealedBlobs
from ingest.storage.digests import DigestRecords
from ingest.storage.errors import BlobChangedError, ContentChangedError
from ingest.storage.sealing import Sealing

# Kinds of files that have digests in the catalog.
_DIGESTED_KINDS = frozenset({"text", "tables"})
# Called with the number of processed files and the total.
Advanced = Callable[[int, int], None]


@dataclass(frozen=True)
class ResealResult:
    """The numbers of files checked and resealed, and the keys of rejected files."""

    files: int
    sealed: int
    refused: Sequence[str]


def reseal_all(
    blobs: SealedBlobs, advanced: Advanced, *, digests: DigestRecords | None = None, accept_unbound: bool = False
) -> ResealResult:
    """Reseal every file that needs it, then record that all files are bound to their names.

    Files that arrive in the meantime are resealed in further passes. After the first record, every new file is written
    bound to its name. Processes of an earlier release do not bind files, so none may be running. Once the catalog
    records that all files are bound, unbound files are rejected here too, because anyone may have placed them. If
    `accept_unbound` is true, they are accepted anyway. Texts and tables that differ from their `digests` are always
    rejected, so that a tampered file is never resealed. Raises `BlobKeyError` if a file is sealed with a key that is
    not configured.
    """
    readable = blobs.with_unbound_accepted() if accept_unbound else blobs
    checked = None if digests is None else CheckedBlobs(readable, digests)
    if blobs.record.load_sealing() is Sealing.MIXED:
        blobs.record.record_sealing(Sealing.BINDING)
    sealed, refused, seen = 0, [], set[str]()
    while new := [key for kind in SEALED_KINDS for key in blobs.iter_keys(kind) if key not in seen]:
        for key in new:
            try:
                # guard: changed-file-not-resealed
                if checked is not None and key.partition("/")[0] in _DIGESTED_KINDS:
                    checked.read(key)
                sealed += blobs.reseal(key, accept_unbound=accept_unbound)
            except KeyError:  # the file was deleted in the meantime
                pass
            except (BlobChangedError, ContentChangedError):
                refused.append(key)
            seen.add(key)
            advanced(len(seen), len(seen) + len(new))
    blobs.record.record_sealing(Sealing.BOUND)
    blobs.reseal_marker()
    return ResealResult(len(seen), sealed, refused)
