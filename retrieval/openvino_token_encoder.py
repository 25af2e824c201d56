"""all-MiniLM-L6-v2 in int8 on OpenVINO once more, without the pooling: a vector for each token."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as op
from tokenizers import Tokenizer

from retrieval.errors import EncoderError
from retrieval.index import DenseVector
from retrieval.openvino_embedder import MAX_TOKENS, model_inputs


class OpenVinoTokenEncoder:
    """Tokens as vectors of length 1, those that mark a text's beginning and end included, as the pooling does."""

    def __init__(self, model: Path, tokenizer: Path) -> None:
        """Reads an ONNX BERT with outputs of shape `[batch, tokens, 384]` and its `tokenizer.json`."""
        self._tokenizer = Tokenizer.from_file(str(tokenizer))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(MAX_TOKENS)
        core = ov.Core()
        # Every core works on one batch: whoever reranks waits for all of them.
        graph = _normalized(core.read_model(str(model)))
        self._request = core.compile_model(graph, "CPU", {"PERFORMANCE_HINT": "LATENCY"}).create_infer_request()
        self._turn = threading.Lock()
        self.fingerprint = "all-MiniLM-L6-v2/int8-onnx"

    def tokens(self, texts: Sequence[str]) -> list[DenseVector]:
        if not texts:
            return []
        encodings = self._tokenizer.encode_batch(list(texts))
        with self._turn:
            try:
                self._request.infer(model_inputs(encodings))
            except RuntimeError as error:
                raise EncoderError(f"The encoder failed: {error}") from error
            rows: DenseVector = self._request.get_output_tensor().data
            return [row[: len(encoding.ids)].copy() for row, encoding in zip(rows, encodings, strict=True)]

    def close(self) -> None:
        return None


def _normalized(model: Any) -> Any:  # noqa: ANN401 - OpenVINO's model
    """The model with each token's last state, scaled to length 1, as its only output."""
    hidden = model.output(0).get_node().input_value(0)
    unit = op.normalize_l2(hidden, op.constant([2], np.int32), 1e-12, "add")
    return ov.Model([op.result(unit)], model.get_parameters(), "tokens")
