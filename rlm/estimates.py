"""Estimates the cost of judging many records before anything is spent: calls, tokens, seconds and money.

The actual cost should be within a factor of two of the estimate.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from math import ceil

from ingest.storage.remarks import Remark
from rlm.errors import RunTooLargeError
from rlm.llm.budgets import Limits
from rlm.llm.profiles import ModelProfile
from rlm.operators.cascade import CascadeLimits
from rlm.operators.packing import PackLimits
from rlm.requests import AnswerOptions
from rlm.tables.searched import ReadingSize

# Limits on work without confirmation. The limits are about the time that users are willing to wait, and an amount of
# money that hardly matters. Work that exceeds one of the limits requires confirmation.
MAX_UNCONFIRMED_SECONDS = 900.0
MAX_UNCONFIRMED_DOLLARS = Decimal(1)
MAX_UNCONFIRMED_CALLS = 500

_PROMPT_TOKENS = 200
_TOKENS_PER_RESULT = 15
_TOKENS_PER_QUOTE = 30
# Expected fraction of records outside the sample that a cascade leaves to the model.
_CASCADE_MODEL_SHARE = 0.4
# The assumed fraction of searched documents that need a second reading. With two readings of 3 and 6 passages, the
# estimate is within a factor of two of the cost both if all documents need the second reading and if none do.
_REREAD_SHARE = 0.4
# The time of a search of one document without a reranker, measured on two cores.
_SECONDS_PER_SEARCH = 0.05


def build_unconfirmed_limits(*, is_confirmed: bool, has_model_price: bool) -> Limits:
    """Build the default limits for a request without a budget.

    Dollars are limited only if the model has a price above zero and the caller has not confirmed the cost.
    """
    dollars = MAX_UNCONFIRMED_DOLLARS if has_model_price and not is_confirmed else None
    return Limits(calls=MAX_UNCONFIRMED_CALLS, seconds=MAX_UNCONFIRMED_SECONDS, dollars=dollars)


@dataclass(frozen=True)
class CostEstimate:
    """The cost of a step. `dollars` is None if the model's price is unknown.

    `reread` of the records are assumed to need a second reading.
    """

    records: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    dollars: Decimal | None = Decimal(0)
    reread: int = 0

    def __add__(self, other: "CostEstimate") -> "CostEstimate":
        known = self.dollars is not None and other.dollars is not None
        return CostEstimate(
            self.records + other.records,
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.seconds + other.seconds,
            (self.dollars or Decimal(0)) + (other.dollars or Decimal(0)) if known else None,
            self.reread + other.reread,
        )

    @property
    def is_large(self) -> bool:
        """True if a caller must confirm the cost before the step starts."""
        return self.seconds > MAX_UNCONFIRMED_SECONDS or (
            self.dollars is not None and self.dollars > MAX_UNCONFIRMED_DOLLARS
        )

    def to_sentence(self) -> Remark:
        """Describe the estimate in a sentence."""
        tokens = self.prompt_tokens + self.completion_tokens
        return Remark(
            "cost",
            calls=Remark("calls", n=self.calls),
            records=Remark("records", n=self.records),
            again=Remark("cost_again", reread=self.reread) if self.reread else "",
            tokens=Remark("tokens", n=_round_to_two_significant_digits(tokens)),
            duration=_format_duration(self.seconds),
            money=f", ${self.dollars:.2f}" if self.dollars else "",
            price=Remark("cost_price_unknown") if self.dollars is None else "",
        )


def estimate_judging_cost(
    record_count: int,
    token_count: int,
    profile: ModelProfile,
    *,
    pack_limits: PackLimits,
    cascade_limits: CascadeLimits | None,
    with_values: bool = False,
    with_quotes: bool = False,
    columns: int = 1,
) -> CostEstimate:
    """Estimate the cost of judging records.

    `record_count` is their number, with identical records counted separately, and `token_count` is their total length.
    If `with_values` is true, values are extracted from the records instead of judging them. If `with_quotes` is true,
    the model is also asked for the words that support each result. `cascade_limits` is None if no classifier is used.
    `columns` is the number of results for each record.
    """
    if not record_count:
        return CostEstimate()
    read = _estimate_read_records(record_count, None if with_values else cascade_limits)
    each = token_count / record_count
    parts = ceil(each / pack_limits.tokens)
    calls = (
        ceil(read * parts)
        if parts > 1
        else ceil(read / max(1, min(pack_limits.records, int(pack_limits.tokens / max(1.0, each)))))
    )
    prompt = int(calls * _PROMPT_TOKENS + read * each)
    completion = int(read * parts * _TOKENS_PER_RESULT * (2 if with_values else 1) * columns)
    if with_quotes:
        completion += int(read * _TOKENS_PER_QUOTE * columns)
    seconds = prompt / profile.read_speed + completion / profile.write_speed
    dollars = None if profile.price is None else profile.price.compute_cost(prompt, completion)
    return CostEstimate(record_count, calls, prompt, completion, seconds, dollars)


def estimate_searched_judging(
    tokens: Sequence[int],
    profile: ModelProfile,
    size: ReadingSize,
    *,
    pack: PackLimits,
    values: bool = False,
    quoting: bool = False,
) -> CostEstimate:
    """Estimate the cost of judging documents, with these numbers of tokens, by passages found in each of them.

    Every document is searched once for each column, and its start and best passages are read. It is assumed that
    `_REREAD_SHARE` of the documents need the second reading, and that the same share of those that are short enough are
    then read whole.
    """
    again = ceil(_REREAD_SHARE * len(tokens))
    short = [each for each in tokens if each < size.max_whole_tokens]
    whole = round(_REREAD_SHARE**2 * len(short))
    readings = [(len(tokens), len(tokens) * size.first_tokens), (again, again * size.more_tokens)]
    readings.append((whole, whole * sum(short) // max(1, len(short))))
    total = CostEstimate(seconds=len(tokens) * size.columns * _SECONDS_PER_SEARCH)
    for records, length in readings:
        total += estimate_judging_cost(
            records,
            length,
            profile,
            pack_limits=pack,
            cascade_limits=None,
            with_values=values,
            with_quotes=quoting,
            columns=size.columns,
        )
    return replace(total, records=len(tokens), reread=again)


def require_confirmation(estimate: CostEstimate, options: AnswerOptions) -> None:
    """Raise `RunTooLargeError` if the estimate is large and the caller neither confirmed the cost nor set a budget."""
    if estimate.is_large and not options.confirm and options.limits is None:
        raise RunTooLargeError(estimate.to_sentence())


def format_limits(limits: Limits) -> str:
    """Describe the spending limits of a run. Returns an empty string if there are none."""
    counted = {
        "calls_of_model": limits.calls,
        "tokens_to_read": limits.prompt_tokens,
        "tokens_to_write": limits.completion_tokens,
        "tokens_to_read_and_write": limits.tokens,
    }
    parts = [Remark(code, n=count) for code, count in counted.items() if count is not None]
    if limits.seconds is not None:
        parts.append(_format_duration(limits.seconds))
    if limits.dollars is not None:
        parts.append(Remark("dollars", amount=f"${limits.dollars:.{2 if limits.dollars >= 1 else 4}f}"))
    return Remark("limits", parts=parts) if parts else ""


def _estimate_read_records(record_count: int, cascade_limits: CascadeLimits | None) -> float:
    """Estimate how many of the records the model itself reads."""
    if cascade_limits is None or cascade_limits.should_read_all(record_count):
        return record_count
    return cascade_limits.sample + _CASCADE_MODEL_SHARE * (record_count - cascade_limits.sample)


def _round_to_two_significant_digits(number: int) -> int:
    """Round to two significant figures, because more figures would suggest false precision."""
    return round(number, -max(0, len(str(number)) - 2))


def _format_duration(seconds: float) -> Remark:
    if seconds < 90:
        return Remark("seconds", seconds=max(1, round(seconds)))
    return (
        Remark("minutes", minutes=round(seconds / 60))
        if seconds < 5400
        else Remark("hours", hours=round(seconds / 3600, 1))
    )
