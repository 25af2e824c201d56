"""Renders answers as Slack messages within Slack's limits, using the allow-list of `api.answers.rendering`.

Text from documents and models cannot become a link, mention or channel. This module builds the only links, to cited
spans. For the limits, see https://docs.slack.dev/reference/block-kit/blocks; slack-sdk's models check them too.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from api.answers.forms import CitedSpan
from api.answers.markdown import render_plain_text
from api.answers.mrkdwn import escape_mrkdwn, render_mrkdwn_parts, render_table_rows
from api.answers.remarks import translate_notes
from api.answers.schemas import AnswerOut, CitationOut, SentenceOut
from api.answers.verdicts import describe_verdict
from api.answers.wording import translate_place, translate_reason
from api.languages.catalogue import Texts
from api.slack.numbers import format_number
from api.slack.replies.blocks import (
    SECTION_CHARS,
    Blocks,
    SlackMessage,
    build_button,
    build_context_block,
    build_mrkdwn,
    build_section_block,
    build_text,
    count_block_bytes,
    join_lines,
    neutralize_text,
    shorten_text,
    split_mrkdwn,
)
from api.slack.replies.tables import build_table_block, format_simple_table
from rlm.answers import AnswerStatus, Check
from rlm.checking.levels import Level, find_levels

MAX_BLOCKS = 50
# Maximum sizes of a message and of its cards. Slack rejects messages whose blocks exceed about 13,200 characters of
# JSON; see https://github.com/slackapi/bolt-js/issues/2509.
MESSAGE_BYTES, _CARDS_BYTES = 12_000, 8_000
# Number of blocks that a table may become in `simplify_message`.
_SIMPLE_TABLE_BLOCKS = 6
_CARDS, _CARD_QUOTES = 10, 3
_TITLE_CHARS, _BODY_CHARS, _FALLBACK_CHARS = 150, 200, 3_000

FEEDBACK, GO_AHEAD, PRIVATELY = "leadline_feedback", "leadline_go_ahead", "leadline_privately"


def build_answer_messages(
    answer: AnswerOut,
    base_url: str | None,
    question_id: str,
    texts: Texts,
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
    blocks: Blocks = []
    for part in render_mrkdwn_parts(answer.text, spans, base_url):
        table = None if isinstance(part, str) else build_table_block(part)
        mrkdwn = part if isinstance(part, str) else render_table_rows(part)
        blocks += [table] if table else [build_section_block(piece) for piece in split_mrkdwn(mrkdwn, SECTION_CHARS)]
    if answer.status is AnswerStatus.NOT_FOUND:
        title = texts.translate("Not in these documents")
        blocks.insert(0, build_section_block(f"*{title}*"))
    elif verdict := _describe_checks(answer, texts):
        blocks.insert(0, build_context_block(escape_mrkdwn(verdict)))
    if question is not None:
        blocks.insert(0, build_question_line(question, texts))
    footer = [
        *_build_not_found_blocks(answer, texts),
        *_build_alert_blocks(answer, texts),
        *_build_note_blocks(answer, texts),
        *_build_source_blocks(list(cited.values()), base_url, texts),
    ]
    footer += _build_button_blocks(question_id, texts, offer_private=offer_private)
    plain = _format_notification_text(answer, texts)
    return [SlackMessage(part, plain) for part in _split_blocks([*blocks, *footer])]


def _split_blocks(blocks: Blocks) -> Iterator[Blocks]:
    """Split blocks into messages within Slack's limits. A message contains at most one table."""
    part: Blocks = []
    count = size = 0
    has_table = False
    for block in blocks:
        is_table = block["type"] == "table"
        more, more_bytes = _SIMPLE_TABLE_BLOCKS if is_table else 1, count_block_bytes(block)
        # guard: slack-message-bytes
        if part and (count + more > MAX_BLOCKS or size + more_bytes > MESSAGE_BYTES or (is_table and has_table)):
            yield part
            part, count, size, has_table = [], 0, 0, False
        part.append(block)
        count, size, has_table = count + more, size + more_bytes, has_table or is_table
    yield part


def build_failure_message(
    detail: str, hint: str, question_id: str, texts: Texts, *, can_confirm: bool = False
) -> SlackMessage:
    """Build the message for an unanswered question, with the reason and the next step."""
    title = texts.translate("This question was not answered.")
    reason = escape_mrkdwn(detail)[: SECTION_CHARS - 200]
    blocks: Blocks = [{"type": "alert", "level": "error", "text": build_mrkdwn(f"{title} {reason}")}]
    if hint:
        blocks.append(build_context_block(escape_mrkdwn(hint)[:SECTION_CHARS]))
    if can_confirm:
        confirm = build_button(texts.translate("Ask anyway"), GO_AHEAD, question_id, style="primary")
        blocks.append({"type": "actions", "elements": [confirm]})
    return SlackMessage(blocks, f"{title} {escape_mrkdwn(detail)}"[:_FALLBACK_CHARS])


def build_stopped_message(texts: Texts) -> SlackMessage:
    """Build the message for a question that a user has stopped."""
    text = texts.translate("This question was stopped before it was answered. You can ask it again.")
    return SlackMessage([build_section_block(text)], text)


def build_moved_message(texts: Texts) -> SlackMessage:
    """Build the replacement for a message that cannot be deleted."""
    text = texts.translate("The reply is further down in this conversation.")
    return SlackMessage([build_context_block(text)], text)


def simplify_message(message: SlackMessage) -> SlackMessage:
    """Replace newer types of blocks, which a workspace may not support, with simple blocks."""
    blocks: Blocks = []
    for block in message.blocks:
        match block["type"]:
            case "alert":
                blocks.append(build_section_block(f"⚠ {block['text']['text']}"[:SECTION_CHARS]))
            case "table":
                text = format_simple_table(block)
                blocks += [build_section_block(piece) for piece in split_mrkdwn(text, SECTION_CHARS)]
            case "carousel":
                blocks.append(build_section_block(join_lines(map(_format_card_line, block["elements"]))))
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


def _build_alert_blocks(answer: AnswerOut, texts: Texts) -> Blocks:
    """Build a warning with the sentences that are not supported, and a note with those that are only partly proven."""
    unsupported = [each for each in answer.sentences if each.check is Check.UNSUPPORTED]
    levels = find_levels(answer.model_dump(mode="json"))
    partly = [each for each, level in zip(answer.sentences, levels, strict=True) if level is Level.PARTLY_PROVEN]
    blocks: Blocks = []
    if unsupported:
        title = texts.translate_count(
            len(unsupported),
            "{n} sentence is not supported by its sources:",
            "{n} sentences are not supported by their sources:",
        )
        blocks.append(_build_alert("warning", title, unsupported, texts))
    if partly:
        title = texts.translate_count(
            len(partly),
            "{n} sentence is only partly proven:",
            "{n} sentences are only partly proven:",
        )
        blocks.append(_build_alert("info", title, partly, texts))
    return blocks


def _build_alert(level: str, title: str, sentences: Sequence[SentenceOut], texts: Texts) -> dict[str, Any]:
    lines = [f"*{title}*"]
    for each in sentences:
        quote = f"“{shorten_text(render_plain_text(each.text), 200)}”"
        reason = shorten_text(render_plain_text(translate_reason(each.reason, texts)), 200)
        lines.append("• " + escape_mrkdwn(f"{quote}: {reason}" if reason else quote))
    return {"type": "alert", "level": level, "text": build_mrkdwn(join_lines(lines))}


def _build_note_blocks(answer: AnswerOut, texts: Texts) -> Blocks:
    """Build the fine print: whether the answer is incomplete, and its notes."""
    notes = translate_notes(answer, texts)
    if not answer.finished:
        unfinished = texts.translate(
            "This answer is incomplete, because a limit of time or cost was reached. "
            "Ask about less, or split the question into several."
        )
        notes.insert(0, unfinished)
    elements = [build_mrkdwn(escape_mrkdwn(shorten_text(each, 500))) for each in notes[:10]]
    return [{"type": "context", "elements": elements}] if elements else []


def _describe_checks(answer: AnswerOut, texts: Texts) -> str:
    """Describe how the statements were checked, unless the run ended before it found anything."""
    if not (answer.citations or answer.finished):
        return ""
    return describe_verdict(answer.model_dump(mode="json"), texts)


def _build_not_found_blocks(answer: AnswerOut, texts: Texts) -> Blocks:
    if answer.status is not AnswerStatus.NOT_FOUND:
        return []
    searched = answer.searched
    lines = []
    if queries := ", ".join(f"“{each}”" for each in searched.queries[:3]):
        lines.append(texts.translate("Searches: {queries}.", queries=queries))
    lines += [
        texts.translate_count(
            searched.passages,
            "{n} passage was found.",
            "{n} passages were found.",
            n=format_number(searched.passages, texts),
        ),
        texts.translate_count(
            len(searched.documents),
            "The search covered {n} document.",
            "The search covered {n} documents.",
            n=format_number(len(searched.documents), texts),
        ),
        texts.translate_count(
            searched.read,
            "The language model read {n} passage.",
            "The language model read {n} passages.",
            n=format_number(searched.read, texts),
        ),
    ]
    return [build_context_block(escape_mrkdwn(shorten_text(" ".join(lines), 1_500)))]


def _build_source_blocks(citations: Sequence[CitationOut], base_url: str | None, texts: Texts) -> Blocks:
    """Build a card for each source, numbered as in the answer, and a line for each source beyond the card limit."""
    if not citations:
        return []
    cards = [_build_source_card(each, base_url, texts) for each in citations[:_CARDS]]
    while len(cards) > 1 and sum(map(count_block_bytes, cards)) > _CARDS_BYTES:
        cards.pop()
    lines = [_format_source_line(each, base_url, texts) for each in citations[len(cards) :]]
    blocks: Blocks = [{"type": "carousel", "elements": cards}]
    return [*blocks, build_section_block(join_lines(lines))] if lines else blocks


def _build_source_card(citation: CitationOut, base_url: str | None, texts: Texts) -> dict[str, Any]:
    number, title = f"[{citation.number}] ", neutralize_text(citation.title or texts.translate("Untitled"))
    where = neutralize_text(translate_place(citation.place, texts) or " › ".join(citation.heading_path))
    quotes = citation.quoted_texts[:_CARD_QUOTES]
    body = " ".join(shorten_text(neutralize_text(f"“{quote}”"), _BODY_CHARS // len(quotes) - 1) for quote in quotes)
    card: dict[str, Any] = {
        "type": "card",
        "title": build_mrkdwn(shorten_text(number + title, _TITLE_CHARS)),
        "body": build_mrkdwn(
            shorten_text(body or texts.translate("No words are quoted from this source."), _BODY_CHARS)
        ),
    }
    if where and where != title:
        card["subtitle"] = build_mrkdwn(shorten_text(where, _TITLE_CHARS))
    if base_url is not None:
        address = base_url.rstrip("/") + CitedSpan(citation.document_id, citation.start, citation.end).page_path
        card["actions"] = [
            {
                "type": "button",
                "text": build_text(texts.translate("Open")),
                "url": address,
                "action_id": f"open_{citation.number}",
            }
        ]
    return card


def _format_source_line(citation: CitationOut, base_url: str | None, texts: Texts) -> str:
    title = neutralize_text(shorten_text(citation.title or texts.translate("Untitled"), 100))
    where = f", {neutralize_text(shorten_text(translate_place(citation.place, texts), 60))}" if citation.place else ""
    if base_url is None:
        return f"[{citation.number}] {title}{where}"
    address = base_url.rstrip("/") + CitedSpan(citation.document_id, citation.start, citation.end).page_path
    return f"<{address.replace('&', '&amp;')}|[{citation.number}] {title.replace('|', '¦')}>{where}"


def _build_button_blocks(question_id: str, texts: Texts, *, offer_private: bool) -> Blocks:
    feedback = {
        "type": "feedback_buttons",
        "action_id": FEEDBACK,
        "positive_button": {"text": build_text(texts.translate("Good answer")), "value": f"up:{question_id}"},
        "negative_button": {"text": build_text(texts.translate("Bad answer")), "value": f"down:{question_id}"},
    }
    blocks: Blocks = [{"type": "context_actions", "elements": [feedback]}]
    if offer_private:
        private = build_button(texts.translate("Ask privately, in all my documents"), PRIVATELY, question_id)
        blocks.append({"type": "actions", "elements": [private]})
    return blocks


def build_question_line(question: str, texts: Texts) -> dict[str, Any]:
    """Build a line with the question, for an answer that does not appear below its question."""
    shown = neutralize_text(shorten_text(question, 500))
    return build_context_block(texts.translate("You asked: {question}", question=shown))


def _format_notification_text(answer: AnswerOut, texts: Texts) -> str:
    """Format the notification text, neutralized because Slack interprets mentions in notifications too."""
    plain = shorten_text(render_plain_text(answer.text), _FALLBACK_CHARS // 2)
    return neutralize_text(plain) or texts.translate("The answer has no text.")
