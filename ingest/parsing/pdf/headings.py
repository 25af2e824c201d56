"""Find headings: lines named by a bookmark, and short lines in capitals or in a larger or bolder font.

Levels come from the bookmarks. Without bookmarks, heading styles are ranked by font size, then bold before regular,
then by the depth of a section number. A style that is used for long blocks is never a heading style.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ingest.parsing.pdf.blocks import Block, PageTable
from ingest.parsing.pdf.constants import (
    HEADING_MIN_SIZE_RATIO,
    MAX_HEADING_CHARS,
    MAX_HEADING_LEVEL,
    MAX_HEADING_LINES,
    MIN_CAPITALS,
    MIN_CHARS_PER_CAPITALS_LINE,
    RUNNING_CAPITALS_PAGE_SHARE,
    RUNNING_TEXT_CHARS,
    TYPEWRITER_WIDTH_RATIO,
)
from ingest.parsing.pdf.content import Word, compute_median

# Matches characters of program code, in which a line in capitals is not a heading.
_of_programs = re.compile(r"[_=$<>{}\[\]\\|*]")
_number = re.compile(r"(?:[A-Z]|\d{1,3})((?:\.\d{1,3}){0,5})\.?$")
_leaders = re.compile(r"(?:[.·…] ?){4,}")
_not_word = re.compile(r"[\W_]+")

# Rank of a style, for sorting: negative font size, 0 for bold, depth of the section number.
Style = tuple[float, int, int]


@dataclass(frozen=True)
class Bookmark:
    """An outline entry. `level` and `page` are counted from 1."""

    title: str
    level: int
    page: int


@dataclass
class HeadingFinder:
    """Finds the headings of a document and their levels."""

    bookmarks: Sequence[Bookmark] = ()
    _by_page: dict[int, list[Bookmark]] = field(default_factory=dict)
    _body_size: float = 0.0
    _body_bold: bool = False
    _running: set[tuple[float, bool]] = field(default_factory=set)
    _has_capitals: bool = False
    _run_in_capitals: bool = False
    _ranks: list[Style] = field(default_factory=list)
    _marked: dict[Style, int] = field(default_factory=dict)

    def learn_styles(self, pages: Iterable[Sequence[Block | PageTable]]) -> None:
        """Determine a document's font styles from some of its pages."""
        for bookmark in self.bookmarks:
            self._by_page.setdefault(bookmark.page, []).append(bookmark)
        pages = [list(blocks) for blocks in pages]
        blocks = [block for each in pages for block in each if isinstance(block, Block)]
        characters: Counter[tuple[float, bool]] = Counter()
        lengths: dict[tuple[float, bool], list[int]] = {}
        for block in blocks:
            characters[block.size, block.bold] += len(block.text)
            lengths.setdefault((block.size, block.bold), []).append(len(block.text))
        if not characters:
            return
        self._body_size, self._body_bold = characters.most_common(1)[0][0]
        self._running = {style for style, found in lengths.items() if compute_median(found) > RUNNING_TEXT_CHARS}
        heads = sum(_is_capitals_heading(*each[:2]) for each in pages if len(each) > 1)
        self._run_in_capitals = heads > max(1, RUNNING_CAPITALS_PAGE_SHARE * len(pages))
        in_capitals = sum(
            _is_capitals_heading(*pair) for each in pages for pair in pairwise(each[self._run_in_capitals :])
        )
        self._has_capitals = in_capitals * MIN_CHARS_PER_CAPITALS_LINE <= sum(characters.values())
        ranks: Counter[Style] = Counter()
        marked: dict[Style, Counter[int]] = {}
        for each in pages:
            for block, level in self._iter_headings(each):
                ranks[_get_block_style(block)] += 1
                if level:
                    marked.setdefault(_get_block_style(block), Counter())[level] += 1
        self._marked = {style: counts.most_common(1)[0][0] for style, counts in marked.items()}
        self._ranks = sorted(style for style, count in ranks.items() if count > 1 or style == min(ranks))

    def mark_headings(self, blocks: Sequence[Block | PageTable]) -> None:
        """Set the level of each heading on a page."""
        for block, level in self._iter_headings(blocks):
            block.level = level or self._get_heading_level(_get_block_style(block))

    def _get_heading_level(self, style: Style) -> int:
        if style in self._marked:
            return self._marked[style]
        above = [self._marked[each] for each in self._marked if each < style]
        if above:
            return min(MAX_HEADING_LEVEL, max(above) + 1)
        return min(MAX_HEADING_LEVEL, bisect_left(self._ranks, style) + 1)

    def _iter_headings(self, blocks: Sequence[Block | PageTable]) -> Iterable[tuple[Block, int]]:
        """Yield the headings of a page, each with the level of its bookmark, or 0 if it has none."""
        page = next((block.page for block in blocks), 0)
        named = {_normalize_title(each.title): each.level for each in self._by_page.get(page, ())}
        for number, block in enumerate(blocks):
            if not isinstance(block, Block) or block.is_contents:
                continue
            if len(block.text) > MAX_HEADING_CHARS or len(block.lines) > MAX_HEADING_LINES:
                continue
            folded = _normalize_title(_get_text_with_mark(block))
            level = named.get(folded) or named.get(_remove_section_number(folded)) or 0
            if folded and (level or self._is_heading(block, blocks[:number], blocks[number + 1 :])):
                yield block, level

    def _is_heading(
        self, block: Block, previous_blocks: Sequence[Block | PageTable], following_blocks: Sequence[Block | PageTable]
    ) -> bool:
        """Return whether a block looks like a heading. A first line in capitals may be a running header instead."""
        text = block.text
        if block.mark is not None and not block.mark.text.strip("().").isalnum():  # The block is a list item.
            return False
        if sum(map(str.isalpha, text)) < 2 or _leaders.search(text) or text[0] + text[-1] == "()":
            return False
        if text.endswith((".", ",", ";")) and not _number.match(text.split()[-1]):
            return False
        following = next(iter(following_blocks), None)
        may_run = not previous_blocks and self._run_in_capitals
        if self._has_capitals and not may_run and following is not None and _is_capitals_heading(block, following):
            return True
        if (block.size, block.bold) in self._running:
            return False
        if block.size >= HEADING_MIN_SIZE_RATIO * self._body_size:
            return True
        bolder = block.bold and not self._body_bold and block.size >= self._body_size / HEADING_MIN_SIZE_RATIO
        return (
            bolder and following is not None and block.mark is None and not _continues_sentence(block, previous_blocks)
        )


def _continues_sentence(block: Block, previous_blocks: Sequence[Block | PageTable]) -> bool:
    """Return whether a block continues a sentence."""
    last = previous_blocks[-1] if previous_blocks else None
    is_open = last is None or (isinstance(last, Block) and not (last.bold or last.ends_sentence))
    return block.text[0].islower() and is_open


def _is_capitals_heading(block: Block | PageTable, next_block: Block | PageTable) -> bool:
    """Return whether a block is a single line in capitals above bold or longer text that is not in capitals."""
    if not isinstance(block, Block) or not isinstance(next_block, Block) or len(block.lines) > 1:
        return False
    if _of_programs.search(block.text) or _is_monospaced(block.lines[0]):
        return False
    is_upper = block.text.isupper() and sum(map(str.isalpha, block.text)) >= MIN_CAPITALS
    is_above = next_block.bold or len(next_block.text) > len(block.text)
    return is_upper and is_above and not next_block.text.isupper()


def _is_monospaced(words: Sequence[Word]) -> bool:
    """Return whether all letters of the words have the same width. A single word is not enough."""
    widths = [(word.right - word.left) / len(word.text) for word in words if len(word.text) > 2]
    return len(widths) > 1 and max(widths) <= TYPEWRITER_WIDTH_RATIO * min(widths)


def _get_text_with_mark(block: Block) -> str:
    return f"{block.mark.text} {block.text}" if block.mark else block.text


def _get_block_style(block: Block) -> Style:
    first = _get_text_with_mark(block).split()[0]
    numbered = _number.match(first)
    depth = 1 + (numbered[1].count(".") if numbered else 0)
    return -block.size, 0 if block.bold or block.text.isupper() else 1, depth


def _normalize_title(text: str) -> str:
    return " ".join(_not_word.sub(" ", text.casefold()).split())


def _remove_section_number(title: str) -> str:
    """Remove the section number at the start of a normalized title."""
    return re.sub(r"^(?:chapter |section |appendix )?(?:[a-z]|[\divx]+)(?: \d+)* (?=\S)", "", title)
