"""What the service's search finds, within a corpus: hits are handles."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from retrieval.passages import Passage
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.requests import AnswerScope

# So many documents are named to the index at most; of a larger part, what is found elsewhere is left out afterwards.
_MOST_NAMED = 1_000


@dataclass(frozen=True)
class FoundPassage:
    """A passage that hybrid search found; `rank` counts from 1."""

    rank: int
    score: float
    handle: Handle
    title: str
    heading_path: tuple[str, ...]
    text: str


def scope_of(part: Corpus, whole: Corpus, scope: AnswerScope) -> AnswerScope:
    """What to search for a part of `whole`, which is the corpus of `scope`: its documents alone.

    Among the best of all documents there may be none of the part's.
    """
    if len(part.documents) >= min(len(whole.documents), _MOST_NAMED + 1):
        return scope
    return replace(scope, documents=tuple(each.handle.document_id for each in part.documents))


def found_in(corpus: Corpus, passages: Sequence[Passage]) -> list[FoundPassage]:
    """Those of the passages that stand in documents of the corpus, ranked anew."""
    versions = {document.handle.version_id for document in corpus.documents}
    known = [passage for passage in passages if passage.version_id in versions]
    return [
        FoundPassage(
            rank,
            passage.score,
            Handle(passage.document_id, passage.version_id, passage.start, passage.end),
            passage.title,
            passage.heading_path,
            passage.text,
        )
        for rank, passage in enumerate(known, start=1)
    ]
