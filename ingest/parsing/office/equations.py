"""Office equations are written on a line, as Word itself writes them: `(a+b)/c`, `x^2`, `√(n)`, `∑_(i=1)^n i`.

Source: Murray Sargent, UnicodeMath, Unicode Technical Note 28.
"""

import re
from collections.abc import Callable

from lxml import etree

from ingest.parsing.office.names import M, W

_VALUE = f"{M}val"
_DEEPEST = 60
_operators = re.compile("[\u2061-\u2064]")  # of no width: function application, invisible times, comma and plus


def linear(math: etree._Element) -> str:
    """Write an `m:oMath`, or the paragraph of some, on one line; empty if no character of it is there."""
    return " ".join(_children(math, 0).split())


def _children(element: etree._Element | None, depth: int) -> str:
    if element is None or depth > _DEEPEST:
        return ""
    return "".join(_element(child, depth + 1) for child in element.iterchildren())


def _element(element: etree._Element, depth: int) -> str:
    tag = element.tag
    if tag == f"{M}t" or tag == f"{W}t":
        return _operators.sub("", element.text or "")
    if tag in (f"{M}r", f"{W}r", f"{M}oMath", f"{M}oMathPara"):
        return _children(element, depth) + ("\n" if tag == f"{M}oMath" else "")
    write = _WRITERS.get(tag.removeprefix(M)) if isinstance(tag, str) and tag.startswith(M) else None
    if write is not None:
        return write(element, depth)
    return "" if isinstance(tag, str) and tag.endswith("Pr") else _children(element, depth)


def _part(element: etree._Element, name: str, depth: int) -> str:
    return _children(element.find(f"{M}{name}"), depth).strip()


def grouped(text: str) -> str:
    """Put what is more than one sign or number in brackets, unless it has them."""
    if len(text) < 2 or text.isalnum() or (text[0] == "(" and text.find(")") == len(text) - 1):
        return text
    return f"({text})"


def _setting(element: etree._Element, name: str, default: str) -> str:
    """Return a value of the element's own properties."""
    tag = etree.QName(element).localname
    found = element.find(f"{M}{tag}Pr/{M}{name}")
    return default if found is None else found.get(_VALUE, "")


def _fraction(element: etree._Element, depth: int) -> str:
    over, under = _part(element, "num", depth), _part(element, "den", depth)
    if _setting(element, "type", "bar") == "noBar":
        return f"({over}¦{under})"
    return f"{grouped(over)}/{grouped(under)}"


def _script(element: etree._Element, depth: int) -> str:
    base, sub, sup = (_part(element, name, depth) for name in ("e", "sub", "sup"))
    return grouped(base) + _scripts(sub, sup)


def _scripts(sub: str, sup: str) -> str:
    return (f"_{grouped(sub)}" if sub else "") + (f"^{grouped(sup)}" if sup else "")


def _before(element: etree._Element, depth: int) -> str:
    return _scripts(_part(element, "sub", depth), _part(element, "sup", depth)) + _part(element, "e", depth)


def _radical(element: etree._Element, depth: int) -> str:
    degree = _part(element, "deg", depth)
    return f"√({degree}&{_part(element, 'e', depth)})" if degree else f"√({_part(element, 'e', depth)})"


def _nary(element: etree._Element, depth: int) -> str:
    sign = _setting(element, "chr", "∫")
    return f"{sign}{_scripts(_part(element, 'sub', depth), _part(element, 'sup', depth))} {_part(element, 'e', depth)}"


def _function(element: etree._Element, depth: int) -> str:
    return f"{_part(element, 'fName', depth)} {_part(element, 'e', depth)}"


def _delimited(element: etree._Element, depth: int) -> str:
    inner = _setting(element, "sepChr", "|").join(
        _children(part, depth).strip() for part in element.iterchildren(f"{M}e")
    )
    return f"{_setting(element, 'begChr', '(')}{inner}{_setting(element, 'endChr', ')')}"


def _matrix(element: etree._Element, depth: int) -> str:
    rows = (
        " & ".join(_children(cell, depth).strip() for cell in row.iterchildren(f"{M}e"))
        for row in element.iterchildren(f"{M}mr")
    )
    return f"[{'; '.join(rows)}]"


def _equations(element: etree._Element, depth: int) -> str:
    return "; ".join(_children(each, depth).strip() for each in element.iterchildren(f"{M}e"))


def _accent(element: etree._Element, depth: int) -> str:
    return grouped(_part(element, "e", depth)) + _setting(element, "chr", "\u0302")


def _bar(element: etree._Element, depth: int) -> str:
    return f"{'_' if _setting(element, 'pos', 'bot') == 'bot' else '¯'}({_part(element, 'e', depth)})"


def _limit(sign: str) -> Callable[[etree._Element, int], str]:
    def write(element: etree._Element, depth: int) -> str:
        return f"{_part(element, 'e', depth)}{sign}{grouped(_part(element, 'lim', depth))}"

    return write


_WRITERS: dict[str, Callable[[etree._Element, int], str]] = {
    "f": _fraction,
    **dict.fromkeys(("sSup", "sSub", "sSubSup"), _script),
    "sPre": _before,
    "rad": _radical,
    "nary": _nary,
    "func": _function,
    "d": _delimited,
    "m": _matrix,
    "eqArr": _equations,
    "acc": _accent,
    "bar": _bar,
    "limLow": _limit("_"),
    "limUpp": _limit("^"),
}
