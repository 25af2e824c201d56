"""all-MiniLM-L6-v2 in int8 on OpenVINO: the bi-encoder of the embedded deployment.

The model is compiled three times. Documents are encoded by an asynchronous queue in small batches of similar length,
which keeps padding low and every core busy. Queries have their own compiled model, so that they do not wait for
documents, and one inference request per core, so that they do not wait for each other. Background documents have a
third compiled model, whose threads run at a lower priority on Linux, so that they use only idle cores.
"""

import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from retrieval.encoders.port import DenseVector, EmbeddedTexts
from retrieval.errors import EncoderError

DIMENSION = 384
MAX_TOKENS = 256  # The model's own max_seq_length.
# Number of texts per inference request. With texts sorted by length, two cores encode 31,600 tokens/s with 4 texts per
# request, 29,900 with 1 text, and 29,700 with 8 texts.
_TEXTS_PER_REQUEST = 4
# Steps between the 16 widths to which texts are padded. The number of widths is small, because a compiled model caches
# data for every input shape.
_WIDTH_STEPS = (8, 16, 32, 64)
_WIDTHS_PER_STEP = 8
# The id of "the" in BERT's uncased vocabulary.
_MOST_FREQUENT_TOKEN_ID = 1996
# Niceness of the encoder's threads. Such a thread gets a tenth of the CPU time of a normal thread on the same core.
NICENESS = 10


def compute_fingerprint(max_tokens: int) -> str:
    """Return the fingerprint of an encoder that truncates texts to `max_tokens`."""
    return f"all-MiniLM-L6-v2/int8-onnx/mean/{max_tokens}/{DIMENSION}"


class OpenVinoEmbedder:
    """An embedder with mean-pooled, L2-normalized vectors. Pooling is part of the compiled graph."""

    def __init__(
        self, model: Path, tokenizer: Path, *, stream_count: int | None = None, max_tokens: int = MAX_TOKENS
    ) -> None:
        """Load an ONNX BERT model with outputs of shape `[batch, tokens, 384]`, and its `tokenizer.json`."""
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)
        core = ov.Core()
        graph = _build_pooled_model(core.read_model(str(model)))
        self._for_queries = _RequestPool(core, graph, os.cpu_count() or 1)
        compiled = partial(core.compile_model, graph, "CPU", _build_throughput_settings(stream_count))
        self._waited_for = _InferenceQueue(compiled())
        with ThreadPoolExecutor(
            1, initializer=_lower_priority
        ) as standing_back:  # OpenVINO's threads inherit this thread's priority.
            self._in_background = _InferenceQueue(standing_back.submit(compiled).result())
        self.fingerprint = compute_fingerprint(max_tokens)
        self.dimension = DIMENSION

    def embed_documents(self, texts: Sequence[str], *, is_background: bool = False) -> EmbeddedTexts:
        if not texts:
            return EmbeddedTexts(np.zeros((0, DIMENSION), np.float32), ())
        queue = self._in_background if is_background else self._waited_for
        encodings = self._tokenizer.encode_batch(list(texts))
        batch = _DocumentBatch(len(texts))
        order = sorted(range(len(texts)), key=lambda index: len(encodings[index].ids))
        for at in range(0, len(order), _TEXTS_PER_REQUEST):
            rows = order[at : at + _TEXTS_PER_REQUEST]
            inputs = build_model_inputs([encodings[row] for row in rows])
            batch.expect_result()
            queue.submit_batch(inputs, batch, rows)
        return EmbeddedTexts(batch.wait_for_vectors(), tuple(len(encoding.ids) for encoding in encodings))

    def embed_query(self, text: str) -> DenseVector:
        inputs = build_model_inputs([self._tokenizer.encode(text)])
        with self._for_queries.reserve_request() as request:
            try:
                request.infer(inputs)
            except RuntimeError as error:
                raise EncoderError(f"The encoder failed: {error}") from error
            vector: DenseVector = request.get_output_tensor().data[0].copy()
        return vector

    def close(self) -> None:
        for queue in (self._waited_for, self._in_background):
            queue.close()


class _RequestPool:
    """A pool of inference requests of one compiled model. Each request runs in a single thread.

    Threads that share a request spin while they wait for each other, so all of them wait if one thread's core is busy.
    Measured with three clients on two busy cores: 138 queries per second at 5.9 ms of CPU time each, compared to 30
    queries per second at 12.5 ms with two threads per query.
    """

    def __init__(self, core: ov.Core, graph: ov.Model, request_count: int) -> None:
        settings = {"NUM_STREAMS": str(request_count), "INFERENCE_NUM_THREADS": str(request_count)}
        self._model = core.compile_model(graph, "CPU", settings)
        self._free: SimpleQueue[ov.InferRequest] = SimpleQueue()
        for _ in range(request_count):
            self._free.put(self._model.create_infer_request())

    @contextmanager
    def reserve_request(self) -> Iterator[ov.InferRequest]:
        """Wait for a free inference request, and reserve it until the block exits."""
        request = self._free.get()
        try:
            yield request
        finally:
            self._free.put(request)


class _InferenceQueue:
    """An asynchronous queue of batches for a compiled model."""

    def __init__(self, model: ov.CompiledModel) -> None:
        self._lock = threading.Lock()  # OpenVINO's queue accepts only one submitting thread at a time.
        self._requests = ov.AsyncInferQueue(model)
        self._requests.set_callback(_store_result)

    def submit_batch(self, inputs: dict[str, NDArray[np.int64]], batch: "_DocumentBatch", rows: Sequence[int]) -> None:
        with self._lock:
            self._requests.start_async(inputs, (batch, rows))

    def close(self) -> None:
        with self._lock:
            self._requests.wait_all()


class _DocumentBatch:
    """Collects the vectors of a batch of documents from callbacks that run in OpenVINO's threads."""

    def __init__(self, size: int) -> None:
        self._vectors: NDArray[np.float32] = np.empty((size, DIMENSION), np.float32)
        self._outstanding = 1  # The submitting thread counts too, until it has submitted all batches.
        self._failure: RuntimeError | None = None
        self._change = threading.Condition()

    def expect_result(self) -> None:
        with self._change:
            self._outstanding += 1

    def store_rows(self, rows: Sequence[int], request: Any) -> None:  # noqa: ANN401 - OpenVINO's request
        try:
            self._vectors[rows] = request.get_output_tensor().data
        except RuntimeError as error:
            self._failure = error
        finally:
            self._record_completion()

    def wait_for_vectors(self) -> DenseVector:
        self._record_completion()
        with self._change:
            self._change.wait_for(lambda: self._outstanding == 0)
        if self._failure is not None:
            raise EncoderError(f"The encoder failed: {self._failure}") from self._failure
        return self._vectors

    def _record_completion(self) -> None:
        with self._change:
            self._outstanding -= 1
            self._change.notify_all()


def _store_result(request: Any, user_data: tuple[_DocumentBatch, list[int]]) -> None:  # noqa: ANN401 - OpenVINO's request
    batch, rows = user_data
    batch.store_rows(rows, request)


def _lower_priority() -> None:
    """Lower the priority of the current thread."""
    if sys.platform == "linux":  # On other systems, this call would lower the priority of the whole process.
        # A seccomp filter may forbid this call. The thread then keeps its priority, which only affects speed.
        with suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, 0, max(NICENESS, os.getpriority(os.PRIO_PROCESS, 0)))


def _build_throughput_settings(stream_count: int | None) -> dict[str, str]:
    return {"PERFORMANCE_HINT": "THROUGHPUT"} if stream_count is None else {"NUM_STREAMS": str(stream_count)}


def build_model_inputs(encodings: Sequence[Encoding]) -> dict[str, NDArray[np.int64]]:
    """Build BERT's three inputs for a batch, padded to the smallest width that fits its longest text."""
    longest = max(len(encoding.ids) for encoding in encodings)
    step = next(step for step in _WIDTH_STEPS if longest <= _WIDTHS_PER_STEP * step)
    width = -(-longest // step) * step
    ids = np.zeros((len(encodings), width), np.int64)
    mask = np.zeros_like(ids)
    for row, encoding in enumerate(encodings):
        ids[row, : len(encoding.ids)] = encoding.ids
        mask[row, : len(encoding.ids)] = 1
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}


def _build_pooled_model(model: Any) -> Any:  # noqa: ANN401 - OpenVINO's model
    """Return the model with a single output: its mean-pooled, L2-normalized vectors."""
    hidden = model.output(0).get_node().input_value(0)
    mask = next(node for node in model.inputs if node.any_name == "attention_mask").get_node()
    weights = op.unsqueeze(op.convert(mask, "f32"), op.constant(2, np.int32))
    axis = op.constant([1], np.int32)
    mean = op.divide(op.reduce_sum(op.multiply(hidden, weights), axis), op.reduce_sum(weights, axis))
    return ov.Model([op.result(op.normalize_l2(mean, axis, 1e-12, "add"))], model.get_parameters(), "sentence")


class OpenVinoTokenEncoder:
    """An encoder that converts text to unit-length token vectors.

    They include the vectors of `[CLS]` and `[SEP]`, which are also part of mean pooling.
    """

    def __init__(self, model: Path, tokenizer: Path) -> None:
        """Load an ONNX BERT model with outputs of shape `[batch, tokens, 384]`, and its `tokenizer.json`."""
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        core = ov.Core()
        # Use only half of the cores, so that other searches need not wait until ten passages are encoded.
        threads = max(1, (os.cpu_count() or 1) // 2)
        settings = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": str(threads)}
        graph = _build_token_model(remove_attention_guards(core.read_model(str(model))))
        self._request = core.compile_model(graph, "CPU", settings).create_infer_request()
        self._turn = threading.Lock()
        self.fingerprint = "all-MiniLM-L6-v2/int8-onnx"

    def encode_texts(self, texts: Sequence[str]) -> list[DenseVector]:
        return self._encode_batch(self._tokenizer.encode_batch(list(texts))) if texts else []

    def encode_query(self, text: str) -> tuple[DenseVector, DenseVector]:
        encoding = self._tokenizer.encode(text)
        (rows,) = self._encode_batch([encoding])
        return rows, _compute_token_weights(encoding)

    def _encode_batch(self, encodings: Sequence[Encoding]) -> list[DenseVector]:
        with self._turn:
            try:
                self._request.infer(build_model_inputs(encodings))
            except RuntimeError as error:
                raise EncoderError(f"The encoder failed: {error}") from error
            rows: DenseVector = self._request.get_output_tensor().data
            return [row[: len(encoding.ids)].copy() for row, encoding in zip(rows, encodings, strict=True)]

    def close(self) -> None:
        return None


def _compute_token_weights(encoding: Encoding) -> DenseVector:
    """Return a weight for each token: the logarithm of its frequency rank, or 0 for special tokens.

    BERT's vocabulary lists words by descending frequency, after special tokens and single characters. By Zipf's law, a
    word's frequency is inversely proportional to its rank, so the logarithm of the rank equals the word's idf up to a
    constant.
    """
    ranks = np.maximum(1, np.array(encoding.ids) - _MOST_FREQUENT_TOKEN_ID + 1)
    weights: DenseVector = (np.log(1 + ranks) * (1 - np.array(encoding.special_tokens_mask))).astype(np.float32)
    return weights


def remove_attention_guards(model: Any) -> Any:  # noqa: ANN401 - OpenVINO's model
    """Remove the guards against NaN in attention over zero tokens.

    Attention always covers at least two tokens, because each text has two special tokens. The guards would keep
    OpenVINO from fusing the attention operations, which costs a tenth of the total time.
    """
    for node in model.get_ordered_ops():
        if node.get_type_name() == "Select" and node.input_value(0).get_node().get_type_name() == "IsNaN":
            node.output(0).replace(node.input_value(2))
    return model


def _build_token_model(model: Any) -> Any:  # noqa: ANN401 - OpenVINO's model
    """Return the model with a single output: the last hidden state of each token, scaled to unit length."""
    hidden = model.output(0).get_node().input_value(0)
    unit = op.normalize_l2(hidden, op.constant([2], np.int32), 1e-12, "add")
    return ov.Model([op.result(unit)], model.get_parameters(), "tokens")
