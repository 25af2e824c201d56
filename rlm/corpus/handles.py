"""Handles are spans of documents that can be sliced, stored and compared without loading their text."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Handle:
    """The code points `[start, end)` of one version's normalized text.

    A slice of a handle is the handle of the sliced text: `text(h[a:b]) == text(h)[a:b]`, where negative and omitted
    bounds work as in Python. A piece cut from a document therefore keeps its position in the document.
    """

    document_id: str
    version_id: str
    start: int
    end: int

    def __post_init__(self) -> None:
        if not 0 <= self.start <= self.end:
            raise ValueError(f"a handle requires 0 <= start <= end, not start={self.start} and end={self.end}")

    def __len__(self) -> int:
        return self.end - self.start

    def __bool__(self) -> bool:
        return True

    def __getitem__(self, bounds: slice) -> "Handle":
        if not isinstance(bounds, slice) or bounds.step not in (None, 1):
            raise TypeError("a handle can only be sliced without a step: handle[a:b]")
        start, end, _ = bounds.indices(len(self))
        return Handle(self.document_id, self.version_id, self.start + start, self.start + max(start, end))

    def contains(self, other: "Handle") -> bool:
        """Return whether `other` lies within this span."""
        return self.version_id == other.version_id and self.start <= other.start and other.end <= self.end


def merge_spans(spans: Iterable[Handle], *, merge_adjacent: bool = True) -> list[Handle]:
    """Return the spans of one version in order, with overlapping spans merged.

    If `merge_adjacent` is true, adjacent spans are also merged.
    """
    found: list[Handle] = []
    for span in sorted(spans, key=lambda each: (each.start, each.end)):
        if found and (span.start < found[-1].end or (merge_adjacent and span.start == found[-1].end)):
            last = found[-1]
            found[-1] = Handle(last.document_id, last.version_id, last.start, max(last.end, span.end))
        else:
            found.append(span)
    return found
