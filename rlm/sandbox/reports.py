"""Reports the failure of a cell to the model that wrote it.

The report is the end of the traceback, with the names used in the code, and a hint.
"""

import re
import traceback
from collections.abc import Iterable


class CappedOutput:
    """Stores only the first and last characters of the text written to it, so that its memory use is bounded."""

    def __init__(self, max_characters: int) -> None:
        self._head_room = max_characters - max_characters // 4
        self._tail_room = max_characters // 4
        self._head: list[str] = []
        self._tail = ""
        self.characters = 0

    def write(self, text: str) -> None:
        self.characters += len(text)
        kept, rest = text[: self._head_room], text[self._head_room :]
        if kept:
            self._head.append(kept)
            self._head_room -= len(kept)
        if rest:
            self._tail = (self._tail + rest[-self._tail_room :])[-self._tail_room :]

    def get_text(self) -> str:
        """Return the whole text, or its beginning and end around a line that states how much was omitted."""
        head = "".join(self._head)
        left_out = self.characters - len(head) - len(self._tail)
        if left_out <= 0:
            return head + self._tail
        return f"{head}\n… [{left_out:,} of {self.characters:,} characters left out] …\n{self._tail}"


NO_FILES = "there are no files here; read documents with the tools"
_NO_MODULES = "No other modules are available: use Python's built-in functions, and the tools."

# Suggested replacements for features that the interpreter does not support.
_HINTS: tuple[tuple[str, str], ...] = (
    (r"has no attribute '__(dict|class|name|doc|module)__'", "Objects cannot be inspected here; use type(x)."),
    (
        r"object of type '\w+' has no len\(\)|'<' not supported between instances of '(\w+)' and '\1'",
        "__len__, __lt__ and the like of your own classes are not called; use plain functions, and sort with a key.",
    ),
    (r"name '(numpy|np|pandas|pd)' is not defined", "There is no numpy or pandas; use lists, Counter and statistics."),
    (r"name 'input' is not defined", "There is no user input here; print what you need to know and end the cell."),
    (r"name '(__import__|compile|globals|vars|dir)' is not defined", "The interpreter has no introspection."),
    (r"name 'open' is not defined|no files here", "Use read(), grep() and search()."),
    (
        r"cannot suspend in this synchronous context",
        "Call tools in a loop or a comprehension first, and sort or take the maximum of what they returned.",
    ),
    (r"'type' object is not iterable", "List the members of an enumeration yourself."),
    (r"is not an iterator", "Put iter(…) around it, or use a for loop."),
    (r"look-around|lookbehind|backtracking", "Write the pattern without lookbehind or backreferences."),
    (r"time limit exceeded", "Do less in a cell; split the work, and let tools search and count."),
    (r"memory limit exceeded", "Read less at once; keep handles and results, not texts."),
    (r"maximum recursion depth exceeded", "Use a loop."),
    (
        r"suspension limit",
        "Call a tool once for many things: read, classify, extract and llm_query_batched take lists.",
    ),
    (
        r"class inheritance",
        "Write a dataclass or a class without bases; raise ValueError for an exception of your own, use namedtuple for "
        "a NamedTuple, and constants for an enumeration.",
    ),
    (r"method decorators", "Write a plain method and call it, or a function outside the class."),
    (
        r"yield expressions",
        "Collect the values in a list and return it; for @contextmanager write a class with __enter__ and __exit__.",
    ),
    (r"the 'del' statement", "Assign None instead."),
    (r"exceptions can only be called with", "Give the exception one string."),
    (r"unexpected keyword argument", "Look at the signature of what you call."),
)


def find_hint(error: str, *, tool_names: Iterable[str] = ()) -> str:
    """Return a one-sentence hint, or an empty string if there is none.

    `tool_names` are the names of the available tools.
    """
    for pattern, hint in _HINTS:
        if re.search(pattern, error):
            return hint
    if re.search(r"No module named|cannot import name|^.*this module has no", error):
        return _NO_MODULES
    undefined = re.search(r"NameError: name '(\w+)' is not defined", error)
    known = sorted(tool_names)
    if undefined and known:
        return f"The tools are: {', '.join(known)}. Variables are those that earlier cells set."
    return ""


_SHOWING = "_ll_show("
_CARETS = re.compile(r" *~+")
# Maximum length of a text that is searched as a whole. The text may be anything that the code raised. If the text is
# longer, only its beginning and end are searched, each in linear time.
_MAX_SEARCHED_CHARS = 200_000
_CELL = re.compile(r"<python-input-\d+>|<unknown>")


def format_report(text: str, *, limit: int, tool_names: Iterable[str]) -> str:
    """Return the end of the traceback with the names used in the code, followed by a hint."""
    if len(text) > _MAX_SEARCHED_CHARS:
        text = f"{text[: _MAX_SEARCHED_CHARS // 2]}\n…\n{text[-_MAX_SEARCHED_CHARS // 2 :]}"
    text = _rejoin_wrapped_lines(_CELL.sub("<cell>", text)).replace("_ll_show((", "").rstrip()
    text = text.replace("'_ll_Module' object", "this module")
    hint = find_hint(text[-2 * limit :], tool_names=tool_names)
    capped = CappedOutput(limit)
    capped.write(text)
    text = capped.get_text()
    return f"{text}\nHint: {hint}" if hint else text


def _rejoin_wrapped_lines(text: str) -> str:
    """Rejoin wrapped lines.

    Lines with carets under them are dropped, because the carets would no longer be under the right characters.
    """
    lines = text.split("\n")
    kept: list[str] = []
    wrapped = False
    for at, line in enumerate(lines):
        if wrapped and _CARETS.fullmatch(line):
            wrapped = False
            continue
        plain = _unwrap_line(line) if at + 1 < len(lines) else line
        wrapped = plain != line
        kept.append(plain)
    return "\n".join(kept)


def _unwrap_line(line: str) -> str:
    before, found, rest = line.partition(_SHOWING)
    for opening, closing in (("(", "))"), ("", ")")):
        end = rest.rfind(closing, len(opening))
        if found and rest.startswith(opening) and end >= 0:
            return before + rest[len(opening) : end] + rest[end + len(closing) :]
    return line


def format_syntax_error(error: SyntaxError) -> str:
    """Format a syntax error as Python does, with the line of code and a caret."""
    return _CELL.sub("<cell>", "".join(traceback.format_exception_only(error))).strip()
