"""Parse EPUB books.

Each document in the spine becomes a chapter, in reading order. Its title is taken from the table of contents.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from ingest.parsing.errors import DamagedDocumentError, EncryptedDocumentError
from ingest.parsing.text import NO_TEXT_HINT, PICTURE_HINT
from ingest.parsing.types import ParsedDocument
from ingest.parsing.writer import DocumentWriter
from ingest.storage.remarks import Remark

if TYPE_CHECKING:
    from lxml.etree import _Element

    from ingest.parsing.office.package import Package

EPUB_PARSER = "epub-2"

_CONTAINER = "META-INF/container.xml"
_ENCRYPTION = "META-INF/encryption.xml"
_DOCUMENTS = frozenset({"application/xhtml+xml", "text/html", "application/xml", "text/x-oeb1-document"})
_MAX_DEPTH = 20
_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_HEADING_PARENTS = frozenset({"body", "div", "section", "article", "main"})  # Elements that may contain headings.


@dataclass(frozen=True)
class _ContentsEntry:
    """An entry in the table of contents. Levels count from 1.

    `place` is the id of the target element, or empty if the entry refers to a whole document.
    """

    title: str
    level: int
    place: str = ""


@dataclass(frozen=True)
class _Book:
    """A book: the documents of its spine in order, and the documents with its table of contents."""

    title: str | None
    spine: tuple[str, ...]
    navigation: str | None
    ncx: str | None


def parse_epub(path: Path) -> ParsedDocument:
    """Parse a book.

    Raises `DamagedDocumentError`, `EncryptedDocumentError`, `ParserLimitError` or `NoTextError`.
    """
    from ingest.parsing.office.package import open_package  # Imported here so that this module loads no parser.

    with open_package(path) as package:
        book = _read_book(package)
        _require_unencrypted(package, book)
        entries = _read_table_of_contents(package, book)
        writer = DocumentWriter()
        deeper = 0
        for name in book.spine:
            deeper = _write_chapter(package, name, entries.get(name, ()), deeper, writer)
        return writer.finish(
            EPUB_PARSER,
            book.title or writer.first_heading,
            empty_message=Remark("no_text_book"),
            hint=NO_TEXT_HINT,
            picture_hint=PICTURE_HINT,
        )


def _read_book(package: "Package") -> _Book:
    from ingest.parsing.office.package import resolve_target

    root = package.parse_part(_CONTAINER).find(".//{*}rootfile")
    name = "" if root is None else root.get("full-path", "")
    if name not in package.names:
        raise DamagedDocumentError(Remark("book_incomplete"))
    opf = package.parse_part(name)
    items = {each.get("id", ""): each for each in opf.iterfind("{*}manifest/{*}item")}
    parts = {key: resolve_target(name, each.get("href", "")) for key, each in items.items()}
    navigation = next((parts[key] for key, each in items.items() if "nav" in each.get("properties", "").split()), None)
    spine = opf.find("{*}spine")
    references = [] if spine is None else [each.get("idref", "") for each in spine.iterfind("{*}itemref")]
    listed = [parts[key] for key in references if key in items and items[key].get("media-type") in _DOCUMENTS]
    missing = next((each for each in listed if each not in package.names), None)
    if missing is not None:
        raise DamagedDocumentError(Remark("book_part_missing", part=missing[:200]))
    return _Book(
        title=opf.findtext("{*}metadata/{*}title"),
        spine=tuple(dict.fromkeys(each for each in listed if each != navigation)),
        navigation=navigation,
        ncx=parts.get("" if spine is None else spine.get("toc", "")),
    )


def _require_unencrypted(package: "Package", book: _Book) -> None:
    """Raise `EncryptedDocumentError` if the book's text is encrypted. Obfuscated fonts are allowed."""
    if _ENCRYPTION in package.names:
        locked = {each.get("URI", "") for each in package.parse_part(_ENCRYPTION).iter("{*}CipherReference")}
        if not locked.isdisjoint(book.spine):
            raise EncryptedDocumentError(Remark("book_encrypted"), hint=Remark("hint_copy_protection"))


def _read_table_of_contents(package: "Package", book: _Book) -> dict[str, list[_ContentsEntry]]:
    """Return the entries in the table of contents, keyed by the document that they refer to."""
    found: dict[str, list[_ContentsEntry]] = {}
    if book.navigation in package.names and book.navigation is not None:
        from ingest.parsing.html_tree import parse_xhtml

        root = parse_xhtml(package.read_part(book.navigation))
        lists = [] if root is None else [each for each in root.iter("nav") if _is_table_of_contents(each)]
        for top in lists[:1]:
            for name, entry in _iter_nav_entries(top, book.navigation, 0):
                found.setdefault(name, []).append(entry)
    if not found and book.ncx in package.names and book.ncx is not None:
        for points in package.parse_part(book.ncx).iterfind("{*}navMap"):
            for name, entry in _iter_ncx_entries(points, book.ncx, 1):
                found.setdefault(name, []).append(entry)
    return found


def _is_table_of_contents(element: "_Element") -> bool:
    kinds = (value for key, value in element.attrib.items() if key.endswith("type"))
    return any("toc" in kind.split() for kind in kinds)


def _iter_nav_entries(parent: "_Element", base_path: str, level: int) -> Iterator[tuple[str, _ContentsEntry]]:
    """Yield the entries in nested lists of links, each with its target document."""
    from ingest.parsing.office.package import resolve_target

    for child in parent.iterchildren() if level < _MAX_DEPTH else ():
        if child.tag == "a":
            title = " ".join("".join(child.itertext()).split())
            if title and child.get("href"):
                href = child.get("href", "")
                yield (
                    resolve_target(base_path, href),
                    _ContentsEntry(title, max(1, level), unquote(href.partition("#")[2])),
                )
        else:
            yield from _iter_nav_entries(child, base_path, level + (child.tag == "ol"))


def _iter_ncx_entries(parent: "_Element", base_path: str, level: int) -> Iterator[tuple[str, _ContentsEntry]]:
    from ingest.parsing.office.package import resolve_target

    for point in parent.iterchildren("{*}navPoint") if level < _MAX_DEPTH else ():
        content = point.find("{*}content")
        title = " ".join(point.findtext("{*}navLabel/{*}text", "").split())
        if title and content is not None:
            source = content.get("src", "")
            yield resolve_target(base_path, source), _ContentsEntry(title, level, unquote(source.partition("#")[2]))
        yield from _iter_ncx_entries(point, base_path, level + 1)


def _write_chapter(
    package: "Package", part_name: str, entries: Sequence[_ContentsEntry], level_offset: int, writer: DocumentWriter
) -> int:
    """Write a chapter, and return the number of levels by which its headings were lowered."""
    from ingest.parsing.html_blocks import write_tree
    from ingest.parsing.html_tree import parse_xhtml, remove_invisible_elements

    root = parse_xhtml(package.read_part(part_name))
    if root is None:
        return level_offset
    remove_invisible_elements(root, writer)
    first = next(root.iter(*_HEADINGS), None)
    if entries:
        entry = entries[0]
        level = 1 if first is None else int(first.tag[1])
        if first is not None and _is_same_title(entry.title, "".join(first.itertext())):
            level_offset = entry.level - level
        else:
            writer.write_heading(entry.title, entry.level)
            level_offset = entry.level + 1 - level
    _insert_headings(root, entries[1:], level_offset)
    write_tree(writer, root, level_offset)
    return level_offset


def _insert_headings(root: "_Element", entries: Sequence[_ContentsEntry], level_offset: int) -> None:
    """Insert a heading at each target of a table-of-contents entry that has no heading yet.

    A target has a heading if it is inside one, if no text comes before the next heading, or if the next heading has the
    title of the entry.
    """
    elements = list(root.iter("*")) if entries else []
    places = {name: at for at, each in enumerate(elements) if (name := each.get("id") or each.get("name"))}
    headings = [at for at, each in enumerate(elements) if each.tag in _HEADINGS]
    words = list(accumulate((_has_leading_text(each) for each in elements), initial=0))
    for entry in entries:
        at = places.get(entry.place)
        if at is None:
            continue
        block = elements[at]
        number = bisect_left(headings, at)
        if number < len(headings):
            following = headings[number]
            title = "".join(elements[following].itertext())
            if words[following] == words[at] or _is_same_title(entry.title, title):
                continue
        while block.getparent() is not None and block.getparent().tag not in (*_HEADING_PARENTS, *_HEADINGS):
            block = block.getparent()
        if block.getparent() is None or block.getparent().tag in _HEADINGS:
            continue
        tag = _HEADINGS[min(max(entry.level - level_offset, 1), len(_HEADINGS)) - 1]
        if block.tag == "p" and _fold_title("".join(block.itertext())) == _fold_title(entry.title):
            block.tag = tag
        else:
            heading = block.makeelement(tag)
            heading.text = entry.title
            block.addprevious(heading)


def _has_leading_text(element: "_Element") -> bool:
    """Return whether an element begins with text, or is empty and followed by text."""
    return bool((element.text or "").strip()) or (not len(element) and bool((element.tail or "").strip()))


def _is_same_title(title: str, other_title: str) -> bool:
    """Return whether one title contains the other: tables of contents often add or omit the chapter number."""
    title, other_title = _fold_title(title), _fold_title(other_title)
    return bool(title) and bool(other_title) and (title in other_title or other_title in title)


def _fold_title(text: str) -> str:
    return "".join(text.split()).casefold()
