"""Exports a finished run as one file: JSON for programs, Markdown for users."""

import json
from collections.abc import Iterator
from typing import Any

from fastapi.responses import StreamingResponse

from api.admission.services import Services
from api.answers.forms import ExportForm
from api.answers.markdown_files import escape_line, format_code_block
from api.answers.remarks import translate_notes
from api.answers.run_schemas import RunEventOut, RunWithAnswerOut
from api.answers.schemas import AnswerOut, CitationOut
from api.answers.steps import describe_step, name_cell, name_purpose, name_strategy
from api.answers.verdicts import describe_gap, describe_level, describe_verdict
from api.answers.wording import describe_failure, translate_place, translate_reason
from api.languages.catalogue import Texts
from ingest.storage.answers.run_records import Run, RunState
from rlm.answers import AnswerStatus
from rlm.checking.levels import find_levels

_EVENTS_PER_READ = 200


_TYPES = {ExportForm.JSON: ("application/json", "json"), ExportForm.MARKDOWN: ("text/markdown; charset=utf-8", "md")}
EXPORTS: dict[str, Any] = {"application/json": {}, "text/markdown": {}}


def build_export(
    run: RunWithAnswerOut, events: Iterator[RunEventOut], export_format: ExportForm, texts: Texts
) -> StreamingResponse:
    """Return the export as a download. The export is generated while it is sent.

    The Markdown file's own words are in the language of `texts`.
    """
    media_type, ending = _TYPES[export_format]
    written = _iter_json(run, events) if export_format is ExportForm.JSON else _iter_markdown(run, events, texts)
    headers = {"Content-Disposition": f'attachment; filename="run-{run.id}.{ending}"'}
    return StreamingResponse(written, media_type=media_type, headers=headers)


def iter_export_events(services: Services, run: Run, *, is_withheld: bool) -> Iterator[RunEventOut]:
    """Yield all events of a run, with untruncated model replies."""
    after = 0
    while found := services.answers.runs.list_events(run.tenant_id, run.id, after=after, limit=_EVENTS_PER_READ):
        for event in found:
            yield RunEventOut.from_event(event, is_withheld=is_withheld, with_full_replies=True)
        after = found[-1].sequence


def _iter_json(run: RunWithAnswerOut, events: Iterator[RunEventOut]) -> Iterator[str]:
    head = json.dumps(run.model_dump(mode="json"), ensure_ascii=False)
    yield head[:-1] + ', "log": ['
    for number, event in enumerate(events):
        yield (",\n" if number else "\n") + json.dumps(event.model_dump(mode="json"), ensure_ascii=False)
    yield "\n]}\n"


def _iter_markdown(run: RunWithAnswerOut, events: Iterator[RunEventOut], texts: Texts) -> Iterator[str]:
    done = texts.translate("What was done")
    yield f"# {escape_line(run.question)}\n\n"
    yield from (f"* {line}\n" for line in _list_summary_lines(run, texts))
    if run.failure is not None:
        detail, hint = describe_failure(run.failure.code, run.failure.detail, run.failure.hint, texts)
        yield f"\n**{escape_line(detail)}** {escape_line(hint)}\n"
    if run.answer is not None:
        yield from _iter_answer_blocks(run.answer, texts)
    yield f"\n## {done}\n"
    for event in events:
        yield from _iter_event_blocks(event.kind, event.body, texts)


def _list_summary_lines(run: RunWithAnswerOut, texts: Texts) -> list[str]:
    t, number, answer, covered = texts.translate, texts.format_number, run.answer, run.coverage
    lines = [
        t("State: {state}", state=_name_state(run.state, texts)),
        t("Asked: {time} UTC", time=run.created_at.strftime("%Y-%m-%d %H:%M")),
        t("Run: {id}", id=run.id),
    ]
    if answer is not None:
        model = escape_line(answer.model or t("no model"))
        lines.append(t("Answered by: {model}; {strategy}", model=model, strategy=name_strategy(answer.strategy, texts)))
    lines.append(
        t(
            "Cost: {calls}, {cached} more from the cache; {read} tokens read, {written} written; {seconds} s",
            calls=texts.translate_count(run.usage.calls, "{n} call", "{n} calls", n=number(run.usage.calls)),
            cached=number(run.usage.cached),
            read=number(run.usage.prompt_tokens),
            written=number(run.usage.completion_tokens),
            seconds=number(round(run.seconds, 1)),
        )
    )
    if answer is not None and answer.dollars:
        lines[-1] += f"; ${answer.dollars:.4f}"
    if covered is not None:
        lines.append(
            t(
                "Of {scope} tokens, a model read {read}, code searched {searched}, and {unopened} were not opened",
                scope=number(covered.tokens_in_scope),
                read=number(covered.tokens_read),
                searched=number(covered.tokens_searched),
                unopened=number(covered.tokens_unopened),
            )
        )
    return lines


def _iter_answer_blocks(answer: AnswerOut, texts: Texts) -> Iterator[str]:
    """Yield the answer as a code block, so that links and images in a model's Markdown are not rendered."""
    t, body = texts.translate, answer.model_dump(mode="json")
    title, computed = t("Answer"), t("How it was computed")
    checked, sources = t("How each sentence was checked"), t("Sources")
    yield f"\n## {title} ({_name_status(answer.status, texts)})\n\n"
    if gap := describe_gap(body, texts)[1]:
        yield f"{gap}\n\n"
    yield format_code_block(answer.text)
    for note in translate_notes(answer, texts):
        said = t("Note: {note}", note=escape_line(note))
        yield f"\n{said}\n"
    if answer.table is not None:
        yield f"\n### {computed}\n\n{format_code_block(answer.table.sql, 'sql')}"
    yield f"\n### {checked}\n\n"
    if verdict := describe_verdict(body, texts):
        yield f"{verdict}\n\n"
    for number, (each, level) in enumerate(zip(answer.sentences, find_levels(body), strict=True), start=1):
        reason = f" ({escape_line(translate_reason(each.reason, texts))})" if level and each.reason else ""
        name = f"{describe_level(level, texts)}{reason}: " if level else ""
        yield f"{number}. {name}{escape_line(each.text)}\n"
    if answer.citations:
        yield f"\n### {sources}\n\n"
    for cited in answer.citations:
        yield from _iter_citation(cited, texts)


def _iter_citation(cited: CitationOut, texts: Texts) -> Iterator[str]:
    t = texts.translate
    place = f", {escape_line(translate_place(cited.place, texts))}" if cited.place else ""
    title = t("not available") if cited.deleted else escape_line(cited.title or t("Untitled"))
    where = t("document {id}, {start} to {end}", id=cited.document_id, start=cited.start, end=cited.end)
    yield f"* [{cited.number}] {title}{place} ({where})\n"
    for quote in cited.quoted_texts:
        yield "\n" + format_code_block(quote, indent="  ") + "\n"


def _iter_event_blocks(kind: str, body: dict[str, Any], texts: Texts) -> Iterator[str]:
    if body.get("withheld"):
        withheld = texts.translate("Withheld: you cannot read a document of the run, or it was deleted.")
        yield f"\n### {withheld}\n"
    elif kind == "cell":
        yield from _iter_cell_blocks(body, texts)
    elif kind in ("call", "lost"):
        yield from _iter_call_blocks(body, texts)
    elif kind not in ("start", "working") and (title := describe_step(kind, body, texts)):
        yield f"\n### {escape_line(title)}\n"
        if body.get("sql"):
            yield f"\n{format_code_block(body['sql'], 'sql')}"


def _iter_cell_blocks(body: dict[str, Any], texts: Texts) -> Iterator[str]:
    t, count = texts.translate, body["sub_calls"]
    calls = texts.translate_count(count, "{n} model call", "{n} model calls", n=texts.format_number(count))
    duration = t("{seconds} s", seconds=texts.format_number(round(body["seconds"], 1)))
    measures = f"{calls}, {duration}" if count else duration
    yield f"\n### {escape_line(name_cell(body, texts))} ({measures})\n"
    headings = (
        ("code", t("Code:"), "python"),
        ("note", t("Message to the model:"), ""),
        ("output", t("Output:"), ""),
        ("error", t("Error:"), ""),
    )
    for name, heading, language in headings:
        if body.get(name):
            yield f"\n{heading}\n\n{format_code_block(body[name], language)}"


def _iter_call_blocks(body: dict[str, Any], texts: Texts) -> Iterator[str]:
    t, tokens = texts.translate, body["usage"]["prompt_tokens"]
    read = texts.translate_count(tokens, "{n} token read", "{n} tokens read", n=texts.format_number(tokens))
    cost = t("from the cache, no cost") if body.get("cached") else read
    yield f"\n### {name_purpose(body['purpose'], texts)} ({cost})\n"
    if body.get("spans"):
        places = "; ".join(
            t("{id}, {start} to {end}", id=each["document_id"], start=each["start"], end=each["end"])
            for each in body["spans"]
        )
        read = t("Read: {places}", places=places)
        yield f"\n{read}\n"
    for name, heading in (("prompt", t("Prompt:")), ("text", t("Reply:")), ("detail", t("Details:"))):
        if body.get(name):
            yield f"\n{heading}\n\n{format_code_block(body[name])}"


def _name_state(state: str, texts: Texts) -> str:
    t = texts.translate
    names = {
        RunState.COMPLETED: t("Complete"),
        RunState.PARTIAL: t("Not complete"),
        RunState.FAILED: t("Failed"),
        RunState.CANCELLED: t("Cancelled"),
    }
    return names.get(RunState(state), state)


def _name_status(status: str, texts: Texts) -> str:
    t = texts.translate
    names = {
        AnswerStatus.ANSWERED: t("answered"),
        AnswerStatus.PARTIAL: t("not complete"),
        AnswerStatus.NOT_FOUND: t("not found"),
        AnswerStatus.EXTRACTIVE: t("quoted without a language model"),
    }
    return names[AnswerStatus(status)]
