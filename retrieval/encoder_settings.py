"""The settings that say which encoders a process can open; the service and the parts of a cluster have them all."""

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from retrieval.encoder_specs import is_described, parse_spec


class EncoderSettings(BaseSettings):
    """Environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    encoder: str | None = Field(
        None,
        description="The encoder of a new index, `minilm` if not set; of one that is there, the encoder it must have. "
        "`minilm`, `minilm-128`, `sentence-transformers MODEL` or `URL MODEL`, with options: deploy/README.md.",
    )
    encoder_beside: str | None = Field(
        None, description="One more encoder that can be opened: the one that the index is moved to, or came from."
    )
    encoder_api_key: SecretStr | None = Field(None, description="The key of the embedding server, if it wants one.")

    @field_validator("encoder", "encoder_beside")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None and is_described(value):
            parse_spec(value)
        return value
