"""Suggests questions: first ones about documents, and next ones after an answer, each in one cheap call to the model.

The prompts have no random marks, so equal documents and answers give equal calls, whose cached replies cost nothing.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ingest.storage.documents.cards.records import CardFields
from ingest.storage.documents.records import UsedVersions, generate_work_id
from rlm.conversation import UNPROVEN_MARKS
from rlm.errors import LanguageModelUnavailableError, not_cancelled
from rlm.llm.budgets import Limits
from rlm.llm.completion import estimate_prompt_tokens
from rlm.llm.port import ChatModel, LanguageModel, SubCall, request_reply
from rlm.llm.rate_limit import CallPriority
from rlm.llm.scheduler import SubCallScheduler
from rlm.llm.structured_output import build_closed_object
from rlm.runs.port import NOT_DURABLE, Durability
from rlm.untrusted import DATA_ONLY, format_document_line, sanitize_text, to_one_line

MAX_FIRST_QUESTIONS, MAX_NEXT_QUESTIONS = 4, 3
MAX_OFFERED_DOCUMENTS, MAX_CITED_DOCUMENTS = 16, 3
# A question has to fit on a button.
_MAX_SUGGESTION_CHARS = 200
# Nobody waits for suggestions, but they are of no use once the next question has been typed.
DEADLINE_SECONDS = 30.0
_CALLS = 2  # One call, and one more to repair its reply.
_REPLY_TOKENS = 300
# A repair repeats the schema and gives a reason.
_REPAIR_TOKENS = 400
_LIST_CHARS, _MAX_TABLES = 300, 3
_ANSWER_CHARS, _QUESTION_CHARS = 4_000, 1_000
_MAX_QUOTES, _QUOTE_CHARS = 8, 500

FIRST_SYSTEM = f"""You suggest questions to a person who is about to ask a service about the documents listed below. \
The service answers from these documents only.

Write up to {MAX_FIRST_QUESTIONS} questions. Ask only for what the list shows to be in a document: what a title, a \
heading, a subject or a column of a table names. Vary them: a fact, an explanation, a comparison of documents, a count \
or total over a table, as the documents permit. Name the thing or the document that is meant, but not by its number in \
the list. Use at most 15 words for each. If the list shows too little, write fewer questions, or none.

{DATA_ONLY}

Reply in JSON, with the list "questions"."""

NEXT_SYSTEM = f"""You suggest what a person may ask next. You see a question, its answer, and the passages and \
documents that the answer cites.

Write up to {MAX_NEXT_QUESTIONS} questions that lead on from the answer, in the language of the question: to a detail, \
a reason, a condition, a consequence or a comparison. Ask only what the same documents are likely to answer, and \
nothing that the answer already says. Each question can be understood alone, without "it" or "this". Use at most 15 \
words for each. A statement of the answer with {UNPROVEN_MARKS} after \
it may be wrong: take none of it for a fact. If nothing is worth asking, write fewer questions, or none.

{DATA_ONLY}

Reply in JSON, with the list "questions"."""

SCHEMA = build_closed_object({"questions": {"type": "array", "items": {"type": "string"}}})


@dataclass(frozen=True)
class OfferedDocument:
    """A document about which first questions are suggested. `tables` has the name of each table, and its columns."""

    version_id: str
    title: str
    name: str
    fields: CardFields
    tables: Sequence[tuple[str, Sequence[str]]] = ()


@dataclass(frozen=True)
class Exchange:
    """A question and its answer, with the cited passages, the versions that they are from, and the cited documents."""

    question: str
    answer: str
    passages: Sequence[str] = ()
    version_ids: Sequence[str] = ()
    documents: Sequence[OfferedDocument] = ()


@dataclass(frozen=True)
class SuggestionRequest:
    """A call for suggestions, on behalf of the `audience` that may see the documents in it.

    `version_ids` are the versions of which the prompt has content. At most `limit` questions are suggested, and none
    that equals `asked`. The reply is a JSON object that has them as the list `member`.
    """

    call: SubCall
    tenant_id: str
    audience: str
    version_ids: Sequence[str]
    limit: int
    asked: str = ""
    member: str = "questions"


class ModelSuggester:
    """Asks a capable model for suggestions, after all other calls."""

    def __init__(
        self, language_model: LanguageModel, sub_calls: SubCallScheduler, *, helper: LanguageModel | None = None
    ) -> None:
        """Store the dependencies.

        `language_model` answers questions. `helper`, if given, writes the suggestions in its place.
        """
        self._language_model = language_model
        self._sub_calls = sub_calls
        self._helper = helper

    def acquire_model(self) -> ChatModel | None:
        """Return the model, or None if there is none, if it is small, or while it is unavailable.

        Without a capable model for the answers, no question is suggested.
        """
        try:
            answering = self._language_model.acquire()
            helper = self._helper.acquire() if answering is not None and self._helper is not None else None
        except LanguageModelUnavailableError:
            return None
        # guard: small-models-suggest-nothing
        if answering is None or answering.profile.small:
            return None
        return answering if helper is None or helper.profile.small else helper

    def suggest(
        self,
        model: ChatModel,
        request: SuggestionRequest,
        durability: Durability = NOT_DURABLE,
        *,
        cancelled: Callable[[], bool] = not_cancelled,
    ) -> list[str]:
        """Return the suggested questions. `durability` creates the budget, so that it can limit and count the spending.

        The reply is cached for the audience, and removed with the versions. Raises the errors of `request_reply`.
        """
        limits = compute_suggestion_limits(request, model)
        budget = durability.build_budget(limits, model.profile.price)
        used = UsedVersions(generate_work_id())
        # guard: suggestion-replies-removed
        used.add_versions(request.version_ids)
        bound = self._sub_calls.bind_sub_calls(
            model.chat,
            model.profile,
            tenant_id=request.tenant_id,
            # guard: suggestions-by-audience
            audience=request.audience,
            budget=budget,
            background=True,
            priority=CallPriority.IDLE,
            used_versions=used,
        )
        reply = request_reply(bound, request.call, cancelled=cancelled)
        return parse_suggestions(reply.text, request.limit, asked=request.asked, member=request.member)


def request_first_questions(
    tenant_id: str, audience: str, documents: Sequence[OfferedDocument], *, language: str | None = None
) -> SuggestionRequest:
    """Build the request for first questions about documents, in the language with this tag or else in their own."""
    offered = documents[:MAX_OFFERED_DOCUMENTS]
    listed = "\n".join(f"{number}. {_describe_document(each)}" for number, each in enumerate(offered, 1))
    wanted = to_one_line(language or "the language of the documents")
    prompt = f"{mark_data('documents', listed)}\n\nLanguage of the questions: {wanted}"
    call = SubCall(FIRST_SYSTEM, prompt, _REPLY_TOKENS, SCHEMA, "suggest")
    return SuggestionRequest(call, tenant_id, audience, [each.version_id for each in offered], MAX_FIRST_QUESTIONS)


def request_next_questions(tenant_id: str, audience: str, exchange: Exchange) -> SuggestionRequest:
    """Build the request for the questions that may follow an exchange."""
    lines = [
        f"Question: {to_one_line(exchange.question, _QUESTION_CHARS)}",
        "",
        f"Answer: {exchange.answer[:_ANSWER_CHARS]}",
    ]
    passages = [to_one_line(each, _QUOTE_CHARS) for each in exchange.passages[:_MAX_QUOTES]]
    if passages:
        lines += ["", "Passages that the answer cites:", *(f"- {each}" for each in passages)]
    cited = exchange.documents[:MAX_CITED_DOCUMENTS]
    if cited:
        lines += ["", "Documents that it cites:", *(f"- {_describe_document(each)}" for each in cited)]
    versions = [*exchange.version_ids, *(each.version_id for each in cited)]
    call = SubCall(NEXT_SYSTEM, mark_data("exchange", "\n".join(lines)), _REPLY_TOKENS, SCHEMA, "suggest")
    return SuggestionRequest(call, tenant_id, audience, versions, MAX_NEXT_QUESTIONS, asked=exchange.question)


def compute_suggestion_limits(request: SuggestionRequest, model: ChatModel) -> Limits:
    """Return the spending limits of a request, with one repair of its reply."""
    profile = model.profile
    prompt = estimate_prompt_tokens(request.call) + _REPAIR_TOKENS
    # A repair of a reply that was cut off doubles the tokens of the reply.
    reply = 2 * request.call.max_tokens + profile.thinking_tokens
    dollars = None if profile.price is None else _CALLS * profile.price.compute_cost(prompt, reply)
    return Limits(calls=_CALLS, tokens=_CALLS * (prompt + reply), seconds=DEADLINE_SECONDS, dollars=dollars)


def parse_suggestions(text: str, limit: int, *, asked: str = "", member: str = "questions") -> list[str]:
    """Return up to `limit` questions of a reply: a JSON object with the list `member`.

    Empty, overlong and repeated questions are left out, and so is a question that equals `asked`.
    """
    seen = {to_one_line(asked).casefold(), ""}
    found: list[str] = []
    for each in map(to_one_line, json.loads(text)[member]):
        if len(each) <= _MAX_SUGGESTION_CHARS and each.casefold() not in seen:
            seen.add(each.casefold())
            found.append(each)
    return found[:limit]


def _describe_document(document: OfferedDocument) -> str:
    """Return the lines about a document: its names, kind and subjects, its first headings, and its tables' columns."""
    fields = document.fields
    line = format_document_line(document.title, document.name, periods=fields.periods or (), dates=fields.dates or ())
    known = [
        ("kind", fields.kind or ""),
        ("about", "; ".join(fields.subjects or ())),
        ("headings", "; ".join(fields.outline or ())),
        *(("table", f"{name}, with the columns {'; '.join(each)}") for name, each in document.tables[:_MAX_TABLES]),
    ]
    return "\n".join([line, *(f"   {label}: {to_one_line(value, _LIST_CHARS)}" for label, value in known if value)])


def mark_data(name: str, body: str) -> str:
    """Enclose data of a prompt in marks that the data cannot contain."""
    # No text can contain its own digest, so the marks cannot be forged.
    nonce = hashlib.sha256(body.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return f"BEGIN {name} {nonce}\n{sanitize_text(body, nonce)}\nEND {name} {nonce}"
