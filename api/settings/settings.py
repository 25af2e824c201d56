"""Settings: environment variables that begin with `LEADLINE_`. A composition root reads them once."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple

from platformdirs import user_cache_path, user_data_path
from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from api.settings.edge import EdgeSettings
from api.settings.oidc import OidcSettings
from api.settings.slack import SlackSettings
from ingest.parsing.isolation.settings import ParserSettings
from ingest.sources.settings import SourceSettings
from ingest.storage.blobs.quarantine import UpkeepSettings
from ingest.storage.blobs.store import BlobSettings
from ingest.storage.documents.cards.records import DescribeMode
from ingest.storage.operations.retention import RetentionSettings
from ingest.storage.quotas.records import parse_quotas
from ingest.storage.webhooks.records import WebhookSettings
from retrieval.encoders.specs import EncoderSettings
from retrieval.rerank.port import AUTO_CHOICE, parse_reranker
from retrieval.search.requests import MAX_TOP_K
from retrieval.search.reranking import DEADLINE_SECONDS
from rlm.sandbox.port import SandboxIsolation

CATALOG_NAME = "catalog.sqlite"
"""The name of the catalog's file in the data folder of an embedded service."""


class Settings(
    EdgeSettings,
    EncoderSettings,
    RetentionSettings,
    ParserSettings,
    UpkeepSettings,
    OidcSettings,
    SlackSettings,
    WebhookSettings,
    SourceSettings,
    BlobSettings,
):
    """All settings of the service."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="forbid")

    home: Path = Field(
        default_factory=lambda: user_data_path("leadline"),
        description="The data folder, which contains the catalog, blobs and index. To move it, stop the service and "
        "move the whole folder.",
    )
    models: Path = Field(
        default_factory=lambda: user_cache_path("leadline") / "models",
        description="The folder for model files, which several data folders can share.",
    )
    host: str = Field("127.0.0.1", description="The address that the service listens on.")
    port: int = Field(8000, ge=0, le=65535, description="The port that the service listens on; 0 selects a free port.")
    leave_seconds: float = Field(
        0.0,
        ge=0,
        description="After SIGTERM, the API reports that it is not ready but serves requests for this many "
        "seconds, so that a load balancer can redirect traffic.",
    )
    drain_seconds: int = Field(
        20, ge=1, description="How many seconds requests in progress may take after that before they are aborted."
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s<>|]+$",
        description="The public address of the service, such as `https://leadline.example.org`. Links in Slack "
        "require it, and signing in to the portal from other machines requires an https address.",
    )
    mcp_hosts: str = Field(
        "",
        description="Additional host names at which MCP clients reach the service, separated by commas, besides "
        "those of LEADLINE_PUBLIC_URL and of this machine.",
    )
    mcp_state_keys: SecretStr | None = Field(
        None,
        description="Secrets of at least 32 characters, separated by commas, that replicas share to seal the "
        "state that MCP clients carry between calls. The first one seals. By default, each process "
        "generates its own.",
    )
    session_hours: float = Field(168.0, gt=0, description="How many hours users stay signed in to the portal.")
    session_idle_hours: float = Field(
        24.0, gt=0, description="After how many hours of inactivity users are signed out of the portal."
    )
    share_days: float = Field(
        30.0,
        ge=0,
        le=3_650,
        description="Maximum number of days that links to conversations and runs are valid; 0 disables sharing.",
    )
    llm: str = Field(
        "local",
        description="The answering model: `local`, `none`, or `URL MODEL` of an OpenAI-compatible server, such as "
        "`http://gpu:8000/v1 Qwen/Qwen3-8B`. For several servers of one model: `URL,URL MODEL`.",
    )
    llm_api_key: SecretStr | None = Field(None, description="The API key of that server, if it requires one.")
    llm_context_tokens: int | None = Field(
        None,
        ge=2_048,
        description="The context window of that server in tokens, if it is smaller than in the model's profile.",
    )
    check: Literal["judge", "quotes", "off"] = Field(
        "judge",
        description="How answers are checked. With `judge`, a model decides for each sentence whether the cited "
        "text supports it, if the model can; `quotes` only verifies quotations against the documents; "
        "`off` checks nothing.",
    )
    judge: str | None = Field(
        None, description="`URL MODEL` of the model that judges sentences. By default, the answering model does."
    )
    judge_api_key: SecretStr | None = Field(None, description="The API key of that server, if it requires one.")
    router: str | None = Field(
        None,
        description="`URL MODEL` of the model that chooses the strategy and rewrites follow-up questions and "
        "searches. By default, the answering model does.",
    )
    router_api_key: SecretStr | None = Field(None, description="The API key of that server, if it requires one.")
    subcalls: str | None = Field(
        None,
        description="`URL MODEL` of the model that reads records, and passages for model-written programs. By "
        "default, the answering model does.",
    )
    subcalls_api_key: SecretStr | None = Field(None, description="The API key of that server, if it requires one.")
    model_profiles: Path | None = Field(
        None,
        description="A TOML file with profiles of models, or corrections to the built-in ones; see deploy/README.md.",
    )
    reranker: str = Field(
        "auto",
        description="The reranker, which reorders the first hits of a search: `auto` (`late-interaction` with the "
        "built-in encoder, for answers and for searches that ask for it; otherwise none), `none`, "
        "`late-interaction`, `cross-encoder` with a model's folder or id, or `URL MODEL` of a /rerank "
        "or /score endpoint.",
    )
    reranker_api_key: SecretStr | None = Field(None, description="The API key of that endpoint, if it requires one.")
    rerank_depth: int | None = Field(
        None,
        ge=1,
        le=MAX_TOP_K,
        description="Number of passages the reranker reads per search; by default 50, or 10 with late interaction.",
    )
    rerank_deadline_ms: int = Field(
        round(DEADLINE_SECONDS * 1000),
        ge=1,
        description="How many milliseconds a search waits for the reranker. After that, the hits keep their order.",
    )
    rerank_weight: float | None = Field(
        None,
        gt=0,
        le=1,
        description="The weight of the reranker's score; the search's score has the remaining weight. By default 1, "
        "or 0.6 with late interaction.",
    )
    index_switch_seconds: float = Field(
        60.0,
        gt=0,
        description="`leadline index switch` adds missing documents if that takes less than this many seconds.",
    )
    rerank_required: bool = Field(
        False,
        description="Whether a search fails if the reranker fails or is too slow for `LEADLINE_RERANK_DEADLINE_MS`.",
    )
    describe: DescribeMode = Field(
        DescribeMode.OFF,
        description="The documents that the answering model may describe for their cards, in collections that ask "
        "for it: `off`, `open` (only documents that the whole tenant may read) or `all`.",
    )
    suggestions: bool = Field(
        True,
        description="Whether a capable model suggests first questions about documents, and next questions after an "
        "answer. Each takes a call of about 2,000 tokens.",
    )
    early_answers: bool | None = Field(
        None,
        description="Whether a direct answer begins while the strategy is chosen, if it reads the whole scope and "
        "nothing limits spending. The tokens of an answer that is then dropped still count. By default, only models "
        "without a price do this.",
    )
    max_upload_bytes: int = Field(512 * 1024**2, ge=1, description="Maximum size of an uploaded file in bytes.")
    max_backlog: int = Field(
        50_000,
        ge=1,
        description="Maximum number of a tenant's documents waiting to be indexed; further uploads are rejected.",
    )
    min_free_bytes: int = Field(
        256 * 1024**2, ge=0, description="Uploads are rejected while fewer bytes of disk space than this are free."
    )
    ballast_bytes: int = Field(
        64 * 1024**2,
        ge=0,
        description="Disk space that a placeholder file in the data folder reserves for deletions and starts on a "
        "full disk. With 0, nothing is reserved, and index files are not preallocated either.",
    )
    sandbox: SandboxIsolation = Field(
        SandboxIsolation.PLAIN,
        description="How model-written code is isolated: `plain` or `bubblewrap`. If the sandbox is not "
        "available, no code runs.",
    )
    idempotency_hours: float = Field(
        24.0, gt=0, description="How many hours responses to requests with an Idempotency-Key are stored."
    )
    task_seconds: float = Field(
        900.0,
        gt=0,
        description="An ingest step that takes longer than this many seconds is aborted and retried.",
    )
    parsers: int = Field(
        2,
        ge=2,
        le=64,
        description="Number of documents parsed at the same time, each in a process of its own that may use 1.5 GB.",
    )
    runs_at_once: int = Field(2, ge=1, description="Maximum runs in progress in this process.")
    answers_at_once: int = Field(
        64,
        ge=1,
        description="Maximum answers that this process makes for waiting clients at the same time, streamed or "
        "not; further ones are refused. Tenants with less than their share may exceed it by a quarter.",
    )
    tenant_quotas: str = Field(
        "",
        description="Quotas of each tenant, unless `leadline quotas set` sets others: `tokens_per_day=2m "
        "dollars_per_month=50 bytes=10g`. Unlimited by default.",
    )
    key_quotas: str = Field("", description="Quotas of each API key, in the same format.")
    # The longest direct answer takes seven calls, of which six calls read up to 32,000 tokens each; see
    # docs/answers.md.
    answer_tokens: int = Field(
        200_000,
        ge=1,
        description="Tokens that an answer without a budget reserves and may use, if a token quota is set.",
    )
    work_at_once: int | None = Field(
        None,
        ge=1,
        le=40,
        description="Maximum requests in progress in this process; by default twice its processors, and at least "
        "4. Further ones wait for their tenant's turn.",
    )
    searches_at_once: int | None = Field(
        None,
        ge=1,
        le=40,
        description="Maximum searches in progress in this process; by default its processors, and at least 2, if "
        "searches wait for nothing else (embedded index, encoder and reranker), otherwise as for other requests. "
        "Further ones wait for their tenant's turn.",
    )
    uploads_at_once: int = Field(32, ge=1, description="Maximum uploads in progress in this process.")
    turn_seconds: float = Field(
        10.0,
        ge=0,
        description="How many seconds a request waits for its tenant's turn. One that would wait longer is rejected "
        "with 429 at once.",
    )
    search_turn_seconds: float | None = Field(
        None,
        ge=0,
        description="How many seconds a search waits for its tenant's turn, in the same way; by default 0.8 if "
        "searches wait for nothing else, otherwise as for other requests.",
    )
    streams_at_once: int = Field(256, ge=1, description="Maximum open event streams of this process.")
    streams_of_tenant: int = Field(64, ge=1, description="Maximum open event streams of one tenant.")
    query_cache_bytes: int = Field(
        64 * 1024**2,
        ge=0,
        description="Memory for cached search results, which are kept until the documents change; 0 disables the "
        "cache.",
    )
    token_cache_bytes: int = Field(
        64 * 1024**2,
        ge=0,
        description="Memory for cached token vectors of late interaction, which are kept until the documents "
        "change; 0 disables the cache.",
    )
    metrics_token: SecretStr | None = Field(
        None,
        description="The bearer token for `/metrics`, which Prometheus sends. Without it, nobody can read the metrics.",
    )
    metrics_host: str = Field("127.0.0.1", description="The address at which a cluster's worker serves its metrics.")
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="The port at which a cluster's worker serves its metrics. Without a port, it serves none.",
    )
    log_format: Literal["console", "json"] = Field("console", description="The format of log lines.")

    @field_validator("llm")
    @classmethod
    def _check_llm(cls, value: str) -> str:
        if value in ("local", "none"):
            return value
        found = _parse_served_model(value)
        if found is None:
            raise ValueError(f"LEADLINE_LLM must be `local`, `none`, or {_SERVER_FORMAT}")
        return str(found)

    @field_validator("judge", "router", "subcalls")
    @classmethod
    def _check_helper_model(cls, value: str | None, info: ValidationInfo) -> str | None:
        found = _parse_served_model(value) if value else None
        if value and not found:
            raise ValueError(f"LEADLINE_{str(info.field_name).upper()} must be {_SERVER_FORMAT}")
        return str(found) if found else None

    @field_validator("tenant_quotas", "key_quotas")
    @classmethod
    def _check_quotas(cls, value: str) -> str:
        parse_quotas(value)
        return value

    @field_validator("reranker")
    @classmethod
    def _check_reranker(cls, value: str) -> str:
        if value.strip() != AUTO_CHOICE:
            parse_reranker(value)
        return value

    @property
    def remote_llm(self) -> "ServedModel | None":
        """The answering model and its servers' URLs, or None if the setting is `local` or `none`."""
        return None if self.llm in ("local", "none") else _parse_served_model(self.llm)

    @property
    def helpers(self) -> "Mapping[Helper, ServedModel | None]":
        """The model for each helper task, or None if the answering model performs the task."""
        given: Mapping[Helper, str | None] = {"judge": self.judge, "router": self.router, "subcalls": self.subcalls}
        return {helper: _parse_served_model(value) if value else None for helper, value in given.items()}

    @property
    def helper_keys(self) -> "Mapping[Helper, SecretStr | None]":
        """The API key for each helper task's model servers."""
        return {"judge": self.judge_api_key, "router": self.router_api_key, "subcalls": self.subcalls_api_key}


Helper = Literal["judge", "router", "subcalls"]
_SERVER_FORMAT = (
    "a base URL and a model name separated by a space, such as `http://gpu:8000/v1 Qwen/Qwen3-8B`; "
    "several URLs for one model are separated by commas"
)


class ServedModel(NamedTuple):
    """A model and the base URLs of its servers."""

    urls: tuple[str, ...]
    model: str

    def __str__(self) -> str:
        """Return the model and its servers in the format of the settings."""
        return f"{','.join(self.urls)} {self.model}"


def _parse_served_model(value: str) -> ServedModel | None:
    """Parse `URL MODEL` or `URL,URL MODEL`. Returns None for invalid strings, including those with repeated URLs."""
    written, _, model = value.strip().partition(" ")
    urls = tuple(written.split(","))
    well_formed = all(url.startswith(("http://", "https://")) for url in urls) and len(set(urls)) == len(urls)
    return ServedModel(urls, model.strip()) if well_formed and model.strip() else None
