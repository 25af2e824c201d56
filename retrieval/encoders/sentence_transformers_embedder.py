"""A bi-encoder on any sentence-transformers model, on a CPU or GPU, with torch, ONNX or OpenVINO."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from retrieval.encoders.port import DenseVector, EmbeddedTexts, normalize_vectors
from retrieval.encoders.sentence_transformers_model import INSTALL_HINT, LocatedModel
from retrieval.errors import EncoderError

# Number of texts per batch, by device. The texts of a batch have similar lengths. On a CPU, larger batches are not
# faster; on a GPU, the larger default keeps the GPU busy.
_BATCH_SIZES = {"cpu": 16}
_DEFAULT_BATCH_SIZE = 128


class SentenceTransformersEmbedder:
    """An embedder that uses the sentence-transformers library, which also loads torch.

    Only one thread at a time uses the model, because the library's tokenizers are not thread-safe. Queries take
    precedence over documents.
    """

    def __init__(self, model: LocatedModel) -> None:
        """Load the model and check its dimension.

        Raises `EncoderError` if the model cannot be loaded or its dimension differs.
        """
        self.fingerprint = model.fingerprint
        self.dimension = model.dimension
        self._located = model
        self._turns = _PriorityLock()
        self._model = _load_model(model)
        self._at_once = _BATCH_SIZES.get(self._model.device.type, _DEFAULT_BATCH_SIZE)
        made = self._encode_texts(["dimension"], is_document=True).shape[1]
        if made != model.full_dimension:
            raise EncoderError(
                f"{model.spec.model} returns vectors of {made} dimensions, but its files specify "
                f"{model.full_dimension}.",
                hint="Download or copy the model again.",
            )

    def embed_documents(self, texts: Sequence[str], *, is_background: bool = False) -> EmbeddedTexts:
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        counts = np.zeros(len(texts), np.int64)
        order = sorted(range(len(texts)), key=lambda index: len(texts[index]))
        for at in range(0, len(order), self._at_once):
            rows = order[at : at + self._at_once]
            some = [texts[row] for row in rows]
            with self._turns.hold_for_documents():
                vectors[rows] = self._truncate_vectors(self._encode_texts(some, is_document=True))
                counts[rows] = self._count_tokens([self._located.document_prompt + text for text in some])
        return EmbeddedTexts(vectors, tuple(int(count) for count in counts))

    def embed_query(self, text: str) -> DenseVector:
        with self._turns.hold_for_query():
            vector: DenseVector = self._truncate_vectors(self._encode_texts([text], is_document=False))[0]
        return vector

    def close(self) -> None:
        del self._model

    def _encode_texts(self, texts: Sequence[str], *, is_document: bool) -> DenseVector:
        encode = self._model.encode_document if is_document else self._model.encode_query
        prompt = self._located.document_prompt if is_document else self._located.query_prompt
        try:
            vectors = encode(
                list(texts),
                prompt=prompt,
                batch_size=len(texts),
                show_progress_bar=False,
                truncate_dim=self._located.full_dimension,
            )
        except Exception as error:  # The library and its backends may raise any exception.
            raise EncoderError(f"The encoder failed: {error}", hint="Check the encoder library's log.") from error
        return np.asarray(vectors, np.float32)

    def _truncate_vectors(self, vectors: DenseVector) -> DenseVector:
        """Truncate vectors to the requested dimension, and scale them to unit length."""
        return normalize_vectors(vectors[:, : self.dimension])

    def _count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens that the model reads from each text."""
        longest = self._model.max_seq_length
        tokenizer = self._model.tokenizer
        if hasattr(tokenizer, "encode_batch"):  # Static embedding models have a plain `tokenizers` tokenizer.
            lengths = [len(encoding.ids) for encoding in tokenizer.encode_batch(list(texts))]
        else:
            encoded = tokenizer(list(texts), truncation=longest is not None, max_length=longest, verbose=False)
            lengths = [len(ids) for ids in encoded["input_ids"]]
        return [min(length, longest or length) for length in lengths]


class _PriorityLock:
    """A lock that gives queries precedence over documents."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._busy = False
        self._queries = 0

    @contextmanager
    def hold_for_query(self) -> Iterator[None]:
        with self._change:
            self._queries += 1
            self._change.wait_for(lambda: not self._busy)
            self._queries -= 1
            self._busy = True
        yield from self._release_on_exit()

    @contextmanager
    def hold_for_documents(self) -> Iterator[None]:
        with self._change:
            self._change.wait_for(lambda: not self._busy and not self._queries)
            self._busy = True
        yield from self._release_on_exit()

    def _release_on_exit(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._change:
                self._busy = False
                self._change.notify_all()


def _load_model(model: LocatedModel) -> Any:  # noqa: ANN401 - the library's model
    try:
        from sentence_transformers import SentenceTransformer
    except ImportError as error:
        raise EncoderError("The package sentence-transformers is not installed.", hint=INSTALL_HINT) from error
    spec = model.spec
    options: dict[str, Any] = {"device": spec.device, "backend": spec.backend}
    settings: dict[str, Any] = {} if spec.file is None else {"file_name": spec.file}
    if spec.backend == "torch":
        settings["dtype"] = spec.dtype
    options["model_kwargs"] = settings
    if not model.is_folder:
        options["revision"] = model.revision
    try:
        try:
            return SentenceTransformer(model.source, local_files_only=True, **options)
        except OSError:
            if model.is_folder:
                raise
            return SentenceTransformer(model.source, **options)  # This call downloads the weights.
    except Exception as error:  # The library and its backends may raise any exception.
        reason = " ".join(str(error).split())[:300]
        raise EncoderError(
            f"{spec.model} could not be loaded: {reason}",
            hint=_build_load_hint(spec.backend),
        ) from error


def _build_load_hint(backend: str) -> str:
    if backend == "torch":
        return (
            "If its files are not on this machine, connect to the hub once, or copy the model's folder to this machine."
        )
    return (
        f"backend={backend} requires `pip install 'sentence-transformers[{backend}]'` and a model that has weights for "
        "this backend."
    )
