"""What callers must know of a model before they write a prompt for it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelProfile:
    """A chat model's name and sizes; prompt and answer together must fit `context_tokens`."""

    name: str
    context_tokens: int
    max_output_tokens: int

    def __post_init__(self) -> None:
        if not 0 < self.max_output_tokens < self.context_tokens:
            raise ValueError(
                f"{self.name}: max_output_tokens ({self.max_output_tokens}) must be positive and leave room for a "
                f"prompt in context_tokens ({self.context_tokens})"
            )

    @property
    def max_prompt_tokens(self) -> int:
        """The longest prompt that leaves room for the longest answer."""
        return self.context_tokens - self.max_output_tokens


LOCAL_QWEN = ModelProfile(name="qwen2.5-coder-1.5b-instruct", context_tokens=8192, max_output_tokens=1024)
