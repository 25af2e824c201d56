"""What tokens cost in US dollars. Amounts are decimal, so that what is reserved and given back adds up to nothing."""

from dataclasses import dataclass
from decimal import Decimal

_MILLION = Decimal(1_000_000)


@dataclass(frozen=True)
class Price:
    """Dollars for a million tokens read and for a million written."""

    prompt: Decimal
    completion: Decimal

    def __post_init__(self) -> None:
        if not (self.prompt.is_finite() and self.completion.is_finite() and min(self.prompt, self.completion) >= 0):
            raise ValueError(f"a price is a number of dollars from 0 up, not {self.prompt} and {self.completion}")

    def of(self, prompt_tokens: int, completion_tokens: int) -> Decimal:
        """Dollars for one call."""
        return (self.prompt * prompt_tokens + self.completion * completion_tokens) / _MILLION


FREE = Price(Decimal(0), Decimal(0))
"""Of a model on one's own machine: it costs time, not money."""
