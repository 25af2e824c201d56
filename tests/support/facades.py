"""A question by each protocol that answers, and a client that goes away while a model is asked."""

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.support.scripted_openai import ScriptedOpenAI

_MCP = "2026-07-28"
_LOOK_SECONDS = 0.002


@dataclass(frozen=True)
class Facade:
    """A way to ask: where to, the body of a question, and headers besides the key."""

    path: str
    body: Callable[[str], dict[str, Any]]
    headers: Mapping[str, str] = field(default_factory=dict)


def build_rest_facade(**more: Any) -> Facade:  # noqa: ANN401 - members of the body
    return Facade("/v1/answers", lambda question: {"question": question, **more})


def build_chat_facade(**more: Any) -> Facade:  # noqa: ANN401
    def body(question: str) -> dict[str, Any]:
        return {"model": "leadline", "messages": [{"role": "user", "content": question}], **more}

    return Facade("/v1/chat/completions", body)


def build_responses_facade(**more: Any) -> Facade:  # noqa: ANN401
    return Facade("/v1/responses", lambda question: {"model": "leadline", "input": question, **more})


def _mcp(question: str) -> dict[str, Any]:
    about = {
        "protocolVersion": _MCP,
        "clientInfo": {"name": "a test", "version": "1"},
        "clientCapabilities": {},
    }
    meta = {f"io.modelcontextprotocol/{name}": value for name, value in about.items()}
    call = {"name": "ask", "arguments": {"question": question, "background": False}, "_meta": meta}
    return {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}


FACADES: Mapping[str, Facade] = {
    "REST": build_rest_facade(),
    "REST, streamed": build_rest_facade(stream=True),
    "chat": build_chat_facade(),
    "chat, streamed": build_chat_facade(stream=True),
    "responses": build_responses_facade(),
    "responses, streamed": build_responses_facade(stream=True),
    "MCP": Facade(
        "/mcp",
        _mcp,
        {
            "Accept": "application/json, text/event-stream",
            "Mcp-Protocol-Version": _MCP,
            "Mcp-Method": "tools/call",
            "Mcp-Name": "ask",
        },
    ),
}


async def seconds_until_nothing_is_asked(
    ask: Callable[[], Any], model: ScriptedOpenAI, *, limit_seconds: float
) -> float:
    """Ask, go away once the model is asked, and return how long it is asked after that; infinity beyond the limit.

    `ask` makes what is awaited; the model's server holds requests until their client goes away.
    """
    asked = asyncio.create_task(ask())
    while not model.open:
        if asked.done():
            raise AssertionError(f"it ended before a model was asked: {asked.exception() or asked.result()}")
        await asyncio.sleep(_LOOK_SECONDS)
    asked.cancel()
    await asyncio.wait([asked])
    begun = time.perf_counter()
    while model.open:
        if time.perf_counter() - begun > limit_seconds:
            return math.inf
        await asyncio.sleep(_LOOK_SECONDS)
    return time.perf_counter() - begun


def asks(url: str, key: str, facade: Facade, question: str) -> Callable[[], Any]:
    """Return what asks by a protocol over a connection of its own, and reads what comes."""

    async def ask() -> bytes:
        headers = {"Authorization": f"Bearer {key}", **facade.headers}
        async with (
            httpx.AsyncClient(base_url=url, headers=headers, timeout=60) as http,
            http.stream("POST", facade.path, json=facade.body(question)) as response,
        ):
            return await response.aread()

    return ask
