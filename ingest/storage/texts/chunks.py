"""Chunks of a text: their spans, and the context line that precedes each chunk."""

from collections.abc import Sequence
from dataclasses import dataclass

# This is about 245 tokens of English text, at 4.07 characters per token. The encoder reads 256 tokens.
DEFAULT_MAX_CHARS = 1000
_MAX_CONTEXT_CHARS = 200


@dataclass(frozen=True)
class Chunk:
    """A chunk of a version's normalized text: the half-open span of code points `[start, end)`.

    `ordinal` counts from 0 in reading order. `heading_path` runs from the outermost to the innermost heading. `page` is
    the number of the page, slide or sheet on which the chunk starts, counted from 1.
    """

    ordinal: int
    start: int
    end: int
    heading_path: tuple[str, ...]
    page: int | None


def build_context_line(title: str | None, heading_path: Sequence[str]) -> str:
    """Build the line that precedes a chunk in BM25 and in embedding, for example `Title > Part > Chapter`.

    Consecutive repetitions are dropped, because a book's title is often also its first heading.
    """
    parts: list[str] = []
    for part in (title or "", *heading_path):
        if part and (not parts or _fold_title(parts[-1]) != _fold_title(part)):
            parts.append(part)
    return " > ".join(parts)[:_MAX_CONTEXT_CHARS]


def _fold_title(title: str) -> str:
    """Normalize a title for comparison: fold case, and replace typographic quotation marks and dashes."""
    return title.casefold().translate(_PLAIN_PUNCTUATION)


_PLAIN_PUNCTUATION = str.maketrans("‘’“”–—", "''\"\"--")
