"""Exports a finished run as one file: JSON for programs, Markdown for users."""

import json
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

from fastapi.responses import StreamingResponse

from api.admission.services import Services
from api.answers.markdown_files import escape_line, format_code_block
from api.answers.run_schemas import RunEventOut, RunWithAnswerOut
from api.answers.schemas import AnswerOut
from ingest.storage.answers.run_records import Run
from ingest.storage.counts import format_count

_EVENTS_PER_READ = 200
_MARKS = {"verified": "✓", "quoted": "❝", "computed": "ƒ", "unsupported": "!", "unchecked": "○"}


class ExportForm(StrEnum):
    """The file formats in which a run can be exported."""

    JSON = "json"
    MARKDOWN = "markdown"


_TYPES = {ExportForm.JSON: ("application/json", "json"), ExportForm.MARKDOWN: ("text/markdown; charset=utf-8", "md")}
EXPORTS: dict[str, Any] = {"application/json": {}, "text/markdown": {}}


def build_export(run: RunWithAnswerOut, events: Iterator[RunEventOut], export_format: ExportForm) -> StreamingResponse:
    """Return the export as a download. The export is generated while it is sent."""
    media_type, ending = _TYPES[export_format]
    written = _iter_json(run, events) if export_format is ExportForm.JSON else _iter_markdown(run, events)
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


def _iter_markdown(run: RunWithAnswerOut, events: Iterator[RunEventOut]) -> Iterator[str]:
    yield f"# {escape_line(run.question)}\n\n"
    yield from _iter_summary_lines(run)
    if run.failure is not None:
        yield f"\n**{escape_line(run.failure.detail)}** {escape_line(run.failure.hint)}\n"
    if run.answer is not None:
        yield from _iter_answer_blocks(run.answer)
    yield "\n## What was done\n"
    for event in events:
        yield from _iter_event_blocks(event.kind, event.body)


def _iter_summary_lines(run: RunWithAnswerOut) -> Iterator[str]:
    usage, answer = run.usage, run.answer
    yield f"* State: {run.state}\n* Asked: {run.created_at:%Y-%m-%d %H:%M} UTC\n* Run: {run.id}\n"
    if answer is not None:
        yield f"* Answered by: {escape_line(answer.model or 'no model')}, strategy {answer.strategy}\n"
    yield (
        f"* Cost: {format_count(usage.calls, 'call')} (and {usage.cached:,} cached), "
        f"{format_count(usage.prompt_tokens, 'token')} read, "
        f"{usage.completion_tokens:,} written, {run.seconds:,.1f} s"
    )
    yield f", ${answer.dollars:.4f}\n" if answer is not None and answer.dollars else "\n"
    if run.coverage is not None:
        found = run.coverage
        yield (
            f"* Of {format_count(found.tokens_in_scope, 'token')}, a model read {found.tokens_read:,}, code searched "
            f"{found.tokens_searched:,}, and {found.tokens_unopened:,} were not opened\n"
        )


def _iter_answer_blocks(answer: AnswerOut) -> Iterator[str]:
    """Yield the answer as a code block, so that links and images in a model's Markdown are not rendered."""
    yield f"\n## Answer ({answer.status})\n\n{format_code_block(answer.text)}"
    for note in answer.notes:
        yield f"\nNote: {escape_line(note)}\n"
    if answer.table is not None:
        yield f"\n### How it was computed\n\n{format_code_block(answer.table.sql, 'sql')}"
    yield "\n### How each sentence was checked\n\n"
    for number, each in enumerate(answer.sentences, start=1):
        reason = f" ({escape_line(each.reason)})" if each.reason else ""
        yield f"{number}. {_MARKS[each.check]} {each.check}{reason}: {escape_line(each.text)}\n"
    if answer.citations:
        yield "\n### Sources\n\n"
    for cited in answer.citations:
        place = f", {escape_line(cited.place)}" if cited.place else ""
        title = "not available" if cited.deleted else escape_line(cited.title or "Untitled")
        yield f"* [{cited.number}] {title}{place} (document {cited.document_id}, {cited.start} to {cited.end})\n"
        for quote in cited.quoted_texts:
            yield "\n" + format_code_block(quote, indent="  ") + "\n"


def _iter_event_blocks(kind: str, body: dict[str, Any]) -> Iterator[str]:
    if body.get("withheld"):
        yield f"\n### {kind}\n\nWithheld: you cannot read a document of the run, or it was deleted.\n"
    elif kind == "cell":
        where = f" (part {escape_line(body['part'])})" if body.get("part") else ""
        yield f"\n### Code {body['number']}{where}, {body['seconds']} s, {body['sub_calls']} sub-calls\n"
        for name, language in (("code", "python"), ("note", ""), ("output", ""), ("error", "")):
            if body.get(name):
                heading = "" if name == "code" else f"{name.capitalize()}:"
                yield f"\n{heading}\n\n{format_code_block(body[name], language)}"
    elif kind in ("call", "lost"):
        usage = body["usage"]
        cost = "cached, no cost" if body.get("cached") else f"{format_count(usage['prompt_tokens'], 'token')} read"
        yield f"\n### Sub-call: {escape_line(body['purpose'])} ({cost})\n"
        if body.get("spans"):
            yield "\nRead: " + "; ".join(
                f"{each['document_id']} {each['start']} to {each['end']}" for each in body["spans"]
            )
            yield "\n"
        for name in ("prompt", "text", "detail"):
            if body.get(name):
                yield f"\n{'reply' if name == 'text' else name}:\n\n{format_code_block(body[name])}"
    elif kind not in ("start", "working"):
        written = json.dumps(body, ensure_ascii=False, indent=1)
        yield f"\n### {kind.capitalize()}\n\n{format_code_block(written, 'json')}"
