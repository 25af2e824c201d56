"""Labels a conversation for the program that shows it: a title, tags, next messages or queries, in one cheap call.

Nothing is searched, and the model sees only the text of the conversation.
"""

from dataclasses import dataclass
from enum import StrEnum

from rlm.llm.port import SubCall
from rlm.llm.structured_output import build_closed_object
from rlm.suggesting import SuggestionRequest, mark_data
from rlm.untrusted import DATA_ONLY

# A conversation is shortened in its middle: its beginning says what it is about, and its end what is asked now.
_FIRST_CHARS, _LAST_CHARS = 2_000, 6_000
_REPLY_TOKENS = 200


class Label(StrEnum):
    """Something to say about a conversation. The values are the members of the model's reply."""

    TITLE = "title"
    TAGS = "tags"
    NEXT_MESSAGES = "next_messages"
    QUERIES = "queries"


@dataclass(frozen=True)
class _Wish:
    text: str
    limit: int


_WISHES = {
    Label.TITLE: _Wish("Write one title of at most 5 words for the conversation.", 1),
    Label.TAGS: _Wish("Write up to 4 tags of one or two words that name the subjects of the conversation.", 4),
    Label.NEXT_MESSAGES: _Wish(
        "Write up to 3 messages that the user may send next. Each leads on from the last answer, repeats no earlier "
        "message, and has at most 15 words. If nothing is worth asking, write fewer, or none.",
        3,
    ),
    Label.QUERIES: _Wish(
        "Write up to 3 queries for a search engine that find what the user's last message asks for.", 3
    ),
}


def request_label(tenant_id: str, audience: str, label: Label, conversation: str) -> SuggestionRequest:
    """Build the request for a label of a conversation, whose text is in `conversation`."""
    wish, member = _WISHES[label], label.value
    system = f"""You see a conversation between a user and an assistant, of which the middle may be missing.

{wish.text} Use the language of the user.

{DATA_ONLY}

Reply in JSON, with the list "{member}"."""
    schema = build_closed_object({member: {"type": "array", "items": {"type": "string"}}})
    prompt = mark_data("conversation", _shorten(conversation))
    call = SubCall(system, prompt, _REPLY_TOKENS, schema, "suggest")
    return SuggestionRequest(call, tenant_id, audience, (), wish.limit, member=member)


def _shorten(text: str) -> str:
    if len(text) <= _FIRST_CHARS + _LAST_CHARS:
        return text
    return f"{text[:_FIRST_CHARS]}\n[…]\n{text[-_LAST_CHARS:]}"
