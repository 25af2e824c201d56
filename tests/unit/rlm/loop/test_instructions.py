"""What the instructions say of the tools is so, and their examples run."""

import inspect
import re
from collections.abc import Sequence

from ingest.storage.tables.types import ColumnType
from retrieval.search.requests import Passage
from rlm.corpus.corpus import Corpus
from rlm.loop.environment import TimeLimit
from rlm.loop.literals import CellLiterals
from rlm.loop.prompts import load_rules
from rlm.loop.read_log import ReadLog
from rlm.loop.submit import Submissions
from rlm.loop.tools import Toolbox
from rlm.sandbox.port import Sandbox, Tool
from rlm.strategy import Search
from tests.fakes.scripted_root import ScriptedRoot, in_code
from tests.support.corpora import corpus_of, tables_of
from tests.support.recursive_runs import Both, drafted, environment, quotes

LETTER = """My father planted the trees. It rained for weeks that autumn, and then the press cracked in October 2011,
and a new one was more than we took in a year. I had been thinking of juice for a while. We never sold cider again."""
ROWS = ["Finance,No place to park", "Finance,Cold soup", "Sales,Parking fees", "Finance,Park!"]


def tools(sandbox: Sandbox) -> dict[str, Tool]:
    given = environment(sandbox, ScriptedRoot())
    log = ReadLog(given.corpus)
    return Toolbox(
        given, given.calls, log, Submissions(given.corpus, log, CellLiterals()), TimeLimit(given.budget)
    ).build_tools()


def examples() -> list[list[str]]:
    """The cells of each example."""
    sections = load_rules().split("## Example")[1:]
    return [re.findall(r"^```python\n(.*?)^```$", section + "\n", re.DOTALL | re.MULTILINE) for section in sections]


def test_every_tool_is_described_with_the_arguments_that_it_takes(sandbox: Sandbox) -> None:
    text = " ".join(load_rules().split())
    for name, tool in tools(sandbox).items():
        parameters = [
            each.name if each.default is each.empty else f"{each.name}={each.default!r}".replace("''", '""')
            for each in inspect.signature(tool).parameters.values()
        ]
        if name in ("draft", "pairs"):  # as submit, and in two ways
            assert f"{name}(" in text
        else:
            assert f"{name}({', '.join(parameters)})" in text


def test_every_limit_is_filled_in() -> None:
    assert "$" not in load_rules()


def finding_the_letter(corpus: Corpus) -> Search:
    def search(query: str, top_k: int) -> Sequence[Passage]:
        whole = corpus.documents[0].handle
        return [corpus.load_passage(whole[start : start + 60]) for start in (0, 30, 60)]

    return search


def test_the_example_of_a_question_that_passages_answer_runs(sandbox: Sandbox) -> None:
    letter = " ".join(LETTER.split())
    root = ScriptedRoot(*map(in_code, examples()[0]))
    draft = drafted(environment(sandbox, root, letter, search=finding_the_letter))
    assert draft.finished
    assert quotes(draft) == [
        "the press cracked in October 2011, and a new one was more than we took in a year",
        "I had been thinking of juice for a while",
    ]


def test_the_example_of_a_question_about_every_record_runs(sandbox: Sandbox) -> None:
    text = "\n".join(["department,complaint", *ROWS])
    tables = tables_of("v1", text, ROWS, {"department": ColumnType.TEXT, "complaint": ColumnType.TEXT})
    root = ScriptedRoot(*map(in_code, examples()[1]))
    calls = Both(root, lambda record: "yes" if "park" in record.lower() else "no")
    corpus = corpus_of(text, titles=["complaints.csv"], tables=tables)
    draft = drafted(environment(sandbox, calls, corpus=corpus))
    assert draft.text.startswith("Finance wrote the most complaints about parking: 2 of 3.")
    assert draft.computed
    assert quotes(draft) == ["Finance,No place to park", "Finance,Park!"]
