"""Reseals all files with the first key and binds them to their names, while the service runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ingest.storage.blobs.checked import CheckedBlobs
from ingest.storage.blobs.sealed import SEALED_KINDS, SealedBlobs
from ingest.storage.digests import DigestRecords
from ingest.storage.errors import BlobChangedError, ContentChangedError
from ingest.storage.sealing import Sealing

# Kinds of files that have digests in the catalog.
_DIGESTED_KINDS = frozenset({"text", "tables"})
# Function that reports progress: the number of processed files and the total number of files.
Advanced = Callable[[int, int], None]


@dataclass(frozen=True)
class ResealResult:
    """The number of checked files and of resealed files, and the keys of rejected files."""

    files: int
    sealed: int
    refused: Sequence[str]


def reseal_all_files(
    blobs: SealedBlobs, report_progress: Advanced, *, digests: DigestRecords | None = None, accept_unbound: bool = False
) -> ResealResult:
    """Reseal every file that needs it, then record that all files are bound to their names.

    New files are bound from the start, and files that arrive in the meantime are resealed in further passes. No process
    of an earlier release may be running, because it would write unbound files. Once the catalog records that all files
    are bound, unbound files are rejected unless `accept_unbound` is true, because anyone may have placed them. Texts
    and tables that differ from their `digests` are always rejected, so that a tampered file is never resealed. Raises
    `BlobKeyError` if a file is sealed with a key that is not configured.
    """
    readable = blobs.create_permissive_view() if accept_unbound else blobs
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
                sealed += blobs.reseal_file(key, accept_unbound=accept_unbound)
            except KeyError:  # The file was deleted in the meantime.
                pass
            except (BlobChangedError, ContentChangedError):
                refused.append(key)
            seen.add(key)
            report_progress(len(seen), len(seen) + len(new))
    blobs.record.record_sealing(Sealing.BOUND)
    blobs.reseal_marker()
    return ResealResult(len(seen), sealed, refused)
