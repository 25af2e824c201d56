"""What a root model is told: instructions, an opening, its cells so far, and what is left.

The instructions come first and never change, and the question comes after what is known of the corpus, so that servers
keep both in their prefix caches.
"""

import hashlib
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from string import Template

from rlm.corpus.contents import Sample
from rlm.llm.budgets import Limits
from rlm.llm.profiles import ModelProfile
from rlm.loop.environment import Environment
from rlm.loop.evidence import MAX_EVIDENCE, MAX_PASSAGE_CHARS, MAX_QUOTE_CHARS
from rlm.sandbox.port import DEFAULT_LIMITS as SANDBOX
from rlm.untrusted import plain

_TITLES = 10
# So many cells before the last, the model is told.
_FEW_CELLS = 4
BUDGET_WORDS = {
    "calls": "calls",
    "prompt_tokens": "tokens to read",
    "completion_tokens": "tokens to write",
    "dollars": "dollars",
    "seconds": "seconds",
}


@cache
def rules() -> str:
    """What every root model is told: `instructions.md`, with the limits that hold here."""
    text = files("rlm.loop").joinpath("instructions.md").read_text("utf-8")
    return (
        Template(text)
        .substitute(
            output_chars=f"{SANDBOX.output_chars:,}",
            cell_seconds=f"{SANDBOX.cell_seconds:.0f}",
            max_evidence=MAX_EVIDENCE,
            max_passage_chars=f"{MAX_PASSAGE_CHARS:,}",
            max_quote_chars=f"{MAX_QUOTE_CHARS:,}",
        )
        .strip()
    )


def instructions(profile: ModelProfile) -> str:
    """The rules, and then what the model's profile has to say to it."""
    advice = " ".join(profile.root_advice.split())
    return f"{rules()}\n\n{advice}" if advice else rules()


def opening(question: str, environment: Environment, samples: Sequence[Sample]) -> str:
    """What is known of the corpus, what the run may spend, and the question.

    It is of about the same size however large the corpus is, and of two questions about one corpus it begins alike.
    """
    corpus, profile = environment.corpus, environment.profile
    size, mark = corpus.size, _mark(environment)
    lines = [
        f"Documents in scope: {size.documents:,}, with {size.characters:,} characters, about {size.tokens:,} tokens.",
        *(
            f"- {plain(each.title, mark)[:80]} (document {each.handle.document_id}, {each.tokens:,} tokens)"
            for each in corpus.documents[:_TITLES]
        ),
    ]
    if size.documents > _TITLES:
        lines.append(f"- and {size.documents - _TITLES:,} more; outline() lists them all.")
    lines.append("Samples of their text, each between a BEGIN and an END mark:")
    for sample in samples:
        lines += [f"BEGIN sample {mark}", plain(sample.text, mark), f"END sample {mark}"]
    limits = environment.budget.root.limits if environment.budget is not None else Limits()
    lines += [
        f"Limits of the whole run: {', '.join([f'{environment.max_cells} cells', *_spendable(limits)])}.",
        f"A prompt to a sub-model may have {profile.max_prompt_tokens:,} tokens, about "
        f"{3 * profile.max_prompt_tokens:,} characters; its reply has {profile.max_output_tokens:,} tokens at most.",
    ]
    if not environment.may_descend:
        lines.append("rlm_query is not available in this run; use llm_query_batched and the tools that judge records.")
    return "\n".join([*lines, "", f"Question: {plain(question, mark)}"])


def cell(number: int, code: str | None, shown: str) -> str:
    """A turn as the model sees it later on."""
    written = f"```python\n{code.rstrip()}\n```" if code is not None else "(no code)"
    return f"\n\nCell {number}:\n{written}\nOutput:\n{shown.rstrip() or '(nothing)'}"


def left_out(count: int) -> str:
    return f"\n\n[The first {count} cells are left out here; their variables are still there.]"


def going_on(warnings: Sequence[str], number: int, cells: int) -> str:
    """Ask for the cell of that number, from 1."""
    said = "".join(f"\nBudget: {warning}" for warning in warnings)
    ending = " Submit soon, with what you have." if warnings else ""
    if number == cells:
        ending = " This is the last cell: submit in it, with what you have."
    elif cells - number < _FEW_CELLS:
        ending = " There are few cells left. Submit soon, with what you have."
    return f"{said}{ending}\n\nReply with cell {number} of {cells}."


def _spendable(limits: Limits) -> Iterator[str]:
    """The limits in words, with the calls of sub-models in them."""
    if limits.calls is not None:
        yield f"{limits.calls:,} calls of models (a cell is one, and so is each call of a sub-model)"
    if limits.prompt_tokens is not None:
        yield f"{limits.prompt_tokens:,} tokens to read"
    if limits.completion_tokens is not None:
        yield f"{limits.completion_tokens:,} tokens to write"
    if limits.dollars is not None:
        yield f"{limits.dollars} {'dollar' if limits.dollars == 1 else 'dollars'}"
    if limits.seconds is not None:
        yield f"{limits.seconds:,.0f} seconds"


def _mark(environment: Environment) -> str:
    """A mark that no document can know, and that is the same when the run is resumed."""
    known = "\n".join(each.handle.version_id for each in environment.corpus.documents)
    return hashlib.sha256(f"{environment.corpus.tenant_id}\n{known}".encode("utf-8", "surrogatepass")).hexdigest()[:16]
