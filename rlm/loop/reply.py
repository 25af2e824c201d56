"""What a root model replied: a cell to run, or what is wrong with the reply."""

import ast
import re
from dataclasses import dataclass

_THOUGHT = re.compile(r"<think>.*?(?:</think>|\Z)", re.DOTALL | re.IGNORECASE)
_FENCE = re.compile(
    r"^[ \t]*(?:```|~~~)[ \t]*([\w+-]*)[ \t]*\n(.*?)(?:^[ \t]*(?:```|~~~)[ \t]*$|\Z)", re.DOTALL | re.MULTILINE
)
_PYTHON = frozenset({"", "python", "py", "python3", "repl", "ipython", "tool_code"})
_MAX_REPLY_CHARS = 200_000

NO_CODE = (
    "There is no code in your reply. Reply with one Python cell between ```python and ```. "
    "To give the answer, call submit(answer, evidence) in a cell."
)
FIRST_OF_SEVERAL = "Your reply had {count} code blocks; only the first was run. Send one, and look at its output first."
UNCLOSED = "The code block was not closed; it was run as far as it went."

FAILED = "Your reply could not be used: {} Reply with one short Python cell between ```python and ```."


@dataclass(frozen=True)
class RootReply:
    """`code` is None where there is nothing to run; `note` tells the model what was wrong."""

    code: str | None
    note: str = ""


def read_root_reply(text: str) -> RootReply:
    """Never raises. The first Python block counts; a reply that is code without a fence is run as it is."""
    text = _THOUGHT.sub("", text[:_MAX_REPLY_CHARS])
    blocks = [match for match in _FENCE.finditer(text) if match[1].lower() in _PYTHON and match[2].strip()]
    if not blocks:
        return RootReply(text.strip()) if _is_code(text) else RootReply(None, NO_CODE)
    code = blocks[0][2]
    if len(blocks) > 1:
        return RootReply(code, FIRST_OF_SEVERAL.format(count=len(blocks)))
    closed = blocks[0][0].rstrip().endswith(("```", "~~~"))
    return RootReply(code, "" if closed else UNCLOSED)


def _is_code(text: str) -> bool:
    """Whether it parses and does something; a word or a number is prose."""
    try:
        body = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(not isinstance(each, ast.Expr) or isinstance(each.value, ast.Call) for each in body)
