"""Passages as a retriever gives them, made of a text alone."""

from retrieval.search.requests import Passage


def passage(
    text: str,
    *,
    document: str = "doc-1",
    title: str = "Handbook",
    heading_path: tuple[str, ...] = (),
    start: int = 0,
    page: int | None = None,
    rank: int = 1,
    cosine: float | None = 0.6,
) -> Passage:
    """A passage that starts at code point `start` of its version's text."""
    return Passage(
        document_id=document,
        version_id=f"{document}-v1",
        title=title,
        heading_path=heading_path,
        start=start,
        end=start + len(text),
        page=page,
        text=text,
        rank=rank,
        score=1 / rank,
        cosine=cosine,
    )
