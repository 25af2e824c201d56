"""Small-to-big retrieval: search small chunks, but return each hit with the surrounding text."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile

from ingest.storage.texts.chunks import Chunk


@dataclass(frozen=True)
class ChunkRange:
    """Adjacent chunks of one version, from ordinal `first` to ordinal `last`.

    `gap_after` is true if text between the last chunk and the next one is in no chunk, such as most rows of a very long
    table.
    """

    version_id: str
    first: int
    last: int
    gap_after: bool = False

    def touches(self, other: "ChunkRange") -> bool:
        """Return whether the ranges overlap, or are adjacent without a gap between them."""
        one, next_ = sorted((self, other), key=lambda stretch: stretch.first)
        # guard: no-join-over-gap
        return self.version_id == other.version_id and next_.first <= one.last + (not one.gap_after)


def widen_chunk(chunks: Sequence[Chunk], version_id: str, ordinal: int, *, max_chars: int) -> ChunkRange:
    """Extend a chunk by neighbours under the same headings, alternately after and before it, up to `max_chars`.

    A chunk that is already longer stays unchanged.
    """
    first = last = ordinal
    after_first = True
    while True:
        sides = [(first, last + 1), (first - 1, last)]
        for low, high in sides if after_first else reversed(sides):
            if _is_single_section(chunks, low, high, ordinal) and chunks[high].end - chunks[low].start <= max_chars:
                after_first = low < first
                first, last = low, high
                break
        else:
            gap = last + 1 < len(chunks) and chunks[last + 1].start - chunks[last].end > max_chars
            return ChunkRange(version_id, first, last, gap)


def merge_ranges(ranges: Sequence[ChunkRange]) -> list[tuple[ChunkRange, list[int]]]:
    """Merge ranges that touch. Each merged range takes the position of the first range merged into it.

    Returns each merged range with the positions of its original ranges. Ranges are never extended across headings, so
    ranges under different headings touch only if they are adjacent.
    """
    merged: list[tuple[ChunkRange, list[int]]] = []
    for position, stretch in enumerate(ranges):
        members = [position]
        apart: list[tuple[ChunkRange, list[int]]] = []
        place = len(merged)
        for index, (other, positions) in enumerate(merged):
            if not stretch.touches(other):
                apart.append((other, positions))
                continue
            place = min(place, index)
            members = [*positions, *members]
            later = max(stretch, other, key=lambda each: each.last)
            stretch = ChunkRange(stretch.version_id, min(stretch.first, other.first), later.last, later.gap_after)
        apart.insert(place, (stretch, sorted(members)))
        merged = apart
    return merged


def find_common_headings(chunks: Sequence[Chunk]) -> tuple[str, ...]:
    """Return the headings that all chunks have in common."""
    levels = zip(*(chunk.heading_path for chunk in chunks), strict=False)
    return tuple(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))


def _is_single_section(chunks: Sequence[Chunk], first: int, last: int, ordinal: int) -> bool:
    inside = first >= 0 and last < len(chunks)
    return inside and chunks[first].heading_path == chunks[last].heading_path == chunks[ordinal].heading_path
