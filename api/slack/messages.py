"""Writes answers as Slack messages, within Slack's limits, from the allow-list of `api.rendering`.

Nothing that a document or a model says becomes a link, a mention or a channel: links are ours, to the cited span.
Limits are those of https://docs.slack.dev/reference/block-kit/blocks, which the models of slack-sdk check too.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.answer_schemas import AnswerOut, CitationOut
from api.rendering import Cited, Form, as_form, inert_mrkdwn
from rlm.answers import AnswerStatus, Check

Blocks = list[dict[str, Any]]

SECTION_CHARS = 3_000
BLOCKS_A_MESSAGE = 50
_CARDS = 10
_TITLE_CHARS, _BODY_CHARS, _FALLBACK_CHARS = 150, 200, 3_000
# Room in a message's last block list for what follows the text: an alert, notes, sources, buttons.
_FOOTER_BLOCKS = 8
_MARKS = {Check.UNSUPPORTED: "not supported by what it cites", Check.UNCHECKED: "not checked"}
_FENCE = "```"

FEEDBACK, GO_AHEAD, PRIVATELY = "leadline_feedback", "leadline_go_ahead", "leadline_privately"


@dataclass(frozen=True)
class Message:
    """One message: its blocks, and the plain text of notifications."""

    blocks: Blocks = field(default_factory=list)
    text: str = ""


def answer_messages(
    answer: AnswerOut, base: str | None, question_id: str, *, privately: bool = False, asked: str | None = None
) -> list[Message]:
    """Return the messages of an answer, in order; the last one has sources and buttons.

    `base` is the service's address, without which nothing is a link. With `privately` a button offers an answer from
    all that the asker may see. `asked` is the question, where it stands nowhere above the answer.
    """
    cited = {each.number: each for each in answer.citations if not each.deleted}
    spans = {number: Cited(each.document_id, each.start, each.end) for number, each in cited.items()}
    text = as_form(Form.MRKDWN, answer.text, spans, base)
    blocks = [_section(piece) for piece in pieces(text, SECTION_CHARS)]
    if answer.status is AnswerStatus.NOT_FOUND:
        blocks.insert(0, _section("*Not in these documents*"))
    if asked is not None:
        blocks.insert(0, {"type": "context", "elements": [_mrkdwn(f"You asked: {_plain(_shortened(asked, 500))}")]})
    footer = [*_not_found(answer), *_alerts(answer), *_notes(answer), *_sources(list(cited.values()), base)]
    footer += _buttons(question_id, privately=privately)
    plain = _fallback(answer)
    whole: list[Message] = []
    room = BLOCKS_A_MESSAGE - _FOOTER_BLOCKS
    while len(blocks) > room:
        whole.append(Message(blocks[:room], plain))
        blocks = blocks[room:]
    return [*whole, Message([*blocks, *footer], plain)]


def failure_message(detail: str, hint: str, question_id: str, *, may_go_ahead: bool = False) -> Message:
    """Return the one honest message of a question that has no answer, with what to do next."""
    said = inert_mrkdwn(detail)[: SECTION_CHARS - 40]
    blocks: Blocks = [{"type": "alert", "level": "error", "text": _mrkdwn(f"There is no answer: {said}")}]
    if hint:
        blocks.append({"type": "context", "elements": [_mrkdwn(inert_mrkdwn(hint)[:SECTION_CHARS])]})
    if may_go_ahead:
        blocks.append({"type": "actions", "elements": [_button("Go ahead", GO_AHEAD, question_id, style="primary")]})
    return Message(blocks, f"There is no answer: {detail}"[:_FALLBACK_CHARS])


def note_message(text: str) -> Message:
    """Return a message of our own words."""
    return Message([_section(inert_mrkdwn(text)[:SECTION_CHARS])], text)


def pieces(text: str, most: int) -> Iterator[str]:
    """Split mrkdwn at ends of paragraphs, else of lines, else of words; a block of code goes on in the next piece."""
    while len(text) > most:
        at = _cut(text, most - 2 * len(_FENCE) - 2)
        piece, text = text[:at].rstrip(), text[at:].lstrip("\n")
        if piece.count(_FENCE) % 2:  # within code: close it here, and open it there
            piece, text = f"{piece}\n{_FENCE}", f"{_FENCE}\n{text}"
        if piece.strip():
            yield piece
    if text.strip():
        yield text


def _cut(text: str, most: int) -> int:
    """Return where to cut so that no link, citation or item of a list is torn; `most` if there is no better place."""
    head = text[:most]
    for end in ("\n\n", "\n", " "):
        at = head.rfind(end)
        if at > most // 2 and not _in_link(head[:at]):
            return at + len(end)
    at = head.rfind("<") if _in_link(head) else most
    return at if at > 0 else most


def _in_link(head: str) -> bool:
    return head.rfind("<") > head.rfind(">")


def _alerts(answer: AnswerOut) -> Blocks:
    """Return a warning that names each sentence which what it cites does not support."""
    found = [each for each in answer.sentences if each.check is Check.UNSUPPORTED]
    if not found:
        return []
    said = [
        f"“{_shortened(each.text, 200)}”" + (f" ({_shortened(each.reason, 200)})" if each.reason else "")
        for each in found
    ]
    count = "One sentence is" if len(found) == 1 else f"{len(found)} sentences are"
    text = f"{count} {_MARKS[Check.UNSUPPORTED]}: " + inert_mrkdwn("; ".join(said))
    return [{"type": "alert", "level": "warning", "text": _mrkdwn(_shortened(text, SECTION_CHARS))}]


def _notes(answer: AnswerOut) -> Blocks:
    """Return how the sentences were checked, and what the answer says of itself."""
    counts = [(check, sum(each.check is check for each in answer.sentences)) for check in Check]
    checked = ", ".join(f"{count} {check.value}" for check, count in counts if count)
    count = len(answer.sentences)
    said = [f"{count} sentence{'' if count == 1 else 's'}: {checked}."] if count else []
    elements = [_mrkdwn(inert_mrkdwn(_shortened(each, 500))) for each in [*said, *answer.notes][:10]]
    return [{"type": "context", "elements": elements}] if elements else []


def _not_found(answer: AnswerOut) -> Blocks:
    if answer.status is not AnswerStatus.NOT_FOUND:
        return []
    searched = answer.searched
    queries = ", ".join(f"“{each}”" for each in searched.queries[:3])
    said = f"{searched.passages} passages of {len(searched.documents)} documents were found, and {searched.read} read"
    said += f", for {queries}." if queries else "."
    return [{"type": "context", "elements": [_mrkdwn(inert_mrkdwn(_shortened(said, 1_500)))]}]


def _sources(cited: Sequence[CitationOut], base: str | None) -> Blocks:
    """Return a card for each source, numbered as in the answer; beyond ten, a line each."""
    if not cited:
        return []
    cards = [_card(each, base) for each in cited[:_CARDS]]
    lines = [_line(each, base) for each in cited[_CARDS:]]
    blocks: Blocks = [{"type": "carousel", "elements": cards}]
    text = ""
    for line in lines:
        if len(text) + len(line) + 1 > SECTION_CHARS:
            break
        text = f"{text}\n{line}" if text else line
    return [*blocks, _section(text)] if text else blocks


def _card(each: CitationOut, base: str | None) -> dict[str, Any]:
    number, title = f"[{each.number}] ", _plain(each.title or "Untitled")
    where = _plain(each.place or " › ".join(each.heading_path))
    body = _plain(f"“{each.quote}”") if each.quote else ""
    card: dict[str, Any] = {
        "type": "card",
        "title": _mrkdwn(_shortened(number + title, _TITLE_CHARS)),
        "body": _mrkdwn(_shortened(body or "No words are quoted.", _BODY_CHARS)),
    }
    if where and where != title:
        card["subtitle"] = _mrkdwn(_shortened(where, _TITLE_CHARS))
    if base is not None:
        address = base.rstrip("/") + Cited(each.document_id, each.start, each.end).page_address
        card["actions"] = [
            {"type": "button", "text": _text("Open"), "url": address, "action_id": f"open_{each.number}"}
        ]
    return card


def _line(each: CitationOut, base: str | None) -> str:
    title = _plain(_shortened(each.title or "Untitled", 100))
    where = f", {_plain(_shortened(each.place, 60))}" if each.place else ""
    if base is None:
        return f"[{each.number}] {title}{where}"
    address = base.rstrip("/") + Cited(each.document_id, each.start, each.end).page_address
    return f"<{address.replace('&', '&amp;')}|[{each.number}] {title.replace('|', '¦')}>{where}"


def _buttons(question_id: str, *, privately: bool) -> Blocks:
    feedback = {
        "type": "feedback_buttons",
        "action_id": FEEDBACK,
        "positive_button": {"text": _text("Good answer"), "value": f"up:{question_id}"},
        "negative_button": {"text": _text("Bad answer"), "value": f"down:{question_id}"},
    }
    blocks: Blocks = [{"type": "context_actions", "elements": [feedback]}]
    if privately:
        button = _button("Ask privately, with all I may see", PRIVATELY, question_id)
        blocks.append({"type": "actions", "elements": [button]})
    return blocks


def _button(text: str, action: str, value: str, *, style: str | None = None) -> dict[str, Any]:
    button: dict[str, Any] = {"type": "button", "text": _text(text), "action_id": action, "value": value}
    return button if style is None else {**button, "style": style}


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": _mrkdwn(text), "expand": True}


def _mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text or " ", "verbatim": True}


def _text(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def _plain(text: str) -> str:
    return inert_mrkdwn(" ".join(text.split()))


def _fallback(answer: AnswerOut) -> str:
    """Return what notifications show, where Slack reads mentions as well."""
    return _plain(_shortened(re.sub(r"\[\d{1,4}\]", "", answer.text), _FALLBACK_CHARS // 2)) or "No answer."


def _shortened(text: str, most: int) -> str:
    """Cut at a whole character reference, so that none is torn."""
    if len(text) <= most:
        return text
    head = text[: most - 1]
    at = head.rfind("&")
    return (head[:at] if at > len(head) - 6 and ";" not in head[at:] else head) + "…"
