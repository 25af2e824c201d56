"""MathML is written on a line, as `ingest.parsing.office.equations` writes Office's equations."""

from collections.abc import Callable

from lxml import etree

from ingest.parsing.office.equations import grouped

_DEEPEST = 60


def linear_mathml(math: etree._Element) -> str:
    """Write a `math` element of any namespace on one line; empty if no character of it is there."""
    return " ".join(_written(math, 0).split())


def _written(element: etree._Element, depth: int) -> str:
    name = etree.QName(element).localname.lower() if isinstance(element.tag, str) else "annotation"
    if depth > _DEEPEST or name.startswith("annotation"):
        return ""
    parts = [_written(child, depth + 1) for child in element.iterchildren()]
    write = _WRITERS.get(name)
    if write is not None and len(parts) >= _PARTS.get(name, 1):
        return write(*(part.strip() for part in parts)) if name in _PARTS else write(*parts)
    return (element.text or "").strip() + "".join(parts)


_PARTS = {"mfrac": 2, "msup": 2, "msub": 2, "msubsup": 3, "munder": 2, "mover": 2, "munderover": 3, "mroot": 2}
_WRITERS: dict[str, Callable[..., str]] = {
    "mfrac": lambda over, under, *_: f"{grouped(over)}/{grouped(under)}",
    "msup": lambda base, sup, *_: f"{grouped(base)}^{grouped(sup)}",
    "msub": lambda base, sub, *_: f"{grouped(base)}_{grouped(sub)}",
    "msubsup": lambda base, sub, sup, *_: f"{grouped(base)}_{grouped(sub)}^{grouped(sup)}",
    "munder": lambda base, under, *_: f"{base}_{grouped(under)}",
    "mover": lambda base, over, *_: f"{base}^{grouped(over)}",
    "munderover": lambda base, under, over, *_: f"{base}_{grouped(under)}^{grouped(over)} ",
    "msqrt": lambda *parts: f"√({''.join(parts)})",
    "mroot": lambda base, degree, *_: f"√({degree}&{base})",
    "mtable": lambda *rows: f"[{'; '.join(rows)}]" if len(rows) > 1 or " & " in rows[0] else rows[0],
    "mtr": lambda *cells: " & ".join(cells),
    "mfenced": lambda *parts: f"({', '.join(parts)})",
}
