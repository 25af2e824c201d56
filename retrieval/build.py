"""Build the retrieval objects of a deployment. No other module names their concrete classes."""

from functools import partial
from pathlib import Path

from ingest.storage.operations.installation import Installation
from retrieval.encoders.openvino_embedder import (
    DIMENSION,
    MAX_TOKENS,
    OpenVinoEmbedder,
    OpenVinoTokenEncoder,
    compute_fingerprint,
)
from retrieval.encoders.port import Embedder
from retrieval.encoders.registry import EncoderChoice, Encoders
from retrieval.encoders.sentence_transformers_model import LocatedModel, locate_model
from retrieval.encoders.specs import EncoderSettings, is_encoder_description, parse_spec
from retrieval.errors import RerankerError
from retrieval.index.bm25 import Bm25Encoder, SparseEncoder
from retrieval.index.edge.shard_room import AllocatedDiskSpace
from retrieval.index.generations import IndexStore
from retrieval.index.server.settings import QdrantServerSettings
from retrieval.index.stores import FolderStore, ServerStore
from retrieval.models.manifest import load_model_file
from retrieval.models.store import ModelStore
from retrieval.rerank.http_reranker import HttpReranker
from retrieval.rerank.late_interaction import LateInteractionReranker
from retrieval.rerank.port import Reranker, RerankerChoice, RerankerKind
from retrieval.rerank.token_cache import DEFAULT_MAX_BYTES, TokenCache

_SHORT_WINDOW_TOKENS = 128
_ENCODER_FILE = "all-MiniLM-L6-v2-int8.onnx"
_TOKENIZER_FILE = "all-MiniLM-L6-v2-tokenizer.json"
_SERVER_SETTINGS = QdrantServerSettings()


def build_embedded_store(home: Path, installation: Installation, *, min_free_bytes: int | None = None) -> IndexStore:
    """Build a store that keeps an installation's indexes as shards in the data folder.

    With `min_free_bytes`, space for the shards' files is allocated in advance, so that a full disk cannot kill the
    process.
    """
    room = None if min_free_bytes is None else AllocatedDiskSpace(home, min_free_bytes=min_free_bytes)
    return FolderStore(home, installation, room)


def build_server_store(
    url: str,
    installation: Installation,
    *,
    api_key: str | None = None,
    settings: QdrantServerSettings = _SERVER_SETTINGS,
) -> IndexStore:
    """Build a store that keeps an installation's indexes as collections on a Qdrant server.

    `url` may contain several addresses, separated by commas.
    """
    return ServerStore(url, installation, api_key=api_key, settings=settings)


def describe_server(url: str, *, api_key: str | None, settings: QdrantServerSettings) -> str:
    """Return a user-facing description of the vector server. Raises `IndexUnavailableError` if it cannot be used."""
    nobody = Installation("", lambda _: False)
    return ServerStore(url, nobody, api_key=api_key, settings=settings).describe_server()


def open_embedded_encoder(models: ModelStore, *, max_tokens: int = MAX_TOKENS) -> Embedder:
    """Open the built-in encoder. Raises `ModelMissingError` if one of its files has not been downloaded."""
    return OpenVinoEmbedder(*require_encoder_files(models), max_tokens=max_tokens)


def require_encoder_files(models: ModelStore) -> tuple[Path, Path]:
    """Return the paths of the built-in encoder and its tokenizer. Raises `ModelMissingError` if either is missing."""
    return models.require_verified_path(load_model_file(_ENCODER_FILE)), models.require_verified_path(
        load_model_file(_TOKENIZER_FILE)
    )


def open_reranker(
    choice: RerankerChoice,
    models: ModelStore,
    *,
    api_key: str | None = None,
    token_cache_bytes: int = DEFAULT_MAX_BYTES,
) -> Reranker:
    """Open a reranker without contacting its server.

    Raises `RerankerError` if it cannot be opened, and `ModelMissingError` if a file of its model has not been
    downloaded.
    """
    if choice.kind is RerankerKind.HTTP:
        return HttpReranker(choice.url, choice.model, api_key=api_key)
    if choice.kind is RerankerKind.LATE_INTERACTION:
        return LateInteractionReranker(
            OpenVinoTokenEncoder(*require_encoder_files(models)), TokenCache(token_cache_bytes)
        )
    try:
        from retrieval.rerank.cross_encoder import CrossEncoderReranker
    except ImportError as error:
        raise RerankerError(
            f"Cross-encoders require sentence-transformers, which is not installed ({error}).",
            hint="Install with `pip install './leadline[sentence-transformers]'`.",
        ) from error
    return CrossEncoderReranker(choice.model)


def build_encoders(models: ModelStore, settings: EncoderSettings, *extra_descriptions: str) -> Encoders:
    """Build the registry of the built-in encoders and of those described in the settings or in `extra_descriptions`.

    Models are located and servers are contacted immediately, so that an encoder that does not fit the index is rejected
    at startup. Raises `EncoderError` if a model or server is unavailable, and `ValueError` if a description cannot be
    parsed.
    """
    described = dict.fromkeys(
        text.strip() for text in (settings.encoder, settings.encoder_beside, *extra_descriptions) if text
    )
    key = settings.encoder_api_key.get_secret_value() if settings.encoder_api_key else None
    external = [_build_external_choice(text, key) for text in described if is_encoder_description(text)]
    return Encoders([*_build_builtin_choices(models), *external])


def _build_builtin_choices(models: ModelStore) -> list[EncoderChoice]:
    about = {tokens: f"reads the first {tokens} tokens of a chunk" for tokens in (MAX_TOKENS, _SHORT_WINDOW_TOKENS)}
    return [
        EncoderChoice(
            "minilm" if tokens == MAX_TOKENS else f"minilm-{tokens}",
            compute_fingerprint(tokens),
            DIMENSION,
            partial(open_embedded_encoder, models, max_tokens=tokens),
            f"all-MiniLM-L6-v2, int8; {what}",
        )
        for tokens, what in about.items()
    ]


def _build_external_choice(description: str, api_key: str | None) -> EncoderChoice:
    spec = parse_spec(description)
    if spec.url is None:
        model = locate_model(spec)
        return EncoderChoice(
            spec.text,
            model.fingerprint,
            model.dimension,
            partial(_open_sentence_transformers, model),
            f"vectors of {model.dimension} numbers by {spec.backend}; revision {model.revision}",
        )
    from retrieval.encoders import openai_embedder

    open_server = partial(openai_embedder.OpenAIEmbedder, spec, api_key=api_key)
    dimension = spec.dimension
    if dimension is None:
        asking = open_server()
        asking.close()
        dimension = asking.dimension
    about = f"vectors of {dimension} numbers from {spec.url}"
    return EncoderChoice(spec.text, openai_embedder.compute_fingerprint(spec, dimension), dimension, open_server, about)


def _open_sentence_transformers(model: LocatedModel) -> Embedder:
    # Import the library lazily, because it is an optional extra and takes seconds to load.
    from retrieval.encoders.sentence_transformers_embedder import SentenceTransformersEmbedder

    return SentenceTransformersEmbedder(model)


def build_sparse_encoder() -> SparseEncoder:
    return Bm25Encoder()
