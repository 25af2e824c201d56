"""What searches ask the catalog, and its answers kept in memory for as long as the corpus stays the same."""

import threading
from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ingest.catalog.catalog import Visible

# What is kept of at most so many tenants, and of each: some hundred bytes a version.
_TENANTS = 64
_VERSIONS = 2_000


class Visibility(Protocol):
    """What searches ask the catalog."""

    def hidden_versions(self, tenant_id: str) -> list[str]:
        """Versions that no search may show, as far as is known: whoever goes by them asks again after `visible`."""

    def visible(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, Visible]:
        """Those of `version_ids` that may be shown now, by version id."""

    def attributes(self, tenant_id: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
        """The id and the attributes of each of a tenant's documents."""


class CorpusVersions(Protocol):
    """The number of a tenant's corpus, as the catalog has it now."""

    def corpus_version(self, tenant_id: str) -> int: ...


class CatalogView(Visibility, CorpusVersions, Protocol):
    """What the catalog is to searches."""


@dataclass
class _Facts:
    """What was learned since the corpus has this number; None of a version says that it may not be shown."""

    corpus_version: int
    shown: dict[str, Visible | None] = field(default_factory=dict)
    hidden: list[str] | None = None


class KeptVisibility:
    """The catalog's answers; what is kept is asked again once the number of the tenant's corpus has grown.

    The number is read in every `visible`, and facts are learned after it was read: while it stays the same they are
    those of the moment. `hidden_versions` reads nothing where it knows them; they may be those of an earlier corpus
    until `visible` has noticed, or has met a version that may not be shown.
    """

    def __init__(self, catalog: CatalogView) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._facts: OrderedDict[str, _Facts] = OrderedDict()

    def hidden_versions(self, tenant_id: str) -> list[str]:
        with self._lock:
            facts = self._facts.get(tenant_id)
            if facts is not None and facts.hidden is not None:
                return facts.hidden
        hidden = self._catalog.hidden_versions(tenant_id)
        if facts is not None:
            facts.hidden = hidden
        return hidden

    def visible(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, Visible]:
        facts = self._facts_of(tenant_id, self._catalog.corpus_version(tenant_id))
        kept = facts.shown
        answers = {version: kept[version] for version in version_ids if version in kept}
        unknown = [version for version in version_ids if version not in answers]
        if unknown:
            found = self._catalog.visible(tenant_id, unknown)
            answers.update((version, found.get(version)) for version in unknown)
            with self._lock:
                facts.shown = {**facts.shown, **answers} if len(kept) < _VERSIONS else dict(answers)
        shown = {version: visible for version, visible in answers.items() if visible is not None}
        if len(shown) < len(answers):
            facts.hidden = None
        return shown

    def attributes(self, tenant_id: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
        return self._catalog.attributes(tenant_id)

    def _facts_of(self, tenant_id: str, corpus_version: int) -> _Facts:
        """Those of this corpus, or of a newer one that another search has seen meanwhile."""
        with self._lock:
            facts = self._facts.get(tenant_id)
            if facts is None or facts.corpus_version < corpus_version:
                facts = self._facts[tenant_id] = _Facts(corpus_version)
            self._facts.move_to_end(tenant_id)
            while len(self._facts) > _TENANTS:
                self._facts.popitem(last=False)
            return facts
