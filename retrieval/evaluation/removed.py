"""Searching as if some documents had been deleted: for questions that nothing answers any more."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ingest.catalog.catalog import Visible
from retrieval.visibility import Visibility


@dataclass(frozen=True)
class Removed:
    """A view of the catalog without some documents, given by id with the versions that searches find.

    It is what searches see between a deletion and the collection of the points it leaves.
    """

    catalog: Visibility
    versions: Mapping[str, str]

    def hidden_versions(self, tenant_id: str) -> list[str]:
        return [*self.catalog.hidden_versions(tenant_id), *self.versions.values()]

    def visible(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, Visible]:
        return self.catalog.visible(tenant_id, set(version_ids).difference(self.versions.values()))

    def attributes(self, tenant_id: str) -> Iterable[tuple[str, Mapping[str, Any]]]:
        return [each for each in self.catalog.attributes(tenant_id) if each[0] not in self.versions]
