"""The text of a cell's failure, for the model that wrote it: the traceback's end, in its own names, and a hint."""

import re
import traceback
from collections.abc import Iterable, Mapping

from rlm.sandbox.hints import hint_for
from rlm.sandbox.output import CappedOutput

# A line that was wrapped to show its value, and the carets under it, which stand under other characters then.
_SHOWN = re.compile(r"^(.*?)_ll_show\((?:\((.*)\)|(.*))\)(.*)$\n(?:^ *~+$\n)?", re.MULTILINE)
_CELL = re.compile(r"<python-input-\d+>|<unknown>")


def report(text: str, *, limit: int, names: Iterable[str], exceptions: Mapping[str, str]) -> str:
    """`exceptions` are the code's own by the names of those that play them."""
    for stand_in, name in exceptions.items():
        text = re.sub(rf"\b(?:decimal\.|tomllib\.)?{stand_in}\b", name, text)
    text = _SHOWN.sub(r"\1\2\3\4\n", _CELL.sub("<cell>", text)).replace("_ll_show((", "").rstrip()
    text = text.replace("'_ll_Module' object", "this module")
    hint = hint_for(text[-2 * limit :], names=names)
    capped = CappedOutput(limit)
    capped.write(text)
    text = capped.text()
    return f"{text}\nHint: {hint}" if hint else text


def syntax_report(error: SyntaxError) -> str:
    """As Python says it, with the line and a caret."""
    return _CELL.sub("<cell>", "".join(traceback.format_exception_only(error))).strip()


def refused_report(error: Exception) -> str:
    """Nothing was run."""
    return f"SyntaxError: {error}"
