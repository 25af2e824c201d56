"""Settings of sources: what the service permits them to read, and the keys of their credentials."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from ingest.sources.endpoints import normalize_endpoint
from ingest.storage.sources.credentials import CredentialCipher

_KEY_FILE = "source-key"


class SourceSettings(BaseSettings):
    """Settings from environment variables that begin with `LEADLINE_`."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_", env_ignore_empty=True, extra="ignore")

    source_folders: str = Field(
        "",
        description="Folders of this machine that sources may read, separated by `:`. `{tenant}` in a path stands for "
        "the id of a tenant. By default, none.",
    )
    source_loaders: str = Field(
        "",
        description="Import paths of the LangChain loaders that sources may use, separated by commas. A loader runs "
        "with the rights of the service.",
    )
    source_endpoints: str = Field(
        "",
        description="Addresses of storage servers that sources may use in addition to the providers' own, separated by "
        "commas. List only servers that you trust.",
    )
    source_seconds: float = Field(30.0, gt=0, description="Timeout of each request to a source.")
    source_keys: SecretStr | None = Field(
        None,
        description="Keys that encrypt the credentials of sources, from `leadline blobs key`, separated by spaces. "
        "The first key encrypts. By default, a key is generated in LEADLINE_HOME.",
    )

    def list_source_folders(self) -> tuple[Path, ...]:
        """List the folders that sources may read."""
        return tuple(Path(each).expanduser() for each in self.source_folders.split(":") if each.strip())

    def list_source_loaders(self) -> frozenset[str]:
        """List the import paths of the permitted loaders."""
        return frozenset(each.strip() for each in self.source_loaders.split(",") if each.strip())

    def list_source_endpoints(self) -> frozenset[str]:
        """List the permitted addresses of storage servers. Raises `ValueError` if one is invalid."""
        return frozenset(normalize_endpoint(each) for each in self.source_endpoints.split(",") if each.strip())

    def build_source_cipher(self, home: Path | None) -> CredentialCipher:
        """Build the cipher of credentials. `home` is the data folder, or None if processes do not share one."""
        keys = None if self.source_keys is None else self.source_keys.get_secret_value()
        return CredentialCipher(keys, None if home is None else home / _KEY_FILE)
