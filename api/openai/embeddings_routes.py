"""`/v1/embeddings`: vectors of texts by the service's encoder, for clients of OpenAI's protocol."""

import base64
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from api.admission.access import Caller, HeldSlot, ServicesDep
from api.admission.services import Services
from api.http.problems import BadRequestError
from api.openai.asked import LenientModel
from api.openai.described import Described, describe_reply
from api.openai.models import BASE, ModelNotFoundError
from retrieval.encoders.port import DenseVector, EmbeddedTexts, Embedder
from rlm.llm.profiles import estimate_tokens

router = APIRouter(prefix="/v1", tags=["openai"])

# OpenAI's own limits on the texts and tokens of a request, at which its clients cut their batches. A request holds its
# slot until its texts are encoded: at most 30 seconds on two cores, where the built-in encoder reads 10,000 tokens per
# second (docs/measuring.md). `LEADLINE_MAX_BODY_BYTES` limits the request as well.
_MAX_TEXTS = 2_048
_MAX_TOKENS = 300_000
_FLOAT = np.dtype("<f4")  # The protocol's base64 has little-endian floats.


class EmbeddingsIn(LenientModel):
    """Texts to encode: one, or up to 2,048, with at most about 300,000 tokens in all.

    `input_type` is `query` for what somebody looks for, because many encoders encode queries in another way than the
    texts to find.
    """

    model: str = Field(max_length=300)
    input: str | list[str] | list[int] | list[list[int]]
    input_type: Literal["document", "query"] = "document"
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


class EmbeddingOut(Described):
    """The unit vector of one text: numbers, or their bytes (`float32`, little-endian) in base64."""

    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class EmbeddingsOut(Described):
    """The vectors, in the order of the texts. Only vectors of the same `encoder` can be compared."""

    object: Literal["list"]
    data: list[EmbeddingOut]
    model: str
    encoder: str
    usage: dict[str, int]


@router.post("/embeddings", responses=describe_reply(EmbeddingsOut))
async def create_embeddings(body: EmbeddingsIn, caller: Caller, services: ServicesDep, slot: HeldSlot) -> Any:  # noqa: ANN401 - JSON
    """Encode texts with the encoder of the documents' vectors. `model` is `leadline`.

    Text beyond the encoder's window does not change its vector. Nothing is stored.
    """
    return await run_in_threadpool(_embed_texts, services, body)


def _embed_texts(services: Services, body: EmbeddingsIn) -> dict[str, Any]:
    if body.model != BASE:
        raise ModelNotFoundError(
            f"Model {body.model!r} not found.", field_path="model", hint=f"`{BASE}` is the only model for embeddings."
        )
    texts = _read_texts(body.input)
    encoder = services.asking.open_encoder()
    if body.dimensions is not None and body.dimensions != encoder.dimension:
        raise BadRequestError(
            f"`dimensions` is {body.dimensions}, but the encoder's vectors have {encoder.dimension}.",
            hint=f"Send {encoder.dimension}, or leave it out.",
            field_path="dimensions",
        )
    embedded = _encode(encoder, texts, body.input_type)
    data = [
        {"object": "embedding", "index": index, "embedding": _format_vector(vector, body.encoding_format)}
        for index, vector in enumerate(embedded.vectors)
    ]
    usage = {"prompt_tokens": embedded.total_tokens, "total_tokens": embedded.total_tokens}
    return {"object": "list", "data": data, "model": BASE, "encoder": encoder.fingerprint, "usage": usage}


def _read_texts(given: str | list[str] | list[int] | list[list[int]]) -> list[str]:
    """Return the texts. Raises `BadRequestError` for tokens, for an empty text, and beyond the limits."""
    texts = [given] if isinstance(given, str) else [each for each in given if isinstance(each, str)]
    if not isinstance(given, str) and len(texts) != len(given):
        raise BadRequestError(
            "`input` contains the numbers of tokens of OpenAI's models, which the service's encoder does not know.",
            hint="Send text. In LangChain, create `OpenAIEmbeddings` with `check_embedding_ctx_length=False`.",
            field_path="input",
        )
    if not texts or not all(text.strip() for text in texts):
        raise BadRequestError(
            "`input` has no text, or an empty text.", hint="Leave empty texts out.", field_path="input"
        )
    # The estimate errs on the high side, and needs no encoder.
    tokens = sum(map(estimate_tokens, texts))
    if len(texts) > _MAX_TEXTS or tokens > _MAX_TOKENS:
        raise BadRequestError(
            f"`input` has {len(texts):,} texts with about {tokens:,} tokens. The limits are {_MAX_TEXTS:,} texts and "
            f"{_MAX_TOKENS:,} tokens, as in OpenAI's API.",
            hint="Send the texts in several requests. In LangChain, set `chunk_size`.",
            field_path="input",
        )
    return texts


def _encode(encoder: Embedder, texts: list[str], input_type: str) -> EmbeddedTexts:
    # The encoder counts the tokens of documents only.
    if input_type == "query":
        return EmbeddedTexts(np.stack([encoder.embed_query(text) for text in texts]), ())
    # Searches of people come first.
    return encoder.embed_documents(texts, is_background=True)


def _format_vector(vector: DenseVector, encoding_format: str) -> list[float] | str:
    if encoding_format == "base64":
        return base64.b64encode(vector.astype(_FLOAT).tobytes()).decode()
    return [float(number) for number in vector]
