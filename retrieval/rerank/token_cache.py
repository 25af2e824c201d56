"""A cache of the token vectors of reranked passages, valid while a tenant's corpus is unchanged.

The key is the text itself with its title and headings, so a changed passage never gets the vectors of its old text. A
search looks up vectors only for passages that it may show. A tenant's vectors are evicted as soon as one of its
searches sees another corpus version or index generation, so vectors of deleted or restricted passages are cached no
longer than search results. Tenants do not share entries, because response times would reveal one tenant's texts to
another.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from retrieval.encoders.port import DenseVector
from retrieval.rerank.port import CorpusSnapshot

DEFAULT_MAX_BYTES = 64 * 1024**2
# Estimated size of an entry's key and objects in bytes, excluding its vectors.
_ENTRY_BYTES = 512

_Key = tuple[str, bytes]


class TokenCache:
    """Token vectors in half precision, keyed by tenant and text. Thread-safe.

    The vectors take at most `max_bytes`; the least recently used are evicted first. With 0 bytes, nothing is cached.
    """

    def __init__(self, max_bytes: int = DEFAULT_MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._entries: OrderedDict[_Key, NDArray[np.float16]] = OrderedDict()
        self._corpora: dict[str, CorpusSnapshot] = {}
        self._size_bytes = 0

    def find_vectors(self, corpus: CorpusSnapshot, texts: Sequence[str]) -> list[DenseVector | None]:
        """Return each text's vectors, or None for texts that are not cached."""
        keys = [_build_key(corpus, text) for text in texts]
        with self._lock:
            self._evict_outdated_vectors(corpus)
            kept = [self._entries.get(key) for key in keys] if self._is_current_corpus(corpus) else [None] * len(keys)
            for key, vectors in zip(keys, kept, strict=True):
                if vectors is not None:
                    self._entries.move_to_end(key)
        return [None if vectors is None else vectors.astype(np.float32) for vectors in kept]

    def store_vectors(self, corpus: CorpusSnapshot, text: str, vectors: DenseVector) -> None:
        """Cache a text's vectors, unless the corpus has changed since the search started."""
        halves, key = vectors.astype(np.float16), _build_key(corpus, text)
        if _compute_vectors_size(halves) > self._max_bytes:
            return
        with self._lock:
            if key in self._entries or not self._is_current_corpus(corpus):
                return
            self._entries[key] = halves
            self._size_bytes += _compute_vectors_size(halves)
            while self._size_bytes > self._max_bytes:
                self._remove_entry(next(iter(self._entries)))

    @property
    def size_bytes(self) -> int:
        with self._lock:
            return self._size_bytes

    def _evict_outdated_vectors(self, corpus: CorpusSnapshot) -> None:
        """Evict the tenant's vectors if they belong to an earlier state of the corpus."""
        known = self._corpora.get(corpus.tenant_id)
        # guard: token-vectors-corpus
        if known is None or (known != corpus and known.version <= corpus.version):
            self._corpora[corpus.tenant_id] = corpus
            for key in [key for key in self._entries if key[0] == corpus.tenant_id]:
                self._remove_entry(key)

    def _is_current_corpus(self, corpus: CorpusSnapshot) -> bool:
        return self._corpora.get(corpus.tenant_id) == corpus

    def _remove_entry(self, key: _Key) -> None:
        self._size_bytes -= _compute_vectors_size(self._entries.pop(key))


def _build_key(corpus: CorpusSnapshot, text: str) -> _Key:
    # guard: token-vectors-tenant
    return corpus.tenant_id, hashlib.blake2b(text.encode(), digest_size=16).digest()


def _compute_vectors_size(vectors: NDArray[np.float16]) -> int:
    return _ENTRY_BYTES + vectors.nbytes
