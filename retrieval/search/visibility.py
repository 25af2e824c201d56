"""The catalog's answers to searches, kept in memory for as long as the corpus stays the same."""

import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from ingest.storage.documents.catalog import VisibleVersion
from ingest.storage.documents.filters import Conditions

# Answers are kept for at most this many tenants, and versions of each: some hundred bytes a version.
_MAX_TENANTS = 64
_MAX_VERSIONS = 2_000
_MAX_READERS = 1_000


class Visibility(Protocol):
    """The port through which searches ask the catalog."""

    def list_hidden_versions(self, tenant_id: str) -> list[str]:
        """Return versions that no search may show, as far as is known; callers ask again after `visible`."""

    def find_visible(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, VisibleVersion]:
        """Return those of `version_ids` that somebody may be shown now, by version id, with who that is."""

    def has_access_lists(self, tenant_id: str) -> bool:
        """Return true if there are documents that not everybody in the tenant may see, as far as is known."""

    def list_closed_collections(self, tenant_id: str, readers: frozenset[str]) -> Collection[str]:
        """Return the collections of which these readers may see nothing now."""

    def list_matching(
        self, tenant_id: str, conditions: Conditions, *, among: Collection[str] = (), limit: int | None = None
    ) -> list[str]:
        """Return ids of documents whose metadata meets the conditions now: of `among`, or at most `limit` of all."""


class CorpusVersions(Protocol):
    """The numbers of tenants' corpora, as the catalog has them now."""

    def load_corpus_version(self, tenant_id: str) -> int: ...


class CatalogView(Visibility, CorpusVersions, Protocol):
    """The catalog as searches see it."""


@dataclass
class _Facts:
    """Facts learned at this number of the corpus; a version that maps to None may not be shown."""

    corpus_version: int
    shown: dict[str, VisibleVersion | None] = field(default_factory=dict)
    hidden: list[str] | None = None
    has_access_lists: bool | None = None
    closed_collections: dict[frozenset[str], Collection[str]] = field(default_factory=dict)


class CachedVisibility:
    """The catalog's answers, which are asked for again once the number of the tenant's corpus has grown.

    Every `visible` reads the number before it learns facts, so facts are up to date while the number stays the same.
    `hidden_versions` reads nothing if it has the versions; they may be those of an earlier corpus until `visible` has
    noticed that, or has met a version that may not be shown.
    """

    def __init__(self, catalog: CatalogView) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._facts: OrderedDict[str, _Facts] = OrderedDict()

    def load_corpus_version(self, tenant_id: str) -> int:
        return self._catalog.load_corpus_version(tenant_id)

    def list_hidden_versions(self, tenant_id: str) -> list[str]:
        with self._lock:
            facts = self._facts.get(tenant_id)
            if facts is not None and facts.hidden is not None:
                return facts.hidden
        hidden = self._catalog.list_hidden_versions(tenant_id)
        if facts is not None:
            facts.hidden = hidden
        return hidden

    def find_visible(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, VisibleVersion]:
        facts = self._get_facts(tenant_id, self._catalog.load_corpus_version(tenant_id))
        kept = facts.shown
        answers = {version: kept[version] for version in version_ids if version in kept}
        unknown = [version for version in version_ids if version not in answers]
        if unknown:
            found = self._catalog.find_visible(tenant_id, unknown)
            answers.update((version, found.get(version)) for version in unknown)
            with self._lock:
                facts.shown = {**facts.shown, **answers} if len(kept) < _MAX_VERSIONS else dict(answers)
        shown = {version: visible for version, visible in answers.items() if visible is not None}
        if len(shown) < len(answers):
            facts.hidden = None
        return shown

    def has_access_lists(self, tenant_id: str) -> bool:
        facts = self._get_facts(tenant_id, self._catalog.load_corpus_version(tenant_id))
        if facts.has_access_lists is None:
            facts.has_access_lists = self._catalog.has_access_lists(tenant_id)
        return facts.has_access_lists

    def list_closed_collections(self, tenant_id: str, readers: frozenset[str]) -> Collection[str]:
        facts = self._get_facts(tenant_id, self._catalog.load_corpus_version(tenant_id))
        closed = facts.closed_collections.get(readers)
        if closed is None:
            if len(facts.closed_collections) >= _MAX_READERS:
                facts.closed_collections = {}
            closed = facts.closed_collections[readers] = self._catalog.list_closed_collections(tenant_id, readers)
        return closed

    def list_matching(
        self, tenant_id: str, conditions: Conditions, *, among: Collection[str] = (), limit: int | None = None
    ) -> list[str]:
        return self._catalog.list_matching(tenant_id, conditions, among=among, limit=limit)

    def _get_facts(self, tenant_id: str, corpus_version: int) -> _Facts:
        """Return the facts of this corpus, or of a newer one that another search has seen meanwhile."""
        with self._lock:
            facts = self._facts.get(tenant_id)
            if facts is None or facts.corpus_version < corpus_version:
                facts = self._facts[tenant_id] = _Facts(corpus_version)
            self._facts.move_to_end(tenant_id)
            while len(self._facts) > _MAX_TENANTS:
                self._facts.popitem(last=False)
            return facts
