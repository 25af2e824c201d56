"""A haystack: prose of a given size, written in one pass, with sentences inserted at given depths."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from tests.benchmark.tasks.draws import Draws
from tests.benchmark.tasks.folder import PROSE_CHARS_PER_TOKEN, DocumentWriter, GoldSpan, TaskFolder
from tests.benchmark.tasks.prose import Prose


@dataclass(frozen=True)
class Insertion:
    """A sentence and where it goes, in [0, 1) of the whole haystack."""

    text: str
    depth: float


def write_haystack(
    folder: TaskFolder, prose: Prose, insertions: Sequence[Insertion], draws: Draws, *, size_tokens: int, documents: int
) -> list[GoldSpan]:
    """The spans of the insertions, in the order given. Each stands among the sentences of a paragraph of prose."""
    order = sorted(range(len(insertions)), key=lambda index: insertions[index].depth)
    depths = [insertions[index].depth for index in order]
    spans: dict[int, GoldSpan] = {}
    chars = int(size_tokens * PROSE_CHARS_PER_TOKEN)
    before = done = 0
    for number in range(1, documents + 1):
        end = chars * number // documents
        with folder.create(f"chapter-{number:04d}.txt") as document:
            while before + document.position < end or (number == documents and done < len(order)):
                due = bisect_right(depths, (before + document.position) / chars, done)
                here = order[done:due]
                texts = [insertions[index].text for index in here]
                spans.update(zip(here, write_paragraph(document, prose.paragraph(), texts, draws), strict=True))
                done = due
            before += document.position
    return [spans[index] for index in range(len(insertions))]


def write_paragraph(
    document: DocumentWriter, sentences: list[str], inserted: Sequence[str], draws: Draws
) -> list[GoldSpan]:
    """The spans of `inserted`, which are put between sentences in the order given."""
    places = sorted(draws.between(0, len(sentences)) for _ in inserted)
    pieces: list[tuple[str, bool]] = [(sentence, False) for sentence in sentences]
    for offset, (place, text) in enumerate(zip(places, inserted, strict=True)):
        pieces.insert(place + offset, (text, True))
    if document.position:
        document.write("\n\n")
    spans: list[GoldSpan] = []
    for number, (text, is_inserted) in enumerate(pieces):
        if number:
            document.write(" ")
        span = document.write(text)
        if is_inserted:
            spans.append(span)
    return spans
