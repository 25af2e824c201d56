"""Convert the pages of an open PDF to a document, one window of pages at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pypdfium2 import PdfDocument

from ingest.parsing.errors import NoTextError
from ingest.parsing.isolation.progress import report_progress
from ingest.parsing.pdf.blocks import Block, LineSpacing, PageTable, build_page_blocks, divide_page_into_regions
from ingest.parsing.pdf.constants import TYPE_SAMPLE_PAGES, WINDOW_PAGES
from ingest.parsing.pdf.content import PageContent
from ingest.parsing.pdf.furniture import HeaderFooterFinder, RunningLine, find_page_edges
from ingest.parsing.pdf.headings import HeadingFinder
from ingest.parsing.pdf.opening import get_document_title, list_bookmarks, list_embedded_files
from ingest.parsing.pdf.reading import PageSource
from ingest.parsing.pdf.rows import sort_words_for_reading
from ingest.parsing.pdf.writing import PageBlocks, PageWriter, collect_words
from ingest.parsing.types import ParsedDocument
from ingest.parsing.writer import DocumentWriter
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import OmissionKind

_RUNNING_LINES_DETAIL = Remark("omitted_running_lines")


@dataclass
class _PageCounts:
    """Counts gathered over all pages."""

    without_text: list[int] = field(default_factory=list)
    images: int = 0
    hidden: int = 0
    comments: int = 0
    running_lines: int = 0
    unreadable: dict[str, int] = field(default_factory=dict)

    def add_page(self, content: PageContent) -> None:
        if not content.words:
            self.without_text.append(content.number)
        self.images += content.images
        self.hidden += content.hidden
        self.comments += content.comments
        for font, count in content.unreadable.items():
            self.unreadable[font] = self.unreadable.get(font, 0) + count


class PagesParser:
    """Reads, arranges and writes all pages of a document."""

    def __init__(self, document: PdfDocument, reader: PageSource) -> None:
        self._document = document
        self._reader = reader
        self._headings = HeadingFinder(list_bookmarks(document))
        self._writer = DocumentWriter()
        self._seen = _PageCounts()
        self._running_seen: set[str] = set()

    def parse_pages(self, parser_name: str) -> ParsedDocument:
        """Parse all pages. Raises `PageError` and `NoTextError`."""
        count = self._reader.count
        pages = PageWriter(self._writer)
        first_title: str | None = None
        if count > WINDOW_PAGES:
            numbers = (1 + number * count // TYPE_SAMPLE_PAGES for number in range(TYPE_SAMPLE_PAGES))
            sample = [divide_page_into_regions(self._reader.read_page(number)) for number in numbers]
            self._headings.learn_styles(build_page_blocks(page, LineSpacing(sample)) for page in sample)
        for start in range(1, count + 1, WINDOW_PAGES):
            window = range(start, min(start + WINDOW_PAGES, count + 1))
            found = self._read_page_window(window)
            if count <= WINDOW_PAGES:
                self._headings.learn_styles(each.blocks for each in found)
            words: set[str] = set()
            for each in found:
                self._headings.mark_headings(each.blocks)
                collect_words(each.blocks, words)
            first_title = first_title or _find_largest_heading(found[0].blocks if start == 1 else ())
            pages.write_pages(found, words, is_last=window[-1] == count)
        self._record_omissions()
        title = get_document_title(self._document) or first_title
        return self._writer.finish(
            parser_name, title, empty_message=Remark("no_text_pdf", n=count), hint=NoTextError.default_hint
        )

    def _read_page_window(self, page_numbers: Iterable[int]) -> list[PageBlocks]:
        contents = [self._read_page(number) for number in page_numbers]
        edges = {content.number: find_page_edges(content) for content in contents}
        furniture = HeaderFooterFinder(list(edges.items()))
        lines = [furniture.find_headers_and_footers(content, edges[content.number]) for content in contents]
        if all(map(_has_only_headers_and_footers, contents, lines)):
            # If each page has only headers and footers, as on labels, these lines are the page's content.
            lines = [[] for _ in contents]
        found = []
        for content, each in zip(contents, lines, strict=True):
            self._seen.add_page(content)
            headers, footers = self._remove_headers_and_footers(content, each)
            found.append((divide_page_into_regions(content), headers, footers))
            content.words = []
        leading = LineSpacing(page for page, _, _ in found)
        return [
            PageBlocks(page.number, build_page_blocks(page, leading), headers, footers)
            for page, headers, footers in found
        ]

    def _read_page(self, page_number: int) -> PageContent:
        report_progress(page_number - 1, self._reader.count)
        return self._reader.read_page(page_number)

    def _remove_headers_and_footers(
        self, content: PageContent, running_lines: Sequence[RunningLine]
    ) -> tuple[list[Block], list[Block]]:
        """Remove running headers and footers from a page's words.

        Returns the headers and the footers that did not appear on an earlier page, both from top to bottom.
        """
        gone: set[int] = set()
        first: tuple[list[Block], list[Block]] = ([], [])
        for line in running_lines:
            row = line.row
            gone.update(map(id, row.words))
            if line.key in self._running_seen or not any(map(str.isalpha, row.text)):
                self._seen.running_lines += 1
                continue
            self._running_seen.add(line.key)
            words = list(sort_words_for_reading(row.words))
            first[line.is_footer].append(Block(content.number, [words], row.size, row.bold, row.left, row.right))
        content.words = [word for word in content.words if id(word) not in gone]
        headers, footers = first
        return headers, footers[::-1]

    def _record_omissions(self) -> None:
        omit, seen = self._writer.record_omission, self._seen
        if seen.without_text:
            omit(OmissionKind.PAGE_WITHOUT_TEXT, len(seen.without_text), _format_page_numbers(seen.without_text))
        if seen.images:
            omit(OmissionKind.IMAGE, seen.images)
        if seen.hidden:
            omit(OmissionKind.HIDDEN, seen.hidden, Remark("omitted_drawn_invisibly"))
        for font, count in seen.unreadable.items():
            omit(OmissionKind.UNREADABLE_CHARACTER, count, Remark("omitted_font", font=font))
        for name in list_embedded_files(self._document):
            omit(OmissionKind.ENTRY, 1, Remark("omitted_embedded_file", name=name))
        if seen.comments:
            omit(OmissionKind.OTHER, seen.comments, Remark("omitted_comments"))
        if seen.running_lines:
            omit(OmissionKind.BOILERPLATE, seen.running_lines, _RUNNING_LINES_DETAIL)


def _has_only_headers_and_footers(content: PageContent, running_lines: Sequence[RunningLine]) -> bool:
    """Return whether a page has no words other than its running headers and footers."""
    return {id(word) for line in running_lines for word in line.row.words} >= set(map(id, content.words))


def _find_largest_heading(blocks: Sequence[Block | PageTable]) -> str | None:
    """Return the heading with the largest font size, or None if no or several headings have this size."""
    titles = [block for block in blocks if isinstance(block, Block) and block.level]
    largest = max((block.size for block in titles), default=0.0)
    found = [block.text for block in titles if block.size == largest]
    return found[0] if len(found) == 1 else None


def _format_page_numbers(page_numbers: Sequence[int]) -> str:
    """Format page numbers as ranges, for example "pages 3, 7 to 9"."""
    runs: list[list[int]] = []
    for number in page_numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    shown = [
        str(first) if first == last else Remark("omitted_page_range", first=str(first), last=str(last))
        for first, last in ((run[0], run[-1]) for run in runs[:50])
    ]
    if len(runs) > 50:
        return Remark("omitted_pages_more", pages=shown, rest=len(runs) - 50)
    return Remark("omitted_page" if len(page_numbers) == 1 else "omitted_pages", pages=shown)
