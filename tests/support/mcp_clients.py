"""The MCP SDK's own client, connected to a service at either date of the protocol."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from tests.support.harbour import Harbour

DATES = {"2025-11-25": "legacy", "2026-07-28": "2026-07-28"}

_Result = TypeVar("_Result")


@asynccontextmanager
async def connected(service: Harbour, date: str, key: str | None = None) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {key or service.key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(streamable_http_client(f"{service.url}/mcp", http_client=http), mode=DATES[date]) as client,
    ):
        assert client.protocol_version == date
        yield client


def talk(service: Harbour, date: str, work: Callable[[Client], Awaitable[_Result]], key: str | None = None) -> _Result:
    """Return what `work` makes of a connected client. Raises its `MCPError` as it is, not in the groups of tasks."""

    async def run() -> _Result | MCPError:
        async with connected(service, date, key) as client:
            try:
                return await work(client)
            except MCPError as error:
                return error

    result = asyncio.run(run())
    if isinstance(result, MCPError):
        raise result
    return result
