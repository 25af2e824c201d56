"""A view of the catalog without some documents."""

from pathlib import Path

import pytest

from retrieval.evaluation.removed import Removed
from retrieval.search import SearchRequest
from tests.unit.retrieval.test_search import Shelf


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path)
    shelf.put("whale", "the white whale")
    shelf.put("paint", "white paint")
    return shelf


def test_what_is_removed_is_not_found_and_helps_to_rank_nothing(shelf: Shelf) -> None:
    searcher = shelf.searcher.through(Removed(shelf.shown, {"doc-whale": "whale"}))
    (hit,) = searcher.search(SearchRequest("ann", "white whale")).hits
    assert (hit.passage.document_id, hit.why["feedback"].rank) == ("doc-paint", 1)
    assert len(shelf.find("white whale")) == 2


def test_filters_do_not_bring_it_back(shelf: Shelf) -> None:
    shelf.shown.described = {"whale": {"year": 1851}, "paint": {"year": 1900}}
    view = Removed(shelf.shown, {"doc-whale": "whale"})
    found = shelf.searcher.through(view).search(SearchRequest("ann", "white", filters={"year": {"gte": 1800}}))
    assert [hit.passage.document_id for hit in found.hits] == ["doc-paint"]
    assert [document for document, _ in view.attributes("ann")] == ["doc-paint"]
