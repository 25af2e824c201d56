"""Recognises two things that chat programs send as messages: requests to label a conversation, and attached texts.

Open WebUI sends both to `/v1/chat/completions`, and only their text tells them from questions. They are recognised by
their structure, which administrators keep when they write prompts of their own: marked blocks, and a JSON example of
the reply.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from api.openai.asked import TurnIn, extract_text
from api.openai.chat import build_object_head
from api.openai.formats import iter_json_objects
from api.openai.inert import escape_markdown_in_json
from ingest.storage.documents.records import generate_work_id
from rlm.labelling import Label
from rlm.untrusted import to_one_line

_HISTORY, _CONTEXT = ("<chat_history>", "</chat_history>"), ("<context>", "</context>")
_SOURCE = "<source"
_TURN = re.compile(r"^(SYSTEM|USER|ASSISTANT|TOOL): ", re.MULTILINE)
_LABELS = {
    "title": Label.TITLE,
    "tags": Label.TAGS,
    "follow_ups": Label.NEXT_MESSAGES,
    "queries": Label.QUERIES,
}
_TITLE_CHARS = 100
# Models see the beginning of an earlier message only (`rlm/conversation.py`).
_ATTACHED_CHARS = 10_000


@dataclass(frozen=True)
class LabelTask:
    """A request to label a conversation. The reply is a JSON object with `member`."""

    member: str
    conversation: str

    @property
    def label(self) -> Label:
        return _LABELS[self.member]

    def format_reply(self, found: Sequence[str]) -> str:
        """Return the reply with the labels that the model has written.

        If there are none, the title is the first question, and the last question is the only query.
        """
        if not found and self.label in (Label.TITLE, Label.QUERIES):
            asked = self._list_questions()
            found = [asked[0 if self.label is Label.TITLE else -1]] if asked else []
        if self.label is Label.TITLE:
            return json.dumps({self.member: found[0][:_TITLE_CHARS] if found else ""}, ensure_ascii=False)
        return json.dumps({self.member: list(found)}, ensure_ascii=False)

    def _list_questions(self) -> list[str]:
        parts = _TURN.split(self.conversation)
        said = zip(parts[1::2], parts[2::2], strict=True)
        return [text for role, turn in said if role == "USER" and (text := to_one_line(turn))]


def find_label_task(turns: Sequence[TurnIn]) -> LabelTask | None:
    """Return the task of a request, or None if the request is a question.

    A task is one message of the user, apart from instructions. It contains the conversation in `<chat_history>`, and
    outside of it JSON objects that all have the same member and no other: examples of the reply.
    """
    said = [turn for turn in turns if turn.role not in ("system", "developer")]
    if len(said) != 1 or said[0].role != "user":
        return None
    before, history, after = _split_at_block(extract_text(said[0]), *_HISTORY)
    if not history:
        return None
    members = {tuple(example) for example in iter_json_objects(f"{before}\n{after}")}
    if len(members) != 1:
        return None
    (names,) = members
    return LabelTask(names[0], history) if len(names) == 1 and names[0] in _LABELS else None


def separate_attached_text(turns: list[TurnIn]) -> list[TurnIn]:
    """Return the messages with the texts that a chat program has put before the question as an earlier message.

    The texts are `<source>` elements in `<context>`, and the question follows. The program's words before them are
    instructions, which never change how answers are written.
    """
    if not turns or turns[-1].role != "user":
        return turns
    _, context, question = _split_at_block(extract_text(turns[-1]), *_CONTEXT)
    if not context.startswith(_SOURCE) or not question:
        return turns
    attached = TurnIn(role="user", content=context[:_ATTACHED_CHARS])
    return [*turns[:-1], attached, TurnIn(role="user", content=question)]


def build_label_completion(task: LabelTask, found: Sequence[str], model: str) -> dict[str, Any]:
    """Return the labels of a conversation as a chat completion. It has no citations and is not stored."""
    content = escape_markdown_in_json(task.format_reply(found))
    message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    return {**build_object_head(generate_work_id(), "chat.completion", model), "choices": [choice]}


def _split_at_block(text: str, start: str, end: str) -> tuple[str, str, str]:
    """Return the text before a block, in it and after it. Without the block, the second and third are empty.

    The block ends at the last `end`, so that a text in it cannot end it early.
    """
    before, _, rest = text.partition(start)
    inside, found, after = rest.rpartition(end)
    return (before.strip(), inside.strip(), after.strip()) if found else (text, "", "")
