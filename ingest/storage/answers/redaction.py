"""Takes what rests on gone versions out of kept answers and logs of runs, as JSON; questions and figures stay."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

WITHHELD = "[withheld: it rested on a document that was deleted or replaced]"
CLOSED = "[withheld: it rests on a document that is closed to you]"
NOTE = "Parts of this answer are withheld: they rested on a document that was deleted or replaced since."
CLOSED_NOTE = "Parts of this answer are withheld: they rest on documents that are closed to you."
# A sentence with one of these was found to rest on what it cites.
_HOLDING = frozenset({"verified", "quoted", "computed"})
# Members of logged events that are no text, by their kind; nothing of other kinds stays.
_OF_CALLS = frozenset({"purpose", "usage", "cached", "cut_off", "code"})
_SAFE_MEMBERS = {
    "start": frozenset[str](),
    "resume": frozenset({"attempt"}),
    "end": frozenset({"state", "code"}),
    "paused": frozenset({"resource"}),
    "budget": frozenset({"added", "budget", "pauses"}),
    "call": _OF_CALLS,
    "lost": _OF_CALLS,
}


def redacted_answer(
    body: Mapping[str, Any], gone: Mapping[str, str], question: str, *, word: str = WITHHELD
) -> dict[str, Any]:
    """Return an answer that was given `gone` versions, by id with their documents', without what may rest on them.

    Of its sentences those stay that cite other versions and were found to rest on these; a model may have written what
    it read into any other, and `word` takes their place. `question` is what the caller asked.
    """
    numbers = {each["number"] for each in body["citations"] if each["version_id"] in gone}
    text, sentences = _sentences(body["sentences"], numbers, word)
    documents = set(gone.values())
    return {
        **body,
        "text": text,
        "sentences": sentences,
        "citations": [_withheld_citation(each) if each["number"] in numbers else each for each in body["citations"]],
        "searched": {
            **body["searched"],
            "queries": [],
            "documents": [_untitled(each, documents) for each in body["searched"]["documents"]],
            "read_passages": _open_ones(body["searched"].get("read_passages", ()), documents),
        },
        "question": question,
        "reasons": [],
        "notes": [NOTE],
        "result": None,
        "table": None,
    }


def answer_for_reader(body: Mapping[str, Any], closed: Mapping[str, str], question: str) -> dict[str, Any]:
    """Return an answer as somebody may read it to whom `closed` versions, by id with their documents', are closed.

    It is redacted, and does not say which documents these are, nor any figure that was counted over them.
    """
    hidden = {each["number"] for each in body["citations"] if each["version_id"] in closed}
    redacted = redacted_answer(body, closed, question, word=CLOSED)
    nowhere = {"document_id": "", "version_id": "", "page": None, "place": "", "start": 0, "end": 0}
    documents = set(closed.values())
    return {
        **redacted,
        "citations": [{**each, **nowhere} if each["number"] in hidden else each for each in redacted["citations"]],
        "searched": {
            **redacted["searched"],
            "documents": [each for each in redacted["searched"]["documents"] if each["document_id"] not in documents],
        },
        "notes": [CLOSED_NOTE],
        "coverage": None,
        "rows_behind_total": 0,
    }


def without_route(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer without the model's words on how it would be answered, which may name what it saw for that."""
    return {**body, "reasons": [], "searched": {**body["searched"], "queries": []}}


def redacted_event(kind: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body of a logged event without text: what it was, and what it cost."""
    safe = _SAFE_MEMBERS.get(kind, frozenset())
    return {name: value for name, value in body.items() if name in safe} | {"withheld": True}


def redacted_history(messages: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    """Return the messages before a question without the text of answers."""
    return [{**each, "text": WITHHELD} if each["role"] == "assistant" else dict(each) for each in messages]


def _sentences(sentences: Sequence[Mapping[str, Any]], gone: set[int], word: str) -> tuple[str, list[dict[str, Any]]]:
    """Return the text made of the sentences that stay, and the sentences with their places in it."""
    text = ""
    kept: list[dict[str, Any]] = []
    for each in sentences:
        stays = each["check"] in _HOLDING and each["citations"] and not gone & set(each["citations"])
        said = each["text"] if stays else word
        if not stays and kept and kept[-1]["text"] == word:
            continue  # one word stands for a whole passage
        begin = len(text) + 1 if text else 0
        text = f"{text} {said}" if text else said
        place = {"text": said, "start": begin, "end": begin + len(said)}
        without = {"citations": [], "check": "unchecked", "reason": "", "quotes": []}
        kept.append({**each, **place} if stays else {**each, **place, **without})
    return text or word, kept


def _withheld_citation(citation: Mapping[str, Any]) -> dict[str, Any]:
    return {**citation, "title": "", "heading_path": [], "quote": "", "deleted": True}


def _open_ones(passages: Sequence[Mapping[str, Any]], gone: Collection[str]) -> list[Mapping[str, Any]]:
    return [each for each in passages if each["document_id"] not in gone]


def _untitled(document: Mapping[str, Any], gone: Collection[str]) -> dict[str, Any]:
    return {**document, "title": ""} if document["document_id"] in gone else dict(document)
