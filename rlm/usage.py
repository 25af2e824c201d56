"""The cost of language model calls, in the model's own tokens."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """Requests sent and tokens read and written; tokens are 0 for a server that does not count them."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )
