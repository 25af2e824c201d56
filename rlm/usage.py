"""What calls of a language model cost, in tokens of the model's own counting."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Usage:
    """Requests sent and tokens read and written; a server that does not count leaves tokens at 0."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )
