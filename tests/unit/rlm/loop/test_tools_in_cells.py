"""Tools as the code of a run calls them, in the real sandbox."""

from dataclasses import replace
from typing import Any

import pytest
from rlm.loop.spans import OpenedSpans
from rlm.loop.submitting import Submissions

from ingest.errors import CatalogUnavailableError, LeaseLostError
from retrieval.errors import IndexUnavailableError, QueryError
from rlm.answers import AnswerStatus
from rlm.corpus.search import FoundPassage
from rlm.errors import (
    RunCancelledError,
)
from rlm.llm.port import SubFailure
from rlm.loop.strategy import RecursiveStrategy
from rlm.loop.trajectory import Turn
from rlm.sandbox.port import Sandbox
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.fakes.scripted_root import ScriptedRoot, in_code
from tests.support.corpora import corpus_of
from tests.support.recursive_runs import SUBMIT, Asked, workspace


def test_handles_are_plain_values_that_survive_slicing(sandbox: Sandbox) -> None:
    code = """h = records('doc-2')[4]
print(read(h), '|', read(h, 0, 6), '|', read(h, -4))
inner = {**h, 'end': h['start'] + 6}
print(read(inner), inner['document'])"""
    output = Asked(sandbox, in_code(code), in_code(SUBMIT)).turns[0].output
    assert output == "Ship 5: built in 1705, sold | Ship 5 | sold\nShip 5 doc-2\n"


def test_a_list_of_handles_is_read_at_once(sandbox: Sandbox) -> None:
    asked = Asked(
        sandbox, in_code("print(read(records(outline()[1])[:2], 0, 6))\nprint(read([]))"), in_code("submit(None)")
    )
    assert "['Ship 1', 'Ship 2']\n[]" in asked.shown


def test_pages_and_searches_that_do_not_give_all_say_so(sandbox: Sandbox) -> None:
    many = tuple(f"Letter {n}." for n in range(70))
    asked = Asked(
        sandbox, in_code("print(len(outline()), len(outline(offset=50)))"), in_code("submit(None)"), documents=many
    )
    assert "50 20\nNote: outline() gave documents 0 to 49 of 70: outline(offset=50) goes on." in asked.shown
    sections = "".join(f"# Part {n}\n\nText.\n\n" for n in range(5))
    asked = Asked(
        sandbox,
        in_code("d = outline()[0]\nprint([s['heading'] for s in outline(d, offset=3)])"),
        in_code("submit(None)"),
        documents=(sections,),
    )
    assert "['Part 3', 'Part 4']" in asked.shown
    assert "Note:" not in asked.shown.split("Cell 1:")[1]


def test_a_schema_that_cannot_be_used_is_told_at_once(sandbox: Sandbox) -> None:
    wrong = 'extract(records(), "The year", {"year": {"type": "number", "minimum": "0"}})'
    asked = Asked(sandbox, in_code(wrong), in_code("submit(None)"))
    assert "The JSON schema cannot be used" in asked.shown
    assert asked.answer.usage.calls == 2


def test_a_quote_is_found_behind_many_records_that_were_judged(sandbox: Sandbox) -> None:
    log = "\n".join(f"Day {n}: the ship sailed {n} miles" for n in range(300))
    logs = (log, "The keeper of the lamp was called Anselm.\n", "x" * 2_100_000)
    code = (
        "print(read(outline()[1]))\n"
        'found = classify(records(outline()[0]), {"sail": "", "rest": ""})\n'
        'submit("Anselm was the keeper of the lamp.", "The keeper of the lamp was called “Anselm”.")'
    )
    rules = RuleSubCalls(lambda _: "sail")
    root = ScriptedRoot(in_code(code), in_code("submit(None)"))

    class Both:
        def run(self, calls: Any, **options: Any) -> Any:  # noqa: ANN401
            return (root if calls[0].purpose == "root" else rules).run(calls, **options)

    space = replace(workspace(sandbox, root, *logs), subcalls=Both())
    answer = RecursiveStrategy(space).answer("Who was the keeper of the lamp?")
    assert answer.status is not AnswerStatus.NOT_FOUND
    assert answer.citations[0].quote == "The keeper of the lamp was called Anselm."


def test_a_quotation_is_no_longer_than_some_sentences(sandbox: Sandbox) -> None:
    asked = Asked(sandbox, in_code('submit("Long.", ["word " * 1000])'), in_code("submit(None)"))
    assert "a quote has 5,000 characters, and the limit is 3,000" in asked.shown


def test_looking_for_quotations_ends_with_the_run(sandbox: Sandbox) -> None:
    corpus = corpus_of("word " * 100_000)
    opened = OpenedSpans(corpus)
    opened.add(each.handle for each in corpus.documents)
    asked = iter([False, True])
    submissions = Submissions("Which?", corpus, opened, cancelled=lambda: next(asked))
    with pytest.raises(RunCancelledError):
        submissions.submit("a word", ["“words” that stand nowhere"], False)


def test_batched_sub_calls_keep_order_and_one_failure_is_none(sandbox: Sandbox) -> None:
    def sub(prompt: str) -> str | SubFailure:
        return SubFailure("language_model_timeout", "It took too long.") if "bad" in prompt else prompt.upper()

    root = ScriptedRoot(
        in_code("llm_query_batched(['a', 'bad', 'c'])"), in_code("llm_query('bad')"), in_code(SUBMIT), sub=sub
    )
    turns: list[Turn] = []
    RecursiveStrategy(workspace(sandbox, root), told=turns.append).answer("When was it signed?")
    note = "Note: llm_query_batched: 1 of 3 have no reply: language model timeout."
    assert turns[0].output == f"['A', None, 'C']\n{note}"
    assert [made.code for made in turns[0].made] == ["", "language_model_timeout", ""]
    assert turns[0].subcalls == 3
    assert "It took too long" in (turns[1].error or "")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("grep('(')", "cannot be read"),
        ("search('x')", "use grep"),
        ("read('nothing.md')", "no document is called"),
        ("read({'document': 'doc-1', 'version': 'other'})", "No document in scope"),
        ("read(5)", "a handle is a dict"),
        ("grep(5)", "pattern is a text"),
        ("records(by='sentence')", "by is one of"),
        ("classify(records('doc-2'), 5)", "labels is"),
        ("classify(['x'], {'a': 'b', 'c': 'd'})", "no document is called"),
        ("llm_query_batched('abc')", "prompts is a list"),
        ("llm_query('x' * 1_000_000)", "cut it into slices"),
        ("rlm_query('deeper?')", "may not go deeper"),
        ("pairs(5)", "keys is a list"),
        ("extract(records('doc-2'), 'what', [1])", "properties is"),
    ],
)
def test_tools_called_wrongly_say_what_they_want(sandbox: Sandbox, call: str, says: str) -> None:
    asked = Asked(sandbox, in_code(call), in_code(SUBMIT))
    assert says in (asked.turns[0].error or "")
    assert asked.answer.status is AnswerStatus.ANSWERED


@pytest.mark.parametrize(
    "error",
    [
        CatalogUnavailableError("No catalog at db.internal for ann."),
        LeaseLostError("Gone."),
        IndexUnavailableError("Away."),
    ],
)
def test_what_a_program_cannot_mend_ends_the_run_as_what_it_is(sandbox: Sandbox, error: Exception) -> None:
    def search(query: str, top_k: int) -> list[FoundPassage]:
        raise error

    root = ScriptedRoot(in_code("try:\n    search('treaty')\nexcept Exception:\n    pass"), in_code(SUBMIT))
    space = workspace(sandbox, root, search=lambda _: search)
    with pytest.raises(type(error)):
        RecursiveStrategy(space).answer("When was it signed?")
    assert len(root.prompts) == 1


def test_a_query_that_cannot_be_searched_for_is_told_to_the_program(sandbox: Sandbox) -> None:
    def search(query: str, top_k: int) -> list[FoundPassage]:
        raise QueryError("The query is empty.")

    turns: list[Turn] = []
    space = workspace(sandbox, ScriptedRoot(in_code("search('?')"), in_code(SUBMIT)), search=lambda _: search)
    assert RecursiveStrategy(space, told=turns.append).answer("When was it signed?").status is AnswerStatus.ANSWERED
    assert "The query is empty" in (turns[0].error or "")


def test_records_that_begin_at_a_pattern_that_takes_for_ever_are_refused(sandbox: Sandbox) -> None:
    call = in_code("records(by='start', pattern='(a|aa)+$')")
    asked = Asked(sandbox, call, in_code("submit(None)"), documents=("a" * 5_000 + "!",))
    assert "takes longer than" in (asked.turns[0].error or "")


def test_operators_judge_records_and_code_counts_them(sandbox: Sandbox) -> None:
    rules = RuleSubCalls(lambda record: "lost" if "lost" in record else "sold")
    code = """rs = records('doc-2')
labels = classify(rs, {"lost": "went down", "sold": "has a new owner"})
print(len(rs), labels.count("lost"), pairs(["b", "a", "b"]))
submit(labels.count("lost"), [rs[labels.index("lost")]], computed=True)"""
    root = ScriptedRoot(in_code(code))

    class Both:
        def run(self, calls: Any, **options: Any) -> Any:  # noqa: ANN401
            return (root if calls and calls[0].purpose == "root" else rules).run(calls, **options)

    turns: list[Turn] = []
    space = replace(workspace(sandbox, root), subcalls=Both())
    answer = RecursiveStrategy(space, told=turns.append).answer("How many ships were lost?")
    assert turns[0].output.splitlines()[0] == "30 10 [('a', 'b')]"
    assert answer.result is not None
    assert answer.result.value == 10
    assert answer.citations[0].quote.startswith("Ship 3: ")
    assert turns[0].subcalls == answer.usage.calls - 1
