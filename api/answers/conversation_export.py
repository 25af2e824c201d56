"""Exports a conversation as one file: Markdown for people, JSON for programs."""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import quote

from fastapi.responses import StreamingResponse

from api.answers.conversation_schemas import ConversationOut, TurnOut
from api.answers.forms import ExportForm
from api.answers.markdown import render_plain_text
from api.answers.markdown_files import escape_line, escape_links
from api.answers.remarks import translate_notes
from api.answers.schemas import AnswerOut, CitationOut
from api.answers.verdicts import describe_gap, describe_level, describe_verdict, format_sign
from api.answers.wording import translate_place, translate_reason
from api.languages.catalogue import Texts
from rlm.checking.levels import Level, find_levels, insert_after_sentences

_NAME_CHARS = 80


_TYPES = {ExportForm.JSON: ("application/json", "json"), ExportForm.MARKDOWN: ("text/markdown; charset=utf-8", "md")}
EXPORTS: dict[str, Any] = {"application/json": {}, "text/markdown": {}}


def build_export(
    conversation: ConversationOut, turns: Iterator[TurnOut], form: ExportForm, texts: Texts
) -> StreamingResponse:
    """Return the export as a download. The export is generated while it is sent."""
    media_type, ending = _TYPES[form]
    written = _iter_json(conversation, turns) if form is ExportForm.JSON else _iter_markdown(conversation, turns, texts)
    name = quote(f"{build_file_name(conversation.title)}.{ending}", safe="")
    headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{name}"}
    return StreamingResponse(written, media_type=media_type, headers=headers)


def build_file_name(title: str) -> str:
    """Return the title as the name of a file, without characters that a file system rejects."""
    plain = "".join(each for each in title if unicodedata.category(each)[0] != "C")
    return re.sub(r'[\s\\/:*?"<>|]+', " ", plain).strip(" .")[:_NAME_CHARS].strip(" .") or "conversation"


def _iter_json(conversation: ConversationOut, turns: Iterator[TurnOut]) -> Iterator[str]:
    head = json.dumps(conversation.model_dump(mode="json"), ensure_ascii=False)
    yield head[:-1] + ', "next_cursor": null, "turns": ['
    for number, turn in enumerate(turns):
        yield (",\n" if number else "\n") + json.dumps(turn.model_dump(mode="json"), ensure_ascii=False)
    yield "\n]}\n"


def _iter_markdown(conversation: ConversationOut, turns: Iterator[TurnOut], texts: Texts) -> Iterator[str]:
    yield f"# {escape_line(conversation.title)}\n\n"
    # The other levels have words instead of a sign.
    signs = (Level.PROVEN, Level.PARTLY_PROVEN, Level.UNSUPPORTED)
    legend = (f"{format_sign(level, texts)} {describe_level(level, texts)}" for level in signs)
    yield f"{texts.translate('Marks after statements:')} {', '.join(legend)}\n"
    for turn in turns:
        yield f"\n## {escape_line(turn.question)}\n\n*{turn.created_at:%Y-%m-%d %H:%M} UTC*\n\n"
        yield from _iter_answer(turn.answer, texts)


def _iter_answer(answer: AnswerOut, texts: Texts) -> Iterator[str]:
    body = answer.model_dump(mode="json")
    levels = find_levels(body)
    signs = [level and format_sign(level, texts) for level in levels]
    title, gap = describe_gap(body, texts)
    if title:
        yield f"> **{title}.** {gap}\n\n"
    verdict = describe_verdict(body, texts)
    if verdict:
        yield f"> {verdict}\n\n"
    yield f"{escape_links(_add_signs(answer, signs))}\n"
    for note in translate_notes(answer, texts):
        yield f"\n{escape_line(note)}\n"
    remarks = [
        f"* {sign} {escape_line(render_plain_text(each.text))} ({escape_line(translate_reason(each.reason, texts))})\n"
        for each, sign, level in zip(answer.sentences, signs, levels, strict=True)
        if sign and level is not Level.PROVEN and each.reason
    ]
    if remarks:
        yield f"\n### {texts.translate('What is not proven')}\n\n"
        yield from remarks
    if answer.citations:
        yield f"\n### {texts.translate('Sources')}\n\n"
        for citation in answer.citations:
            yield from _iter_citation(citation, texts)


def _add_signs(answer: AnswerOut, signs: Sequence[str | None]) -> str:
    """Return the text of an answer with a sign after each statement; in a table, in the statement's own row."""
    marked = ((each.end, sign) for each, sign in zip(answer.sentences, signs, strict=True) if sign)
    return insert_after_sentences(answer.text, marked)


def _iter_citation(citation: CitationOut, texts: Texts) -> Iterator[str]:
    if citation.deleted:
        gone = texts.translate("Not available: the document was deleted, or you cannot read it.")
        yield f"* [{citation.number}] {gone}\n"
        return
    place = f", {escape_line(translate_place(citation.place, texts))}" if citation.place else ""
    yield f"* [{citation.number}] {escape_line(citation.title or texts.translate('Untitled'))}{place}\n"
    for quoted in citation.quoted_texts:
        yield f"  > {escape_line(quoted)}\n"
