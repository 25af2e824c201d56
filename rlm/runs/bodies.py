"""Converts the contents of a run's log to and from JSON: replies, passages and a strategy's events."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter

from ingest.storage.answers.run_records import Entry, RunState, Spent
from ingest.storage.quotas.records import nanodollars
from retrieval.search.requests import Passage
from rlm.answers import Answer
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


def limits_body(limits: Limits) -> dict[str, Any]:
    """Return a budget's limits as JSON; absent ones are none."""
    body: dict[str, Any] = _LIMITS.dump_python(limits, mode="json", exclude_none=True)
    return body


def limits_of(body: Mapping[str, Any]) -> Limits:
    """Read the limits that `limits_body` wrote."""
    return _LIMITS.validate_python(body)


def content_hash(*parts: object) -> str:
    """Return a digest of JSON values."""
    written = json.dumps(parts, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(written.encode()).hexdigest()


def call_hash(call: SubCall) -> str:
    """Return a digest that is equal for calls a model would be sent alike, whatever their purpose."""
    return content_hash(*call.content)


def call_entry(
    key: str, call: SubCall, result: SubReply | SubFailure, price: Price | None = None, *, kind: str = "call"
) -> Entry:
    """Return the entry of an ended sub-call, with its cost; one of the kind `lost` came to nothing.

    The prompt is cut to head and tail for display; the key has a digest of all of it.
    """
    asked = _shortened(call.prompt, _PROMPT_CHARS)
    body: dict[str, Any] = {"purpose": call.purpose, "prompt": asked, "usage": asdict(result.usage)}
    cached = isinstance(result, SubReply) and result.cached
    if isinstance(result, SubReply):
        body |= {"text": result.text, "cached": cached, **({"cut_off": True} if result.cut_off else {})}
    else:
        body |= {"code": result.code, "detail": result.detail}
    if call.spans:
        shown = call.spans[:_SPANS]
        body |= {"spans": [each._asdict() for each in shown], "spans_total": len(call.spans)}
    return Entry(key, kind, body, _spent(result.paid, price, cached=int(cached)))


def given_up_entry(key: str, usage: Usage, price: Price | None) -> Entry:
    """Return the entry of spending on requests under way when their run was broken off."""
    body = {"purpose": "given up", "usage": asdict(usage), "code": RunCancelledError.code, "detail": "Broken off."}
    return Entry(key, "lost", body, _spent(usage, price))


def _spent(usage: Usage, price: Price | None, *, cached: int = 0) -> Spent:
    dollars = price.of(usage.prompt_tokens, usage.completion_tokens) if price else Decimal(0)
    return Spent(usage.calls, cached, usage.prompt_tokens, usage.completion_tokens, nanodollars(dollars))


def cell_body(turn: Turn) -> dict[str, Any]:
    """Return a cell as people and programs see it, with long ones cut to head and tail."""
    return {
        "number": turn.number,
        "depth": turn.depth,
        "part": turn.part,
        "code": turn.code and _shortened(turn.code),
        "note": _shortened(turn.note),
        "output": _shortened(turn.output),
        "error": turn.error and _shortened(turn.error),
        "seconds": round(turn.seconds, 3),
        "sub_calls": turn.subcalls,
    }


def result_of(body: Mapping[str, Any]) -> SubReply | SubFailure:
    """Read the result that `call_entry` logged."""
    usage = Usage(**body["usage"])
    if "code" in body:
        return SubFailure(body["code"], body["detail"], usage)
    return SubReply(body["text"], usage, body["cached"], body.get("cut_off", False))


def passages_entry(key: str, passages: Sequence[Passage]) -> Entry:
    """Return the entry of a search's hits, in full, because a later search might find others."""
    titles = list(dict.fromkeys(passage.title for passage in passages))
    body = {"passages": len(passages), "titles": _shown(titles), "found": [asdict(passage) for passage in passages]}
    return Entry(key, "retrieved", body)


def passages_of(body: Mapping[str, Any]) -> list[Passage]:
    """Read the passages that `passages_entry` logged."""
    return _PASSAGES.validate_python(body["found"])


def event_entry(event: Event, occurrence: int) -> Entry | None:
    """Return the entry of a strategy's event, or None if the log has the event in another form."""
    match event:
        case Reading(call, passages):
            body: dict[str, Any] = {"call": call, "titles": _shown([passage.title for passage in passages])}
            return Entry(f"reading:{content_hash(body)}:{occurrence}", "reading", body, progress=True)
        case Routed(strategy, reason, estimate):
            return Entry("routed", "routed", {"strategy": strategy, "reason": reason, "estimate": estimate})
        case Condensed(question):
            return Entry("condensed", "condensed", {"question": question})
        case Planned(steps, sql):
            return Entry(f"planned:{occurrence}", "planned", {"steps": list(steps), "sql": sql}, progress=True)
        case Checking(sentences):
            return Entry("checking", "checking", {"sentences": sentences}, progress=True)
        case Working(step, done, total):
            body = {"step": step, "done": done, "total": total}
            return Entry(f"working:{content_hash(step)}:{done}", "working", body, progress=True)
        case _:
            return None


def state_of(answer: Answer) -> RunState:
    """Return the end state of a run with this answer: partial if a limit ended the work early."""
    return RunState.COMPLETED if answer.finished else RunState.PARTIAL


def _shortened(text: str, most: int = _CELL_CHARS) -> str:
    kept = CappedOutput(most)
    kept.write(text)
    return kept.text()


def _shown(titles: Sequence[str]) -> list[str]:
    return [title[:_TITLE_CHARS] for title in titles[:_TITLES]]
