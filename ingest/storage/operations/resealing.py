"""Every sealed file gets the first key and the format that binds it to its name, while the service runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ingest.storage.blobs.checked import CheckedBlobs
from ingest.storage.blobs.sealed import SEALED_KINDS, SealedBlobs
from ingest.storage.digests import DigestRecords
from ingest.storage.errors import BlobChangedError, ContentChangedError
from ingest.storage.sealing import Sealing

# Kinds of files whose digests the catalog has.
_DIGESTED_KINDS = frozenset({"text", "tables"})
# Receives how many files are done, and how many there are.
Advanced = Callable[[int, int], None]


@dataclass(frozen=True)
class ResealResult:
    """How many files there were, how many of them were sealed anew, and the keys of those that were refused."""

    files: int
    sealed: int
    refused: Sequence[str]


def reseal_all(
    blobs: SealedBlobs, advanced: Advanced, *, digests: DigestRecords | None = None, accept_unbound: bool = False
) -> ResealResult:
    """Seal every file anew that needs it, then record that every file is bound to its name.

    Files that come meanwhile are looked for until there are none: whoever writes one after the first record binds it.
    Processes of an earlier release do not, so none may run. Once the record is made, files that are not bound are
    refused here, too, because they may be anybody's; `accept_unbound` takes them all the same. Texts and tables that
    differ from their `digests` are refused in either case, so that nothing seals a change. Raises `BlobKeyError`.
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
            except KeyError:  # deleted meanwhile
                pass
            except (BlobChangedError, ContentChangedError):
                refused.append(key)
            seen.add(key)
            advanced(len(seen), len(seen) + len(new))
    blobs.record.record_sealing(Sealing.BOUND)
    blobs.reseal_marker()
    return ResealResult(len(seen), sealed, refused)
