"""What the service's search finds, within a corpus or spans of it."""

from collections.abc import Sequence
from dataclasses import replace

from retrieval.passages import Passage
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.requests import AnswerScope

# So many documents are named to the index at most; of a larger part, what is found elsewhere is left out afterwards.
_MOST_NAMED = 1_000


def scope_of(part: Corpus, whole: Corpus, scope: AnswerScope) -> AnswerScope:
    """The scope to search for a part of `whole`, which is the corpus of `scope`: the part's documents alone.

    Among the best of all documents there may be none of the part's.
    """
    if len(part.documents) >= min(len(whole.documents), _MOST_NAMED + 1):
        return scope
    return replace(scope, documents=tuple(each.handle.document_id for each in part.documents))


def handle_of(passage: Passage) -> Handle:
    """Where a passage stands."""
    return Handle(passage.document_id, passage.version_id, passage.start, passage.end)


def passages_in(spans: Sequence[Handle], passages: Sequence[Passage]) -> list[Passage]:
    """Those of the passages that touch one of the spans."""
    by_version: dict[str, list[Handle]] = {}
    for span in spans:
        by_version.setdefault(span.version_id, []).append(span)
    return [
        passage
        for passage in passages
        if any(passage.start < span.end and span.start < passage.end for span in by_version.get(passage.version_id, ()))
    ]
