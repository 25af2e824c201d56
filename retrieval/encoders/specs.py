"""Parse settings that describe encoders other than the built-in ones.

    sentence-transformers MODEL [option=value …]     a hub model or a folder, loaded in this process
    URL MODEL [option=value …]                       any server with OpenAI's `/v1/embeddings`

Quote values with spaces: `sentence-transformers intfloat/e5-small-v2 query='query: ' document='passage: '`.
"""

import hashlib
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Literal, cast

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

LIBRARY = "sentence-transformers"
Backend = Literal["torch", "onnx", "openvino"]
_BACKENDS = ("torch", "onnx", "openvino")
_SCHEMES = ("http://", "https://")
_LIBRARY_OPTIONS = frozenset({"backend", "file", "dtype", "device"})


@dataclass(frozen=True)
class EncoderSpec:
    """A model and its options. Every field except `text`, `url` and `device` affects the vectors.

    `query` and `document` are prompts that are prepended to the text; None selects the model's own prompts. `dimension`
    truncates the vectors of models trained for it (Matryoshka). `file` selects one of several weight files of a
    backend.
    """

    text: str
    model: str
    url: str | None = None
    revision: str | None = None
    dimension: int | None = None
    query: str | None = None
    document: str | None = None
    backend: Backend = "torch"
    file: str | None = None
    dtype: str = "float32"
    device: str | None = None


_OPTIONS = frozenset(field.name for field in fields(EncoderSpec)) - {"text", "model", "url"}


def is_encoder_description(setting: str) -> bool:
    """Return whether a setting describes an encoder instead of naming a built-in encoder."""
    return setting.startswith((*_SCHEMES, f"{LIBRARY} ")) or setting == LIBRARY


def parse_spec(text: str) -> EncoderSpec:
    """Parse an encoder's description. Raises `ValueError` with a user-facing message."""
    try:
        where, *rest = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"{text!r} cannot be parsed: {error}") from error
    models = [part for part in rest if "=" not in part]
    options = dict(part.split("=", 1) for part in rest if "=" in part)
    if len(models) != 1:
        raise ValueError(f"{text!r} must name one model after {where!r}, such as `{where} intfloat/e5-small-v2`")
    url = where.rstrip("/") if where.startswith(_SCHEMES) else None
    _require_known_options(options, is_library_model=url is None)
    backend = options.get("backend", "torch")
    if backend not in _BACKENDS:
        raise ValueError(f"backend={backend!r} must be one of {', '.join(_BACKENDS)}")
    return EncoderSpec(
        text=text.strip(),
        model=models[0],
        url=url,
        revision=options.get("revision"),
        dimension=_parse_dimension(options),
        query=options.get("query"),
        document=options.get("document"),
        backend=cast("Backend", backend),
        file=options.get("file"),
        dtype=options.get("dtype", "float32"),
        device=options.get("device"),
    )


def compute_prompts_digest(query_prompt: str, document_prompt: str) -> str:
    """Return the part of a fingerprint that identifies the prompts."""
    if not query_prompt and not document_prompt:
        return "no-prompts"
    return "prompts-" + hashlib.sha256(json.dumps([query_prompt, document_prompt]).encode()).hexdigest()[:12]


def _require_known_options(options: Mapping[str, str], *, is_library_model: bool) -> None:
    known = _OPTIONS if is_library_model else _OPTIONS - _LIBRARY_OPTIONS
    unknown = sorted(set(options) - known)
    if unknown:
        raise ValueError(f"{', '.join(unknown)} cannot be set here; available options are {', '.join(sorted(known))}")


def _parse_dimension(options: Mapping[str, str]) -> int | None:
    given = options.get("dimension")
    if given is None:
        return None
    if not given.isdecimal() or not int(given):
        raise ValueError(f"dimension={given!r} must be a whole number above 0")
    return int(given)


class EncoderSettings(BaseSettings):
    """Encoder settings, from environment variables that start with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    encoder: str | None = Field(
        None,
        description="The encoder: `minilm` (the default for a new index), `minilm-128`, `sentence-transformers MODEL` "
        "or `URL MODEL`, with options (docs/encoders.md). An existing index must have been built with it.",
    )
    encoder_beside: str | None = Field(
        None, description="A second encoder, used while the index moves to another encoder: its old or its new one."
    )
    encoder_api_key: SecretStr | None = Field(None, description="The API key of the embedding server, if it needs one.")

    @field_validator("encoder", "encoder_beside")
    @classmethod
    def _require_valid_encoder(cls, value: str | None) -> str | None:
        if value is not None and is_encoder_description(value):
            parse_spec(value)
        return value
