"""A reranker that runs a sentence-transformers cross-encoder on the device selected by torch."""

import os
import threading
from collections.abc import Sequence
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder

from retrieval.errors import RerankerError, RerankerTimeoutError
from retrieval.rerank.port import CorpusSnapshot, require_remaining_seconds

# Maximum number of tokens of a query and a passage together. A chunk has about 250 tokens, and the query may use the
# remaining tokens.
_MAX_TOKENS = 512
# Number of pairs per batch, by device. Batches on a CPU are small, because the deadline is checked only between
# batches, and larger batches are not faster there.
_BATCH_SIZES = {"cpu": 8}
_DEFAULT_BATCH_SIZE = 64


class CrossEncoderReranker:
    """A cross-encoder with a single output, loaded from a folder, or by its id from the hub or the local cache."""

    def __init__(self, model: str, *, thread_count: int | None = None) -> None:
        """Load the model. `thread_count` limits torch's threads in the whole process; the default is half of the cores.

        Raises `RerankerError` if the model cannot be loaded or is not a reranker.
        """
        torch.set_num_threads(thread_count or max(1, (os.cpu_count() or 1) // 2))
        folder = Path(model).expanduser()
        if not folder.is_dir() and model.startswith(("/", ".", "~")):
            raise RerankerError(f"Folder {model} not found.", hint="Correct LEADLINE_RERANKER.")
        self.fingerprint = f"cross-encoder/{folder.name}"
        try:
            self._model = CrossEncoder(
                str(folder) if folder.is_dir() else model,
                max_length=_MAX_TOKENS,
                local_files_only=folder.is_dir(),
            )
        except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError) as error:
            raise RerankerError(
                f"The cross-encoder {model} cannot be loaded: {' '.join(str(error).split())[:300]}",
                hint="Name a folder saved by sentence-transformers, or a model on a hub that this machine can reach.",
            ) from error
        if self._model.num_labels != 1:
            raise RerankerError(
                f"{model} returns {self._model.num_labels} scores for a pair, but a reranker must return one score.",
                hint="Set LEADLINE_RERANKER to another model.",
            )
        self._batch = _BATCH_SIZES.get(self._model.device.type, _DEFAULT_BATCH_SIZE)
        self._turn = threading.Lock()  # The tokenizer is not thread-safe.

    def score_passages(
        self, query: str, passages: Sequence[str], *, deadline: float, corpus: CorpusSnapshot | None = None
    ) -> Sequence[float]:
        if not self._turn.acquire(timeout=require_remaining_seconds(deadline)):
            raise RerankerTimeoutError("The cross-encoder was busy until the deadline.")
        try:
            return self._score_in_batches(query, passages, deadline)
        # Torch, the tokenizer and the model's own code may raise any of these errors.
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
            raise RerankerError(f"The cross-encoder failed: {' '.join(str(error).split())[:300]}") from error
        finally:
            self._turn.release()

    def close(self) -> None:
        return None

    def _score_in_batches(self, query: str, passages: Sequence[str], deadline: float) -> list[float]:
        """Score the passages in batches of similar length to minimize padding."""
        found = [0.0] * len(passages)
        order = sorted(range(len(passages)), key=lambda position: len(passages[position]))
        for at in range(0, len(order), self._batch):
            require_remaining_seconds(deadline)
            rows = order[at : at + self._batch]
            pairs = [(query, passages[row]) for row in rows]
            scores = self._model.predict(pairs, batch_size=self._batch, show_progress_bar=False)
            for row, score in zip(rows, scores, strict=True):
                found[row] = float(score)
        return found
