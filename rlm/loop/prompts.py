"""Builds the prompts of a root model, and parses its replies.

The instructions come first and never change, and the question follows the corpus description, so that servers can keep
both in their prefix caches.
"""

import ast
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from string import Template

from ingest.storage.remarks import Remark
from rlm.corpus.handles import Handle
from rlm.llm.budgets import Limits
from rlm.llm.profiles import ModelProfile
from rlm.loop.environment import Environment
from rlm.loop.evidence import MAX_EVIDENCE, MAX_PASSAGE_CHARS, MAX_QUOTE_CHARS
from rlm.loop.titles import find_title
from rlm.sandbox.port import DEFAULT_LIMITS as SANDBOX
from rlm.untrusted import format_question, sanitize_text

# Maximum number of documents that the opening names. outline() gives all of them, by pages.
_TITLES = 40
# Number of characters that are kept of each end of an older cell's output: about 20 lines, or the head of a result.
# An output is cut as soon as the next cell has run, so only the end of the prompt differs from the prompt before, and a
# prefix cache has the rest. Seven cells with outputs of 14,000 characters then cost as much as 139,000 uncached
# characters where cached ones cost a tenth, and 215,000 where they cost half. Cutting all cells whenever they exceed
# 40,000 characters costs 144,000 and 228,000; cutting nothing costs 148,000 and 293,000.
_OLDER_CHARS = 1_500
# If fewer than this many cells remain, the model is told so.
_FEW_CELLS = 4
BUDGET_WORDS = {
    "calls": "calls",
    "prompt_tokens": "tokens to read",
    "completion_tokens": "tokens to write",
    "dollars": "dollars",
    "seconds": "seconds",
}
_SPENDABLE = {"calls": "calls of models (a cell is one, and so is each call of a sub-model)"}
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
UNUSABLE_REPLY = "Your reply could not be used: {} Reply with one short Python cell between ```python and ```."


@cache
def load_rules() -> str:
    """Return the instructions for all root models: `instructions.md` with this deployment's limits filled in."""
    text = files("rlm.loop").joinpath("instructions.md").read_text("utf-8")
    return (
        Template(text)
        .substitute(
            output_chars=f"{SANDBOX.output_chars:,}",
            older_chars=f"{_OLDER_CHARS:,}",
            cell_seconds=f"{SANDBOX.cell_seconds:.0f}",
            max_evidence=MAX_EVIDENCE,
            max_passage_chars=f"{MAX_PASSAGE_CHARS:,}",
            max_quote_chars=f"{MAX_QUOTE_CHARS:,}",
        )
        .strip()
    )


def build_instructions(profile: ModelProfile) -> str:
    """Return the instructions, followed by the advice from the model's profile."""
    advice = " ".join(profile.root_advice.split())
    return f"{load_rules()}\n\n{advice}" if advice else load_rules()


def build_opening(question: str, environment: Environment, samples: Sequence[Handle]) -> str:
    """Describe the corpus, the limits of the run, and the question.

    The length hardly depends on the size of the corpus. Prompts for questions about the same corpus start with the same
    text.
    """
    corpus, profile = environment.corpus, environment.sub_model
    size, mark = corpus.size, _compute_boundary_mark(environment)
    corpus.record_use(corpus.documents[:_TITLES])
    lines = [
        f"Documents in scope: {size.documents:,}, with {size.characters:,} characters, about {size.tokens:,} tokens.",
        *(
            f"- {sanitize_text(each.line, mark)} (document {each.handle.document_id}, {each.tokens:,} tokens)"
            for each in corpus.documents[:_TITLES]
        ),
    ]
    if size.documents > _TITLES:
        lines.append(f"- and {size.documents - _TITLES:,} more; outline() names them all, 50 at once.")
    lines.append("Samples of their text, each between a BEGIN and an END mark:")
    for text in map(corpus.load_text, samples):
        lines += [f"BEGIN sample {mark}", sanitize_text(text, mark), f"END sample {mark}"]
    limits = environment.budget.root.limits
    lines += [
        "Limits of the whole run: "
        f"{', '.join([f'{environment.max_cells} cells', *_iter_limits(limits, environment)])}.",
        f"A prompt to a sub-model may have {profile.max_prompt_tokens:,} tokens, about "
        f"{3 * profile.max_prompt_tokens:,} characters; its reply has {profile.max_output_tokens:,} tokens at most.",
    ]
    if not environment.can_descend:
        lines.append("rlm_query is not available in this run; use llm_query_batched and the tools that judge records.")
    return "\n".join([*lines, "", format_question(question, environment.today, mark)])


def format_cell(number: int, code: str | None, output: str) -> str:
    written = f"```python\n{code.rstrip()}\n```" if code is not None else "(no code)"
    return f"\n\nCell {number}:\n{written}\nOutput:\n{output.rstrip() or '(nothing)'}"


def format_older_cell(number: int, code: str | None, shown: str) -> str:
    """Return a cell as it is shown after the next one has run: with the beginning and end of a long output.

    A note says which characters are left out, so that the model can print that part of a variable again.
    """
    last = len(shown) - _OLDER_CHARS
    if last > _OLDER_CHARS:
        note = f"characters {_OLDER_CHARS:,} to {last:,} left out; print what you need of them again"
        shown = f"{shown[:_OLDER_CHARS]}\n… [{note}] …\n{shown[last:]}"
    return format_cell(number, code, shown)


def format_omission_note(cell_count: int) -> str:
    return f"\n\n[The first {cell_count} cells are left out here; their variables are still there.]"


def format_next_request(warnings: Sequence[str], cell_number: int, max_cells: int) -> str:
    """Return the request for cell `cell_number`, which counts from 1."""
    said = "".join(f"\nBudget: {warning}" for warning in warnings)
    ending = " Submit soon, with what you have." if warnings else ""
    if cell_number == max_cells:
        ending = " This is the last cell: submit in it, with what you have."
    elif max_cells - cell_number < _FEW_CELLS:
        ending = " There are few cells left. Submit soon, with what you have."
    return f"{said}{ending}\n\nReply with cell {cell_number} of {max_cells}."


def _iter_limits(limits: Limits, environment: Environment) -> Iterator[str]:
    """Yield the limits in words, including those on calls to sub-models.

    The time limit is included only if the model is told how much time was spent.
    """
    for name, words in BUDGET_WORDS.items():
        most = getattr(limits, name)
        # guard: replayed-prompt-without-time
        if most is not None and (name != "seconds" or environment.tells_time):
            yield f"{round(most) if name == 'seconds' else most:,} {_SPENDABLE.get(name, words)}"


def _compute_boundary_mark(environment: Environment) -> str:
    """Return a mark that no document can contain, and that a resumed run gets again."""
    known = "\n".join(each.handle.version_id for each in environment.corpus.documents)
    return hashlib.sha256(f"{environment.corpus.tenant_id}\n{known}".encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True)
class RootReply:
    """A root model's reply.

    `code` is None if there is nothing to run; `note` tells the model about problems with the reply. `title` says for
    people what the code is for.
    """

    code: str | None
    note: str = ""
    title: str = ""


def parse_root_reply(text: str) -> RootReply:
    """Parse a reply. Never raises an error.

    The first Python block is used. If the whole reply is unfenced code, all of it is used.
    """
    text = _THOUGHT.sub("", text[:_MAX_REPLY_CHARS])
    blocks = [match for match in _FENCE.finditer(text) if match[1].lower() in _PYTHON and match[2].strip()]
    if not blocks:
        if _is_code(text):
            return RootReply(text.strip(), "", find_title("", text))
        return RootReply(None, NO_CODE, Remark("step_no_code"))
    code, title = blocks[0][2], find_title(text[: blocks[0].start()], blocks[0][2])
    if len(blocks) > 1:
        return RootReply(code, FIRST_OF_SEVERAL.format(count=len(blocks)), title)
    closed = blocks[0][0].rstrip().endswith(("```", "~~~"))
    return RootReply(code, "" if closed else UNCLOSED, title)


def _is_code(text: str) -> bool:
    """Return whether the text is valid Python that does something. A single word or number counts as prose."""
    try:
        body = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return any(not isinstance(each, ast.Expr) or isinstance(each.value, ast.Call) for each in body)
