"""Passages that a model reads: a span of one version's normalized text, its location, and how it was found."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Passage:
    """Text of one version between two code points; `text == normalized_text[start:end]`.

    `page` counts from 1 and is None where the format has no pages, slides or sheets; `place` says where the passage
    stands in its file (`page 12`, `sheet Costs, rows 4 to 9`). `table_header` is the header of the table in whose rows
    the passage begins, for whoever reads it; it is not part of the text. `rank` counts from 1, best first. `cosine` is
    the best similarity of question and passage by the bi-encoder, in [-1, 1], and `nearest` is the similarity of the
    question and the passage's nearest sentence; each is None if it was not computed.
    """

    document_id: str
    version_id: str
    title: str
    heading_path: tuple[str, ...]
    start: int
    end: int
    page: int | None
    text: str
    rank: int
    score: float
    cosine: float | None = None
    nearest: float | None = None
    place: str = ""
    table_header: str = ""
