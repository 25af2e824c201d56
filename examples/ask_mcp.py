"""Ask a question about the novel over MCP, as an assistant with tools would."""

import asyncio
import os
from pathlib import Path
from typing import Any

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

NOVEL = Path(__file__).parent / "documents" / "seven-minutes-slow.md"
QUESTION = "What is the name of the cat in the clock tower?"


async def main() -> None:
    url = os.environ.get("LEADLINE_URL", "http://127.0.0.1:8000")
    headers = {"Authorization": f"Bearer {os.environ['LEADLINE_API_KEY']}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=600) as http,
        Client(streamable_http_client(f"{url}/mcp", http_client=http)) as leadline,
    ):
        uploaded = await call_tool(leadline, "upload", name=NOVEL.name, text=NOVEL.read_text())
        while (await call_tool(leadline, "list", named=NOVEL.name))["documents"][0]["state"] != "ready":
            await asyncio.sleep(0.5)
        asked = await call_tool(leadline, "ask", question=QUESTION, documents=[uploaded["document"]])
    print(asked["answer"]["text"])
    for cited in asked["answer"]["citations"]:
        print(f"[{cited['number']}] {cited['title']}, {cited['heading_path'][-1]}: “{cited['quote']}”")


async def call_tool(client: Client, tool: str, **arguments: Any) -> Any:  # noqa: ANN401 - JSON
    """Call a tool and return its structured content."""
    result = await client.call_tool(tool, arguments)
    if result.is_error:
        raise SystemExit(f"{tool}: {result.content}")
    return result.structured_content


if __name__ == "__main__":
    asyncio.run(main())
