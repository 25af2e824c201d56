"""Parse a page, and remove its invisible elements and the navigation, banners and footers around its content."""

import re
from collections.abc import Iterator
from html.entities import html5
from itertools import dropwhile

from lxml import etree

from ingest.parsing.charsets import decode_text
from ingest.parsing.errors import DamagedDocumentError, ParserLimitError
from ingest.parsing.office.package import parse_xml
from ingest.parsing.writer import DocumentWriter
from ingest.storage.remarks import Remark
from ingest.storage.texts.layout import OmissionKind

# Maximum nesting depth of elements. Recursive code uses about three stack frames per level, so it would reach Python's
# limit of 1,000 frames near level 300. Real pages have fewer than 60 levels.
_MAX_DEPTH = 100

_INVISIBLE = (
    *("head", "script", "style", "noscript", "template", "svg", "iframe", "object", "embed", "canvas"),
    *("input", "button", "select", "textarea", "datalist"),
)
_hidden_style = re.compile(
    r"(?:^|[;\s])(?:display\s*:\s*none|visibility\s*:\s*hidden|(?:font-size|opacity)\s*:\s*0*\.?0+(?![.\d]))",
    re.IGNORECASE,
)
# Landmark roles (WAI-ARIA 1.2, 5.3.4) of elements that are not part of a page's content.
_SURROUNDING_ROLES = frozenset({"navigation", "banner", "contentinfo", "search"})
_LANDMARK_TAGS = {"nav": "navigation", "main": "main", "search": "search"}
_PAGE_ROLES = {"footer": "contentinfo", "header": "banner"}
_CHARSET_SEARCH_BYTES = 4096
_charset = re.compile(
    rb"<(?:meta|\?xml)\b[^>]{0,1000}?(?:charset|encoding)\s*=\s*[\"']?\s*(?P<label>[\w.:-]{1,40})", re.IGNORECASE
)
# Elements that the `<head>` may contain (HTML Living Standard, 3.2.5.2.1).
_METADATA = frozenset({"base", "link", "meta", "noscript", "script", "style", "template", "title"})
_named = re.compile(rb"&([A-Za-z][A-Za-z0-9]{1,31});")
_XML_NAMES = frozenset({"amp", "lt", "gt", "quot", "apos"})
_LINK_BLOCKS = frozenset({"ul", "ol", "menu", "table", "dl"})
_MIN_PROSE_WORDS = 16
_MAX_PROSE_LINK_SHARE = 1 / 3
ROW_PARTS = frozenset({"thead", "tbody", "tfoot", "tr"})  # The elements allowed between a table and its cells.
_SECTIONS = frozenset({"article", "main", "section", "aside", "nav", "blockquote", "figure", "td"})


def decode_html(content: bytes) -> str:
    """Decode a page, using the character set that it declares unless the bytes clearly have another one."""
    declared = _charset.search(content[:_CHARSET_SEARCH_BYTES])
    return decode_text(content, declared["label"].decode("ascii") if declared else None)


def parse_tree(html: str) -> etree._Element | None:
    """Parse a page and return its root element, or None if it has none.

    Raises `ParserLimitError` if elements are nested deeper than libxml2's limit of 2,048 levels, and
    `DamagedDocumentError` if the page cannot be parsed.
    """
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(html.replace("\0", "").encode("utf-8"), parser)
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from error
        raise DamagedDocumentError(Remark("html_unreadable")) from error
    # After a fatal error, libxml2 returns a truncated tree and raises no error.
    for entry in parser.error_log.filter_from_fatals():
        if entry.type == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError
        if entry.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT:
            raise ParserLimitError(Remark("html_deep"), hint=Remark("hint_html_deep"))
        raise DamagedDocumentError(Remark("html_unreadable_beyond", line=str(entry.line)))
    if root is not None:
        _move_content_to_body(root)
        _flatten_deep_elements(root)
    return root


def _move_content_to_body(root: etree._Element) -> None:
    """Move content from the head to the body.

    Without a `<body>` tag, the parser puts elements that it does not know into the head.
    """
    head, body = root.find("head"), root.find("body")
    if head is None:
        return
    content = list(dropwhile(lambda element: element.tag in _METADATA, head))
    if content:
        body = etree.SubElement(root, "body") if body is None else body
        body.text, text = None, body.text
        for at, element in enumerate(content):
            body.insert(at, element)
        content[-1].tail = (content[-1].tail or "") + (text or "") or None


def parse_xhtml(content: bytes) -> etree._Element | None:
    """Parse a page as XML, in which `<title/>` is a complete element. Invalid XML is parsed as HTML."""
    try:
        root = parse_xml(_named.sub(_replace_entity, content), "page")
    except (DamagedDocumentError, ParserLimitError):
        return parse_tree(decode_html(content))
    for element in root.iter():
        element.tag = etree.QName(element).localname.lower()
    _flatten_deep_elements(root)
    return root


def _replace_entity(match: re.Match[bytes]) -> bytes:
    """Replace an HTML character name with a numeric reference, which is also valid in XML."""
    name = match[1].decode("ascii")
    characters = "" if name in _XML_NAMES else html5.get(f"{name};", "")
    return "".join(f"&#{ord(each)};" for each in characters).encode("ascii") or match[0]


def remove_invisible_elements(root: etree._Element, writer: DocumentWriter) -> None:
    """Remove invisible elements, and record those with hidden text as omissions."""
    etree.strip_elements(root, *_INVISIBLE, with_tail=False)
    hidden = 0
    for element in [each for each in root.iter() if _is_hidden(each)]:
        hidden += has_text(element)
        remove_element(element)
    if hidden:
        writer.record_omission(OmissionKind.HIDDEN, hidden, Remark("omitted_hidden_elements"))


def remove_boilerplate(root: etree._Element, writer: DocumentWriter) -> None:
    """Remove the boilerplate around a page's main content, and record it as an omission.

    First the landmarks that the page declares are removed, then the blocks of links before the first and after the last
    block of prose. A step is skipped if too little content would remain.
    """
    body = root.find("body")
    body = root if body is None else body
    regions = _remove_if_enough_remains(list(_iter_landmarks(body)), body, min_share=0.0)
    regions += _remove_if_enough_remains(list(_iter_outer_link_blocks(body)), body, min_share=0.5)
    if regions:
        writer.record_omission(OmissionKind.BOILERPLATE, regions, Remark("omitted_navigation"))


def _remove_if_enough_remains(elements: list[etree._Element], body: etree._Element, *, min_share: float) -> int:
    """Remove the elements if more than `min_share` of the words in `body` remain.

    Returns the number of removed elements with text.
    """
    regions = [element for element in elements if has_text(element)]
    words, all_words = sum(map(_count_words, regions)), _count_words(body)
    if all_words - words <= all_words * min_share:
        return 0
    for element in elements:
        remove_element(element)
    return len(regions)


def _iter_outer_link_blocks(body: etree._Element) -> Iterator[etree._Element]:
    """Yield the blocks of links before the first and after the last block of prose.

    A block is prose if it has more than 16 words and at most a third of them are in links. Source: Kohlschütter,
    Fankhauser & Nejdl, "Boilerplate Detection using Shallow Text Features", WSDM 2010.
    """
    blocks = list(_iter_blocks(body))
    prose = [
        at for at, block in enumerate(blocks) if _count_words(block) > _MIN_PROSE_WORDS and not _is_link_block(block)
    ]
    if prose:
        outer = (*blocks[: prose[0]], *blocks[prose[-1] + 1 :])
        yield from (block for block in outer if block.tag in _LINK_BLOCKS and _is_link_block(block))


def _iter_blocks(parent: etree._Element) -> Iterator[etree._Element]:
    """Yield the outermost lists and tables, and the outermost other elements that directly contain text."""
    for child in parent.iterchildren():
        own_text = (child.text or "").strip() or any((each.tail or "").strip() for each in child)
        if child.tag in _LINK_BLOCKS or own_text or not len(child):
            yield child
        else:
            yield from _iter_blocks(child)


def _is_link_block(block: etree._Element) -> bool:
    return sum(map(_count_words, block.iter("a"))) > _MAX_PROSE_LINK_SHARE * _count_words(block)


def _count_words(element: etree._Element) -> int:
    return len(" ".join(element.itertext()).split())


def remove_element(element: etree._Element) -> None:
    """Replace an element with an empty `br` or `span`, keeping its tail text."""
    parent = element.getparent()
    if parent is not None:
        element.text = None
        for child in list(element):
            element.remove(child)
        element.tag = "br" if element.tag in ("div", "p") else "span"
        element.attrib.clear()


def has_text(element: etree._Element) -> bool:
    return any(text.strip() for text in element.itertext())


def _is_hidden(element: etree._Element) -> bool:
    if "hidden" in element.attrib or (element.tag == "dialog" and "open" not in element.attrib):
        return True
    if element.get("aria-hidden") == "true":  # A formula may be rendered here; the previous element has its MathML.
        before = element.getprevious()
        if before is not None and next(before.iter("math"), None) is not None:
            return True
    # guard: html-hidden
    return _hidden_style.search(element.get("style", "")) is not None


def _iter_landmarks(body: etree._Element) -> Iterator[etree._Element]:
    """Yield the outermost landmarks that are not part of the page's content."""
    main = _find_main_element(body)
    if main is not None:
        yield from _iter_elements_outside(main, body)
    for element in (body if main is None else main).iterdescendants():
        role = _get_role(element)
        if role in _SURROUNDING_ROLES and not any(
            _get_role(each) in _SURROUNDING_ROLES for each in element.iterancestors()
        ):
            is_title = role == "banner" and next(element.iter("h1"), None) is not None
            if not is_title:
                yield element


def _find_main_element(body: etree._Element) -> etree._Element | None:
    """Return the element that the page marks as its main content, or None unless there is exactly one."""
    mains = [each for each in body.iterdescendants() if _get_role(each) == "main" and has_text(each)]
    if len(mains) == 1:
        return mains[0]
    articles = [each for each in body.iterdescendants("article") if has_text(each)]
    return articles[0] if not mains and len(articles) == 1 else None


def _iter_elements_outside(main_element: etree._Element, body: etree._Element) -> Iterator[etree._Element]:
    """Yield the siblings of the main element and of its ancestors.

    If the main element has no title, siblings with a title are skipped.
    """
    keeps_titles = next(main_element.iter("h1"), None) is None
    inner = main_element
    while inner is not body:
        outer = inner.getparent()
        if outer is None:
            return
        for sibling in outer.iterchildren():
            if sibling is not inner and not (keeps_titles and next(sibling.iter("h1"), None) is not None):
                yield sibling
        inner = outer


def _get_role(element: etree._Element) -> str:
    """Return the landmark role of an element, stated or implied by its tag. Section headers and footers have none."""
    stated = element.get("role")
    if stated:
        return str(stated).strip().lower()
    tag = element.tag
    if tag in _PAGE_ROLES:
        inside = any(ancestor.tag in _SECTIONS for ancestor in element.iterancestors())
        return "" if inside else _PAGE_ROLES[tag]
    return _LANDMARK_TAGS.get(tag, "") if isinstance(tag, str) else ""


def _flatten_deep_elements(root: etree._Element) -> None:
    """Replace the content of elements nested deeper than `_MAX_DEPTH` with its text.

    Tables and their rows are kept, so that the text of each cell stays in its cell.
    """
    depth = 0
    deep: list[etree._Element] = []
    inside: etree._Element | None = None
    for event, element in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if inside is None and event == "start" and depth >= _MAX_DEPTH and len(element):
            if element.tag != "table" and element.tag not in ROW_PARTS:
                deep.append(element)
                inside = element
        elif event == "end" and element is inside:
            inside = None
    for element in deep:
        text = " ".join(element.itertext())
        element.clear(keep_tail=True)
        element.text = text
