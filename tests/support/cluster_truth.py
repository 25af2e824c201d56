"""What must be true of a cluster once no work is left: computed from the texts that were sent, not from its catalog."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache

from ingest.chunking import chunk_text
from ingest.storage.documents.records import COLLECTABLE_STATES, Document, VersionState, derive_chunk_id
from ingest.storage.errors import DocumentNotFoundError
from ingest.storage.texts.layout import build_markdown_layout
from ingest.storage.texts.normalize import normalize
from ingest.storage.texts.texts import Texts
from tests.support.cluster import Cluster

_TENANT = "default"


class Truth:
    """Compares catalog, index and kept texts with what was sent; other tenants may have documents too."""

    def __init__(self, cluster: Cluster, *, other_tenants: Sequence[str] = ()) -> None:
        self._cluster = cluster
        self._texts = Texts(cluster.blobs)
        self._tenants = (_TENANT, *other_tenants)

    def violations(
        self,
        texts: Mapping[str, str],
        accepted: Mapping[str, str],
        deleted: Collection[str],
    ) -> list[str]:
        """In words, each with the document it is about; `accepted` maps names of `texts` to document ids."""
        found: list[str] = []
        for name, identifier in accepted.items():
            found += self._deleted(identifier) if identifier in deleted else self._ready(texts[name], identifier)
        return found + list(self._orphans())

    def _ready(self, text: str, identifier: str) -> Iterator[str]:
        try:
            document = self._cluster.catalog.load_document(_TENANT, identifier)
        except DocumentNotFoundError:
            yield f"lost: {identifier} was accepted and is not in the catalog"
            return
        version = document.version
        if version.state is not VersionState.READY or document.active_version_id != version.id:
            yield f"not ready: {identifier} is {version.state} {version.failure}"
            return
        if self._texts.read(version.id) != normalize(text):
            yield f"text differs: {identifier}"
        index = self._cluster.index
        present = {(c.id, c.start, c.end) for c in index.iter_version_chunks(_TENANT, version.id)}
        wanted = {(derive_chunk_id(version.id, start, end), start, end) for start, end in _spans(text)}
        if present != wanted:
            yield f"chunks differ: {identifier} has {len(present)} and should have {len(wanted)}"
        if index.count_chunks(_TENANT, version.id, embedded_only=True) != len(wanted):
            yield f"vectors missing: {identifier}"

    def _deleted(self, identifier: str) -> Iterator[str]:
        try:
            self._cluster.catalog.load_document(_TENANT, identifier)
            yield f"resurrected: {identifier} was deleted and is in the catalog"
        except DocumentNotFoundError:
            return

    def _orphans(self) -> Iterator[str]:
        """Points of versions that no live document has, and documents that are there twice."""
        documents = list(self._documents())
        live = {document.active_version_id for document in documents}
        live |= {document.version.id for document in documents if document.version.state not in COLLECTABLE_STATES}
        for version, count in self._cluster.versions().items():
            if version not in live:
                yield f"orphans: {count} points of version {version}"
        contents = [
            (document.tenant_id, document.collection, document.version.content_sha256) for document in documents
        ]
        if len(set(contents)) != len(contents):
            yield "duplicate: two documents have the same content"

    def _documents(self) -> Iterator[Document]:
        for tenant in self._tenants:
            after = 0
            while page := self._cluster.catalog.list_documents(tenant, after=after, limit=500):
                yield from page
                after = page[-1].sequence


@lru_cache(maxsize=1024)
def _spans(text: str) -> tuple[tuple[int, int], ...]:
    normal = normalize(text)
    return tuple((chunk.start, chunk.end) for chunk in chunk_text(normal, build_markdown_layout(normal)))
