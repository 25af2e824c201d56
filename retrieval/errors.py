"""Errors of searching, encoding, measuring and keeping model files; and the waits before a request is sent again.

RetrievalError
├── IndexUnavailableError   the index cannot be opened or does not answer
│   ├── IndexLostError      the index lacks what the catalog says it holds, or is damaged
│   └── IndexRefusedError   the index answers, but refuses this request and would refuse it again
├── ChunksMissingError      vectors were given for chunks that the index lacks
├── IndexMismatchError      the index was built with another encoder or chunker
├── UnknownEncoderError     no encoder here has that name or fingerprint
├── QueryError              the query cannot be searched for as it is
├── EncoderError            the embedding model failed
│   └── EncoderUnavailableError   the server that embeds does not answer
├── RerankerError           the reranker failed, or cannot be opened
│   └── Reranker{Unavailable,Timeout,Output}Error   its server is away, its time is over, its answer is wrong
├── EvaluationDataError     a file of judged questions is not in BEIR's format
└── ModelFileError          a model's file
    ├── ModelMissingError   it is not in the models folder
    ├── ModelHashError      it is present, or arrived, with other bytes
    └── ModelSourceError    no source delivered it
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ingest.storage.errors import LeadlineError


class RetrievalError(LeadlineError):
    """The base of all errors of this package."""

    code = "retrieval_error"


class IndexUnavailableError(RetrievalError):
    """The index cannot be opened, or does not answer."""

    code = "index_unavailable"
    public_detail = "The vector index is not available."
    default_hint = "Try again in a moment; if it persists, see that the vector engine runs and its folder is readable."


class IndexLostError(IndexUnavailableError):
    """The index is gone or damaged, or lacks many of the documents that searches should find.

    Searches that went on would answer "not found" for documents that are there. The detail names no host and no file.
    """

    code = "index_lost"
    public_detail = ""
    default_hint = (
        "Run `leadline index rebuild`: it makes the index again from what was uploaded, while the service runs. If "
        "only a disk or a volume was not mounted, mount it and restart instead."
    )


class IndexRefusedError(IndexUnavailableError):
    """The index answers, but refuses the request and would refuse it again."""

    code = "index_refused"
    public_detail = "The vector index refused the request."
    default_hint = "See the log of the vector engine; if it says nothing of help, report it with this text."


class ChunksMissingError(RetrievalError):
    """Vectors were given for chunks that the index does not hold."""

    code = "chunks_missing"
    default_hint = "The document was deleted meanwhile, or the index has lost some of it: have it indexed again."


class IndexMismatchError(RetrievalError):
    """The index carries the fingerprint of another encoder or chunker, so its scores would mean nothing."""

    code = "index_mismatch"
    public_detail = "The vector index does not fit the settings of the service."
    default_hint = "Start with the settings the index was built with, or index the documents again."


class UnknownEncoderError(RetrievalError):
    """This installation has no encoder of that name or fingerprint."""

    code = "encoder_unknown"
    public_detail = "The service lacks an encoder."
    default_hint = "`leadline index show` names the encoders there are."


class QueryError(RetrievalError):
    """The query is empty, too long or otherwise not searchable."""

    code = "query_invalid"
    default_hint = "Ask with at least one word."


class EncoderError(RetrievalError):
    """The embedding model did not load, or failed on an input."""

    code = "encoder_failed"
    public_detail = "The encoder failed."
    default_hint = "Check the model's files with `leadline models verify --full`."


class RerankerError(RetrievalError):
    """The reranker failed, or cannot be opened; searches go on without it."""

    code = "reranker_failed"
    public_detail = "The reranker failed."
    default_hint = "Run `leadline doctor`: it tries the reranker that LEADLINE_RERANKER names."


class RerankerUnavailableError(RerankerError):
    """The reranker's server is away, busy, or rejects our requests."""

    code = "reranker_unavailable"
    public_detail = "The reranker is not available."


class RerankerTimeoutError(RerankerError):
    """The reranker did not answer before its deadline."""

    code = "reranker_timeout"
    public_detail = "The reranker did not answer in time."
    default_hint = "Rerank fewer passages (LEADLINE_RERANK_DEPTH) or wait longer (LEADLINE_RERANK_DEADLINE_MS)."


class RerankerOutputError(RerankerError):
    """The reranker did not answer with one score for each passage."""

    code = "reranker_output"
    public_detail = "The reranker gave no usable answer."
    default_hint = "See that the address in LEADLINE_RERANKER is that of a /rerank or /score endpoint."


class EncoderUnavailableError(EncoderError):
    """The server that embeds does not answer, or is too busy."""

    code = "encoder_unavailable"
    public_detail = "The encoder is not available."
    default_hint = "See that the embedding server runs; what waits for it goes on when it answers again."


class EvaluationDataError(RetrievalError):
    """A file of judged questions is missing or not in BEIR's format; the message names the file and the line."""

    code = "evaluation_data"
    default_hint = (
        "BEIR's format is corpus.jsonl, queries.jsonl and qrels/test.tsv; see retrieval/evaluation/judged.py."
    )


class ModelFileError(RetrievalError):
    """A model's file is not usable as it is."""

    code = "model_file"
    public_detail = "A model's file is not usable."
    default_hint = "Run `leadline models fetch`."


class ModelMissingError(ModelFileError):
    """The file is not in the models folder, or is there with another size."""

    code = "model_missing"


class ModelHashError(ModelFileError):
    """The bytes of a file, or of the piece of a file that `file` describes, differ from those the manifest names."""

    code = "model_hash"
    default_hint = "Run `leadline models fetch`: it replaces the file."

    def __init__(self, file: str, *, expected: str, got: str, hint: str | None = None) -> None:
        super().__init__(f"{file} has SHA-256 {got}, and the manifest names {expected}.", hint=hint)
        self.file = file
        self.expected = expected
        self.got = got


class ModelSourceError(ModelFileError):
    """No source delivered the file; `failures` holds each source's name and its reason, in the order tried."""

    code = "model_source"
    default_hint = (
        "Run `leadline models fetch` again: it goes on where it stopped. "
        "On a machine without a network, copy the files into the models folder."
    )

    def __init__(self, file: str, failures: Sequence[tuple[str, str]], *, hint: str | None = None) -> None:
        reasons = "; ".join(f"{source}: {reason.rstrip('.')}" for source, reason in failures) or "it names no source"
        super().__init__(f"{file} could not be fetched: {reasons}.", hint=hint)
        self.file = file
        self.failures = tuple(failures)


@dataclass(frozen=True)
class RetryPolicy:
    """The number of attempts, and the waits between them, which double from the first to the longest."""

    attempts: int
    first_wait_seconds: float
    longest_wait_seconds: float

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 < self.first_wait_seconds <= self.longest_wait_seconds:
            raise ValueError("one attempt at least, and waits that grow")

    def iter_waits(self, uniform: Callable[[], float] = random.random) -> Iterator[float]:
        """Yield the waits, one fewer than attempts: half of each is fixed and half is random (`uniform`, 0 to 1).

        Randomness keeps clients that failed together from coming back together; the fixed half keeps the total from
        shrinking to nothing.
        """
        for retry in range(self.attempts - 1):
            longest = min(self.first_wait_seconds * 2**retry, self.longest_wait_seconds)
            yield longest / 2 + longest / 2 * uniform()
