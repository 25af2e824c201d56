"""Rows of a benchmark: one question's outcome with its scores, and the sums over many."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from rlm.llm.prices import Price
from tests.benchmark.tasks import evidence
from tests.benchmark.tasks.corpus import GoldSpan, Question
from tests.benchmark.tasks.intervals import interval
from tests.benchmark.tasks.scoring import score


@dataclass(frozen=True)
class Outcome:
    """What one system did with one question; `declined` is None where only its text tells.

    `read` and `cited` are None where the system does not say what it read or cites nothing by construction. `error`
    says why there is no answer. Tokens are of the model's own counting.
    """

    id: str
    answer: str = ""
    declined: bool | None = None
    status: str = ""
    read: Sequence[GoldSpan] | None = None
    cited: Sequence[GoldSpan] | None = None
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    tokens_in_scope: int | None = None
    tokens_read: int | None = None
    error: str = ""

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        """Of any system's answers file. Raises `TypeError` for members that are none of an outcome's."""
        spans = {
            name: None if raw.get(name) is None else [GoldSpan(**span) for span in raw[name]]
            for name in ("read", "cited")
        }
        return cls(**{**raw, **spans})


@dataclass(frozen=True)
class Row:
    """A scored outcome. `evidence_read` and `evidence_cited` are shares of the gold spans."""

    id: str
    task: str
    kind: str
    score: float
    answerable: bool
    answer: str
    gold: tuple[str, ...]
    status: str
    evidence_read: float | None
    evidence_cited: float | None
    citation_precision: float | None
    calls: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    tokens_in_scope: int | None
    tokens_read: int | None
    cost_usd: float | None = None
    error: str = ""
    question: str = field(default="", repr=False)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def judge(question: Question, outcome: Outcome, price: Price | None = None) -> Row:
    """An outcome with an error scores 0, also where declining would have been right."""
    gold = question.evidence
    return Row(
        id=question.id,
        task=question.task,
        kind=question.kind,
        score=0.0 if outcome.error else score(question, outcome.answer, declined=outcome.declined),
        answerable=question.answerable,
        answer=outcome.answer,
        gold=question.gold,
        status=outcome.status,
        evidence_read=None if outcome.read is None else evidence.recall(gold, outcome.read),
        evidence_cited=None if outcome.cited is None else evidence.recall(gold, outcome.cited),
        citation_precision=None if outcome.cited is None else evidence.precision(gold, outcome.cited),
        calls=outcome.calls,
        prompt_tokens=outcome.prompt_tokens,
        completion_tokens=outcome.completion_tokens,
        seconds=round(outcome.seconds, 2),
        tokens_in_scope=outcome.tokens_in_scope,
        tokens_read=outcome.tokens_read,
        cost_usd=float(price.of(outcome.prompt_tokens, outcome.completion_tokens)) if price else None,
        error=outcome.error,
        question=question.text,
    )


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Means and sums over the rows, the score with its interval of 95 %; None for what no row tells."""
    scores = [row.score for row in rows]
    low, high = interval(scores)
    return {
        "questions": len(rows),
        "score": _mean(scores),
        "score_low": round(low, 4),
        "score_high": round(high, 4),
        "score_answerable": _mean([row.score for row in rows if row.answerable]),
        "refused_unanswerable": _mean([row.score for row in rows if not row.answerable]),
        "evidence_read": _mean([row.evidence_read for row in rows]),
        "evidence_cited": _mean([row.evidence_cited for row in rows]),
        "citation_precision": _mean([row.citation_precision for row in rows]),
        "calls": sum(row.calls for row in rows),
        "prompt_tokens": sum(row.prompt_tokens for row in rows),
        "completion_tokens": sum(row.completion_tokens for row in rows),
        "seconds": round(sum(row.seconds for row in rows), 1),
        "seconds_median": round(statistics.median(row.seconds for row in rows), 2) if rows else None,
        "coverage": _mean([_coverage(row) for row in rows]),
        "cost_usd": _sum([row.cost_usd for row in rows]),
        "errors": sum(bool(row.error) for row in rows),
    }


def _coverage(row: Row) -> float | None:
    return row.tokens_read / row.tokens_in_scope if row.tokens_read is not None and row.tokens_in_scope else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.fmean(known), 4) if known else None


def _sum(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 6) if known else None
