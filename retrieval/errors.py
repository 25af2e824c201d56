"""Errors of search, encoding, evaluation and model files, and the retry policy for requests.

RetrievalError
├── IndexUnavailableError   the index cannot be opened or does not answer
│   ├── IndexLostError      the index is damaged, or lacks documents that the catalog lists
│   └── IndexRefusedError   the index rejects this request, and would reject it again
├── ChunksMissingError      vectors were written for chunks that the index does not have
├── IndexMismatchError      the index was built with another encoder or chunker
├── UnknownEncoderError     this installation has no encoder with that name or fingerprint
├── QueryError              the query is invalid
├── EncoderError            the embedding model failed
│   └── EncoderUnavailableError   the embedding server does not answer
├── RerankerError           the reranker failed, or cannot be opened
│   └── Reranker{Unavailable,Timeout,Output}Error   its server is unreachable, it was too slow, its answer is invalid
├── EvaluationDataError     a file of judged questions has the wrong format
└── ModelFileError          a model file cannot be used
    ├── ModelMissingError   it is not in the models folder
    ├── ModelHashError      its bytes are not those in the manifest
    └── ModelSourceError    it could not be downloaded from any source
"""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ingest.storage.errors import LeadlineError


class RetrievalError(LeadlineError):
    """Base class of this package's errors."""

    code = "retrieval_error"


class IndexUnavailableError(RetrievalError):
    """The index cannot be opened, or does not respond."""

    code = "index_unavailable"
    public_detail = "The vector index is not available."
    default_hint = (
        "Try again in a moment. If the error persists, check that the vector engine runs and can read its folder."
    )


class IndexLostError(IndexUnavailableError):
    """The index is missing or damaged, or lacks many documents that searches should find.

    Searches are rejected, because they would answer "not found" for documents that exist. The error's detail does not
    name a host or a file.
    """

    code = "index_lost"
    public_detail = ""
    default_hint = (
        "Run `leadline index rebuild` to rebuild the index from the uploaded documents while the service runs. "
        "If a disk or volume was merely not mounted, mount it and restart instead."
    )


class IndexRefusedError(IndexUnavailableError):
    """The index rejected the request, and would reject it again."""

    code = "index_refused"
    public_detail = "The vector index rejected the request."
    default_hint = (
        "Check the log of the vector engine. If the log does not explain the error, report the error with this message."
    )


class ChunksMissingError(RetrievalError):
    """Vectors were written for chunks that the index does not have."""

    code = "chunks_missing"
    default_hint = "Index the document again, unless it was deleted in the meantime: the index has lost chunks."


class IndexMismatchError(RetrievalError):
    """The index was built with another encoder or chunker, so its scores would be meaningless."""

    code = "index_mismatch"
    public_detail = "The vector index does not match the service's settings."
    default_hint = "Use the settings that the index was built with, or index the documents again."


class UnknownEncoderError(RetrievalError):
    """This installation has no encoder with the given name or fingerprint."""

    code = "encoder_unknown"
    public_detail = "The encoder is not available in this service."
    default_hint = "`leadline index show` lists the available encoders."


class QueryError(RetrievalError):
    """The query is empty, too long or otherwise invalid."""

    code = "query_invalid"
    default_hint = "Enter at least one word."


class EncoderError(RetrievalError):
    """The embedding model could not be loaded, or failed on its input."""

    code = "encoder_failed"
    public_detail = "The encoder failed."
    default_hint = "Check the model's files with `leadline models verify --full`."


class RerankerError(RetrievalError):
    """The reranker failed or cannot be opened. Searches continue without it."""

    code = "reranker_failed"
    public_detail = "The reranker failed."
    default_hint = "Run `leadline doctor`, which tests the reranker named in LEADLINE_RERANKER."


class RerankerUnavailableError(RerankerError):
    """The reranker's server is unreachable or busy, or rejects the requests."""

    code = "reranker_unavailable"
    public_detail = "The reranker is not available."


class RerankerTimeoutError(RerankerError):
    """The reranker did not respond before its deadline."""

    code = "reranker_timeout"
    public_detail = "The reranker did not respond in time."
    default_hint = "Rerank fewer passages (LEADLINE_RERANK_DEPTH) or wait longer (LEADLINE_RERANK_DEADLINE_MS)."


class RerankerOutputError(RerankerError):
    """The reranker did not return one score for each passage."""

    code = "reranker_output"
    public_detail = "The reranker returned an invalid response."
    default_hint = "Check that the address in LEADLINE_RERANKER is a /rerank or /score endpoint."


class EncoderUnavailableError(EncoderError):
    """The embedding server does not respond, or is too busy."""

    code = "encoder_unavailable"
    public_detail = "The encoder is not available."
    default_hint = "Check that the embedding server is running. Waiting jobs resume once the server responds again."


class EvaluationDataError(RetrievalError):
    """A file of judged questions is missing or has the wrong format. The message names the file and the line."""

    code = "evaluation_data"
    default_hint = (
        "A BEIR folder contains corpus.jsonl, queries.jsonl and qrels/test.tsv; see retrieval/evaluation/judged.py."
    )


class ModelFileError(RetrievalError):
    """A model file cannot be used."""

    code = "model_file"
    public_detail = "A model file cannot be used."
    default_hint = "Run `leadline models fetch`."


class ModelMissingError(ModelFileError):
    """The file is not in the models folder, or has the wrong size."""

    code = "model_missing"


class ModelHashError(ModelFileError):
    """The SHA-256 of a file, or of the piece described by `file`, does not match the manifest."""

    code = "model_hash"
    default_hint = "Run `leadline models fetch` to replace the file."

    def __init__(self, file: str, *, expected_hash: str, actual_hash: str, hint: str | None = None) -> None:
        super().__init__(f"{file} has SHA-256 {actual_hash}, but the manifest specifies {expected_hash}.", hint=hint)
        self.file = file
        self.expected = expected_hash
        self.got = actual_hash


class ModelSourceError(ModelFileError):
    """The file could not be downloaded from any source. `failures` lists each source's name and reason, in order."""

    code = "model_source"
    default_hint = (
        "Run `leadline models fetch` again to resume the download. "
        "On a machine without a network, copy the files to the models folder."
    )

    def __init__(self, file: str, failures: Sequence[tuple[str, str]], *, hint: str | None = None) -> None:
        reasons = (
            "; ".join(f"{source}: {reason.rstrip('.')}" for source, reason in failures)
            or "the manifest lists no source"
        )
        super().__init__(f"{file} could not be downloaded: {reasons}.", hint=hint)
        self.file = file
        self.failures = tuple(failures)


@dataclass(frozen=True)
class RetryPolicy:
    """The number of attempts, and the delays between them, which double up to a maximum."""

    attempts: int
    first_wait_seconds: float
    longest_wait_seconds: float

    def __post_init__(self) -> None:
        if self.attempts < 1 or not 0 < self.first_wait_seconds <= self.longest_wait_seconds:
            raise ValueError(
                "a retry policy must allow at least one attempt, and its longest delay must not be shorter than its "
                "first"
            )

    def iter_delays(self, random_source: Callable[[], float] = random.random) -> Iterator[float]:
        """Yield the retry delays in seconds, one fewer than the attempts.

        Half of each delay is fixed, which guarantees a minimum total delay. The other half is jitter, which keeps
        clients that failed together from retrying together. `random_source` returns random numbers from 0 to 1.
        """
        for retry in range(self.attempts - 1):
            longest = min(self.first_wait_seconds * 2**retry, self.longest_wait_seconds)
            yield longest / 2 + longest / 2 * random_source()
