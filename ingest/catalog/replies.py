"""Replies of language models by the content of what was asked, so that nobody pays twice for the same question."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StoredReply:
    """A reply and what it cost; `key` is a SHA-256 of the call in hexadecimal digits."""

    key: str
    text: str
    calls: int
    prompt_tokens: int
    completion_tokens: int

    @property
    def size_bytes(self) -> int:
        """Room it takes, with its key and counts."""
        return len(self.text.encode()) + 200
