"""The lines above and below a table in the text of its document, for documents of any format.

These lines contain facts that are in no cell, for example that amounts are in millions, the reporting date, or that a
footnote excludes something.
"""

from collections.abc import Sequence

from ingest.storage.tables.profiles import ELLIPSIS, truncate_text
from ingest.storage.tables.types import RecordTable
from rlm.corpus.corpus import Corpus, CorpusDocument
from rlm.tables.description import Surroundings

_READ_CHARS = 1_200
_ABOVE_CHARS = 400
_BELOW_CHARS = 300
# Maximum distance between adjacent tables, in characters. Adjacent tables have at most a blank line between them.
_BLANK_LINE = len("\n\n")
_ROW, _HEADING = "|", "#"


def load_surroundings(
    corpus: Corpus, document: CorpusDocument, table: RecordTable, all_tables: Sequence[RecordTable]
) -> Surroundings:
    """Return the lines around a table. `all_tables` are the tables of its document, in reading order.

    Adjacent tables share the text above the first and below the last of them. Raises `UnknownHandleError` if the
    document is not in scope.
    """
    before = [each for each in all_tables if each.end <= table.start]
    after = [each for each in all_tables if each.start >= table.end]
    start, end = table.start, table.end
    while before and start - before[-1].end <= _BLANK_LINE:
        start = before.pop().start
    while after and after[0].start - end <= _BLANK_LINE:
        end = after.pop(0).end
    first = max(before[-1].end if before else 0, start - _READ_CHARS)
    last = min(after[0].start if after else document.characters, end + _READ_CHARS)
    above = _extract_text_above(corpus.load_text(document.handle[first:start]))
    below = _extract_text_below(
        corpus.load_text(document.handle[end:last]), belongs_to_next=bool(after) and last == after[0].start
    )
    return Surroundings(table.name, table.rows, above, below)


def _extract_text_above(text: str) -> str:
    """Return the paragraphs directly above a table, and the headings above these paragraphs."""
    taken: list[str] = []
    for paragraph in reversed(_split_paragraphs(text)):
        is_heading = paragraph.startswith(_HEADING)
        if paragraph.startswith(_ROW) or (taken and taken[-1].startswith(_HEADING) and not is_heading):
            break
        taken.append(paragraph)
    found = " / ".join(paragraph.lstrip(_HEADING).strip() for paragraph in reversed(taken))
    return found if len(found) <= _ABOVE_CHARS else f"{ELLIPSIS}{found[-_ABOVE_CHARS:]}"


def _extract_text_below(text: str, *, belongs_to_next: bool) -> str:
    """Return the paragraphs between a table and the next heading.

    If the last paragraph belongs to the next table, it is omitted.
    """
    paragraphs = _split_paragraphs(text)
    taken: list[str] = []
    for paragraph in paragraphs[: len(paragraphs) - belongs_to_next]:
        if paragraph.startswith((_HEADING, _ROW)):
            break
        taken.append(paragraph)
    return truncate_text(" / ".join(taken), _BELOW_CHARS)


def _split_paragraphs(text: str) -> list[str]:
    return [paragraph.strip() for paragraph in text.split("\n\n") if paragraph.strip()]
