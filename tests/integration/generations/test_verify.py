"""The index compared with the catalog and the texts, and made again from them: the real engine, embedded and served."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import text

from retrieval.errors import IndexLostError, IndexMismatchError
from retrieval.index.generations import IndexStore, require_matching_encoders
from retrieval.index.port import SparseVector
from retrieval.search.search import Mode, SearchRequest
from tests.support.books import book
from tests.support.generations_fixture import SHIPS, WHALE, GenerationsFixture

_EARLIER = "bm25f-edge-2/1.2/0.75/100/2"


def test_the_whole_index_is_made_again_when_its_data_were_lost(tmp_path: Path, store: IndexStore) -> None:
    before = GenerationsFixture(tmp_path, store)
    whale, ships = before.ready(WHALE, "w.md"), before.ready(SHIPS, "s.md")
    expected = [before.found("white whale", mode) for mode in Mode]
    before.close()
    store.remove_index(1)
    at = GenerationsFixture(tmp_path, store)
    verified = at.verify()
    assert {(wrong.document_id, wrong.missing) for wrong in verified.disagreements} == {(whale.id, 1), (ships.id, 1)}
    with pytest.raises(IndexLostError, match="2 of 2 documents"):
        at.found("white whale")
    assert at.switcher.rebuild_index(at.choice("hashing"), at.sparse.fingerprint).id == 2
    assert at.verify().is_consistent
    assert [at.found("white whale", mode) for mode in Mode] == expected
    at.close()


def test_an_index_of_a_release_that_weighed_words_otherwise_is_made_again_and_its_vectors_are_copied(
    tmp_path: Path, store: IndexStore
) -> None:
    before = GenerationsFixture(tmp_path, store)
    whale = before.ready(WHALE)
    with before.open.use_active_generation() as made:
        (chunk,) = made.index.iter_version_chunks("ann", whale.version.id)
        made.index.delete_version("ann", whale.version.id)
        made.index.upsert_chunks([chunk], [SparseVector((7,), (1.0,))])
        marked = made.encoder.embed_documents(["a vector that no text has"]).vectors
        made.index.set_dense_vectors([chunk.id], marked)
    with before.engine.begin() as connection:
        connection.execute(text("UPDATE generations SET sparse = 'another release'"))
    before.close()
    at = GenerationsFixture(tmp_path, store)
    with pytest.raises(IndexMismatchError, match="uses word weights from another release"):
        at.found("white whale", Mode.BM25)
    with pytest.raises(IndexMismatchError, match="index rebuild"):
        require_matching_encoders(at.records.load_active_generation(), at.encoders, at.sparse, encoder_name=None)

    assert at.switcher.rebuild_index(at.choice("hashing"), at.sparse.fingerprint).copies == 1

    assert at.found("white whale", Mode.BM25) == [whale.id]
    with at.open.use_active_generation() as made:
        assert made.index.load_dense_vectors([chunk.id])[chunk.id] @ marked[0] == pytest.approx(1, abs=1e-3)
    at.close()


def test_an_index_of_the_release_before_is_filled_and_searched_with_its_own_weights_until_it_is_made_again(
    tmp_path: Path, store: IndexStore
) -> None:
    """Both releases have it open during an upgrade. A pair of words had an id of its own then."""
    at = GenerationsFixture(tmp_path, store)
    with at.engine.begin() as connection:
        connection.execute(text("UPDATE generations SET sparse = :sparse"), {"sparse": _EARLIER})
    require_matching_encoders(at.records.load_active_generation(), at.encoders, at.sparse, encoder_name=None)

    def score_and_pair_ids() -> tuple[float, int]:
        """The best hit's score, to which a pair adds only if the index has its id, and how many large ids it has."""
        at.now += 10.0
        hits = at.searcher.search(SearchRequest("ann", "white whale", mode=Mode.BM25)).hits
        assert [hit.passage.document_id for hit in hits] == [whale.id]
        with at.open.use_active_generation() as made:
            return hits[0].passage.score, len({term >> 18 for term in made.sparse.encode_document(WHALE).indices})

    whale, _ = at.ready(WHALE), at.ready(SHIPS, "b.md")
    score, _ = earlier = score_and_pair_ids()
    assert at.verify().is_consistent

    assert at.switcher.rebuild_index(at.choice("hashing"), at.sparse.fingerprint).copies == 1
    rebuilt = score_and_pair_ids()
    assert rebuilt[0] == pytest.approx(score)
    assert rebuilt[1] < earlier[1]
    assert at.verify().is_consistent
    at.switcher.roll_back()
    assert score_and_pair_ids() == earlier
    at.close()


def test_verification_names_whatever_is_missing_strange_or_different(at: GenerationsFixture) -> None:
    lost, changed, blank, other = (at.ready(book(n, chapters=1), f"{n}.md") for n in range(4))
    assert at.verify().is_consistent
    with at.open.use_active_generation() as made:
        made.index.delete_version("ann", lost.version.id)
        for document in (changed, blank):
            chunks = list(made.index.iter_version_chunks("ann", document.version.id))
            made.index.delete_version("ann", document.version.id)
            if document is changed:
                chunks[0] = replace(chunks[0], end=chunks[0].end + 1)
            made.index.upsert_chunks(chunks, [at.sparse.encode_document("unlike")] * len(chunks))
            if document is changed:
                vectors = made.encoder.embed_documents([f"wrong {n}" for n in range(len(chunks))]).vectors
                made.index.set_dense_vectors([chunk.id for chunk in chunks], vectors)
        points = list(made.index.iter_version_chunks("ann", other.version.id))
        turned = -made.encoder.embed_documents(["x"]).vectors
        made.index.set_dense_vectors([points[0].id], turned)
        stray = replace(points[0], id="00000000-0000-5000-8000-000000000001", version_id="nobodys")
        made.index.upsert_chunks([stray], [at.sparse.encode_document("stray")])
    wrong = {d.version_id: d for d in at.verify().disagreements}
    assert set(wrong) == {lost.version.id, changed.version.id, blank.version.id, other.version.id, "nobodys"}
    count = {d.id: len(at.texts.load_map(d.version.id).chunks) for d in (lost, changed, blank, other)}
    assert wrong[lost.version.id].missing == count[lost.id]
    assert (wrong[changed.version.id].different, wrong[changed.version.id].other_vector) == (1, count[changed.id])
    assert wrong[changed.version.id].not_found_by_words == count[changed.id]
    assert wrong[blank.version.id].without_vector == count[blank.id]
    assert (wrong[other.version.id].other_vector, wrong["nobodys"].extra) == (1, 1)
    at.texts.delete(blank.version.id)
    assert {d.version_id for d in at.verify().disagreements if d.text_lost} == {blank.version.id}
