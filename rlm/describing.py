"""Asks the deployment's language model what a document is: one call, whose reply fills in the document's card.

The prompt has the name of the file, the fields that rules found, and the beginning and end of the text.
"""

import hashlib
import json
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from ingest.storage.documents.cards.records import (
    MAX_FIELD_CHARS,
    MAX_FIELD_VALUES,
    CardField,
    CardFields,
    parse_date,
    parse_period_start,
)
from ingest.storage.documents.records import UsedVersions, generate_work_id
from rlm.errors import LanguageModelUnavailableError
from rlm.llm.budgets import Budget, Limits
from rlm.llm.completion import estimate_prompt_tokens
from rlm.llm.port import ChatModel, LanguageModel, SubCall, request_reply
from rlm.llm.profiles import estimate_tokens
from rlm.llm.rate_limit import CallPriority
from rlm.llm.scheduler import SubCallScheduler
from rlm.llm.structured_output import build_closed_object
from rlm.untrusted import DATA_ONLY, sanitize_text, to_one_line

DEADLINE_SECONDS = 300.0
_CALLS = 2  # One call, and one more to repair its reply.
_REPLY_TOKENS = 700
# A repair repeats the schema and gives a reason. A repair of a reply that was cut off doubles the tokens of the reply.
_REPAIR_TOKENS = 400
_HEAD_TOKENS, _TAIL_TOKENS = 1_500, 300
# No estimate counts more than this many characters as one token, so longer excerpts would be cut anyway.
_CHARS_PER_TOKEN = 4
_MAX_KIND_CHARS, _MAX_KIND_WORDS = 60, 5
_LANGUAGE = re.compile("[a-z]{2,3}")

SYSTEM = f"""You fill in a catalog card for a document, so that people can tell it apart from similar documents.

- "title": its title, as it is printed, on one line.
- "kind": the kind of document, in its language and in lower case: at most five words, without names, numbers and \
dates, such as "annual report".
- "subjects": the organizations, people, products and places that it is about, as they are written, the most important \
first; at most eight. Not those that are only mentioned.
- "periods": the periods that it covers, not those that it only compares them with: a year as 2023, a half as 2023-H1, \
a quarter as 2023-Q2, a month as 2023-04. Count them as its text does, if the name of the file counts otherwise.
- "dates": the end of the period that it covers, the day of the event that it records, and the days of its issue, \
signature or effect, as 2023-04-01. Not the dates of single facts in it.
- "version": the number or name of its version or revision, without a word for "version".
- "language": the ISO 639-1 code of its language.

Use only what the text and the name of the file say. A value that the text does not have is dropped. Where nothing is \
said, give an empty string or list. The fields that rules found may be wrong or incomplete.

{DATA_ONLY}"""

_LISTS = (CardField.SUBJECTS, CardField.PERIODS, CardField.DATES)
_STRINGS = (CardField.TITLE, CardField.KIND, CardField.VERSION, CardField.LANGUAGE)
SCHEMA = build_closed_object(
    {
        each.value: {"type": "array", "items": {"type": "string"}} if each in _LISTS else {"type": "string"}
        for each in CardField
        if each is not CardField.OUTLINE
    }
)


@dataclass(frozen=True)
class DescribedDocument:
    """The parts of a document that a prompt shows: the fields that rules found, and the ends of its text."""

    name: str
    fields: CardFields
    head: str
    tail: str = ""

    @property
    def text(self) -> str:
        return f"{self.head}\n{self.tail}"


class ModelDescriber:
    """Asks the model about one document at a time, after all other calls."""

    def __init__(self, language_model: LanguageModel, sub_calls: SubCallScheduler) -> None:
        self._language_model = language_model
        self._sub_calls = sub_calls

    def acquire_model(self) -> ChatModel | None:
        """Return the model, or None if there is none, if it is small, or while it is unavailable."""
        try:
            model = self._language_model.acquire()
        except LanguageModelUnavailableError:
            return None
        # guard: small-models-describe-nothing
        return None if model is None or model.profile.small else model

    def describe_document(
        self,
        model: ChatModel,
        tenant_id: str,
        version_id: str,
        call: SubCall,
        budget: Budget,
        cancelled: Callable[[], bool],
    ) -> CardFields:
        """Send a call made by `build_describe_call`, and return the fields in the reply.

        The reply is cached, and removed with the version. Raises the errors of `request_reply`.
        """
        used = UsedVersions(generate_work_id())
        # guard: description-replies-removed
        used.add_versions([version_id])
        bound = self._sub_calls.bind_sub_calls(
            model.chat,
            model.profile,
            tenant_id=tenant_id,
            budget=budget,
            background=True,
            priority=CallPriority.IDLE,
            used_versions=used,
        )
        return parse_description(request_reply(bound, call, cancelled=cancelled).text)


def compute_describe_limits(call: SubCall, model: ChatModel) -> Limits:
    """Return the spending limits of a call made by `build_describe_call`, with one repair of its reply."""
    profile = model.profile
    prompt = estimate_prompt_tokens(call) + _REPAIR_TOKENS
    reply = 2 * call.max_tokens + profile.thinking_tokens
    dollars: Decimal | None = None
    if profile.price is not None:
        dollars = _CALLS * profile.price.compute_cost(prompt, reply)
    return Limits(tokens=_CALLS * (prompt + reply), seconds=DEADLINE_SECONDS, dollars=dollars)


def read_excerpts(characters: int, read: Callable[[int, int], str]) -> tuple[str, str]:
    """Read the first 1,500 and the last 300 tokens of a text with this number of characters, without overlap."""
    head = _cut(read(0, min(characters, _HEAD_TOKENS * _CHARS_PER_TOKEN)), _HEAD_TOKENS)
    rest = read(max(len(head), characters - _TAIL_TOKENS * _CHARS_PER_TOKEN), characters)
    return head, _cut(rest[::-1], _TAIL_TOKENS)[::-1]


def build_describe_call(document: DescribedDocument) -> SubCall:
    """Build the call about a document. Equal documents give equal calls, so a cached reply can be used again."""
    found = document.fields.to_json()
    lines = [
        f"File name: {to_one_line(document.name, MAX_FIELD_CHARS)}",
        *(f"{name}, found by rules: {to_one_line(_join(value))}" for name, value in found.items()),
        "",
        "The text begins:",
        document.head,
        *(["", "The text ends:", document.tail] if document.tail else []),
    ]
    body = "\n".join(lines)
    # No text can contain its own digest, so the marks cannot be forged.
    nonce = hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    prompt = f"BEGIN document {nonce}\n{sanitize_text(body, nonce)}\nEND document {nonce}"
    return SubCall(SYSTEM, prompt, _REPLY_TOKENS, SCHEMA, "describe")


def parse_description(text: str) -> CardFields:
    """Return the fields of a reply that has the form of `SCHEMA`. Empty and malformed values are left out."""
    reply = json.loads(text)
    strings = {name.value: to_one_line(reply[name]) for name in _STRINGS}
    lists = {name.value: tuple(dict.fromkeys(map(to_one_line, reply[name]))) for name in _LISTS}
    kind, language = strings["kind"].lower(), strings["language"].lower()
    is_kind = len(kind) <= _MAX_KIND_CHARS and len(kind.split()) <= _MAX_KIND_WORDS
    return CardFields(
        title=_limit(strings["title"]),
        kind=kind if kind and is_kind else None,
        subjects=_select(lists["subjects"], lambda value: _limit(value) is not None),
        periods=_select(lists["periods"], lambda value: parse_period_start(value) is not None),
        dates=_select(lists["dates"], lambda value: parse_date(value) is not None),
        version=_limit(strings["version"]),
        language=language if _LANGUAGE.fullmatch(language) else None,
    )


def _limit(value: str) -> str | None:
    return value if 0 < len(value) <= MAX_FIELD_CHARS else None


def _select(values: tuple[str, ...], is_valid: Callable[[str], bool]) -> tuple[str, ...] | None:
    return tuple(filter(is_valid, values))[:MAX_FIELD_VALUES] or None


def _join(value: str | list[str]) -> str:
    return value if isinstance(value, str) else "; ".join(value)


def _cut(text: str, tokens: int) -> str:
    """Return the beginning of a text that has about this number of tokens."""
    return text[: bisect_right(range(1, len(text) + 1), tokens, key=lambda end: estimate_tokens(text[:end]))]
