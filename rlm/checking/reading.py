"""Measures the part of the documents that was read for an answer. It decides on statements about all of them."""

from collections.abc import Collection
from dataclasses import dataclass

from ingest.storage.counts import format_count
from rlm.answers import Draft


@dataclass(frozen=True)
class ReadShare:
    """The part of the documents that was read.

    `is_whole` is true if all documents in scope were read, or searched by code. `sentence` describes the part and has
    no full stop.
    """

    is_whole: bool
    sentence: str


NOTHING_KNOWN = ReadShare(is_whole=False, sentence="")


def measure_reading(draft: Draft, documents: Collection[object]) -> ReadShare:
    """Return how much of the `documents` in scope was read for a draft."""
    if draft.coverage is not None:
        return ReadShare(draft.coverage.is_complete, draft.coverage.to_sentence().removesuffix("."))
    count = len(documents)
    # Without queries, everything in scope was read. A document that could not be read has no passages.
    read = len({each.document_id for each in draft.searched.read_passages})
    if not draft.searched.queries:
        return ReadShare(read >= count, f"Of {format_count(count, 'document')}, {read:,} were read whole")
    return ReadShare(is_whole=False, sentence=f"Of {format_count(count, 'document')}, passages of {read:,} were read")
