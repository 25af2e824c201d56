"""Formats counts for messages."""


def format_count(count: float, noun: str) -> str:
    """Return a count and its noun, in the plural unless the count is 1: "1 call", "2,000 calls", "0.5 seconds"."""
    number = f"{count:,}" if isinstance(count, int) else f"{count:g}"
    return f"{number} {noun}{'' if count == 1 else 's'}"
