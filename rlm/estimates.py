"""What an exhaustive answer will cost, before anything is spent: calls, tokens, time and money, from the plan and a
sample of the records. Meant to be within a factor of two."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from math import ceil
from statistics import fmean

from rlm.cancelling import not_cancelled
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.llm.budgets import Limits
from rlm.llm.profiles import ModelProfile
from rlm.llm.tokens import estimated_tokens
from rlm.operators.cascade import CascadeLimits
from rlm.operators.consensus import FEWEST_RECORDS
from rlm.operators.packing import PackLimits
from rlm.operators.prompts import one_line
from rlm.operators.reading import PROBED
from rlm.operators.weighing import MOST_LABELS, MOST_WRITTEN_CHARS, RecordsWeighed
from rlm.plan.executor import projection, rows_kept
from rlm.plan.layout import Layout, spread
from rlm.plan.plan import Classify, Extract, Filter, JudgePairs, Plan, Step
from rlm.plan.record_pairs import number_of_pairs

# Over these nothing is begun without being asked: about what somebody waits for, and what nobody misses.
UNASKED_SECONDS = 900.0
UNASKED_DOLLARS = Decimal(1)

_PROMPT_TOKENS = 120
_TOKENS_PER_CHOICE = 8
_TOKENS_PER_VALUE = 15
# Of records after the first, those read a second time: none by a model that agrees with itself, else all.
_READ_AGAIN = 0.5
# Of records outside the sample, those that a cascade leaves to the model.
_LEFT_BY_CASCADE = 0.4


@dataclass(frozen=True)
class Estimate:
    """`dollars` is None where the model's price is not known. `records` is how many there are to judge."""

    records: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    dollars: Decimal | None = Decimal(0)

    @property
    def large(self) -> bool:
        """Whether it takes a word of the caller's to begin."""
        return self.seconds > UNASKED_SECONDS or (self.dollars is not None and self.dollars > UNASKED_DOLLARS)

    def sentence(self) -> str:
        """For people."""
        tokens = self.prompt_tokens + self.completion_tokens
        money = "" if not self.dollars else f", ${self.dollars:.2f}"
        price = " (the model's price is not known)" if self.dollars is None else ""
        return (
            f"About {self.calls:,} calls of the language model over {self.records:,} records, "
            f"{_rounded(tokens):,} tokens, {_duration(self.seconds)}{money}{price}."
        )


def estimate(
    plan: Plan,
    layout: Layout,
    corpus: Corpus,
    profile: ModelProfile,
    *,
    pack: PackLimits,
    cascade: CascadeLimits,
    weigh: bool = False,
    cancelled: Callable[[], bool] = not_cancelled,
) -> Estimate:
    """Records with equal texts are counted as if they were not; `weigh` where labels are weighed instead of read.

    Where a plan keeps some records, all are looked at to know how many. Raises `RunCancelledError`, and
    `NotExhaustiveError` for more pairs than a model is asked about.
    """
    handles = _judged(plan, layout, corpus, cancelled) if plan.steps else ()
    if not handles:
        return Estimate()
    sample = spread(handles)
    project = projection(plan, layout.records)
    lines = [one_line(project(text), pack.record_chars) for text in corpus.read_all(sample)]
    each = fmean(map(estimated_tokens, lines))
    beginning = fmean(estimated_tokens(line[:MOST_WRITTEN_CHARS]) for line in lines)
    records = len(handles)
    total = Estimate(records)
    for step in plan.steps:
        if isinstance(step, JudgePairs):
            pairs = number_of_pairs(list(rows_kept(plan, corpus, layout.records, cancelled=cancelled)), step.key)
            calls = _calls(pairs, 2 * each, pack)
            read_twice = int(calls * _PROMPT_TOKENS + pairs * 2 * each)
            total = _plus(total, calls, read_twice, pairs * _TOKENS_PER_CHOICE)
            continue
        reads = _reads(records, cascade)
        labels = step.labels.labels if isinstance(step, Classify) else ()
        weighed = _weighed(step, records) if weigh else None
        read_once = isinstance(step, Extract) or (weigh and isinstance(step, Filter))
        if weighed is None and not read_once:
            reads += min(reads, PROBED) + _READ_AGAIN * max(0, reads - PROBED)
        calls = _calls(reads, each, pack)
        shown = _PROMPT_TOKENS + sum(estimated_tokens(label.line) for label in labels)
        written = _TOKENS_PER_VALUE * len(step.properties) if isinstance(step, Extract) else _TOKENS_PER_CHOICE
        read = each
        if weighed is not None:
            # Once with each label after the record and once after each label; of both, a number counts as written.
            calls += _calls(reads, beginning, weighed.within(pack))
            read += sum(estimated_tokens(label.name) for label in labels) + len(labels) * beginning
            written = 2 * len(labels)
        total = _plus(total, calls, int(calls * shown + reads * read), int(reads * written))
    return _priced(total, profile)


def at_most(limits: Limits) -> str:
    """What a run may spend of which nobody can say what it will, for people; empty where nothing limits it."""
    parts = [
        "" if limits.calls is None else f"{limits.calls:,} calls of the language model",
        "" if limits.prompt_tokens is None else f"{limits.prompt_tokens:,} tokens to read",
        "" if limits.completion_tokens is None else f"{limits.completion_tokens:,} tokens to write",
        "" if limits.seconds is None else _duration(limits.seconds),
        "" if limits.dollars is None else f"${limits.dollars:.{2 if limits.dollars >= 1 else 4}f}",
    ]
    return f"At most {', '.join(filter(None, parts))}." if any(parts) else ""


def _weighed(step: Step, records: int) -> RecordsWeighed | None:
    """The second of the questions that are asked where labels are weighed, as those of this step are."""
    if not isinstance(step, Classify) or len(step.labels.names) > MOST_LABELS or records < FEWEST_RECORDS:
        return None
    return RecordsWeighed(step.labels)


def _calls(reads: float, tokens: float, pack: PackLimits) -> int:
    """For records of so many tokens each."""
    return ceil(reads / max(1, min(pack.records, int(pack.tokens / max(1.0, tokens)))))


def _judged(plan: Plan, layout: Layout, corpus: Corpus, cancelled: Callable[[], bool]) -> Sequence[Handle]:
    if not plan.where:
        return layout.records.handles
    return [row.handle for row in rows_kept(plan, corpus, layout.records, cancelled=cancelled)]


def _reads(records: int, cascade: CascadeLimits) -> float:
    if cascade.covers(records):
        return records
    return cascade.sample + _LEFT_BY_CASCADE * (records - cascade.sample)


def _plus(total: Estimate, calls: int, prompt: int, completion: int) -> Estimate:
    return Estimate(
        total.records, total.calls + calls, total.prompt_tokens + prompt, total.completion_tokens + completion
    )


def _priced(total: Estimate, profile: ModelProfile) -> Estimate:
    seconds = total.prompt_tokens / profile.read_speed + total.completion_tokens / profile.write_speed
    price = profile.price
    dollars = None if price is None else price.of(total.prompt_tokens, total.completion_tokens)
    return Estimate(total.records, total.calls, total.prompt_tokens, total.completion_tokens, seconds, dollars)


def _rounded(number: int) -> int:
    """To two figures: more would pretend."""
    digits = max(0, len(str(number)) - 2)
    return round(number, -digits)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
