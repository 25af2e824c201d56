"""Rows of a benchmark: one question's outcome with its scores, and the sums over many."""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.benchmark.tasks.folder import GoldSpan, Question
from tests.benchmark.tasks.scoring import score

_Z = 1.959964
_SHOWN_CHARS = 60
# A citation of a whole chapter does not say where the answer is.
_LONGEST_CITATION_CHARS = 2_000


@dataclass(frozen=True)
class Outcome:
    """What one system did with one question; `declined` is None where only its text tells.

    `cited` is None where the system cites nothing by construction. `error` says why there is no answer. Tokens are of
    the model's own counting; `tokens_read` are those of the documents that a model read, of `tokens_in_scope`.
    """

    answer: str = ""
    declined: bool | None = None
    cited: Sequence[GoldSpan] | None = None
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    tokens_in_scope: int = 0
    tokens_read: int = 0
    error: str = ""


@dataclass(frozen=True)
class Row:
    """A scored outcome; an error scores 0, also where declining would have been right."""

    question: Question
    outcome: Outcome

    @property
    def score(self) -> float:
        return 0.0 if self.outcome.error else score(self.question, self.outcome.answer, declined=self.outcome.declined)

    @property
    def evidence_cited(self) -> float | None:
        """The share of gold spans of which half or more lies in a citation; None where there is nothing to cite."""
        gold, cited = self.question.evidence, self.outcome.cited
        if not gold or cited is None:
            return None
        covered = [any(2 * _overlap(span, each) >= span.end - span.start for each in cited) for span in gold]
        return sum(covered) / len(gold)

    @property
    def citation_precision(self) -> float | None:
        """The share of citations that touch a gold span and are short enough to point at it."""
        gold, cited = self.question.evidence, self.outcome.cited
        if not gold or not cited:
            return None
        short = [each for each in cited if each.end - each.start <= _LONGEST_CITATION_CHARS]
        return sum(any(_overlap(span, each) > 0 for span in gold) for each in short) / len(cited)

    def to_json(self) -> dict[str, Any]:
        asked, said = self.question, self.outcome
        return {
            "id": asked.id,
            "kind": asked.kind,
            "gold": asked.gold,
            "answer": said.answer,
            "score": self.score,
            "evidence_cited": self.evidence_cited,
            "citation_precision": self.citation_precision,
            "calls": said.calls,
            "prompt_tokens": said.prompt_tokens,
            "completion_tokens": said.completion_tokens,
            "seconds": round(said.seconds, 2),
            "error": said.error,
        }


def summarize(rows: Sequence[Row]) -> dict[str, Any]:
    """Means and sums over the rows, and the interval of 95 % of the share that is exact; None for what no row tells."""
    low, high = wilson(sum(row.score == 1.0 for row in rows), len(rows))
    said = [row.outcome for row in rows]
    return {
        "questions": len(rows),
        "exact": sum(row.score == 1.0 for row in rows),
        "exact_low": round(low, 3),
        "exact_high": round(high, 3),
        "score": _mean(row.score for row in rows),
        "score_unanswerable": _mean(row.score for row in rows if not row.question.answerable),
        "evidence_cited": _mean(row.evidence_cited for row in rows),
        "citation_precision": _mean(row.citation_precision for row in rows),
        "calls": sum(each.calls for each in said),
        "prompt_tokens": sum(each.prompt_tokens for each in said),
        "completion_tokens": sum(each.completion_tokens for each in said),
        "seconds": round(sum(each.seconds for each in said), 1),
        "coverage": _mean(each.tokens_read / each.tokens_in_scope for each in said if each.tokens_in_scope),
        "errors": sum(bool(each.error) for each in said),
    }


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """The interval of 95 % of a proportion; (0, 1) of no trial. Source: Wilson, JASA 22 (1927)."""
    if not trials:
        return 0.0, 1.0
    share, squared = successes / trials, _Z**2
    center = (share + squared / (2 * trials)) / (1 + squared / trials)
    half = _Z / (1 + squared / trials) * math.sqrt(share * (1 - share) / trials + squared / (4 * trials**2))
    return max(0.0, center - half), min(1.0, center + half)


def print_rows(rows: Sequence[Row]) -> None:
    """A line for each question."""
    table = Table("question", "kind", "gold", "answer", "score", "calls", "tokens", "s")
    for row in rows:
        said = row.outcome
        table.add_row(
            row.question.id,
            row.question.kind,
            escape("; ".join(row.question.gold)[:_SHOWN_CHARS] or "not there"),
            escape(" ".join((said.error or said.answer).split())[:_SHOWN_CHARS]),
            f"{row.score:.2f}",
            f"{said.calls:,}",
            f"{said.prompt_tokens + said.completion_tokens:,}",
            f"{said.seconds:.1f}",
        )
    Console().print(table)


def print_sums(sums: Mapping[str, Mapping[str, Any]]) -> None:
    """A column for each of several measurements, by its name."""
    table = Table("figure", *sums)
    for name in dict.fromkeys(name for each in sums.values() for name in each):
        values = [each.get(name) for each in sums.values()]
        table.add_row(name, *(f"{each:,}" if isinstance(each, int | float) else str(each or "") for each in values))
    Console().print(table)


def _overlap(one: GoldSpan, other: GoldSpan) -> int:
    return min(one.end, other.end) - max(one.start, other.start) if one.document == other.document else 0


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(statistics.fmean(known), 4) if known else None
