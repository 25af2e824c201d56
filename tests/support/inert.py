"""Says what is not inert in rendered answers. Written from the grammars of HTML and mrkdwn, not from our renderer."""

import re
from collections.abc import Collection
from html.parser import HTMLParser

from lxml import html as lxml_html

_ELEMENTS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "a"),
}
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u061c\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e0fff]"
)


def faults_of_html(text: str, addresses: Collection[str]) -> list[str]:
    """Return what two parsers find that is no plain text formatting, and links that lead elsewhere."""
    found = [f"hidden character {match[0]!r}" for match in _HIDDEN.finditer(text)]
    reader = _Reader()
    reader.feed(text)
    reader.close()
    elements = list(reader.elements)
    for node in lxml_html.fragment_fromstring(text, create_parent="section").iterdescendants():
        if not isinstance(node.tag, str):
            found.append(f"a node that is no element: {node}")
        else:
            elements.append((node.tag, dict(node.attrib)))
    for tag, attributes in elements:
        if tag not in _ELEMENTS:
            found.append(f"element {tag}")
        for name, value in attributes.items():
            if tag == "a" and name == "href" and value in addresses:
                continue
            if (tag, name) != ("a", "rel") and not ((tag, name) == ("ol", "start") and (value or "").isdigit()):
                found.append(f"{tag} {name}={value!r}")
    return found + reader.others


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.others: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_comment(self, data: str) -> None:
        self.others.append(f"comment {data!r}")

    def handle_decl(self, decl: str) -> None:
        self.others.append(f"declaration {decl!r}")

    def handle_pi(self, data: str) -> None:
        self.others.append(f"instruction {data!r}")

    def unknown_decl(self, data: str) -> None:
        self.others.append(f"section {data!r}")


_LINK = re.compile(r"<([^|<>]*)\|([^|<>]*)>")
_ENTITY = re.compile(r"&(?!(?:amp|lt|gt);)")
# Slack knows code by its neighbours: none of them is a letter, a digit or another backtick.
_CODE = re.compile(r"(?<![^\W])(?<!`)`([^`\n]+)`(?![\w`])")
_ACTIVE = (
    ("address", re.compile(r"[a-z][a-z0-9+.-]*://|\b(?:mailto|tel|javascript|data):(?=\S)|\bwww\.\S", re.IGNORECASE)),
    ("name of a host", re.compile(r"[^\W_]\.[^\W\d_]{2}")),
    ("mention", re.compile(r"@\w")),
    ("channel", re.compile(r"#\w")),
    ("code that Slack does not know", re.compile("`")),
)


def faults_of_mrkdwn(text: str, addresses: Collection[str]) -> list[str]:
    """Return whatever Slack would make a link, a mention or a channel of, but links to `addresses`."""
    found = [f"hidden character {match[0]!r}" for match in _HIDDEN.finditer(text)]
    found += [f"a bare & in {text[match.start() :][:20]!r}" for match in _ENTITY.finditer(text)]
    for address, _ in _LINK.findall(text):
        if address.replace("&amp;", "&") not in addresses:
            found.append(f"link to {address!r}")
    rest = _LINK.sub("_", text)  # code beside a link is none, and a link is no part of an address
    found += [
        f"control {rest[max(0, at - 10) : at + 20]!r}"
        for at, char in enumerate(rest)
        if char in "<>" and not _quotes(rest, at)
    ]
    inside, lines = False, []
    for line in rest.split("\n"):
        if line == "```":
            inside = not inside
        elif not inside:
            lines.append(_CODE.sub(" ", line))
    if inside:
        found.append("a block of code without an end")
    for what, pattern in _ACTIVE:
        found += [f"{what}: {line[:200]!r}" for line in lines if pattern.search(line)]
    return found


def _quotes(text: str, at: int) -> bool:
    """True for a mark of a quotation: at the beginning of a line, behind other marks and bullets."""
    return text[at] == ">" and not text[text.rfind("\n", 0, at) + 1 : at].strip("> •0123456789.")
