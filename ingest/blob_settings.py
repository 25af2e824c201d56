"""Where files are kept: a folder or a bucket, and with which keys they are sealed."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class BlobSettings(BaseSettings):
    """Environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    blobs: str = Field(
        "folder",
        pattern=r"^(folder|s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._/-]*)?)$",
        description="Where originals and texts are kept: `folder`, in LEADLINE_HOME, or `s3://BUCKET/PREFIX` of an "
        "S3-compatible server, for which the extra `s3` is installed.",
    )
    s3_endpoint: str | None = Field(
        None, pattern=r"^https?://", description="The address of that server; Amazon's if not set."
    )
    s3_region: str | None = Field(None, description="The region of the bucket.")
    s3_access_key_id: str | None = Field(
        None, description="The id of the key; if not set, `AWS_…` variables or the machine's role are used."
    )
    s3_secret_access_key: SecretStr | None = Field(None, description="The secret of that key.")
    s3_virtual_hosts: bool | None = Field(
        None, description="Whether the bucket is in the host's name, as Amazon wants it, or in the path."
    )
    s3_seconds: float = Field(
        60.0, gt=0, description="How long one request to that server may take; it is repeated for twice as long."
    )
    blob_keys: SecretStr | None = Field(
        None,
        description="Keys that seal originals and texts, made by `leadline blobs key`, with spaces between them. The "
        "first seals; put a new one before the old one to rotate, then run `leadline blobs reseal`.",
    )
    blob_binding: bool = Field(
        False,
        description="Bind new sealed files to their names before `leadline blobs reseal` has run. The release before "
        "cannot read them: set it once every process has this release.",
    )
