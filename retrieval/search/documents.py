"""Rank the passages of the right document higher where documents resemble each other.

Contracts with different parties or reports of different years share most of their wording, so a passage alone often
does not show which document it is from. If many of the best passages have a near duplicate in another document, each
candidate gets a share of its document's card score (`retrieval.search.cards`). Otherwise the ranking stays the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from ingest.storage.documents.rows import VisibleVersion
from retrieval.index.port import IndexReader, ScoredChunk, SearchScope, sort_by_score
from retrieval.search.cards import CardRanker
from retrieval.search.choosing import VisibleLookup
from retrieval.search.ranking import Ranking

# Documents resemble each other if this many of the best passages have a near duplicate in another document. Measured
# on quarterly filings, 97 of 100 searches meet this, and on scientific abstracts none of 100.
MIN_TWINS, BEST_PASSAGES = 4, 10
TWIN_COSINE = 0.9
# Near duplicates are looked for among this many of the best candidates. With 200, the same searches qualify.
TWIN_CANDIDATES = 50
# The weight of a document's card score, where the best card has the score 1, beside the passage's score, which is at
# most 1. Measured on quarterly filings: results are flat from 0.15 to 0.4.
DOCUMENT_WEIGHT = 0.2


def lift_documents(
    index: IndexReader, show: VisibleLookup, scope: SearchScope, query: str, ranking: Ranking, cards: CardRanker
) -> Ranking:
    """Add each document's card score to the scores of its passages, if the documents resemble each other.

    Otherwise, returns `ranking` itself. Only candidates that the principal may see are considered.

    Source of the combination: Bendersky & Kurland, "Utilizing passage-based language models for document retrieval",
    Information Retrieval 13(2), 2010.
    """
    candidates = [chunk for chunk, _ in ranking.best]
    if not may_have_twins(index, show, scope, candidates):
        return ranking
    owners = find_owners(index, show, scope, candidates)
    visible = [chunk for chunk in candidates if chunk in owners]
    if not have_twins(index, visible[:TWIN_CANDIDATES], owners):
        return ranking
    versions = {each.version_id: each for each in owners.values()}
    scores = cards.score_documents(scope.tenant_id, query, list(versions.values()))
    highest = max(scores.values()) if scores else 0.0
    if scores is None or highest <= 0:
        return ranking
    by_document = sort_by_score(ScoredChunk(chunk, scores[each.version_id] / highest) for chunk, each in owners.items())
    lifts = {each.id: DOCUMENT_WEIGHT * each.score for each in by_document}
    best = sort_by_score((chunk, score + lifts.get(chunk, 0.0)) for chunk, score in ranking.best)
    documents = {chunk: each.document_id for chunk, each in owners.items()}
    return replace(ranking, best=best, by_document=by_document, documents=documents)


def find_owners(
    index: IndexReader, show: VisibleLookup, scope: SearchScope, chunk_ids: Sequence[str]
) -> dict[str, VisibleVersion]:
    """Return the version of each chunk, keyed by chunk id. Chunks that the principal may not see are omitted."""
    chunks = index.load_chunks(scope, chunk_ids) if chunk_ids else {}
    shown = show(scope.tenant_id, {chunk.version_id for chunk in chunks.values()}) if chunks else {}
    # guard: cards-after-catalog
    return {i: shown[chunks[i].version_id] for i in chunk_ids if i in chunks and chunks[i].version_id in shown}


def may_have_twins(index: IndexReader, show: VisibleLookup, scope: SearchScope, candidates: Sequence[str]) -> bool:
    """Return False if `have_twins` would, as for most searches, without looking up the candidates' documents.

    If none of the first seven passages has a near duplicate, the other three cannot change the result.
    """
    first = candidates[: BEST_PASSAGES - MIN_TWINS + 1]
    if len(find_owners(index, show, scope, first)) < len(first):  # Candidates that are hidden do not count.
        return True
    return bool(index.find_near_duplicates(first, candidates, min_cosine=TWIN_COSINE))


def have_twins(index: IndexReader, visible: Sequence[str], owners: Mapping[str, VisibleVersion]) -> bool:
    """Return whether enough of the best passages have a near duplicate in another document.

    `visible` are the candidates that the principal may see, best first.
    """
    documents = {chunk: owners[chunk].document_id for chunk in visible}
    pairs = index.find_near_duplicates(visible[:BEST_PASSAGES], visible, min_cosine=TWIN_COSINE)
    return len({one for one, other in pairs if documents[one] != documents[other]}) >= MIN_TWINS
