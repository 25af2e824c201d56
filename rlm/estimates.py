"""Estimates what judging many records will cost, before anything is spent: calls, tokens, seconds and money.

Estimates are meant to be within a factor of two.
"""

from dataclasses import dataclass
from decimal import Decimal
from math import ceil

from rlm.errors import RunTooLargeError
from rlm.llm.budgets import Limits
from rlm.llm.profiles import ModelProfile
from rlm.operators.cascade import CascadeLimits
from rlm.operators.packing import PackLimits
from rlm.requests import Wanted

# Work over these limits needs confirmation: about as long as people wait, and as much money as nobody misses.
UNASKED_SECONDS = 900.0
UNASKED_DOLLARS = Decimal(1)
UNASKED_CALLS = 500

_PROMPT_TOKENS = 200
_TOKENS_PER_RESULT = 15
_TOKENS_PER_QUOTE = 30
# The share of the records outside its sample that a cascade leaves to the model.
_LEFT_BY_CASCADE = 0.4


def unasked(*, is_confirmed: bool, model_costs: bool) -> Limits:
    """Return the limits without a caller's budget; dollars too if the model costs money and nobody confirmed."""
    dollars = UNASKED_DOLLARS if model_costs and not is_confirmed else None
    return Limits(calls=UNASKED_CALLS, seconds=UNASKED_SECONDS, dollars=dollars)


@dataclass(frozen=True)
class Estimate:
    """The cost of a step. `dollars` is None if the model's price is unknown."""

    records: int = 0
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    seconds: float = 0.0
    dollars: Decimal | None = Decimal(0)

    def __add__(self, other: "Estimate") -> "Estimate":
        known = self.dollars is not None and other.dollars is not None
        return Estimate(
            self.records + other.records,
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.seconds + other.seconds,
            (self.dollars or Decimal(0)) + (other.dollars or Decimal(0)) if known else None,
        )

    @property
    def large(self) -> bool:
        """True if a caller has to agree before the step begins."""
        return self.seconds > UNASKED_SECONDS or (self.dollars is not None and self.dollars > UNASKED_DOLLARS)

    def sentence(self) -> str:
        """Return the estimate as a sentence for people."""
        tokens = self.prompt_tokens + self.completion_tokens
        money = "" if not self.dollars else f", ${self.dollars:.2f}"
        price = " (the model's price is not known)" if self.dollars is None else ""
        return (
            f"About {self.calls:,} calls of the language model over {self.records:,} records, "
            f"{_rounded(tokens):,} tokens, {_duration(self.seconds)}{money}{price}."
        )


def judging(
    records: int,
    tokens: int,
    profile: ModelProfile,
    *,
    pack: PackLimits,
    cascade: CascadeLimits | None,
    values: bool = False,
    quoting: bool = False,
) -> Estimate:
    """Estimate the cost of judging `records` of `tokens` in all, or of extracting values from them if `values`.

    `quoting` is also asking for the words that each rests on.

    Records with equal texts count as different. `cascade` is None if no classifier helps.
    """
    if not records:
        return Estimate()
    read = _read(records, None if values else cascade)
    each = tokens / records
    parts = ceil(each / pack.tokens)
    calls = (
        ceil(read * parts) if parts > 1 else ceil(read / max(1, min(pack.records, int(pack.tokens / max(1.0, each)))))
    )
    prompt = int(calls * _PROMPT_TOKENS + read * each)
    completion = int(read * parts * _TOKENS_PER_RESULT * (2 if values else 1))
    if quoting:
        completion += int(read * _TOKENS_PER_QUOTE)
    seconds = prompt / profile.read_speed + completion / profile.write_speed
    dollars = None if profile.price is None else profile.price.of(prompt, completion)
    return Estimate(records, calls, prompt, completion, seconds, dollars)


def require_confirmation(estimate: Estimate, wanted: Wanted) -> None:
    """Raise `RunTooLargeError` for a large estimate that the caller has neither confirmed nor set a budget for."""
    if estimate.large and not wanted.confirm and wanted.limits is None:
        raise RunTooLargeError(estimate.sentence())


def at_most(limits: Limits) -> str:
    """Return the most that a run may spend, for people; empty if nothing limits it."""
    parts = [
        "" if limits.calls is None else f"{limits.calls:,} calls of the language model",
        "" if limits.prompt_tokens is None else f"{limits.prompt_tokens:,} tokens to read",
        "" if limits.completion_tokens is None else f"{limits.completion_tokens:,} tokens to write",
        "" if limits.tokens is None else f"{limits.tokens:,} tokens to read and write",
        "" if limits.seconds is None else _duration(limits.seconds),
        "" if limits.dollars is None else f"${limits.dollars:.{2 if limits.dollars >= 1 else 4}f}",
    ]
    return f"At most {', '.join(filter(None, parts))}." if any(parts) else ""


def _read(records: int, cascade: CascadeLimits | None) -> float:
    """Return how many of the records the model reads itself."""
    if cascade is None or cascade.covers(records):
        return records
    return cascade.sample + _LEFT_BY_CASCADE * (records - cascade.sample)


def _rounded(number: int) -> int:
    """Round to two figures; more would suggest a false precision."""
    return round(number, -max(0, len(str(number)) - 2))


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
