"""What a classifier says of many records, kept: the same one over the same records need not be asked again.

A second question over the same records has its labels from kept replies, and so the same classifier; embedding the
records again would take longer than everything else together.
"""

import base64
import hashlib
import zlib
from collections.abc import Callable, Sequence

import numpy as np
import structlog

from ingest.catalog.replies import StoredReply
from rlm.llm.cache import NoReplyCache, ReplyCache
from rlm.operators.classifier import LogisticRegression, Matrix, Numbers

log = structlog.get_logger(__name__)

UNSURE = -1


class Inferences:
    """A tenant's labels by classifier and records. `encoder` is the fingerprint of what embeds them."""

    def __init__(self, cache: ReplyCache | None = None, tenant_id: str = "", encoder: str = "") -> None:
        self._cache: ReplyCache = cache or NoReplyCache()
        self._tenant_id = tenant_id
        self._encoder = encoder

    def labels(
        self,
        model: LogisticRegression,
        confidence: float,
        digests: Sequence[bytes],
        vectors: Callable[[], Matrix],
    ) -> Numbers:
        """The class of each record, `UNSURE` where the model is not as confident; `digests` are the records' texts'.

        `vectors` is called where they are not kept.
        """
        key = self._key(model, confidence, digests)
        kept = self._read(key, len(digests))
        if kept is not None:
            return kept
        found = model.probabilities(vectors())
        labels: Numbers = np.where(found.max(axis=1) >= confidence, found.argmax(axis=1), UNSURE).astype(np.int64)
        self._write(key, labels)
        return labels

    def _key(self, model: LogisticRegression, confidence: float, digests: Sequence[bytes]) -> str:
        digest = hashlib.sha256(f"{self._tenant_id}\0{self._encoder}\0{confidence!r}\0".encode())
        digest.update(model.weights.tobytes())
        for each in digests:
            digest.update(each)
        return digest.hexdigest()

    def _read(self, key: str, count: int) -> Numbers | None:
        try:
            kept = self._cache.get(self._tenant_id, {key}).get(key)
            if kept is None:
                return None
            labels: Numbers = np.frombuffer(zlib.decompress(base64.b85decode(kept.text)), np.int16).astype(np.int64)
        except Exception as error:  # noqa: BLE001 - without a cache everything works, and takes longer
            log.warning("kept labels could not be read", error=repr(error))
            return None
        return labels if len(labels) == count else None

    def _write(self, key: str, labels: Numbers) -> None:
        written = base64.b85encode(zlib.compress(labels.astype(np.int16).tobytes())).decode()
        try:
            self._cache.put(self._tenant_id, [StoredReply(key, written, 0, 0, 0)])
        except Exception as error:  # noqa: BLE001 - as above
            log.warning("labels were not kept", error=repr(error))
