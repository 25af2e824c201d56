"""The links of a web page and its main content.

Trafilatura finds the main content, but rewrites it: tables lose their spans and captions. So the page keeps the part of
its own tree that contains everything that trafilatura found, and our HTML parser reads tables and headings from it.
"""

import copy
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

from lxml import etree

from ingest.parsing.charsets import decode_text
from ingest.parsing.errors import DamagedDocumentError, ParserLimitError
from ingest.parsing.html_tree import decode_html, parse_tree
from ingest.sources.errors import ItemRefusedError
from ingest.sources.web_addresses import normalize_url

# Maximum size of a page whose links and main content are searched for. The HTML parser of a crawler reads that much:
# Google's stopped at 15 MB.
MAX_PAGE_BYTES = 15_000_000
_LINKS = {"a": "href", "area": "href", "frame": "src", "iframe": "src"}
_MAX_AUTHOR_CHARS = 200
_WHOLE = frozenset({"table", "ul", "ol", "dl"})
_CONTAINERS = frozenset({"article", "body", "div", "html", "main", "section"})


@dataclass(frozen=True)
class WebPage:
    """A page: its main content as HTML, its links in order, and the address that it declares as its own, if any.

    `digest` is the SHA-256 digest of the page as it was received.
    """

    content: bytes
    digest: bytes
    links: tuple[str, ...]
    canonical_url: str | None
    author: str


def read_page(content: bytes, url: str, charset: str | None = None, *, ignore_query: bool = False) -> WebPage:
    """Read a page. `charset` is that of its Content-Type header.

    Raises `ItemRefusedError` if the page cannot be parsed.
    """
    digest = hashlib.sha256(content).digest()
    try:
        root = parse_tree(decode_text(content, charset) if charset else decode_html(content))
    except (DamagedDocumentError, ParserLimitError) as error:
        raise ItemRefusedError(f"{url} is not a readable HTML page: {error}") from error
    if root is None:
        return WebPage(b"", digest, (), None, "")
    base = root.find(".//base[@href]")
    base_url = (normalize_url(base.get("href"), url) if base is not None else None) or url
    links = dict.fromkeys(
        link
        for address in _iter_addresses(root)
        if (link := normalize_url(address, base_url, ignore_query=ignore_query)) is not None
    )
    canonical = root.find(".//link[@rel='canonical'][@href]")
    canonical_url = None if canonical is None else normalize_url(canonical.get("href"), base_url)
    return WebPage(_extract_main_content(root, url), digest, tuple(links), canonical_url, _find_author(root))


def _iter_addresses(root: etree._Element) -> Iterator[str]:
    for element in root.iter(*_LINKS):
        address = element.get(_LINKS[element.tag])
        if address:
            yield address


def _find_author(root: etree._Element) -> str:
    found = root.find(".//meta[@name='author']")
    return "" if found is None else " ".join((found.get("content") or "").split())[:_MAX_AUTHOR_CHARS]


def _extract_main_content(root: etree._Element, url: str) -> bytes:
    """Return the page with its head's title and only the main content, or the whole page if none is found."""
    body = root.find("body")
    body = root if body is None else body
    main = _find_main_element(root, body, url)
    page = etree.Element("html")
    head = etree.SubElement(page, "head")
    etree.SubElement(head, "meta", charset="utf-8")
    etree.SubElement(head, "title").text = root.findtext("head/title") or ""
    parts = etree.SubElement(page, "body")
    headings = list(body.iter("h1"))
    if len(headings) == 1 and main is not body and main not in (headings[0], *headings[0].iterancestors()):
        parts.append(_copy_element(headings[0]))
    if main.tag == "body":
        page.replace(parts, _copy_element(main))
    else:
        parts.append(_copy_element(main))
    found: bytes = etree.tostring(page, method="html", encoding="utf-8", doctype="<!DOCTYPE html>")
    return found


def _find_main_element(root: etree._Element, body: etree._Element, url: str) -> etree._Element:
    """Return the smallest element that contains all blocks of text that trafilatura considers the main content."""
    from trafilatura import bare_extraction  # Takes half a second to load.

    html = etree.tostring(root, method="html", encoding="unicode")
    found = bare_extraction(html, url=url, favor_recall=True, include_comments=False)
    text = getattr(found, "text", None) or ""
    wanted = {_squeeze(line) for line in text.splitlines()} - {""}
    matching = _find_unique_elements(body, wanted) if wanted else []
    if not matching:
        return body
    common = [*reversed([matching[0], *matching[0].iterancestors()])]
    for element in matching[1:]:
        above = {element, *element.iterancestors()}
        common = [each for each in common if each in above]
    main = common[-1]
    for element in (main, *main.iterancestors()):  # A table or list of which only some rows were found is kept whole.
        if element.tag in _WHOLE:
            main = element.getparent()
    while main.tag not in _CONTAINERS:  # A heading beside the only paragraph belongs to it.
        main = main.getparent()
        if main is None:
            return body
    return body if main.tag == "html" else main


def _find_unique_elements(body: etree._Element, wanted: set[str]) -> list[etree._Element]:
    """Return the elements with these texts. A text that occurs twice, as in a menu and as a heading, is left out."""
    found: dict[str, list[etree._Element]] = {}
    for element in body.iterdescendants():
        text = _squeeze("".join(element.itertext()))
        if text in wanted:
            found.setdefault(text, []).append(element)
    return [
        same[0] for same in found.values() if all(outer in inner.iterancestors() for outer, inner in pairwise(same))
    ]


def _squeeze(text: str) -> str:
    """Remove white space and the marks of lists and table cells, which differ between the page and what was found."""
    return "".join(text.replace("|", "").lstrip("- ").split())


def _copy_element(element: etree._Element) -> etree._Element:
    copied = copy.deepcopy(element)
    copied.tail = None
    return copied
