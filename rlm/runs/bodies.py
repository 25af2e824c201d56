"""Converts the contents of a run's log (replies, passages and a strategy's events) to and from JSON."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, astuple
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from ingest.storage.answers.run_records import RunLogEntry, RunSpending, RunState
from ingest.storage.quotas.records import to_nanodollars
from ingest.storage.remarks import convert_remark_to_json
from retrieval.search.requests import Passage
from rlm.answers import Answer
from rlm.corpus.corpus import build_handle
from rlm.corpus.handles import Handle
from rlm.errors import RunCancelledError
from rlm.events import Checking, Condensed, Event, Planned, Reading, Routed, Turn, Working
from rlm.llm.budgets import Limits, Price, Usage
from rlm.llm.port import SubCall, SubFailure, SubReply
from rlm.sandbox.reports import CappedOutput

_LIMITS, _PASSAGES = TypeAdapter(Limits), TypeAdapter(list[Passage])
_TITLES = 20
_TITLE_CHARS = 200
_CELL_CHARS = 8_000
_PROMPT_CHARS = 600
_SPANS = 50


def build_limits_body(limits: Limits) -> dict[str, Any]:
    """Return a budget's limits as JSON. Limits that are not set are omitted."""
    body: dict[str, Any] = _LIMITS.dump_python(limits, mode="json", exclude_none=True)
    return body


def parse_limits(body: Mapping[str, Any]) -> Limits:
    """Parse limits written by `build_limits_body`."""
    return _LIMITS.validate_python(body)


def compute_content_hash(*values: object) -> str:
    """Return a digest of JSON values."""
    written = json.dumps(values, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()


def compute_call_hash(call: SubCall) -> str:
    """Return a digest that is equal for calls with the same request to the model, regardless of their purpose."""
    return compute_content_hash(*call.content)


def build_call_entry(
    key: str, call: SubCall, result: SubReply | SubFailure, price: Price | None = None, *, kind: str = "call"
) -> RunLogEntry:
    """Return the log entry for a finished sub-call and its cost. An entry of the kind `lost` has no result.

    For display, the prompt is shortened to its beginning and end. The key contains a digest of the whole prompt.
    """
    asked = _shorten_text(call.prompt, _PROMPT_CHARS)
    body: dict[str, Any] = {"purpose": call.purpose, "prompt": asked, "usage": asdict(result.usage)}
    cached = isinstance(result, SubReply) and result.cached
    if isinstance(result, SubReply):
        body |= {"text": result.text, "cached": cached, **({"cut_off": True} if result.cut_off else {})}
    else:
        body |= {"code": result.code, "detail": result.detail}
    if call.spans:
        shown = call.spans[:_SPANS]
        body |= {"spans": [each._asdict() for each in shown], "spans_total": len(call.spans)}
    return RunLogEntry(key, kind, body, _build_spending(result.paid_usage, price, cached_count=int(cached)))


def build_interrupted_usage_entry(key: str, usage: Usage, price: Price | None) -> RunLogEntry:
    """Return the log entry for spending on requests that were in progress when their run was interrupted."""
    body = {"purpose": "given up", "usage": asdict(usage), "code": RunCancelledError.code, "detail": "Broken off."}
    return RunLogEntry(key, "lost", body, _build_spending(usage, price))


def _build_spending(usage: Usage, price: Price | None, *, cached_count: int = 0) -> RunSpending:
    dollars = price.compute_cost(usage.prompt_tokens, usage.completion_tokens) if price else Decimal(0)
    return RunSpending(usage.calls, cached_count, usage.prompt_tokens, usage.completion_tokens, to_nanodollars(dollars))


def build_cell_body(turn: Turn) -> dict[str, Any]:
    """Return a cell as JSON for display and for programs.

    The code is whole. Other long texts are shortened to their beginning and end.
    """
    return {
        "number": turn.number,
        "depth": turn.depth,
        "part": turn.part,
        "title": str(turn.title),
        "coded_title": convert_remark_to_json(turn.title),
        "code": turn.code,
        "note": _shorten_text(turn.note),
        "output": _shorten_text(turn.output),
        "error": turn.error and _shorten_text(turn.error),
        "seconds": round(turn.seconds, 3),
        "sub_calls": turn.subcalls,
    }


def parse_call_result(body: Mapping[str, Any]) -> SubReply | SubFailure:
    """Parse a result logged by `build_call_entry`."""
    usage = Usage(**body["usage"])
    if "code" in body:
        return SubFailure(body["code"], body["detail"], usage)
    return SubReply(body["text"], usage, body["cached"], body.get("cut_off", False))


def build_passages_entry(key: str, passages: Sequence[Passage]) -> RunLogEntry:
    """Return the log entry for the hits of a search.

    The hits are stored in full, because a later search might differ.
    """
    return _build_retrieved_entry(key, passages, [asdict(passage) for passage in passages])


def build_spans_entry(key: str, passages: Sequence[Passage]) -> RunLogEntry:
    """Return the log entry for the hits of a search of one document, of which only the spans are stored."""
    return _build_retrieved_entry(key, passages, [astuple(build_handle(passage)) for passage in passages])


def _build_retrieved_entry(key: str, passages: Sequence[Passage], found: Sequence[object]) -> RunLogEntry:
    titles = list(dict.fromkeys(passage.title for passage in passages))
    body = {"passages": len(passages), "titles": _shorten_titles(titles), "found": found}
    return RunLogEntry(key, "retrieved", body)


def parse_spans(body: Mapping[str, Any]) -> list[Handle]:
    """Parse spans logged by `build_spans_entry`. Earlier releases logged whole passages."""
    if body["found"] and isinstance(body["found"][0], Mapping):
        return list(map(build_handle, parse_passages(body)))
    return [Handle(*each) for each in body["found"]]


def parse_passages(body: Mapping[str, Any]) -> list[Passage]:
    """Parse passages logged by `build_passages_entry`."""
    return _PASSAGES.validate_python(body["found"])


def build_event_entry(event: Event, occurrence: int) -> RunLogEntry | None:
    """Return the log entry for a strategy's event, or None if other entries of the log represent the event."""
    match event:
        case Reading(call, passages):
            body: dict[str, Any] = {"call": call, "titles": _shorten_titles([passage.title for passage in passages])}
            return RunLogEntry(f"reading:{compute_content_hash(body)}:{occurrence}", "reading", body, progress=True)
        case Routed():
            # The first key is that of earlier releases, so that a resumed run does not log its first choice again.
            key = "routed" if occurrence == 1 else f"routed:{occurrence}"
            return RunLogEntry(key, "routed", build_routed_body(event))
        case Condensed(question):
            return RunLogEntry("condensed", "condensed", {"question": question})
        case Planned():
            return RunLogEntry(f"planned:{occurrence}", "planned", build_planned_body(event), progress=True)
        case Checking(sentences):
            return RunLogEntry("checking", "checking", {"sentences": sentences}, progress=True)
        case Working(step, done, total):
            body = build_working_body(event)
            # The readings of a column have the same step.
            key = f"working:{compute_content_hash(step, total)}:{done}:{occurrence}"
            return RunLogEntry(key, "working", body, progress=True)
        case _:
            return None


def build_routed_body(event: Routed) -> dict[str, Any]:
    """Return the choice of a strategy as JSON, with the codes of its reason and of its estimate."""
    return {
        "strategy": event.strategy,
        "reason": str(event.reason),
        "estimate": str(event.estimate),
        "coded_reason": convert_remark_to_json(event.reason),
        "coded_estimate": convert_remark_to_json(event.estimate),
    }


def build_planned_body(event: Planned) -> dict[str, Any]:
    """Return the plan of a computation as JSON, with the codes of its steps."""
    return {
        "steps": list(map(str, event.steps)),
        "sql": event.sql,
        "coded_steps": list(map(convert_remark_to_json, event.steps)),
    }


def build_working_body(event: Working) -> dict[str, Any]:
    """Return the progress of a step as JSON, with the code of the step."""
    return {
        "step": str(event.step),
        "done": event.done,
        "total": event.total,
        "coded_step": convert_remark_to_json(event.step),
    }


def get_run_state(answer: Answer) -> RunState:
    """Return the final state of a run with this answer. The state is partial if a limit ended the work early."""
    return RunState.COMPLETED if answer.finished else RunState.PARTIAL


def _shorten_text(text: str, max_chars: int = _CELL_CHARS) -> str:
    kept = CappedOutput(max_chars)
    kept.write(text)
    return kept.get_text()


def _shorten_titles(titles: Sequence[str]) -> list[str]:
    return [title[:_TITLE_CHARS] for title in titles[:_TITLES]]
