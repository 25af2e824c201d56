"""What is kept of the catalog's answers: never more than the catalog itself would say."""

from collections.abc import Collection
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.storage.documents.catalog import VisibleVersion
from ingest.storage.documents.filters import Conditions
from retrieval.search import visibility
from retrieval.search.requests import Mode
from retrieval.search.search import Searcher, SearchRequest
from retrieval.search.visibility import CachedVisibility
from tests.unit.retrieval.search.test_search import Shelf


class Numbered:
    """A catalog of which versions are shown and hidden, with its corpus number; counts what it is asked."""

    def __init__(self) -> None:
        self.number = 1
        self.shown: set[str] = set()
        self.hidden: set[str] = set()
        self.asked: list[str] = []

    def show(self, version: str) -> None:
        self.hidden.discard(version)
        self.shown.add(version)
        self.number += 1

    def hide(self, version: str) -> None:
        self.shown.discard(version)
        self.hidden.add(version)
        self.number += 1

    def list_hidden_versions(self, tenant_id: str) -> list[str]:
        self.asked.append("hidden")
        return sorted(self.hidden)

    def find_visible_versions(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, VisibleVersion]:
        self.asked.append("visible")
        return {v: VisibleVersion(v, f"doc-{v}", "default", f"Title {v}", {}) for v in version_ids if v in self.shown}

    def load_corpus_version(self, tenant_id: str) -> int:
        return self.number

    def list_hidden_collections(self, tenant_id: str, readers: frozenset[str]) -> set[str]:
        return set()

    def has_access_lists(self, tenant_id: str) -> bool:
        return False

    def list_matching_documents(
        self, tenant_id: str, conditions: Conditions, *, document_ids: Collection[str] = (), limit: int | None = None
    ) -> list[str]:
        return []


def test_while_the_corpus_stays_the_same_only_its_number_is_asked() -> None:
    catalog = Numbered()
    catalog.show("v1")
    kept = CachedVisibility(catalog)
    first = kept.find_visible_versions("ann", ["v1"])
    kept.list_hidden_versions("ann")
    catalog.asked.clear()
    assert kept.find_visible_versions("ann", ["v1"]) == first
    assert kept.list_hidden_versions("ann") == []
    assert catalog.asked == []


def test_what_was_deleted_is_not_shown_from_the_moment_its_deletion_is_committed() -> None:
    catalog = Numbered()
    catalog.show("v1")
    kept = CachedVisibility(catalog)
    assert set(kept.find_visible_versions("ann", ["v1"])) == {"v1"}
    catalog.hide("v1")
    assert kept.find_visible_versions("ann", ["v1"]) == {}
    assert kept.list_hidden_versions("ann") == ["v1"]


def test_a_hidden_version_that_nobody_counted_is_known_once_it_was_met() -> None:
    catalog = Numbered()
    catalog.show("v1")
    kept = CachedVisibility(catalog)
    kept.find_visible_versions("ann", ["v1"])
    assert kept.list_hidden_versions("ann") == []
    catalog.hidden.add("v2")  # being made: no search can find another thing for it
    assert kept.find_visible_versions("ann", ["v1", "v2"]).keys() == {"v1"}
    assert kept.list_hidden_versions("ann") == ["v2"]


def test_tenants_and_versions_are_kept_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visibility, "_MAX_TENANTS", 2)
    monkeypatch.setattr(visibility, "_MAX_VERSIONS", 3)
    catalog = Numbered()
    catalog.shown = {f"v{n}" for n in range(10)}
    kept = CachedVisibility(catalog)
    for tenant in ("ann", "bob", "eve"):
        for number in range(10):
            assert kept.find_visible_versions(tenant, [f"v{number}", "v0"]).keys() == {f"v{number}", "v0"}
    catalog.asked.clear()
    kept.find_visible_versions("eve", ["v0"])
    assert catalog.asked == []
    kept.find_visible_versions("ann", ["v0"])
    assert catalog.asked == ["visible"]


@given(st.lists(st.tuples(st.sampled_from(["show", "hide", "ask", "hidden"]), st.sampled_from("abc")), max_size=40))
def test_it_says_what_the_catalog_says_whatever_the_order(steps: list[tuple[str, str]]) -> None:
    catalog, kept = Numbered(), None
    kept = CachedVisibility(catalog)
    for step, version in steps:
        if step == "show":
            catalog.show(version)
        elif step == "hide":
            catalog.hide(version)
        elif step == "hidden":
            kept.list_hidden_versions("ann")
        assert kept.find_visible_versions("ann", "abc") == catalog.find_visible_versions("ann", "abc")
        assert kept.list_hidden_versions("ann") == sorted(catalog.hidden)


def test_a_search_finds_what_has_become_visible_since_the_search_before(tmp_path: Path) -> None:
    shelf, catalog = Shelf(tmp_path), Numbered()
    shelf.put("v1", "the white whale")
    shelf.put("v2", "a white whale too")
    catalog.show("v1")
    catalog.hide("v2")
    searcher = Searcher(shelf.searcher.generations, CachedVisibility(catalog), shelf.texts)
    request = SearchRequest("ann", "white whale")

    def found() -> set[str]:
        return {hit.chunk_id for hit in searcher.search(request).hits}

    assert found() == {"v1-0"}
    assert found() == {"v1-0"}
    catalog.show("v2")
    assert found() == {"v1-0", "v2-0"}
    catalog.hide("v1")
    assert found() == {"v2-0"}


def test_a_version_that_alone_has_a_word_is_found_once_it_has_become_visible(tmp_path: Path) -> None:
    """Nothing else is found, so nothing was looked up that would tell that the corpus has changed."""
    shelf, catalog = Shelf(tmp_path), Numbered()
    shelf.put("v1", "the white whale")
    shelf.put("v2", "an albatross")
    catalog.show("v1")
    catalog.hide("v2")
    searcher = Searcher(shelf.searcher.generations, CachedVisibility(catalog), shelf.texts)

    def found(query: str) -> set[str]:
        return {hit.chunk_id for hit in searcher.search(SearchRequest("ann", query, mode=Mode.BM25)).hits}

    assert (found("whale"), found("albatross")) == ({"v1-0"}, set())
    catalog.show("v2")
    assert found("albatross") == {"v2-0"}
