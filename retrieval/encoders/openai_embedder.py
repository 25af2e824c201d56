"""A bi-encoder on any server with OpenAI's `/v1/embeddings` API, such as vLLM or text-embeddings-inference.

The openai client retries failed requests (lost connections and the statuses 408, 409, 429 and 5xx) and respects
`Retry-After`. This module converts the server's errors and malformed responses to `EncoderError`s with user-facing
messages.
"""

import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import httpx2
import numpy as np
import openai

from retrieval.bounded_replies import ResponseTooLargeError, build_response_limit_hooks
from retrieval.encoders.port import DenseVector, EmbeddedTexts, normalize_vectors
from retrieval.encoders.specs import EncoderSpec, compute_prompts_digest
from retrieval.errors import EncoderError, EncoderUnavailableError

# Timeouts for embedding documents and queries. The timeout for connecting is shorter, because a running server accepts
# connections quickly.
_DOCUMENTS_TIMEOUT = httpx2.Timeout(120.0, connect=5.0)
_QUERY_TIMEOUT = httpx2.Timeout(15.0, connect=3.0)
_DOCUMENT_RETRIES, _QUERY_RETRIES = 5, 1
# Maximum number of texts and characters per request. Both values are within the default limits of servers: 2,048 texts
# and 300,000 tokens for OpenAI, and 32 texts for text-embeddings-inference.
_TEXTS_PER_REQUEST = 32
_CHARS_PER_REQUEST = 32_000
_CHARS_PER_TOKEN = 4
_MAX_PARALLEL_REQUESTS = 4
# Maximum number of times that a rejected text is halved, to find a length that fits the model's context window.
_MAX_HALVINGS = 6
_MIN_TRUNCATED_CHARS = 200
_BAD_INPUT_STATUSES = frozenset({400, 413, 422})


class OpenAIEmbedder:
    """An embedder that sends documents in concurrent requests of limited size. Queries use a separate client.

    A text that exceeds the model's context window is truncated to a length that the server accepts. Later texts are
    truncated to this length in advance.
    """

    def __init__(self, spec: EncoderSpec, *, api_key: str | None = None) -> None:
        """Set up the clients. If `spec` has no dimension, request one embedding to determine it.

        Raises `EncoderError` if that request fails.
        """
        if spec.url is None:
            raise ValueError("the encoder's description must name a server")
        self._spec = spec
        self._url = spec.url
        # OpenAI's client library requires a key. A server without authentication ignores the key.
        key = api_key or "none"
        self._for_documents = _build_client(spec.url, key, _DOCUMENTS_TIMEOUT, _DOCUMENT_RETRIES)
        self._for_queries = _build_client(spec.url, key, _QUERY_TIMEOUT, _QUERY_RETRIES)
        self._pool = ThreadPoolExecutor(_MAX_PARALLEL_REQUESTS, "embeddings")
        self._longest: int | None = None
        self._cutting = threading.Lock()
        self._expected = spec.dimension
        self.dimension = self._expected = (
            spec.dimension or self._request_embeddings(self._for_queries, ["dimension"])[0].shape[1]
        )
        self.fingerprint = compute_fingerprint(spec, self.dimension)

    def embed_documents(self, texts: Sequence[str], *, is_background: bool = False) -> EmbeddedTexts:
        prompt = self._spec.document or ""
        prompted = [prompt + text for text in texts]
        order = sorted(range(len(texts)), key=lambda index: len(prompted[index]))
        portions = list(_split_into_requests(order, prompted))
        vectors = np.zeros((len(texts), self.dimension), np.float32)
        counts = np.zeros(len(texts), np.int64)
        for rows, (found, tokens) in zip(
            portions, self._pool.map(self._build_batch_embedder(prompted), portions), strict=True
        ):
            vectors[rows] = found
            counts[rows] = _divide_token_count(tokens, [prompted[row] for row in rows])
        return EmbeddedTexts(vectors, tuple(int(count) for count in counts))

    def embed_query(self, text: str) -> DenseVector:
        vector: DenseVector = self._embed_truncated(self._for_queries, [(self._spec.query or "") + text])[0][0]
        return vector

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)
        self._for_documents.close()
        self._for_queries.close()

    def _build_batch_embedder(self, texts: Sequence[str]) -> Any:  # noqa: ANN401 - a function of rows
        return lambda rows: self._embed_truncated(self._for_documents, [texts[row] for row in rows])

    def _embed_truncated(self, client: openai.OpenAI, texts: Sequence[str]) -> tuple[DenseVector, int | None]:
        while True:
            longest = self._longest
            cut = [text if longest is None else text[:longest] for text in texts]
            try:
                return self._request_embeddings(client, cut)
            except _RejectedInputError as refused:
                self._learn_max_length(client, cut, refused)

    def _learn_max_length(self, client: openai.OpenAI, texts: Sequence[str], rejection: "_RejectedInputError") -> None:
        """Find the length to which texts must be truncated. Raises `EncoderError` if even short texts are rejected."""
        with self._cutting:
            text = max(texts, key=len)
            if self._longest is not None and len(text) > self._longest:
                return  # Another thread has found the maximum length in the meantime.
            for _ in range(_MAX_HALVINGS):
                text = text[: len(text) // 2]
                if len(text) < _MIN_TRUNCATED_CHARS:
                    break
                try:
                    self._request_embeddings(client, [text])
                except _RejectedInputError:
                    continue
                self._longest = len(text)
                return
        raise EncoderError(f"The embedding server at {self._url} rejected a text: {rejection}", hint=rejection.hint)

    def _request_embeddings(self, client: openai.OpenAI, texts: Sequence[str]) -> tuple[DenseVector, int | None]:
        """Return one unit vector per text, and the total token count that the server reports, or None."""
        options: dict[str, Any] = {} if self._spec.dimension is None else {"dimensions": self._spec.dimension}
        with _translate_errors(self._spec, self._url):
            answer = client.embeddings.create(
                model=self._spec.model,
                # Replace an empty text with a space, because some servers reject empty texts.
                input=[text or " " for text in texts],
                encoding_format="float",
                **options,
            )
            rows = sorted(answer.data, key=lambda row: row.index)
            tokens = answer.usage.prompt_tokens if answer.usage is not None else None
            vectors = [row.embedding for row in rows]
            lengths = sorted({len(vector) for vector in vectors})
        if [row.index for row in rows] != list(range(len(texts))):
            raise self._build_response_error(
                f"the indexes of the {len(rows)} vectors are not 0 to {len(texts) - 1}, one index for each text"
            )
        if len(lengths) != 1 or lengths[0] != (self._expected or lengths[0]):
            found = ", ".join(map(str, lengths))
            raise self._build_response_error(
                f"the vectors have {found} dimensions instead of {self._expected or 'a single length'}"
            )
        try:
            return normalize_vectors(np.array(vectors, np.float32)), tokens
        except (EncoderError, ValueError, TypeError) as error:
            raise self._build_response_error(
                "a vector is all zeros or contains something other than numbers"
            ) from error

    def _build_response_error(self, description: str) -> EncoderError:
        return EncoderError(
            f"The embedding server at {self._url} returned an invalid response for {self._spec.model}: {description}.",
            hint="Check that the server supports the model and the dimension in LEADLINE_ENCODER.",
        )


def _build_client(url: str, api_key: str, timeout: httpx2.Timeout, retries: int) -> openai.OpenAI:
    bounded = openai.DefaultHttpxClient(base_url=url, timeout=timeout, event_hooks=build_response_limit_hooks())
    return openai.OpenAI(base_url=url, api_key=api_key, timeout=timeout, max_retries=retries, http_client=bounded)


class _RejectedInputError(EncoderError):
    """The server rejected the input, but may accept a shorter text."""


def compute_fingerprint(spec: EncoderSpec, dimension: int) -> str:
    """Return the fingerprint of the model's vectors, which does not depend on the server.

    The API does not report which weights the server uses, so only the spec's `revision` distinguishes them.
    """
    prompts = compute_prompts_digest(spec.query or "", spec.document or "")
    return f"embeddings-api/{spec.model}@{spec.revision or 'unpinned'}/{prompts}/{dimension}"


def _split_into_requests(row_numbers: Sequence[int], texts: Sequence[str]) -> Iterator[list[int]]:
    """Yield the row numbers of each request's texts, within the limits on texts and characters per request."""
    rows: list[int] = []
    characters = 0
    for row in row_numbers:
        if rows and (len(rows) == _TEXTS_PER_REQUEST or characters + len(texts[row]) > _CHARS_PER_REQUEST):
            yield rows
            rows, characters = [], 0
        rows.append(row)
        characters += len(texts[row])
    if rows:
        yield rows


def _divide_token_count(token_count: int | None, texts: Sequence[str]) -> list[int]:
    """Divide the total token count among the texts in proportion to their lengths.

    If the server reported no count, each text's count is estimated from its characters.
    """
    characters = [len(text) + 1 for text in texts]
    rate = 1 / _CHARS_PER_TOKEN if not token_count else token_count / sum(characters)
    return [max(1, round(length * rate)) for length in characters]


@contextmanager
def _translate_errors(spec: EncoderSpec, url: str) -> Iterator[None]:
    """Convert the client's errors to `EncoderError`s."""
    try:
        yield
    except ResponseTooLargeError as error:
        raise EncoderError(
            f"The embedding server cannot be used: {error}", hint="Check the address in LEADLINE_ENCODER."
        ) from error
    except openai.APIConnectionError as error:  # The base class of timeouts too.
        raise EncoderUnavailableError(
            f"The embedding server at {url} does not respond: {error}",
            hint="Check that the server is running and that LEADLINE_ENCODER contains its address. Waiting jobs then "
            "resume.",
        ) from error
    except openai.APIStatusError as error:
        raise _convert_status_error(error, spec, url) from error
    # If a response is valid JSON but not a list of embeddings, the client raises an error only when its fields are
    # read.
    except (openai.OpenAIError, ValueError, TypeError, AttributeError) as error:
        raise EncoderError(
            f"The embedding server at {url} did not return embeddings: {error}",
            hint="Check that the address in LEADLINE_ENCODER does not include `/embeddings`, as in `…/v1`.",
        ) from error


def _convert_status_error(error: openai.APIStatusError, spec: EncoderSpec, url: str) -> EncoderError:
    said = _extract_message(error)
    if error.status_code in (401, 403):
        return EncoderError(
            f"The embedding server at {url} rejected the key: {said}",
            hint="Set LEADLINE_ENCODER_API_KEY to the server's key.",
        )
    if error.status_code == 404:
        return EncoderError(
            f"The embedding server at {url} does not serve the model {spec.model}, or has no "
            f"/embeddings endpoint: {said}",
            hint="Choose a model that the server offers; `GET …/v1/models` lists these models.",
        )
    if error.status_code in _BAD_INPUT_STATUSES:
        return _RejectedInputError(
            said, hint="Check the server's log. A wrong dimension= or model can also cause this."
        )
    if error.status_code in (408, 409, 429) or error.status_code >= 500:
        return EncoderUnavailableError(
            f"The embedding server at {url} is busy or failing ({error.status_code}): {said}",
            hint="Check the server's log. Waiting jobs resume once the server responds again.",
        )
    return EncoderError(f"The embedding server at {url} returned status {error.status_code}: {said}")


def _extract_message(error: openai.APIStatusError) -> str:
    body = error.body
    said = body.get("message") if isinstance(body, Mapping) else None
    return " ".join(str(said or error.message).split())[:300]
