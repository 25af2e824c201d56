"""Settings: environment variables that begin with `LEADLINE_`, read once by a composition root."""

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
from ingest.storage.blobs.quarantine import UpkeepSettings
from ingest.storage.blobs.store import BlobSettings
from ingest.storage.operations.retention import RetentionSettings
from ingest.storage.quotas.records import parse_quotas
from ingest.storage.webhooks.records import WebhookSettings
from retrieval.encoders.specs import EncoderSettings
from retrieval.rerank.port import AUTO_CHOICE, parse_reranker
from retrieval.search.requests import MAX_TOP_K
from retrieval.search.reranking import DEADLINE_SECONDS
from rlm.sandbox.port import SandboxForm


class Settings(
    EdgeSettings,
    EncoderSettings,
    RetentionSettings,
    ParserSettings,
    UpkeepSettings,
    OidcSettings,
    SlackSettings,
    WebhookSettings,
    BlobSettings,
):
    """Everything that can be set. `leadline doctor` prints what is in force."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="forbid")

    home: Path = Field(
        default_factory=lambda: user_data_path("leadline"),
        description="The data folder: catalog, blobs and index. Move it as a whole while the service is stopped.",
    )
    models: Path = Field(
        default_factory=lambda: user_cache_path("leadline") / "models",
        description="Where model files are kept; several data folders can share it.",
    )
    host: str = Field("127.0.0.1", description="The address the service listens on.")
    port: int = Field(8000, ge=0, le=65535, description="The port the service listens on; 0 takes a free one.")
    leave_seconds: float = Field(
        0.0,
        ge=0,
        description="How long the API goes on serving after SIGTERM while it says that it is not ready, so that a "
        "balancer sends requests elsewhere.",
    )
    drain_seconds: int = Field(
        20, ge=1, description="How long requests under way may then take to end, before they are broken off."
    )
    public_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s<>|]+$",
        description="Where people reach the service, such as `https://leadline.example.org`: links in Slack need it. "
        "People sign in to the portal from other machines only where it is https.",
    )
    mcp_hosts: str = Field(
        "",
        description="Further names of hosts, with commas between them, under which MCP clients reach the service, "
        "besides that of LEADLINE_PUBLIC_URL and of this machine.",
    )
    mcp_state_keys: SecretStr | None = Field(
        None,
        description="Secrets of at least 32 characters, with commas between them, that replicas share to seal what MCP "
        "clients carry from call to call: the first one seals. If not set, each process makes its own.",
    )
    session_hours: float = Field(168.0, gt=0, description="How long somebody stays signed in to the portal.")
    session_idle_hours: float = Field(
        24.0, gt=0, description="After how long without use somebody is signed out of the portal."
    )
    share_days: float = Field(
        30.0,
        ge=0,
        le=3_650,
        description="The most days for which a link to a conversation or a run is valid; 0 lets nobody make one.",
    )
    llm: str = Field(
        "local",
        description="`local`, `none`, or `URL MODEL` of any OpenAI-compatible server, such as "
        "`http://gpu:8000/v1 Qwen/Qwen3-8B`; several servers of one model are `URL,URL MODEL`.",
    )
    llm_api_key: SecretStr | None = Field(None, description="The key of that server, if it wants one.")
    llm_context_tokens: int | None = Field(
        None, ge=2_048, description="The window of that server's model, where it is smaller than its profile says."
    )
    check: Literal["judge", "quotes", "off"] = Field(
        "judge",
        description="How answers are checked: `judge` has a model say of each sentence whether the cited text supports "
        "it, where the model can; `quotes` only finds the quotations in the documents; `off` checks nothing.",
    )
    judge: str | None = Field(
        None, description="`URL MODEL` of a server whose model judges; if not set, the one that answers does."
    )
    judge_api_key: SecretStr | None = Field(None, description="The key of that server, if it wants one.")
    router: str | None = Field(
        None,
        description="`URL MODEL` of a server whose model chooses how a question is answered, and puts follow-up "
        "questions and searches in other words; if not set, the one that answers does.",
    )
    router_api_key: SecretStr | None = Field(None, description="The key of that server, if it wants one.")
    subcalls: str | None = Field(
        None,
        description="`URL MODEL` of a server whose model reads records, and the passages that programs send it; if not "
        "set, the one that answers does.",
    )
    subcalls_api_key: SecretStr | None = Field(None, description="The key of that server, if it wants one.")
    model_profiles: Path | None = Field(
        None, description="A TOML file that describes models, or corrects what is known of them: deploy/README.md."
    )
    reranker: str = Field(
        "auto",
        description="What reads the first hits of a search again and reorders them: `auto` (`late-interaction` where "
        "the built-in encoder is used, for answers and searches that ask for it; and nothing elsewhere), `none`, "
        "`late-interaction`, "
        "`cross-encoder` and a model's folder or id, or `URL MODEL` of a /rerank or /score endpoint.",
    )
    reranker_api_key: SecretStr | None = Field(None, description="The key of that endpoint, if it wants one.")
    rerank_depth: int | None = Field(
        None,
        ge=1,
        le=MAX_TOP_K,
        description="How many passages of a search it reads; 50 if not set, and 10 by late interaction.",
    )
    rerank_deadline_ms: int = Field(
        round(DEADLINE_SECONDS * 1000), ge=1, description="How long a search waits for it; then hits are as they were."
    )
    rerank_weight: float | None = Field(
        None,
        gt=0,
        le=1,
        description="The reranker's part of the score, the rest being what the search had found; 1 if not set, and 0.6 "
        "for late interaction.",
    )
    max_upload_bytes: int = Field(512 * 1024**2, ge=1, description="The largest file that is accepted.")
    max_backlog: int = Field(
        50_000, ge=1, description="Uploads of a tenant are refused while so many of its documents wait to be indexed."
    )
    min_free_bytes: int = Field(256 * 1024**2, ge=0, description="Uploads are refused below this much free disk.")
    ballast_bytes: int = Field(
        64 * 1024**2,
        ge=0,
        description="Room that a file holds on the disk of the data folder for deletions and starts on a full disk; 0 "
        "for none, and then the index's files are not allocated in advance either.",
    )
    sandbox: SandboxForm = Field(
        SandboxForm.PLAIN,
        description="How code that a model writes is isolated, `plain` or `bubblewrap`; where that cannot be had, "
        "nothing runs.",
    )
    idempotency_hours: float = Field(
        24.0, gt=0, description="How long the response of a request is kept that came with an Idempotency-Key."
    )
    task_seconds: float = Field(
        900.0, gt=0, description="A step of ingest that takes this long is ended, and its job tried again."
    )
    parsers: int = Field(
        2,
        ge=2,
        le=64,
        description="Documents that are parsed at once, each by a process of its own that may take 1.5 GB.",
    )
    runs_at_once: int = Field(2, ge=1, description="Answers in the background that go on at once in this process.")
    answers_at_once: int = Field(
        64,
        ge=1,
        description="Answers that clients wait for at once in this process, streamed or not; more are refused. Tenants "
        "with less than their share of them may go beyond by a quarter.",
    )
    tenant_quotas: str = Field(
        "",
        description="What each tenant may spend, store and do at once, where `leadline quotas set` says nothing else: "
        "`tokens_per_day=2m dollars_per_month=50 bytes=10g`. Unlimited if not set.",
    )
    key_quotas: str = Field("", description="The same for each API key.")
    # The longest direct answer makes seven calls, six of which read up to 32,000 tokens: docs/answers.md.
    answer_tokens: int = Field(
        200_000,
        ge=1,
        description="Tokens that an answer without a budget reserves, and may use, where there is a quota of tokens.",
    )
    work_at_once: int | None = Field(
        None,
        ge=1,
        le=40,
        description="Requests that are worked on at once in this process: twice its processors if not set, and 4 at "
        "least. Others wait for the turn of their tenant.",
    )
    uploads_at_once: int = Field(32, ge=1, description="Uploads that are received at once in this process.")
    turn_seconds: float = Field(
        10.0, ge=0, description="How long a request waits for the turn of its tenant; then it is refused with 429."
    )
    streams_at_once: int = Field(256, ge=1, description="Event streams that are open at once in this process.")
    streams_of_tenant: int = Field(64, ge=1, description="How many of them a tenant may have.")
    query_cache_bytes: int = Field(
        64 * 1024**2, ge=0, description="Memory for what searches found, kept until the documents change; 0 keeps none."
    )
    token_cache_bytes: int = Field(
        64 * 1024**2,
        ge=0,
        description="Memory for token vectors of passages that late interaction read, kept until the documents change; "
        "0 keeps none.",
    )
    metrics_token: SecretStr | None = Field(
        None, description="What Prometheus sends as bearer token to `/metrics`; if not set, nobody can read it."
    )
    metrics_host: str = Field("127.0.0.1", description="The address at which a cluster's worker shows its metrics.")
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="The port at which a cluster's worker shows its metrics; not set, it does not.",
    )
    log_format: Literal["console", "json"] = Field("console", description="How log lines look.")

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
    def _check_helper(cls, value: str | None, info: ValidationInfo) -> str | None:
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
        """The servers and the name of the model, or None for `local` and `none`."""
        return None if self.llm in ("local", "none") else _parse_served_model(self.llm)

    @property
    def helpers(self) -> "Mapping[Helper, ServedModel | None]":
        """The models of parts of the work; None where the answering model does that part."""
        given: Mapping[Helper, str | None] = {"judge": self.judge, "router": self.router, "subcalls": self.subcalls}
        return {helper: _parse_served_model(value) if value else None for helper, value in given.items()}

    @property
    def helper_keys(self) -> "Mapping[Helper, SecretStr | None]":
        """The keys of those servers."""
        return {"judge": self.judge_api_key, "router": self.router_api_key, "subcalls": self.subcalls_api_key}


Helper = Literal["judge", "router", "subcalls"]
_SERVER_FORMAT = (
    "a base URL and a model name with a space between them, such as `http://gpu:8000/v1 Qwen/Qwen3-8B`; several "
    "servers of one model have commas between their URLs"
)


class ServedModel(NamedTuple):
    """A model and the base URLs of the servers that serve it."""

    urls: tuple[str, ...]
    model: str

    def __str__(self) -> str:
        """Return it as settings write it."""
        return f"{','.join(self.urls)} {self.model}"


def _parse_served_model(value: str) -> ServedModel | None:
    """Read `URL MODEL` or `URL,URL MODEL`; None for anything else, such as the same URL twice."""
    written, _, model = value.strip().partition(" ")
    urls = tuple(written.split(","))
    well_formed = all(url.startswith(("http://", "https://")) for url in urls) and len(set(urls)) == len(urls)
    return ServedModel(urls, model.strip()) if well_formed and model.strip() else None
