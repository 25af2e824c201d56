"""Settings of a cluster: the addresses of its servers. The API and the workers read the same settings."""

from pathlib import Path

from platformdirs import user_cache_path
from pydantic import Field, SecretStr

from ingest.parsing.isolation.settings import ParserSettings
from ingest.sources.settings import SourceSettings
from ingest.storage.blobs.quarantine import UpkeepSettings
from ingest.storage.blobs.store import BlobSettings
from ingest.storage.operations.retention import RetentionSettings
from ingest.storage.webhooks.records import WebhookSettings
from retrieval.encoders.specs import EncoderSettings
from retrieval.index.server.settings import VectorServerSettings


class ClusterSettings(
    EncoderSettings,
    RetentionSettings,
    ParserSettings,
    UpkeepSettings,
    VectorServerSettings,
    WebhookSettings,
    SourceSettings,
    BlobSettings,
):
    """Settings from environment variables that begin with `LEADLINE_`.

    `home` and `models` have the same meaning as in embedded mode.
    """

    database_url: SecretStr = Field(
        description="The catalog's PostgreSQL database, for example `postgresql+psycopg://leadline:…@db/leadline`."
    )
    database_read_seconds: float = Field(
        5.0,
        gt=0,
        description="How long the API waits for PostgreSQL to send something before a request fails with 503. Changes "
        "may wait 30 seconds longer, because they may need locks.",
    )
    redis_url: SecretStr = Field(
        description="The Redis or Valkey server for worker notifications and events, for example `redis://host:6379/0`."
    )
    qdrant_url: str = Field(
        description="The Qdrant server, for example `http://qdrant:6333`, or comma-separated addresses of its nodes."
    )
    qdrant_api_key: SecretStr | None = Field(None, description="The Qdrant API key, if the server requires one.")
    home: Path = Field(description="The folder for originals and texts, shared by the API and the workers.")
    models: Path = Field(
        default_factory=lambda: user_cache_path("leadline") / "models", description="The folder of model files."
    )
    min_free_bytes: int = Field(
        256 * 1024**2, ge=0, description="Uploads are rejected when less disk space than this is free."
    )
    lease_seconds: float = Field(
        30.0, gt=0, description="A worker that does not report for this long loses its job to another worker."
    )
    task_seconds: float = Field(
        900.0,
        gt=0,
        description="A worker process that spends this long on one step is killed. Parsing has a shorter limit.",
    )
    upkeep_seconds: float = Field(300.0, gt=0, description="Seconds between searches for unused content.")
    sweep_seconds: float = Field(
        5.0, gt=0, description="Seconds between sweeps, which requeue lost jobs and notify workers of waiting ones."
    )
