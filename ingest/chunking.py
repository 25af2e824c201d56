"""Cut normalized text into chunks along its structure, with exact code-point spans.

A chunk never crosses a heading. Inside a section the cut prefers, in order, a blank line, a line end (list items,
table rows, code), a sentence end, any white space, and only then the bare limit. There is no overlap: measured
studies find no gain from it, and without it every code point of a text belongs to one chunk at most.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

DEFAULT_MAX_CHARS = 1000  # about 245 tokens of English at 4.07 characters a token; the encoder reads 256
_CONTEXT_CHARS = 200


@dataclass(frozen=True)
class Chunk:
    """The half-open code-point span `[start, end)` of one version's normalized text; `text[start:end]` is the chunk.

    `ordinal` counts from 0 in reading order. `heading_path` runs from the outermost heading to the innermost. `page`
    counts from 1 and is the page on which the chunk starts.
    """

    ordinal: int
    start: int
    end: int
    heading_path: tuple[str, ...]
    page: int | None


@dataclass(frozen=True)
class _Section:
    start: int
    end: int
    heading_path: tuple[str, ...]


_HEADING_OR_FENCE = re.compile(
    r"^(?P<marks>#{1,6})[ \t]+(?P<title>\S[^\n]*)$|^[ ]{0,3}(?P<fence>`{3,}|~{3,})", re.MULTILINE
)
_TRAILING_MARKS = re.compile(r"[ \t]+#+[ \t]*$")
_CUTS = (
    re.compile(r"\n[ \t]*\n"),
    re.compile(r"\n"),
    re.compile(r"[.!?。！？][\"'”’)\]]*[ \t]"),
    re.compile(r"\s"),
)


def chunker_fingerprint(max_chars: int = DEFAULT_MAX_CHARS) -> str:
    """Name every choice that changes spans; the name is part of each version's id."""
    return f"structure-1/{max_chars}"


def chunk_text(
    text: str, *, markdown: bool, pages: Sequence[int] = (), max_chars: int = DEFAULT_MAX_CHARS
) -> list[Chunk]:
    """Cut `text` into chunks in reading order: disjoint, at most `max_chars` long, and only white space between them.

    `pages` holds the offset at which each page starts. With `markdown` false, `#` at a line's start is plain text.
    Time is linear in the text.
    """
    if max_chars < 16:
        raise ValueError("max_chars must be at least 16")
    sections = _sections(text) if markdown else [_Section(0, len(text), ())]
    chunks: list[Chunk] = []
    for section in sections:
        for start, end in _split(text, section.start, section.end, max_chars):
            page = bisect_right(pages, start) if pages else None
            chunks.append(Chunk(len(chunks), start, end, section.heading_path, page or None))
    return chunks


def context_line(title: str | None, heading_path: Sequence[str]) -> str:
    """Make the line put before a chunk for both BM25 and the embedding: `Title > Part > Chapter`.

    Consecutive repetitions are dropped (a book's title is often its first heading).
    """
    parts: list[str] = []
    for part in (title or "", *heading_path):
        if part and (not parts or parts[-1].casefold() != part.casefold()):
            parts.append(part)
    return " > ".join(parts)[:_CONTEXT_CHARS]


def _sections(text: str) -> list[_Section]:
    """Cut the text before every Markdown heading; a heading without text below it joins the next section."""
    sections: list[_Section] = []
    path: list[tuple[int, str]] = []
    start = body = 0
    for level, title, at, after in _headings(text):
        if text[body:at].strip():
            sections.append(_Section(start, at, tuple(name for _, name in path)))
            start = at
        path = [(depth, name) for depth, name in path if depth < level] + [(level, title)]
        body = after
    sections.append(_Section(start, len(text), tuple(name for _, name in path)))
    return sections


def _headings(text: str) -> Iterator[tuple[int, str, int, int]]:
    """Yield `(level, title, start, end of line)` of each ATX heading outside code fences."""
    fence = ""
    for match in _HEADING_OR_FENCE.finditer(text):
        mark = match["fence"]
        if mark:
            if not fence:
                fence = mark
            elif mark[0] == fence[0] and len(mark) >= len(fence):
                fence = ""
        elif not fence:
            yield len(match["marks"]), _TRAILING_MARKS.sub("", match["title"]).strip(), match.start(), match.end()


def _split(text: str, start: int, end: int, max_chars: int) -> Iterator[tuple[int, int]]:
    """Yield spans of about equal length, at most `max_chars`, that leave out only white space between them."""
    while True:
        start, end = _trim(text, start, end, max_chars)
        length = end - start
        if length <= 0:
            return
        if length <= max_chars:
            yield start, end
            return
        target = length // -(-length // max_chars)
        cut = _best_cut(text, start, start + target, start + max_chars)
        piece_start, piece_end = start, cut
        while text[piece_end - 1].isspace():
            piece_end -= 1
        yield piece_start, piece_end
        start = cut


def _trim(text: str, start: int, end: int, window: int) -> tuple[int, int]:
    while start < end and text[start].isspace():
        start += 1
    # Only an end inside the next chunk matters; a later end is trimmed when the last chunk is cut.
    if end - start <= window:
        while end > start and text[end - 1].isspace():
            end -= 1
    return start, end


def _best_cut(text: str, start: int, target: int, limit: int) -> int:
    """Find the best kind of cut in the window's second half, nearest to `target`; `limit` where there is none."""
    earliest = start + (target - start) // 2
    for pattern in _CUTS:
        ends = [match.end() for match in pattern.finditer(text, earliest, limit)]
        if ends:
            return min(ends, key=lambda at: abs(at - target))
    return limit
