"""Every sealed file gets the first key and the format that binds it to its name, while the service runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ingest.errors import BlobChangedError
from ingest.sealed_blobs import SEALED_KINDS, SealedBlobs
from ingest.sealing import Sealing

# Receives how many files are done, and how many there are.
Advanced = Callable[[int, int], None]


@dataclass(frozen=True)
class Resealed:
    """How many files there were, how many of them were sealed anew, and the keys of those that were refused."""

    files: int
    sealed: int
    refused: Sequence[str]


def reseal_all(blobs: SealedBlobs, advanced: Advanced, *, accept_unbound: bool = False) -> Resealed:
    """Seal every file anew that needs it, then record that every file is bound to its name.

    Files that come meanwhile are looked for until there are none: whoever writes one after the first record binds it.
    Processes of an earlier release do not, so none may run. Once the record is made, files that are not bound are
    refused here, too, because they may be anybody's; `accept_unbound` takes them all the same. Raises `BlobKeyError`.
    """
    if blobs.record.sealing() is Sealing.MIXED:
        blobs.record.record_sealing(Sealing.BINDING)
    sealed, refused, seen = 0, [], set[str]()
    while new := [key for kind in SEALED_KINDS for key in blobs.keys(kind) if key not in seen]:
        for key in new:
            try:
                sealed += blobs.reseal(key, accept_unbound=accept_unbound)
            except KeyError:  # deleted meanwhile
                pass
            except BlobChangedError:
                refused.append(key)
            seen.add(key)
            advanced(len(seen), len(seen) + len(new))
    blobs.record.record_sealing(Sealing.BOUND)
    blobs.reseal_note()
    return Resealed(len(seen), sealed, refused)
