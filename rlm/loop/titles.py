"""Finds a title for a step of a run, which says for people what its code is for."""

import re

from ingest.storage.remarks import Remark

# The step that `Working` events of a run count. Users see the titles of these steps instead of their numbers.
PROGRAM_STEPS = "cells"
_MAX_TITLE_CHARS = 200
_FIRST_SENTENCE = re.compile(r"(.+?)(?:(?<=[.!?…。！？])(?=\s|$)|:[ \t]*(?:\n|$)|\Z)", re.DOTALL)
_TOP_COMMENT = re.compile(r"\s*#+[ \t]*([^\n]*)\n?")
# The purpose of each tool, in the order in which a title names them.
_TOOLS = (
    ("submit", Remark("step_submit")),
    ("draft", Remark("step_draft")),
    ("rlm_query", Remark("step_rlm_query")),
    ("classify", Remark("step_classify")),
    ("filter_records", Remark("step_filter_records")),
    ("extract", Remark("step_extract")),
    ("map_records", Remark("step_map_records")),
    ("pairs", Remark("step_pairs")),
    ("llm_query_batched", Remark("step_llm_query_batched")),
    ("llm_query", Remark("step_llm_query")),
    ("search", Remark("step_search")),
    ("grep", Remark("step_grep")),
    ("count", Remark("step_count")),
    ("read", Remark("step_read")),
    ("records", Remark("step_records")),
    ("outline", Remark("step_outline")),
)
_MAX_TOOLS = 2


def find_title(prose: str, code: str) -> str:
    """Return the first sentence of the prose before a cell's code, or of the comment at the top of the code.

    Without either, the title is a remark that says what the tools in the code do. It has at most 200 characters.
    """
    return _find_first_sentence(prose) or _find_first_sentence(_read_top_comment(code)) or _name_tools(code)


def _find_first_sentence(text: str) -> str:
    sentence = _FIRST_SENTENCE.match(text.replace("*", "").replace("`", "").lstrip("# \t\r\n"))
    found = " ".join(sentence[1].split()) if sentence else ""
    if len(found) <= _MAX_TITLE_CHARS:
        return found
    return f"{found[:_MAX_TITLE_CHARS].rpartition(' ')[0] or found[: _MAX_TITLE_CHARS - 1]}…"


def _read_top_comment(code: str) -> str:
    lines, at = list[str](), 0
    while comment := _TOP_COMMENT.match(code, at):
        lines.append(comment[1])
        at = comment.end()
    return " ".join(lines)


def _name_tools(code: str) -> Remark:
    found = [said for name, said in _TOOLS if re.search(rf"(?<![\w.]){name}\(", code)][:_MAX_TOOLS]
    if not found:
        return Remark("step_code")
    return found[0] if len(found) == 1 else Remark("step_and_step", first=found[0], next=found[1])
