"""Namespaces of Office Open XML (ECMA-376), as prefixes of lxml tags, and helpers for its elements."""

from lxml import etree

W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
A = "{http://schemas.openxmlformats.org/drawingml/2006/main}"
P = "{http://schemas.openxmlformats.org/presentationml/2006/main}"
R = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
M = "{http://schemas.openxmlformats.org/officeDocument/2006/math}"
C = "{http://schemas.openxmlformats.org/drawingml/2006/chart}"
DGM = "{http://schemas.openxmlformats.org/drawingml/2006/diagram}"
WP = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
PIC = "{http://schemas.openxmlformats.org/drawingml/2006/picture}"
MC = "{http://schemas.openxmlformats.org/markup-compatibility/2006}"
W14 = "{http://schemas.microsoft.com/office/word/2010/wordml}"
V = "{urn:schemas-microsoft-com:vml}"
O = "{urn:schemas-microsoft-com:office:office}"  # noqa: E741 - the prefix that files use
DC = "{http://purl.org/dc/elements/1.1/}"


def resolve_alternatives(root: etree._Element) -> None:
    """Replace each `mc:AlternateContent` with its first choice or its fallback (ECMA-376 part 3, 9)."""
    for alternative in list(root.iter(f"{MC}AlternateContent")):
        parent = alternative.getparent()
        if parent is None:
            continue
        chosen = next(iter(alternative.iterchildren(f"{MC}Choice", f"{MC}Fallback")), None)
        at = parent.index(alternative)
        parent[at : at + 1] = [] if chosen is None else list(chosen)


def get_core_title(properties: etree._Element) -> str | None:
    """Return the title in the core properties of a package."""
    title: str | None = properties.findtext(f"{DC}title")
    return title


def is_property_on(element: etree._Element | None, value_attribute: str = f"{W}val") -> bool:
    """Return whether an on/off property is present and not set to off (ECMA-376 part 1, 17.17.4)."""
    return element is not None and element.get(value_attribute, "true") not in {"0", "false", "off"}
