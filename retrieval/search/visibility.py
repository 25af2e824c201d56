"""Cache in memory which versions and documents searches may show, while a tenant's corpus is unchanged."""

import threading
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from ingest.storage.documents.catalog import VisibleVersion
from ingest.storage.documents.filters import Conditions

# Maximum number of tenants whose access data is cached, and of versions and sets of readers per tenant. A version takes
# a few hundred bytes.
_MAX_TENANTS = 64
_MAX_VERSIONS = 2_000
_MAX_READERS = 1_000


class Visibility(Protocol):
    """The queries that searches send to the catalog."""

    def list_hidden_versions(self, tenant_id: str) -> list[str]:
        """Return the versions known to be hidden from all searches.

        The list is refreshed after visible versions are looked up.
        """

    def find_visible_versions(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, VisibleVersion]:
        """Return the versions that may be shown now, keyed by id, with the readers that may see each version."""

    def has_access_lists(self, tenant_id: str) -> bool:
        """Return whether any document is known to be restricted to some of the tenant's readers."""

    def list_hidden_collections(self, tenant_id: str, readers: frozenset[str]) -> Collection[str]:
        """Return the collections that these readers currently may not see."""

    def list_matching_documents(
        self, tenant_id: str, conditions: Conditions, *, document_ids: Collection[str] = (), limit: int | None = None
    ) -> list[str]:
        """Return the ids of documents whose metadata currently meets the conditions.

        The search covers `document_ids`, if given; otherwise, it covers all documents and returns at most `limit` ids.
        """


class CorpusVersions(Protocol):
    """The current corpus version of each tenant, from the catalog."""

    def load_corpus_version(self, tenant_id: str) -> int: ...


class CatalogView(Visibility, CorpusVersions, Protocol):
    """The part of the catalog that searches use."""


@dataclass
class _AccessData:
    """A tenant's access data at one corpus version. Document versions that map to None must not be shown."""

    corpus_version: int
    shown: dict[str, VisibleVersion | None] = field(default_factory=dict)
    hidden: list[str] | None = None
    has_access_lists: bool | None = None
    closed_collections: dict[frozenset[str], Collection[str]] = field(default_factory=dict)


class CachedVisibility:
    """A cache of the catalog's access data, which is read again when the tenant's corpus version has increased.

    Each lookup of visible versions reads the corpus version first, so its data is current while the version is
    unchanged. Hidden versions are returned from memory without reading the catalog. They may be outdated until a lookup
    of visible versions finds a newer corpus version, or a version that must not be shown.
    """

    def __init__(self, catalog: CatalogView) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._facts: OrderedDict[str, _AccessData] = OrderedDict()

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

    def find_visible_versions(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, VisibleVersion]:
        facts = self._get_access_data(tenant_id, self._catalog.load_corpus_version(tenant_id))
        kept = facts.shown
        answers = {version: kept[version] for version in version_ids if version in kept}
        unknown = [version for version in version_ids if version not in answers]
        if unknown:
            found = self._catalog.find_visible_versions(tenant_id, unknown)
            answers.update((version, found.get(version)) for version in unknown)
            with self._lock:
                facts.shown = {**facts.shown, **answers} if len(kept) < _MAX_VERSIONS else dict(answers)
        shown = {version: visible for version, visible in answers.items() if visible is not None}
        if len(shown) < len(answers):
            facts.hidden = None
        return shown

    def has_access_lists(self, tenant_id: str) -> bool:
        facts = self._get_access_data(tenant_id, self._catalog.load_corpus_version(tenant_id))
        if facts.has_access_lists is None:
            facts.has_access_lists = self._catalog.has_access_lists(tenant_id)
        return facts.has_access_lists

    def list_hidden_collections(self, tenant_id: str, readers: frozenset[str]) -> Collection[str]:
        facts = self._get_access_data(tenant_id, self._catalog.load_corpus_version(tenant_id))
        closed = facts.closed_collections.get(readers)
        if closed is None:
            if len(facts.closed_collections) >= _MAX_READERS:
                facts.closed_collections = {}
            closed = facts.closed_collections[readers] = self._catalog.list_hidden_collections(tenant_id, readers)
        return closed

    def list_matching_documents(
        self, tenant_id: str, conditions: Conditions, *, document_ids: Collection[str] = (), limit: int | None = None
    ) -> list[str]:
        return self._catalog.list_matching_documents(tenant_id, conditions, document_ids=document_ids, limit=limit)

    def _get_access_data(self, tenant_id: str, corpus_version: int) -> _AccessData:
        """Return the access data at this corpus version, or at a newer version that another search has already seen."""
        with self._lock:
            facts = self._facts.get(tenant_id)
            if facts is None or facts.corpus_version < corpus_version:
                facts = self._facts[tenant_id] = _AccessData(corpus_version)
            self._facts.move_to_end(tenant_id)
            while len(self._facts) > _MAX_TENANTS:
                self._facts.popitem(last=False)
            return facts
