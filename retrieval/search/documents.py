"""Rank the passages of the right document higher where documents resemble each other.

Contracts with different parties or reports of different years share most of their wording, so a passage alone often
does not show which document it is from. If many of the best passages have a near duplicate in another document, each
candidate gets a share of its document's card score (`retrieval.search.cards`). Otherwise the ranking stays the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ingest.storage.documents.rows import VisibleVersion
from retrieval.index.port import IndexReader, ScoredChunk, SearchScope, SparseVector, sort_best_first
from retrieval.search.cards import CardRanker
from retrieval.search.choosing import VisibleLookup
from retrieval.search.ranking import Ranking

# Documents resemble each other if this many of the best passages have a near duplicate in another document. Measured
# on quarterly filings, 97 of 100 searches meet this, and on scientific abstracts none of 100.
MIN_TWINS, BEST_PASSAGES = 4, 10
TWIN_COSINE = 0.9
# Near duplicates are looked for among this many of the best candidates. With 200, the same searches qualify.
TWIN_CANDIDATES = 50
# The number of candidates whose documents are scored.
LIFTED_CANDIDATES = 200
# The weight of a document's card score, where the best card has the score 1, beside the passage's score, which is at
# most 1. Measured on quarterly filings: results are flat from 0.15 to 0.4.
DOCUMENT_WEIGHT = 0.2


def lift_documents(
    index: IndexReader,
    show: VisibleLookup,
    scope: SearchScope,
    query: SparseVector,
    ranking: Ranking,
    cards: CardRanker,
) -> Ranking:
    """Add each document's card score to the scores of its passages, if the documents resemble each other.

    Otherwise, returns `ranking` itself. Only candidates that the principal may see are considered.

    Source of the combination: Bendersky & Kurland, "Utilizing passage-based language models for document retrieval",
    Information Retrieval 13(2), 2010.
    """
    best = [identifier for identifier, _ in ranking.best[:TWIN_CANDIDATES]]
    owners = find_owners(index, show, scope, best)
    if not have_twins(index, best, owners):
        return ranking
    deeper = [identifier for identifier, _ in ranking.best[TWIN_CANDIDATES:LIFTED_CANDIDATES]]
    owners |= find_owners(index, show, scope, deeper)
    versions = {each.version_id: each for each in owners.values()}
    scores = cards.score_documents(query, list(versions.values()))
    highest = max(scores.values(), default=0.0) if scores else 0.0
    if scores is None or highest <= 0:
        return ranking
    by_document = sort_best_first(
        ScoredChunk(chunk, scores[each.version_id] / highest) for chunk, each in owners.items()
    )
    lifts = {each.id: DOCUMENT_WEIGHT * each.score for each in by_document}
    lifted = sort_best_first(
        (chunk, score + lifts.get(chunk, 0.0)) for chunk, score in ranking.best[:LIFTED_CANDIDATES]
    )
    return replace(ranking, best=lifted + ranking.best[LIFTED_CANDIDATES:], by_document=by_document, lifts=lifts)


def find_owners(
    index: IndexReader, show: VisibleLookup, scope: SearchScope, chunk_ids: Sequence[str]
) -> dict[str, VisibleVersion]:
    """Return the version of each chunk, keyed by chunk id. Chunks that the principal may not see are omitted."""
    chunks = index.load_chunks(scope, chunk_ids) if chunk_ids else {}
    shown = show(scope.tenant_id, {chunk.version_id for chunk in chunks.values()}) if chunks else {}
    # guard: cards-after-catalog
    return {i: shown[chunks[i].version_id] for i in chunk_ids if i in chunks and chunks[i].version_id in shown}


def have_twins(index: IndexReader, best: Sequence[str], owners: Mapping[str, VisibleVersion]) -> bool:
    """Return whether enough of the best passages have a near duplicate in another document among the candidates."""
    visible = [identifier for identifier in best if identifier in owners]
    if len({owners[identifier].document_id for identifier in visible[:BEST_PASSAGES]}) < 2:
        return False
    vectors = index.load_dense_vectors(visible)
    known = [identifier for identifier in visible if identifier in vectors]
    if not known:
        return False
    rows = np.stack([vectors[identifier] for identifier in known])
    documents = np.array([owners[identifier].document_id for identifier in known])
    heads = [position for position, identifier in enumerate(known) if identifier in set(visible[:BEST_PASSAGES])]
    alike = (rows[heads] @ rows.T >= TWIN_COSINE) & (documents[heads][:, None] != documents[None, :])
    return int(alike.any(axis=1).sum()) >= MIN_TWINS
