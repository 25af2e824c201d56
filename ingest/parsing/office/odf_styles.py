"""Look up the properties of OpenDocument styles that affect the text."""

from collections.abc import Iterator
from dataclasses import dataclass

from lxml import etree

from ingest.parsing.office.odf_names import DRAW, FO, OFFICE, PRESENTATION, STYLE, TEXT

_UNITS = {"cm": 1.0, "mm": 0.1, "in": 2.54, "pt": 2.54 / 72, "pc": 2.54 / 6, "px": 2.54 / 96}
_CODE = {"Preformatted_20_Text", "Source_20_Code", "Preformatted Text", "Source Code"}


@dataclass(frozen=True)
class PageSize:
    """The width and height of a page, in centimeters."""

    width: float
    height: float


class OdfStyles:
    """Named and automatic styles, keyed by name. The automatic styles of the content take precedence over others."""

    def __init__(self, content: etree._Element, styles: etree._Element | None) -> None:
        self._roots = [content] if styles is None else [content, styles]
        self._styles: dict[str, etree._Element] = {}
        for root in self._roots:
            for each in root.iter(f"{STYLE}style"):
                self._styles.setdefault(each.get(f"{STYLE}name", ""), each)

    def is_title(self, style_name: str) -> bool:
        return "Title" in self._list_ancestor_names(style_name)

    def is_code(self, style_name: str) -> bool:
        """Return whether a style is one that LibreOffice or Pandoc uses for code."""
        return not _CODE.isdisjoint(self._list_ancestor_names(style_name))

    def is_hidden(self, style_name: str) -> bool:
        """Return whether text in the style is hidden."""
        for _, each in self._iter_style_chain(style_name):
            display = each.find(f"{STYLE}text-properties[@{TEXT}display]")
            if display is not None:
                return bool(display.get(f"{TEXT}display") == "none")
        return False

    def is_hidden_slide(self, page: etree._Element) -> bool:
        for _, each in self._iter_style_chain(page.get(f"{DRAW}style-name", "")):
            properties = each.find(f"{STYLE}drawing-page-properties")
            if properties is not None and properties.get(f"{PRESENTATION}visibility") == "hidden":
                return True
        return False

    def get_list_style(self, style_name: str) -> str:
        """Return the name of the list style to which a paragraph style refers."""
        for _, each in self._iter_style_chain(style_name):
            if f"{STYLE}list-style-name" in each.attrib:
                return str(each.get(f"{STYLE}list-style-name"))
        return ""

    def iter_headers_or_footers(self, kind: str) -> Iterator[etree._Element]:
        """Yield the headers or footers of the master pages in use. The first master page in the file is the default."""
        masters = [each for root in self._roots for each in root.iter(f"{STYLE}master-page")]
        used = {each.get(f"{STYLE}master-page-name") for each in self._styles.values()}
        for at, master in enumerate(masters):
            if at == 0 or master.get(f"{STYLE}name") in used:
                yield from (
                    each
                    for each in master.iterchildren(*(f"{STYLE}{kind}{form}" for form in ("", "-left", "-first")))
                    if each.get(f"{STYLE}display") != "false"
                )

    def get_page_size(self, master_name: str) -> PageSize | None:
        """Return the page size of a master page."""
        for root in self._roots:
            for master in root.iterfind(f".//{OFFICE}master-styles/{STYLE}master-page"):
                if master.get(f"{STYLE}name") == master_name:
                    return self._find_layout_size(master.get(f"{STYLE}page-layout-name", ""))
        return None

    def _find_layout_size(self, name: str) -> PageSize | None:
        for root in self._roots:
            for layout in root.iter(f"{STYLE}page-layout"):
                properties = layout.find(f"{STYLE}page-layout-properties")
                if layout.get(f"{STYLE}name") == name and properties is not None:
                    width, height = (parse_length(properties.get(f"{FO}page-{each}")) for each in ("width", "height"))
                    return PageSize(width, height) if width and height else None
        return None

    def _list_ancestor_names(self, style_name: str) -> set[str]:
        """Return the names of a style and its ancestors, even if the last one is not defined in the file."""
        parents = (each.get(f"{STYLE}parent-style-name", "") for _, each in self._iter_style_chain(style_name))
        return {style_name, *parents}

    def _iter_style_chain(self, style_name: str) -> Iterator[tuple[str, etree._Element]]:
        seen = set[str]()
        while style_name in self._styles and style_name not in seen:
            seen.add(style_name)
            yield style_name, self._styles[style_name]
            style_name = self._styles[style_name].get(f"{STYLE}parent-style-name", "")


def parse_length(text: str | None) -> float | None:
    """Parse a length and return it in centimeters, or None if it is invalid."""
    text = (text or "").strip()
    try:
        return float(text[:-2]) * _UNITS[text[-2:]]
    except (KeyError, ValueError):
        return None
