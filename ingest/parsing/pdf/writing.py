"""Write the blocks of pages through a `DocumentWriter`."""

import re
from collections.abc import Sequence, Set
from dataclasses import dataclass, field, replace

from ingest.parsing.pdf.blocks import Block, PageTable
from ingest.parsing.pdf.tables import Table, Words, join_cell_words, list_words_with_gaps
from ingest.parsing.writer import DocumentWriter, Piece
from ingest.storage.texts.layout import PlaceKind

_divided = re.compile(r"(?P<start>.*\w)[-\u2010\u2011]", re.DOTALL)
_letters = re.compile(r"\w+")
_BULLET = "-"
_TICK_BOXES = frozenset("☐☑☒✓✔✗✘")  # Check boxes, which carry meaning and are therefore written as text.


@dataclass
class PageBlocks:
    """The blocks of a page, plus its running headers and footers that did not appear on an earlier page."""

    number: int
    blocks: list[Block | PageTable]
    headers: list[Block] = field(default_factory=list)
    footers: list[Block] = field(default_factory=list)


class PageWriter:
    """Writes pages in order. A paragraph that continues on the next page is joined, and footers follow it."""

    def __init__(self, writer: DocumentWriter) -> None:
        self._writer = writer
        self._begun = 0
        self._open: Block | None = None  # A paragraph that may continue in the next block.
        self._footers: list[Block] = []  # Footers to write once the open paragraph is closed.
        self._header: list[str] = []  # Header of the previous table, if only page breaks have followed the table.

    def write_pages(self, pages: Sequence[PageBlocks], words: Set[str], *, is_last: bool) -> None:
        """Write pages. Set `is_last` for the document's last pages.

        `words` contains the words of the document, which determine whether a divided word is a single word.
        """
        for page in pages:
            self._write_page(page, words)
        if is_last:
            self._close_open_block(words)

    def _write_page(self, page: PageBlocks, words: Set[str]) -> None:
        if page.headers or not page.blocks:
            self._close_open_block(words)
            self._start_page(page.number)
        for line in page.headers:
            self._write_block(line, words)
        for block in page.blocks:
            if isinstance(block, Block) and self._open and _continues_paragraph(self._open, block):
                _append_block(self._open, block)
                continue
            self._close_open_block(words)
            self._start_page(page.number)
            if isinstance(block, PageTable):
                self._write_table(block.table)
                continue
            self._header = []
            if block.level or block.mark:
                self._write_block(block, words)
            else:
                self._open = block
        # guard: pdf-footer-below-text
        self._footers += page.footers

    def _start_page(self, page_number: int) -> None:
        if page_number > self._begun:
            self._writer.start_place(PlaceKind.PAGE, number=page_number)
            self._begun = page_number

    def _close_open_block(self, words: Set[str]) -> None:
        if self._open:
            self._write_block(self._open, words)
            self._open = None
        for line in self._footers:
            self._write_block(line, words)
        self._footers = []

    def _write_block(self, block: Block, words: Set[str]) -> None:
        pieces = self._build_block_pieces(block, words)
        if block.level:
            if block.mark:
                pieces[0] = replace(pieces[0], gap=" ")
                pieces.insert(0, Piece(block.mark.text, block.mark.box))
            self._writer.write_heading(block.text, block.level, pieces)
        elif block.mark:
            mark = block.mark
            ordered = mark.text[-1] in ".)"
            if mark.text in _TICK_BOXES:
                pieces.insert(0, Piece(mark.text, mark.box, page=pieces[0].page))
                pieces[1] = Piece(pieces[1].text, pieces[1].at)
            mark_text = mark.text if ordered else _BULLET
            self._writer.write_item(pieces, mark=mark_text, depth=block.depth, position=mark.box if ordered else None)
        else:
            self._writer.write_pieces(pieces)

    def _build_block_pieces(self, block: Block, words: Set[str]) -> list[Piece]:
        pieces: list[Piece] = []
        for number, line in enumerate(block.lines):
            gap = ""
            if number:
                meant = block.breaks[number - 1] and not block.level
                gap = "\n" if meant else " "
                if not meant and (start := _find_divided_word_start(pieces[-1].text, line[0].text)) is not None:
                    gap = ""
                    if _is_one_word(start, line[0].text, words):
                        pieces[-1] = Piece(start, pieces[-1].at, pieces[-1].gap, pieces[-1].page)
            for word in line:
                page = word.box.place if word.box.place > self._begun else None
                if page:
                    self._begun = page
                pieces.append(Piece(word.text, word.box, gap, page))
                gap = " "
        return pieces

    def _write_table(self, table: Table) -> None:
        rows: list[list[list[Piece] | str]] = [[_build_cell_pieces(words) for words in row] for row in table.rows]
        width = len(table.rows[0])
        headed = table.headers > 0
        if headed:
            self._header = [join_cell_words(words) for words in table.rows[0]]
        elif len(self._header) == width:  # The table continues the previous table.
            rows.insert(0, list(self._header))
            headed = True
        else:
            self._header = []
        self._writer.write_table(rows, has_header=headed)


def _build_cell_pieces(words: Words) -> list[Piece]:
    return [Piece(word.text, word.box, gap) for gap, word in list_words_with_gaps(words)]


def _continues_paragraph(previous_block: Block, block: Block) -> bool:
    """Return whether a paragraph continues in a block in another column or on another page."""
    same_type = abs(previous_block.size - block.size) <= 0.1 * previous_block.size and previous_block.bold == block.bold
    if not same_type or block.level or block.mark or previous_block.ends_sentence:
        return False
    moved = (
        block.page != previous_block.lines[-1][-1].box.place
        or block.lines[0][0].box.top < previous_block.lines[-1][-1].box.top
    )
    begins = block.lines[0][0].text[:1]
    return moved and not previous_block.has_short_last_line and (begins.islower() or previous_block.text.endswith("-"))


def _append_block(previous_block: Block, block: Block) -> None:
    previous_block.breaks += [False, *block.breaks]
    previous_block.lines += block.lines
    previous_block.right = block.right


def _find_divided_word_start(line_end: str, next_word: str) -> str | None:
    """Return the text before the hyphen if a line end divides a word, otherwise None."""
    found = _divided.fullmatch(line_end)
    return found["start"] if found and next_word[:1].islower() else None


def _is_one_word(first_half: str, second_half: str, words: Set[str]) -> bool:
    """Return whether the halves of a divided word occur as one word elsewhere in the document.

    For example, "exam-ple" is one word, but "well-known" is two.
    """
    first, second = _letters.findall(first_half)[-1:], _letters.findall(second_half)[:1]
    return bool(first and second) and (first[0] + second[0]).casefold() in words


def collect_words(blocks: Sequence[Block | PageTable], collected_words: set[str]) -> None:
    """Add the words of all blocks to `collected_words`. Words divided by a line end are added in halves."""
    for block in blocks:
        if isinstance(block, Block):
            for line in block.lines:
                for word in line:
                    collected_words.update(_letters.findall(word.text.casefold()))
