"""Settings of a cluster: where its parts are. The API and the workers read the same ones."""

from pathlib import Path

from platformdirs import user_cache_path
from pydantic import Field, SecretStr

from ingest.parsing.isolation.settings import ParserSettings
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
    BlobSettings,
):
    """Environment variables that begin with `LEADLINE_`; `home` and `models` mean what they mean embedded."""

    database_url: SecretStr = Field(
        description="The catalog's PostgreSQL, such as `postgresql+psycopg://leadline:…@db/leadline`."
    )
    redis_url: SecretStr = Field(
        description="The Redis or Valkey that carries rings and events, `redis://host:6379/0`."
    )
    qdrant_url: str = Field(
        description="The Qdrant server, `http://qdrant:6333`; several addresses of its nodes with commas between them."
    )
    qdrant_api_key: SecretStr | None = Field(None, description="Its key, if it wants one.")
    home: Path = Field(description="A folder that API and workers share: originals and texts.")
    models: Path = Field(
        default_factory=lambda: user_cache_path("leadline") / "models", description="Where model files are kept."
    )
    min_free_bytes: int = Field(256 * 1024**2, ge=0, description="Uploads are refused below this much free disk.")
    lease_seconds: float = Field(
        30.0, gt=0, description="A worker that was not heard of for this long loses its job to another."
    )
    task_seconds: float = Field(
        900.0,
        gt=0,
        description="A worker process that is at one step for this long is killed; parsing ends sooner.",
    )
    upkeep_seconds: float = Field(300.0, gt=0, description="How often what no document uses is looked for.")
    sweep_seconds: float = Field(5.0, gt=0, description="How often lost and forgotten jobs are looked for.")
