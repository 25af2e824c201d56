"""Server-sent events as they came: those that tell of errors too, which the client raises."""

from collections.abc import Iterator
from typing import Any

import httpx
from httpx_sse import EventSource

from api.client import Client


def sent_events(response: httpx.Response) -> Iterator[tuple[str, str, Any]]:
    """Yield events as `(id, name, data)`, while they come."""
    for sent in EventSource(response).iter_sse():
        if sent.data:
            yield sent.id, sent.event, sent.json()


def streamed_answer(client: Client, **body: object) -> list[tuple[str, Any]]:
    """Ask a question, and return all events as `(name, data)`."""
    with client.http.stream("POST", "/v1/answers", json={**body, "stream": True}) as response:
        if response.is_error:
            raise AssertionError(response.read().decode())
        return [(name, data) for _, name, data in sent_events(response)]
