"""Ids of conversations in OpenAI's protocol: the prefix `conv_`, and the id of the same conversation in Leadline."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from ingest.storage.errors import ConversationNotFoundError

PREFIX = "conv_"
_HINT = "Create a conversation with POST /v1/conversations."


def build_conversation_id(identifier: str) -> str:
    return f"{PREFIX}{identifier}"


def parse_conversation_id(identifier: str) -> str:
    """Return the id of the conversation. Ids without the prefix, from Leadline's own routes, are accepted too."""
    return identifier.removeprefix(PREFIX)


@contextmanager
def name_missing_conversation(sent_id: str | None, field: str) -> Iterator[None]:
    """Have errors about a missing conversation name the id that the client sent in `field`."""
    try:
        yield
    except ConversationNotFoundError as error:
        if sent_id is None:
            raise
        named = ConversationNotFoundError(f"Conversation {sent_id!r} not found.", hint=_HINT)
        named.at = field
        raise named from error


class ConversationRoute(APIRoute):
    """A route whose errors name the conversation by its id in OpenAI's protocol."""

    def get_route_handler(self) -> Callable[[Request], Any]:
        handle = super().get_route_handler()

        async def handle_request(request: Request) -> Response:
            identifier = request.path_params.get("conversation_id")
            sent_id = None if identifier is None else build_conversation_id(identifier)
            with name_missing_conversation(sent_id, "path.conversation_id"):
                response: Response = await handle(request)
                return response

        return handle_request
