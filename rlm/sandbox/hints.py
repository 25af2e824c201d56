"""What to write instead of that which the interpreter does not run. They are for the model that wrote the code."""

import re
from collections.abc import Iterable

NO_FILES = "there are no files here; read documents with the tools"
_NO_MODULES = "No other modules can be had: use what Python has built in, and the tools."

_HINTS: tuple[tuple[str, str], ...] = (
    (r"has no attribute '__(dict|class|name|doc|module)__'", "Objects cannot be looked into here; use type(x)."),
    (
        r"object of type '\w+' has no len\(\)|'<' not supported between instances of '(\w+)' and '\1'",
        "__len__, __lt__ and the like of your own classes are not called; use plain functions, and sort with a key.",
    ),
    (r"name '(numpy|np|pandas|pd)' is not defined", "There is no numpy or pandas; use lists, Counter and statistics."),
    (r"name 'input' is not defined", "Nobody answers here; print what you need to know and end the cell."),
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
    (r"class inheritance", "Write a class without bases, or plain functions."),
    (r"exceptions can only be called with", "Give the exception one string."),
    (r"unexpected keyword argument", "Look at the signature of what you call."),
)


def hint_for(error: str, *, names: Iterable[str] = ()) -> str:
    """One sentence, or nothing; `names` are the tools that can be called."""
    for pattern, hint in _HINTS:
        if re.search(pattern, error):
            return hint
    if re.search(r"No module named|cannot import name|^.*this module has no", error):
        return _NO_MODULES
    undefined = re.search(r"NameError: name '(\w+)' is not defined", error)
    known = sorted(names)
    if undefined and known:
        return f"The tools are: {', '.join(known)}. Variables are those that earlier cells set."
    return ""
