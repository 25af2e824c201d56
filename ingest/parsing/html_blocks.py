"""Write a page parsed by lxml: headings, paragraphs, lists, quotations, code and tables.

Link addresses are dropped. So is emphasis, because its marks would interrupt the words that users search for and quote.
"""

import re
from collections.abc import Callable, Iterator

from lxml import etree

from ingest.parsing.grid import GridCell, strip_lone_bullet, write_grid
from ingest.parsing.html_tree import ROW_PARTS, has_text, parse_tree, remove_boilerplate, remove_invisible_elements
from ingest.parsing.mathml import linearize_mathml
from ingest.parsing.tables import MAX_COLUMNS
from ingest.parsing.writer import DocumentWriter
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import OmissionKind

_MAX_NUMBER_DIGITS = 6
_BLOCKS = frozenset(
    (
        *(
            "html",
            "body",
            "p",
            "div",
            "dl",
            "hr",
            "figure",
            "figcaption",
            "caption",
            "tr",
            "td",
            "th",
            "thead",
            "tbody",
        ),
        *("tfoot", "article", "section", "main", "header", "footer", "nav", "aside", "address", "center", "form"),
        *("fieldset", "legend", "details", "summary", "dialog", "hgroup", "search", "optgroup", "frameset", "noframes"),
        *("video", "audio"),
    )
)
_LISTS = frozenset({"ul", "ol", "menu", "dir"})
_CODE = frozenset({"pre", "xmp", "listing", "plaintext"})
_headings = {f"h{level}": level for level in range(1, 7)}
_language = re.compile(r"(?:^|\s)(?:language|lang|highlight-source|highlight)-(?P<name>[\w+#.-]{1,20})")
_NESTED_TABLES_DETAIL = Remark("omitted_nested_tables")


def write_html(
    writer: DocumentWriter, html: str, *, keep_boilerplate: bool = False, level_offset: int = 0
) -> str | None:
    """Write the content of a page and return its `<title>`.

    Navigation and other boilerplate are omitted unless `keep_boilerplate` is set, as it is for chapters and messages.
    Headings are lowered by `level_offset` levels. Raises `ParserLimitError` or `DamagedDocumentError`.
    """
    root = parse_tree(html)
    if root is None:
        return None
    title: str | None = root.findtext("head/title")
    remove_invisible_elements(root, writer)
    if not keep_boilerplate:
        remove_boilerplate(root, writer)
    write_tree(writer, root, level_offset)
    return title


def write_tree(writer: DocumentWriter, root: etree._Element, level_offset: int = 0) -> None:
    """Write a tree from which invisible elements have been removed."""
    blocks = _BlockWriter(writer, level_offset)
    blocks.write_element(root)
    blocks.flush()


class _BlockWriter:
    """Collects the text of each block, and writes it when the block ends."""

    def __init__(self, writer: DocumentWriter, level_offset: int) -> None:
        self._writer = writer
        self._deeper = level_offset
        self._text: list[str] = []
        self._mark: str | None = None  # The mark of the current list item, until its first block is written.
        self._depth = -1
        self._term_depth = 0
        self._quotes = 0
        self._handlers: dict[str, Callable[[etree._Element], None]] = {
            "br": lambda element: self._text.append("\n"),
            "img": self._write_image,
            "math": self._write_math,
            "q": self._write_inline_quote,
            "blockquote": self._write_block_quote,
            "table": self._write_table,
            "dl": self._write_definitions,
            "dt": self._write_term,
            "dd": self._write_description,
            "li": self._write_stray_item,
            **dict.fromkeys(_LISTS, self._write_list),
            **dict.fromkeys(_CODE, self._write_code),
            **dict.fromkeys(_headings, self._write_heading),
        }

    def write_element(self, element: etree._Element) -> None:
        """Write an element without its tail text."""
        handler = self._handlers.get(element.tag)
        if handler is not None:
            handler(element)
        elif element.tag in _BLOCKS:
            self.flush()
            self._write_children(element)
            self.flush()
        else:
            self._write_children(element)

    def flush(self) -> None:
        """Write the text collected so far."""
        text = _collapse_lines("".join(self._text))
        self._text.clear()
        if not text:
            return
        if self._mark is not None:
            self._writer.write_item(text.replace("\n", " "), mark=self._mark, depth=self._depth)
            self._mark = None
        elif self._quotes:
            quote = "> " * self._quotes
            self._writer.write_paragraph("\n".join(quote + line for line in text.split("\n")))
        else:
            self._writer.write_paragraph(text)

    def _write_children(self, element: etree._Element) -> None:
        if element.text:
            self._text.append(_collapse_white_space(element.text))
        for child in element.iterchildren():
            self.write_element(child)
            if child.tail:
                self._text.append(_collapse_white_space(child.tail))

    def _write_heading(self, element: etree._Element) -> None:
        self.flush()
        title = extract_cell_text(element, self._writer)
        if title:
            self._mark = None
            self._writer.write_heading(title, _headings[element.tag] + self._deeper)

    def _write_list(self, element: etree._Element) -> None:
        self.flush()
        self._mark, before = None, self._mark
        self._depth += 1
        self._text.append(_collapse_white_space(element.text or ""))
        for child, mark in _iter_items(element):
            if child.tag == "li":
                self.flush()
                self._write_item(child, mark)
            else:
                self.write_element(child)
            self._text.append(_collapse_white_space(child.tail or ""))
        self.flush()
        self._depth -= 1
        self._mark = before
        if self._depth < 0:
            self._writer.end_list()

    def _write_item(self, element: etree._Element, mark: str) -> None:
        self._mark = mark
        self._write_children(element)
        self.flush()
        self._mark = None

    def _write_stray_item(self, element: etree._Element) -> None:
        """Write an item that is outside any list."""
        self.flush()
        self._depth = max(self._depth, 0)
        self._write_item(element, "-")

    def _write_definitions(self, element: etree._Element) -> None:
        """Write each term as a list item, with its descriptions as nested items."""
        self.flush()
        self._mark = None
        outer, self._term_depth = self._term_depth, self._depth + 1
        self._write_children(element)
        self.flush()
        self._term_depth = outer

    def _write_term(self, element: etree._Element) -> None:
        self._write_definition_item(element, self._term_depth)

    def _write_description(self, element: etree._Element) -> None:
        self._write_definition_item(element, self._term_depth + 1)

    def _write_definition_item(self, element: etree._Element, depth: int) -> None:
        self.flush()
        outer, self._depth = self._depth, depth
        self._write_item(element, "-")
        self._depth = outer

    def _write_block_quote(self, element: etree._Element) -> None:
        self.flush()
        self._quotes += 1
        self._write_children(element)
        self.flush()
        self._quotes -= 1

    def _write_inline_quote(self, element: etree._Element) -> None:
        self._text.append('"')
        self._write_children(element)
        self._text.append('"')

    def _write_code(self, element: etree._Element) -> None:
        self.flush()
        self._mark = None
        self._writer.write_code(_extract_preformatted_text(element), _get_code_language(element))

    def _write_image(self, element: etree._Element) -> None:
        self._writer.record_omission(OmissionKind.IMAGE)
        words = " ".join(element.get("alt", "").split())
        if words:
            self._text.append(f" [Image: {words}] ")

    def _write_math(self, element: etree._Element) -> None:
        self._text.append(_extract_formula(element, self._writer))

    def _write_table(self, element: etree._Element) -> None:
        self.flush()
        self._write_stray_text(element)
        rows = list(_iter_rows(element))
        title = " ".join(extract_cell_text(caption, self._writer) for caption in element.iterchildren("caption"))
        if _is_layout_table(element, rows):
            self._text.append(title)
            self.flush()
            for row in rows:
                for cell in row:
                    self._write_children(cell)
                    self.flush()
            return
        self._mark = None
        grid = [[_build_grid_cell(cell, self._writer) for cell in row] for row in rows]
        headed = element.find("thead") is not None or not _has_row_headings(rows)
        count = _count_header_rows(element, rows) if headed else 0
        write_grid(self._writer, grid, header_row_count=count, has_header=headed, caption=title)

    def _write_stray_text(self, element: etree._Element) -> None:
        """Write text in a table that is outside its cells. As in browsers, it comes before the table."""
        self._text.append(_collapse_white_space(element.text or ""))
        for child in element.iterchildren():
            if child.tag in ROW_PARTS:
                self._write_stray_text(child)
            elif child.tag not in ("td", "th") and not (child.tag == "caption" and element.tag == "table"):
                self.write_element(child)
            self._text.append(_collapse_white_space(child.tail or ""))
        self.flush()


def extract_cell_text(element: etree._Element, writer: DocumentWriter) -> str:
    """Return the text of an element on one line, including list marks."""
    parts: list[str] = []
    _collect_text(element, parts, writer)
    lines = [" ".join(line.split()) for line in "".join(parts).split("\n")]
    lines = [line for line in lines if line and line != "-"]
    return strip_lone_bullet(" ".join(lines), len(lines))


def _collect_text(element: etree._Element, strings: list[str], writer: DocumentWriter) -> None:
    tag = element.tag
    if tag == "img":
        writer.record_omission(OmissionKind.IMAGE)
        if element.get("alt", "").strip():
            strings.append(f" [Image: {element.get('alt')}] ")
        return
    if tag == "math":
        strings.append(_extract_formula(element, writer))
        return
    if tag == "table":
        writer.record_omission(OmissionKind.TABLE, detail=_NESTED_TABLES_DETAIL)
    is_block = tag in _BLOCKS or tag in _LISTS or tag in _headings or tag in ("br", "li", "table", "blockquote")
    strings.append("\n" if is_block else "")
    strings.append(_collapse_white_space(element.text or ""))
    marks = dict(_iter_items(element)) if tag in _LISTS else {}
    for child in element.iterchildren():
        if child.tag == "li":
            strings.append(f"\n{marks.get(child, '-')} ")
            strings.append(_collapse_white_space(child.text or ""))
            for each in child.iterchildren():
                _collect_text(each, strings, writer)
                strings.append(_collapse_white_space(each.tail or ""))
        else:
            _collect_text(child, strings, writer)
        strings.append(_collapse_white_space(child.tail or ""))
    strings.append("\n" if is_block else "")


def _iter_items(element: etree._Element) -> Iterator[tuple[etree._Element, str]]:
    """Yield the children of a list with their bullets or numbers. Numbering follows browsers."""
    start = _parse_number(element.get("start"))
    following = 1 if start is None else start
    for child in element.iterchildren():
        mark = "-"
        if element.tag == "ol" and child.tag == "li":
            number = _parse_number(child.get("value"))
            following = following if number is None else number
            mark = f"{following}."
            following += 1
        yield child, mark


def _iter_rows(table: etree._Element) -> Iterator[list[etree._Element]]:
    """Yield the cells of each row in a table, ignoring nested tables. Cells outside any row form a row too."""
    loose: list[etree._Element] = []
    for child in table.iterchildren():
        if child.tag in ("td", "th"):
            loose.append(child)
        elif child.tag == "tr":
            yield list(child.iterchildren("td", "th"))
        elif child.tag in ROW_PARTS:
            yield from _iter_rows(child)
    if loose:
        yield loose


def _is_layout_table(table: etree._Element, rows: list[list[etree._Element]]) -> bool:
    """Return whether a table is used only for layout.

    It is if it says so, if it has a single cell, or if it has nested tables and no headings.
    """
    if table.get("role") in {"presentation", "none"} or sum(map(len, rows)) < 2:
        return True
    has_headings = table.find("caption") is not None or any(cell.tag == "th" for row in rows for cell in row)
    return not has_headings and next(table.iterdescendants("table"), None) is not None


def _count_header_rows(table: etree._Element, rows: list[list[etree._Element]]) -> int:
    head = table.find("thead")
    if head is not None:
        return len(list(head.iterchildren("tr")))
    count = 0
    for row in rows:
        if not row or any(cell.tag != "th" for cell in row if has_text(cell)):
            break
        count += 1
    return count


def _has_row_headings(rows: list[list[etree._Element]]) -> bool:
    """Return whether a table has row headings but no column headings. Rows with a single cell are section titles."""
    named = [[cell.tag for cell in row] for row in rows if len(row) > 1]
    return len(named) > 1 and all(first == "th" and "th" not in rest for first, *rest in named)


def _build_grid_cell(cell: etree._Element, writer: DocumentWriter) -> GridCell:
    columns, rows = (_parse_number(cell.get(name)) or 1 for name in ("colspan", "rowspan"))
    return GridCell(extract_cell_text(cell, writer), min(columns, MAX_COLUMNS), rows)


def _extract_formula(element: etree._Element, writer: DocumentWriter) -> str:
    text = linearize_mathml(element) or " ".join((element.get("alttext") or "").split())
    if not text:
        writer.record_omission(OmissionKind.FORMULA)
    return f" {text} " if text else ""


def _extract_preformatted_text(element: etree._Element) -> str:
    for line_end in element.iter("br"):
        line_end.text = "\n"
    return "".join(element.itertext())


def _get_code_language(element: etree._Element) -> str:
    """Return the programming language of a code block, based on the class names used by syntax highlighters."""
    for each in element.iter():
        found = _language.search(each.get("class") or "")
        if found:
            return found["name"]
    return ""


def _parse_number(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _MAX_NUMBER_DIGITS else None


def _collapse_white_space(text: str) -> str:
    """Replace each white space character with a space: only `br` breaks a line."""
    return text.translate(_BLANKS)


_BLANKS = {ord(char): " " for char in "\t\n\f\r"}
_blanks = re.compile(r" {2,}")


def _collapse_lines(text: str) -> str:
    lines = (_blanks.sub(" ", line).strip() for line in text.split("\n"))
    return "\n".join(lines).strip("\n")
