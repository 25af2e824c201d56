"""Write MathML on one line, in the format used by `ingest.parsing.office.equations` for Office equations."""

from collections.abc import Callable

from lxml import etree

from ingest.parsing.office.equations import add_brackets

_MAX_DEPTH = 60


def linearize_mathml(element: etree._Element) -> str:
    """Return a `element` element of any namespace as one line, or an empty string if it has no characters."""
    return " ".join(_format_element(element, 0).split())


def _format_element(element: etree._Element, depth: int) -> str:
    name = etree.QName(element).localname.lower() if isinstance(element.tag, str) else "annotation"
    if depth > _MAX_DEPTH or name.startswith("annotation"):
        return ""
    parts = [_format_element(child, depth + 1) for child in element.iterchildren()]
    write = _WRITERS.get(name)
    if write is not None and len(parts) >= _PARTS.get(name, 1):
        return write(*(part.strip() for part in parts)) if name in _PARTS else write(*parts)
    return (element.text or "").strip() + "".join(parts)


_PARTS = {"mfrac": 2, "msup": 2, "msub": 2, "msubsup": 3, "munder": 2, "mover": 2, "munderover": 3, "mroot": 2}
_WRITERS: dict[str, Callable[..., str]] = {
    "mfrac": lambda over, under, *_: f"{add_brackets(over)}/{add_brackets(under)}",
    "msup": lambda base, sup, *_: f"{add_brackets(base)}^{add_brackets(sup)}",
    "msub": lambda base, sub, *_: f"{add_brackets(base)}_{add_brackets(sub)}",
    "msubsup": lambda base, sub, sup, *_: f"{add_brackets(base)}_{add_brackets(sub)}^{add_brackets(sup)}",
    "munder": lambda base, under, *_: f"{base}_{add_brackets(under)}",
    "mover": lambda base, over, *_: f"{base}^{add_brackets(over)}",
    "munderover": lambda base, under, over, *_: f"{base}_{add_brackets(under)}^{add_brackets(over)} ",
    "msqrt": lambda *parts: f"√({''.join(parts)})",
    "mroot": lambda base, degree, *_: f"√({degree}&{base})",
    "mtable": lambda *rows: f"[{'; '.join(rows)}]" if len(rows) > 1 or " & " in rows[0] else rows[0],
    "mtr": lambda *cells: " & ".join(cells),
    "mfenced": lambda *parts: f"({', '.join(parts)})",
}
