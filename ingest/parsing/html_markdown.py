"""HTML cleaned with lxml and written as Markdown with markdownify; the only module that imports either.

Kept: headings, paragraphs, lists, tables, quotations, code, and the text of links and images. Dropped: addresses, what
a reader does not see, and emphasis, whose marks would stand inside words that are searched for and quoted.
"""

from typing import TYPE_CHECKING

from lxml import etree
from markdownify import MarkdownConverter

from ingest.errors import DamagedDocumentError, ParserLimitError

if TYPE_CHECKING:
    from bs4 import Tag

# The converter calls itself three frames a level, so 1,000 frames bound it at about 300; real pages stay under 60.
_MAX_DEPTH = 100
_MAX_COLUMNS = 100
_NUMBER_DIGITS = 6

_UNSEEN = (
    *("head", "script", "style", "noscript", "template", "svg", "iframe", "object", "embed", "canvas"),
    *("input", "button", "select", "textarea", "datalist"),
)
_KEPT = {
    *("html", "body", "h1", "h2", "h3", "h4", "h5", "h6", "p", "br", "hr", "div", "blockquote", "pre", "code"),
    *("ul", "ol", "li", "dl", "dt", "dd", "q"),
    *("table", "caption", "thead", "tbody", "tfoot", "tr", "th", "td", "figcaption"),
}
_TAGS = {
    **{tag: tag for tag in _KEPT},
    **dict.fromkeys(("kbd", "samp", "tt"), "code"),
    **dict.fromkeys(("xmp", "listing", "plaintext"), "pre"),
    **dict.fromkeys(
        (
            *("article", "section", "main", "header", "footer", "nav", "aside", "address", "figure", "center", "form"),
            *("fieldset", "legend", "details", "summary", "dialog", "hgroup", "search", "menu", "dir", "optgroup"),
            *("frameset", "noframes", "video", "audio"),
        ),
        "div",
    ),
}
_NUMBERS = {"td": "colspan", "th": "colspan", "li": "value"}


def markdown_of(html: str) -> tuple[str | None, str]:
    """Convert a page to its title and Markdown; None and an empty text for a page without content.

    Raises `ParserLimitError` where the nesting passes what libxml2 reads (2,048), and `DamagedDocumentError`.
    """
    root = _parse(html)
    if root is None:
        return None, ""
    title = root.findtext("head/title")
    etree.strip_elements(root, *_UNSEEN, with_tail=False)
    _flatten(root)
    _reduce(root)
    cleaned = etree.tostring(root, encoding="unicode", method="html")
    return title, str(_converter().convert(cleaned))


def _parse(html: str) -> etree._Element | None:
    """Parse to the root element; None for a document without one. `huge_tree` allows lines of more than 10 MB."""
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        root = etree.fromstring(html.replace("\0", "").encode("utf-8"), parser)
    except etree.XMLSyntaxError as error:
        if error.code == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError from error
        raise DamagedDocumentError("The HTML cannot be read.") from error
    # After a fatal error the tree ends early, and there is no exception.
    for entry in parser.error_log.filter_from_fatals():
        if entry.type == etree.ErrorTypes.ERR_NO_MEMORY:
            raise MemoryError
        if entry.type == etree.ErrorTypes.ERR_RESOURCE_LIMIT:
            raise ParserLimitError("The HTML is nested more deeply than any page is.", hint="Simplify the page.")
        raise DamagedDocumentError(f"The HTML cannot be read beyond line {entry.line}.")
    return root


def _flatten(root: etree._Element) -> None:
    """Replace elements below `_MAX_DEPTH` by their text."""
    depth = 0
    deep = []
    for event, element in etree.iterwalk(root, events=("start", "end")):
        depth += 1 if event == "start" else -1
        if event == "start" and depth == _MAX_DEPTH and len(element):
            deep.append(element)
    for element in deep:
        text = " ".join(element.itertext())
        element.clear(keep_tail=True)
        element.text = text


def _reduce(root: etree._Element) -> None:
    """Map tags to those that the converter knows, and keep only the attributes that it needs, as plain numbers."""
    for element in root.iter():
        tag = element.tag
        if tag == "img":
            element.text = f" {element.get('alt', '')} "
        elif tag == "ol":
            _number(element)
        attribute = _NUMBERS.get(tag)
        number = _number_in(element.get(attribute)) if attribute else None
        element.attrib.clear()
        element.tag = _TAGS.get(tag, "span")
        if attribute == "colspan" and number is not None:
            element.set(attribute, str(max(1, min(number, _MAX_COLUMNS))))
        elif attribute and number is not None:
            element.set(attribute, str(number))


def _number(ordered_list: etree._Element) -> None:
    """Write each item's number on it; the converter would count the items before it, once for each."""
    number = _number_in(ordered_list.get("start"))
    following = 1 if number is None else number
    for item in ordered_list.iterchildren("li"):
        number = _number_in(item.get("value"))
        following = following if number is None else number
        item.set("value", str(following))
        following += 1


def _number_in(text: str | None) -> int | None:
    text = (text or "").strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _NUMBER_DIGITS else None


class _Markdown(MarkdownConverter):
    def convert_li(self, element: "Tag", text: str, parent_tags: set[str]) -> str:
        ordered = element.parent is not None and element.parent.name == "ol"
        mark = f"{element.get('value', '1')}. " if ordered else "- "
        return mark + text.strip().replace("\n", "\n" + " " * len(mark)) + "\n"

    def convert_pre(self, element: "Tag", text: str, parent_tags: set[str]) -> str:
        fence = "```"
        while fence in text:
            fence += "`"
        return f"\n\n{fence}\n{text.strip(chr(10))}\n{fence}\n\n" if text.strip() else ""


def _converter() -> MarkdownConverter:
    return _Markdown(
        bs4_options="lxml",
        heading_style="ATX",
        escape_asterisks=False,
        escape_underscores=False,
        wrap=True,  # line ends in a paragraph are blanks
        wrap_width=None,
    )
