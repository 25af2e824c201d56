"""Renders answers as Slack messages within Slack's limits, using the allow-list of `api.answers.rendering`.

Text from documents and models cannot become a link, mention or channel. This module builds the only links, to cited
spans. For the limits, see https://docs.slack.dev/reference/block-kit/blocks; slack-sdk's models check them too.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from api.answers.forms import CitedSpan, Form
from api.answers.rendering import escape_mrkdwn, render_text
from api.answers.schemas import AnswerOut, CitationOut
from ingest.storage.counts import format_count
from rlm.answers import AnswerStatus, Check

Blocks = list[dict[str, Any]]

SECTION_CHARS = 3_000
MAX_BLOCKS = 50
# Maximum sizes of a message and of its cards. Slack rejects messages whose blocks exceed about 13,200 characters of
# JSON; see https://github.com/slackapi/bolt-js/issues/2509.
MESSAGE_BYTES, _CARDS_BYTES = 12_000, 8_000
_CARDS, _CARD_QUOTES = 10, 3
_TITLE_CHARS, _BODY_CHARS, _FALLBACK_CHARS = 150, 200, 3_000
_CHECK_WORDS = {
    Check.VERIFIED: "verified",
    Check.QUOTED: "found in the source, which nobody judged or which supports a part",
    Check.COMPUTED: "computed",
    Check.UNSUPPORTED: "not supported",
    Check.UNCHECKED: "without a source",
}
_UNFINISHED = "The work met a limit of time or cost before it was finished: ask about less, or in several questions."
_FENCE = "```"

FEEDBACK, GO_AHEAD, PRIVATELY = "leadline_feedback", "leadline_go_ahead", "leadline_privately"


@dataclass(frozen=True)
class SlackMessage:
    """A Slack message: its blocks, and the plain text for notifications."""

    blocks: Blocks = field(default_factory=list)
    text: str = ""


def build_answer_messages(
    answer: AnswerOut,
    base_url: str | None,
    question_id: str,
    *,
    offer_private: bool = False,
    question: str | None = None,
) -> list[SlackMessage]:
    """Build the messages for an answer, in order. The last one contains the sources and buttons.

    `base_url` is the service's address; without it, sources are not links. With `offer_private`, a button offers a
    private answer with the user's full access rights. Pass the question as `question` if no message above the answer
    shows it.
    """
    cited = {each.number: each for each in answer.citations if not each.deleted}
    spans = {number: CitedSpan(each.document_id, each.start, each.end) for number, each in cited.items()}
    text = render_text(Form.MRKDWN, answer.text, spans, base_url)
    blocks = [build_section_block(piece) for piece in split_mrkdwn(text, SECTION_CHARS)]
    if answer.status is AnswerStatus.NOT_FOUND:
        blocks.insert(0, build_section_block("*Not in these documents*"))
    if question is not None:
        blocks.insert(0, build_question_line(question))
    footer = [
        *_build_not_found_blocks(answer),
        *_build_alert_blocks(answer),
        *_build_note_blocks(answer),
        *_build_source_blocks(list(cited.values()), base_url),
    ]
    footer += _build_button_blocks(question_id, offer_private=offer_private)
    plain = _format_notification_text(answer)
    return [SlackMessage(part, plain) for part in _split_blocks([*blocks, *footer])]


def _split_blocks(blocks: Blocks) -> Iterator[Blocks]:
    """Split blocks into messages within Slack's limits."""
    part: Blocks = []
    size = 0
    for block in blocks:
        more = _count_block_bytes(block)
        # guard: slack-message-bytes
        if part and (len(part) == MAX_BLOCKS or size + more > MESSAGE_BYTES):
            yield part
            part, size = [], 0
        part.append(block)
        size += more
    yield part


def _count_block_bytes(block: dict[str, Any]) -> int:
    return len(json.dumps(block, ensure_ascii=False).encode())


def build_failure_message(detail: str, hint: str, question_id: str, *, can_confirm: bool = False) -> SlackMessage:
    """Build the message for an unanswered question, with the reason and the next step."""
    reason = escape_mrkdwn(detail)[: SECTION_CHARS - 40]
    blocks: Blocks = [{"type": "alert", "level": "error", "text": _build_mrkdwn(f"There is no answer: {reason}")}]
    if hint:
        blocks.append(build_context_block(escape_mrkdwn(hint)[:SECTION_CHARS]))
    if can_confirm:
        blocks.append(
            {"type": "actions", "elements": [build_button("Go ahead", GO_AHEAD, question_id, style="primary")]}
        )
    return SlackMessage(blocks, f"There is no answer: {detail}"[:_FALLBACK_CHARS])


def build_stopped_message() -> SlackMessage:
    """Build the message for a question that a user has stopped."""
    text = "Stopped before there was an answer. Ask again whenever you like."
    return SlackMessage([build_section_block(text)], text)


def build_moved_message() -> SlackMessage:
    """Build the replacement for a message that cannot be deleted."""
    text = "The reply is below."
    return SlackMessage([build_context_block(text)], text)


def simplify_message(message: SlackMessage) -> SlackMessage:
    """Replace newer types of blocks, which a workspace may not support, with simple blocks."""
    blocks: Blocks = []
    for block in message.blocks:
        match block["type"]:
            case "alert":
                blocks.append(build_section_block(f"*Note:* {block['text']['text']}"[:SECTION_CHARS]))
            case "carousel":
                blocks.append(build_section_block(_join_lines(map(_format_card_line, block["elements"]))))
            case "plan":
                titles = [escape_mrkdwn(str(task["title"])) for task in block["tasks"]]
                blocks.append(build_context_block(" · ".join([f"{block['title']}.", *titles])[:SECTION_CHARS]))
            case "section" | "context" | "actions":
                blocks.append(block)
    return SlackMessage(blocks, message.text)


def _format_card_line(card: dict[str, Any]) -> str:
    title = card["title"]["text"]
    where = f", {card['subtitle']['text']}" if "subtitle" in card else ""
    for button in card.get("actions", ()):
        return f"<{button['url'].replace('&', '&amp;')}|{title.replace('`', '').replace('|', '¦')}>{where}"
    return f"{title}{where}"


def split_mrkdwn(text: str, max_chars: int) -> Iterator[str]:
    """Split mrkdwn at paragraph, line or word boundaries, closing code blocks and reopening them in the next piece."""
    while len(text) > max_chars:
        at = _find_split_position(text, max_chars - 2 * len(_FENCE) - 2)
        piece, text = text[:at].rstrip(), text[at:].lstrip("\n")
        # Close an open code block at the end of this piece, and reopen it in the next piece.
        if piece.count(_FENCE) % 2:
            piece, text = f"{piece}\n{_FENCE}", f"{_FENCE}\n{text}"
        if piece.strip():
            yield piece
    if text.strip():
        yield text


def _find_split_position(text: str, max_chars: int) -> int:
    """Find a cut that splits no link, citation or list item. Returns `max_chars` if there is none."""
    head = text[:max_chars]
    for end in ("\n\n", "\n", " "):
        at = head.rfind(end)
        if at > max_chars // 2 and not _is_in_link(head[:at]):
            return at + len(end)
    at = head.rfind("<") if _is_in_link(head) else max_chars
    return at if at > 0 else max_chars


def _is_in_link(prefix: str) -> bool:
    return prefix.rfind("<") > prefix.rfind(">")


def _build_alert_blocks(answer: AnswerOut) -> Blocks:
    """Build a warning that lists the sentences that their sources do not support."""
    found = [each for each in answer.sentences if each.check is Check.UNSUPPORTED]
    if not found:
        return []
    quotes = [
        f"“{_shorten_text(each.text, 200)}”" + (f" ({_shorten_text(each.reason, 200)})" if each.reason else "")
        for each in found
    ]
    count = "One sentence is" if len(found) == 1 else f"{len(found)} sentences are"
    text = f"{count} not supported by what {'it cites' if len(found) == 1 else 'they cite'}: " + escape_mrkdwn(
        "; ".join(quotes)
    )
    return [{"type": "alert", "level": "warning", "text": _build_mrkdwn(_shorten_text(text, SECTION_CHARS))}]


def _build_note_blocks(answer: AnswerOut) -> Blocks:
    """Build the fine print: how the sentences were checked, and the answer's notes."""
    unfinished = [] if answer.finished else [_UNFINISHED]
    notes = [*_describe_checks(answer), *unfinished, *answer.notes][:10]
    elements = [_build_mrkdwn(escape_mrkdwn(_shorten_text(each, 500))) for each in notes]
    return [{"type": "context", "elements": elements}] if elements else []


def _describe_checks(answer: AnswerOut) -> list[str]:
    """Describe how the sentences were checked, unless there is no answer or a warning covers all sentences."""
    if answer.status is AnswerStatus.NOT_FOUND or not (answer.citations or answer.finished):
        return []
    if all(each.check is Check.UNSUPPORTED for each in answer.sentences):
        return []
    found = [(check, sum(each.check is check for each in answer.sentences)) for check in Check]
    counts = [(_CHECK_WORDS[check], count) for check, count in found if count]
    if len(counts) > 1:
        parts = ", ".join(f"{count} {'is' if count == 1 else 'are'} {words}" for words, count in counts)
        return [f"Of {len(answer.sentences)} sentences, {parts}."]
    return [f"{'The sentence is' if count == 1 else f'All {count} sentences are'} {words}." for words, count in counts]


def _build_not_found_blocks(answer: AnswerOut) -> Blocks:
    if answer.status is not AnswerStatus.NOT_FOUND:
        return []
    searched = answer.searched
    queries = ", ".join(f"“{each}”" for each in searched.queries[:3])
    text = f"Searched for {queries}: found " if queries else "Found "
    text += f"{format_count(searched.passages, 'passage')} in {format_count(len(searched.documents), 'document')}"
    text += f", and read {searched.read} of them."
    return [build_context_block(escape_mrkdwn(_shorten_text(text, 1_500)))]


def _build_source_blocks(citations: Sequence[CitationOut], base_url: str | None) -> Blocks:
    """Build a card for each source, numbered as in the answer, and a line for each source beyond the card limit."""
    if not citations:
        return []
    cards = [_build_source_card(each, base_url) for each in citations[:_CARDS]]
    while len(cards) > 1 and sum(map(_count_block_bytes, cards)) > _CARDS_BYTES:
        cards.pop()
    lines = [_format_source_line(each, base_url) for each in citations[len(cards) :]]
    blocks: Blocks = [{"type": "carousel", "elements": cards}]
    return [*blocks, build_section_block(_join_lines(lines))] if lines else blocks


def _join_lines(lines: Iterable[str]) -> str:
    """Join as many of the lines as fit in a section."""
    text = ""
    for line in lines:
        if len(text) + len(line) + 1 > SECTION_CHARS:
            break
        text = f"{text}\n{line}" if text else line
    return text


def _build_source_card(citation: CitationOut, base_url: str | None) -> dict[str, Any]:
    number, title = f"[{citation.number}] ", _neutralize_text(citation.title or "Untitled")
    where = _neutralize_text(citation.place or " › ".join(citation.heading_path))
    quotes = citation.quoted_texts[:_CARD_QUOTES]
    body = " ".join(_shorten_text(_neutralize_text(f"“{quote}”"), _BODY_CHARS // len(quotes) - 1) for quote in quotes)
    card: dict[str, Any] = {
        "type": "card",
        "title": _build_mrkdwn(_shorten_text(number + title, _TITLE_CHARS)),
        "body": _build_mrkdwn(_shorten_text(body or "No words are quoted.", _BODY_CHARS)),
    }
    if where and where != title:
        card["subtitle"] = _build_mrkdwn(_shorten_text(where, _TITLE_CHARS))
    if base_url is not None:
        address = base_url.rstrip("/") + CitedSpan(citation.document_id, citation.start, citation.end).page_path
        card["actions"] = [
            {"type": "button", "text": _build_text("Open"), "url": address, "action_id": f"open_{citation.number}"}
        ]
    return card


def _format_source_line(citation: CitationOut, base_url: str | None) -> str:
    title = _neutralize_text(_shorten_text(citation.title or "Untitled", 100))
    where = f", {_neutralize_text(_shorten_text(citation.place, 60))}" if citation.place else ""
    if base_url is None:
        return f"[{citation.number}] {title}{where}"
    address = base_url.rstrip("/") + CitedSpan(citation.document_id, citation.start, citation.end).page_path
    return f"<{address.replace('&', '&amp;')}|[{citation.number}] {title.replace('|', '¦')}>{where}"


def _build_button_blocks(question_id: str, *, offer_private: bool) -> Blocks:
    feedback = {
        "type": "feedback_buttons",
        "action_id": FEEDBACK,
        "positive_button": {"text": _build_text("Good answer"), "value": f"up:{question_id}"},
        "negative_button": {"text": _build_text("Bad answer"), "value": f"down:{question_id}"},
    }
    blocks: Blocks = [{"type": "context_actions", "elements": [feedback]}]
    if offer_private:
        private = build_button("Ask privately, with all I may see", PRIVATELY, question_id)
        blocks.append({"type": "actions", "elements": [private]})
    return blocks


def build_button(text: str, action: str, value: str, *, style: str | None = None) -> dict[str, Any]:
    """Build a button. `style` is `primary` or `danger`."""
    element: dict[str, Any] = {"type": "button", "text": _build_text(text), "action_id": action, "value": value}
    return element if style is None else {**element, "style": style}


def build_question_line(question: str) -> dict[str, Any]:
    """Build a line with the question, for an answer that does not appear below its question."""
    return build_context_block(f"You asked: {_neutralize_text(_shorten_text(question, 500))}")


def build_section_block(text: str) -> dict[str, Any]:
    """Build a section block of mrkdwn."""
    return {"type": "section", "text": _build_mrkdwn(text), "expand": True}


def build_context_block(text: str) -> dict[str, Any]:
    """Build a context block, which shows mrkdwn in fine print."""
    return {"type": "context", "elements": [_build_mrkdwn(text)]}


def _build_mrkdwn(text: str) -> dict[str, Any]:
    return {"type": "mrkdwn", "text": text or " ", "verbatim": True}


def _build_text(text: str) -> dict[str, Any]:
    return {"type": "plain_text", "text": text}


def _neutralize_text(text: str) -> str:
    return escape_mrkdwn(" ".join(text.split()))


def _format_notification_text(answer: AnswerOut) -> str:
    """Format the notification text, neutralized because Slack interprets mentions in notifications too."""
    return (
        _neutralize_text(_shorten_text(re.sub(r"\[\d{1,4}\]", "", answer.text), _FALLBACK_CHARS // 2)) or "No answer."
    )


def _shorten_text(text: str, max_chars: int) -> str:
    """Truncate a string to `max_chars` characters, without splitting a character reference such as `&amp;`."""
    if len(text) <= max_chars:
        return text
    head = text[: max_chars - 1]
    at = head.rfind("&")
    return (head[:at] if at > len(head) - 6 and ";" not in head[at:] else head) + "…"
