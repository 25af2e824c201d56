"""Write Office equations on one line, in Word's linear format: `(a+b)/c`, `x^2`, `√(n)`, `∑_(i=1)^n i`.

Source: Murray Sargent, UnicodeMath, Unicode Technical Note 28.
"""

import re
from collections.abc import Callable

from lxml import etree

from ingest.parsing.office.names import M, W

_VALUE = f"{M}val"
_MAX_DEPTH = 60
# Zero-width operators: function application, invisible times, invisible comma and invisible plus.
_operators = re.compile("[\u2061-\u2064]")


def linearize_equation(element: etree._Element) -> str:
    """Return an `m:oMath`, or a paragraph of them, as one line, or an empty string if it has no characters."""
    return " ".join(_format_children(element, 0).split())


def _format_children(element: etree._Element | None, depth: int) -> str:
    if element is None or depth > _MAX_DEPTH:
        return ""
    return "".join(_format_element(child, depth + 1) for child in element.iterchildren())


def _format_element(element: etree._Element, depth: int) -> str:
    tag = element.tag
    if tag == f"{M}t" or tag == f"{W}t":
        return _operators.sub("", element.text or "")
    if tag in (f"{M}r", f"{W}r", f"{M}oMath", f"{M}oMathPara"):
        return _format_children(element, depth) + ("\n" if tag == f"{M}oMath" else "")
    write = _WRITERS.get(tag.removeprefix(M)) if isinstance(tag, str) and tag.startswith(M) else None
    if write is not None:
        return write(element, depth)
    return "" if isinstance(tag, str) and tag.endswith("Pr") else _format_children(element, depth)


def _format_component(element: etree._Element, tag_name: str, depth: int) -> str:
    return _format_children(element.find(f"{M}{tag_name}"), depth).strip()


def add_brackets(text: str) -> str:
    """Enclose text in parentheses, unless it is a single character or number or already enclosed."""
    if len(text) < 2 or text.isalnum() or (text[0] == "(" and text.find(")") == len(text) - 1):
        return text
    return f"({text})"


def _get_setting(element: etree._Element, name: str, default: str) -> str:
    """Return a value from the properties of an element."""
    tag = etree.QName(element).localname
    found = element.find(f"{M}{tag}Pr/{M}{name}")
    return default if found is None else found.get(_VALUE, "")


def _format_fraction(element: etree._Element, depth: int) -> str:
    over, under = _format_component(element, "num", depth), _format_component(element, "den", depth)
    if _get_setting(element, "type", "bar") == "noBar":
        return f"({over}¦{under})"
    return f"{add_brackets(over)}/{add_brackets(under)}"


def _format_script(element: etree._Element, depth: int) -> str:
    base, sub, sup = (_format_component(element, name, depth) for name in ("e", "sub", "sup"))
    return add_brackets(base) + _format_scripts(sub, sup)


def _format_scripts(subscript: str, superscript: str) -> str:
    return (f"_{add_brackets(subscript)}" if subscript else "") + (
        f"^{add_brackets(superscript)}" if superscript else ""
    )


def _format_prescript(element: etree._Element, depth: int) -> str:
    return _format_scripts(
        _format_component(element, "sub", depth), _format_component(element, "sup", depth)
    ) + _format_component(element, "e", depth)


def _format_radical(element: etree._Element, depth: int) -> str:
    degree = _format_component(element, "deg", depth)
    return (
        f"√({degree}&{_format_component(element, 'e', depth)})"
        if degree
        else f"√({_format_component(element, 'e', depth)})"
    )


def _format_nary(element: etree._Element, depth: int) -> str:
    sign = _get_setting(element, "chr", "∫")
    lower, upper, body = (_format_component(element, tag, depth) for tag in ("sub", "sup", "e"))
    return f"{sign}{_format_scripts(lower, upper)} {body}"


def _format_function(element: etree._Element, depth: int) -> str:
    return f"{_format_component(element, 'fName', depth)} {_format_component(element, 'e', depth)}"


def _format_delimiters(element: etree._Element, depth: int) -> str:
    inner = _get_setting(element, "sepChr", "|").join(
        _format_children(part, depth).strip() for part in element.iterchildren(f"{M}e")
    )
    return f"{_get_setting(element, 'begChr', '(')}{inner}{_get_setting(element, 'endChr', ')')}"


def _format_matrix(element: etree._Element, depth: int) -> str:
    rows = (
        " & ".join(_format_children(cell, depth).strip() for cell in row.iterchildren(f"{M}e"))
        for row in element.iterchildren(f"{M}mr")
    )
    return f"[{'; '.join(rows)}]"


def _format_equation_array(element: etree._Element, depth: int) -> str:
    return "; ".join(_format_children(each, depth).strip() for each in element.iterchildren(f"{M}e"))


def _format_accent(element: etree._Element, depth: int) -> str:
    return add_brackets(_format_component(element, "e", depth)) + _get_setting(element, "chr", "\u0302")


def _format_bar(element: etree._Element, depth: int) -> str:
    return f"{'_' if _get_setting(element, 'pos', 'bot') == 'bot' else '¯'}({_format_component(element, 'e', depth)})"


def _build_limit_formatter(sign: str) -> Callable[[etree._Element, int], str]:
    def format_limit(element: etree._Element, depth: int) -> str:
        return f"{_format_component(element, 'e', depth)}{sign}{add_brackets(_format_component(element, 'lim', depth))}"

    return format_limit


_WRITERS: dict[str, Callable[[etree._Element, int], str]] = {
    "f": _format_fraction,
    **dict.fromkeys(("sSup", "sSub", "sSubSup"), _format_script),
    "sPre": _format_prescript,
    "rad": _format_radical,
    "nary": _format_nary,
    "func": _format_function,
    "d": _format_delimiters,
    "m": _format_matrix,
    "eqArr": _format_equation_array,
    "acc": _format_accent,
    "bar": _format_bar,
    "limLow": _build_limit_formatter("_"),
    "limUpp": _build_limit_formatter("^"),
}
