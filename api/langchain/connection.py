"""The connection settings and clients that the LangChain components share."""

import os
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import cached_property
from typing import Any

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr

from api.client import AsyncClient, Client
from api.client.connections import DEFAULT_URL


def _read_api_key() -> SecretStr | None:
    key = os.environ.get("LEADLINE_API_KEY")
    return SecretStr(key) if key else None


class Connection(BaseModel):
    """The connection to a Leadline service.

    Each call opens a new connection unless `http_client` or `http_async_client` is given.

    Attributes:
        url: The service's address. Defaults to `LEADLINE_URL`.
        api_key: The API key. Defaults to `LEADLINE_API_KEY`.
        timeout_seconds: The timeout of each request.
        max_retries: The maximum number of times to retry a request.
        http_client: An `httpx.Client` to use. It must have the service's address and key, and you close it yourself.
        http_async_client: An `httpx.AsyncClient` to use for asynchronous calls, with the same requirements.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True, ignored_types=(cached_property,))

    url: str = Field(default_factory=lambda: os.environ.get("LEADLINE_URL") or DEFAULT_URL)
    api_key: SecretStr | None = Field(default_factory=_read_api_key)
    timeout_seconds: float = Field(30.0, gt=0)
    max_retries: int = Field(2, ge=0)
    http_client: httpx.Client | None = Field(None, exclude=True, repr=False)
    http_async_client: httpx.AsyncClient | None = Field(None, exclude=True, repr=False)

    @contextmanager
    def client(self) -> Iterator[Client]:
        """Open a blocking client."""
        if self.http_client is not None:
            yield Client(http=self.http_client, tries=self._tries)
            return
        with httpx.Client(**self._options) as http:
            yield Client(http=http, tries=self._tries)

    @asynccontextmanager
    async def async_client(self) -> AsyncIterator[AsyncClient]:
        """Open an asyncio client."""
        if self.http_async_client is not None:
            yield AsyncClient(http=self.http_async_client, tries=self._tries)
            return
        async with httpx.AsyncClient(**self._options) as http:
            yield AsyncClient(http=http, tries=self._tries)

    @property
    def _tries(self) -> int:
        return 1 + self.max_retries

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        """The TLS context, created once because loading the certificates takes longer than a search."""
        return httpx.create_ssl_context()

    @property
    def _options(self) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self.api_key.get_secret_value()}"} if self.api_key else {}
        return {"base_url": self.url, "timeout": self.timeout_seconds, "verify": self._tls, "headers": headers}
