"""Load each chunk only once in a search, although several of its stages read the same chunks."""

from collections.abc import Sequence

from retrieval.index.port import IndexedChunk, IndexReader, SearchScope


class LoadedChunks:
    """The index of one search, in one scope, which remembers the chunks that it loaded.

    A chunk's content never changes, because its id comes from it. Whether the principal may see it can change, so every
    stage asks the catalog again.
    """

    def __init__(self, index: IndexReader, scope: SearchScope) -> None:
        self._index = index
        self._scope = scope
        self._loaded: dict[str, IndexedChunk | None] = {}
        self.search = index.search
        self.load_dense_vectors = index.load_dense_vectors
        self.score_chunks_by_cosine = index.score_chunks_by_cosine
        self.find_near_duplicates = index.find_near_duplicates
        self.find_chunks_by_digest = index.find_chunks_by_digest

    def load_chunks(self, scope: SearchScope, chunk_ids: Sequence[str]) -> dict[str, IndexedChunk]:
        # guard: loaded-chunks-scope
        if scope != self._scope:
            return self._index.load_chunks(scope, chunk_ids)
        unknown = [each for each in chunk_ids if each not in self._loaded]
        if unknown:
            found = self._index.load_chunks(scope, unknown)
            self._loaded.update((each, found.get(each)) for each in unknown)
        return {each: chunk for each in chunk_ids if (chunk := self._loaded[each]) is not None}
