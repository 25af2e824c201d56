"""Tools as the code of a run calls them."""

from collections.abc import Callable
from functools import partial

import pytest

from ingest.storage.errors import CatalogUnavailableError, LeaseLostError
from retrieval.encoders.port import HashingEmbedder
from retrieval.errors import IndexUnavailableError, QueryError
from retrieval.search.requests import Passage
from rlm.answers import AnswerStatus, Draft
from rlm.events import Turn
from rlm.llm.port import SubCall, SubFailure
from rlm.operators.cascade import CascadeLimits
from rlm.operators.operators import Operators
from rlm.operators.packing import PackLimits
from rlm.sandbox.port import Sandbox
from tests.fakes.scripted_root import ScriptedRoot, in_code
from tests.support.recursive_runs import SUBMIT, Asked, Both, drafted, environment, quotes


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
    assert (
        "50 20\nNote: outline() gave documents 0 to 49 of 70, and 20 remain: outline(offset=50) continues."
        in asked.shown
    )
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
    assert asked.calls == 2


def test_a_quote_is_found_behind_many_records_that_were_judged(sandbox: Sandbox) -> None:
    log = "\n".join(f"Day {n}: the ship sailed {n} miles" for n in range(300))
    logs = (log, "The keeper of the lamp was called Anselm.\n", "x" * 2_100_000)
    code = (
        "print(read(outline()[1]))\n"
        'found = classify(records(outline()[0]), {"sail": "", "rest": ""})\n'
        'submit("Anselm was the keeper of the lamp.", "The keeper of the lamp was called “Anselm”.")'
    )
    asked = Asked(sandbox, in_code(code), documents=logs, rule=lambda _: "sail")
    assert quotes(asked.draft) == ["The keeper of the lamp was called Anselm."]


def test_batched_sub_calls_keep_order_and_one_failure_is_none(sandbox: Sandbox) -> None:
    def sub(prompt: str) -> str | SubFailure:
        return SubFailure("language_model_timeout", "It took too long.") if "bad" in prompt else prompt.upper()

    root = ScriptedRoot(
        in_code("llm_query_batched(['a', 'bad', 'c'])"), in_code("llm_query('bad')"), in_code(SUBMIT), sub=sub
    )
    turns: list[Turn] = []
    drafted(environment(sandbox, root, told=turns.append))
    note = "Note: llm_query_batched: 1 of 3 have no reply: language model timeout."
    assert turns[0].output == f"['A', None, 'C']\n{note}"
    assert turns[0].subcalls == 3
    assert "It took too long" in (turns[1].error or "")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("grep('(')", "is not valid"),
        ("search('x')", "use grep"),
        ("read('nothing.md')", "no document has the id, name or title"),
        ("read(5)", "a handle is a dict"),
        ("grep(5)", "pattern must be a non-empty string"),
        ("records(by='sentence')", "by must be one of"),
        ("classify(records('doc-2'), 5)", "labels must be"),
        ("classify(['x'], {'a': 'b', 'c': 'd'})", "no document has the id, name or title"),
        ("llm_query_batched('abc')", "prompts must be a list"),
        ("llm_query('x' * 1_000_000)", "cut it into slices"),
        ("rlm_query('deeper?')", "cannot start sub-runs"),
        ("pairs(5)", "keys must be a list"),
        ("extract(records('doc-2'), 'what', [1])", "properties must be"),
    ],
)
def test_tools_called_wrongly_say_what_they_want(sandbox: Sandbox, call: str, says: str) -> None:
    asked = Asked(sandbox, in_code(call), in_code(SUBMIT))
    assert says in (asked.turns[0].error or "")
    assert asked.draft.status is AnswerStatus.ANSWERED


@pytest.mark.parametrize(
    "error",
    [
        CatalogUnavailableError("No catalog at db.internal for ann."),
        LeaseLostError("Gone."),
        IndexUnavailableError("Away."),
    ],
)
def test_what_a_program_cannot_mend_ends_the_run_as_what_it_is(sandbox: Sandbox, error: Exception) -> None:
    def search(query: str, top_k: int) -> list[Passage]:
        raise error

    root = ScriptedRoot(in_code("try:\n    search('treaty')\nexcept Exception:\n    pass"), in_code(SUBMIT))
    given = environment(sandbox, root, search=lambda _: search)
    with pytest.raises(type(error)):
        drafted(given)
    assert len(root.prompts) == 1


def test_a_query_that_cannot_be_searched_for_is_told_to_the_program(sandbox: Sandbox) -> None:
    def search(query: str, top_k: int) -> list[Passage]:
        raise QueryError("The query is empty.")

    turns: list[Turn] = []
    root = ScriptedRoot(in_code("search('?')"), in_code(SUBMIT))
    given = environment(sandbox, root, search=lambda _: search, told=turns.append)
    assert drafted(given).status is AnswerStatus.ANSWERED
    assert "The query is empty" in (turns[0].error or "")


def test_operators_judge_records_and_code_counts_them(sandbox: Sandbox) -> None:
    code = """rs = records('doc-2')
labels = classify(rs, {"lost": "went down", "sold": "has a new owner"})
print(len(rs), labels.count("lost"), pairs(["b", "a", "b"]))
submit(labels.count("lost"), [rs[labels.index("lost")]], computed=True)"""
    asked = Asked(sandbox, in_code(code), rule=lambda record: "lost" if "lost" in record else "sold")
    assert asked.turns[0].output.splitlines()[0] == "30 10 [('a', 'b')]"
    assert asked.draft.computed
    assert asked.draft.result is not None
    assert asked.draft.result.value == 10
    assert quotes(asked.draft) == ["Ship 3: built in 1703, lost"]
    assert asked.draft.coverage is not None
    assert asked.draft.coverage.tokens_read == asked.corpus.size.tokens


SORTED = """found = classify(records('doc-2'), {"lost": "went down", "sold": "has a new owner"})
n = found.count("lost")"""
FILTERED = "found = filter_records(records('doc-2'), 'Was it lost?')\nn = found.count(True)"
EXTRACTED = """found = extract(records('doc-2'), "How it ended", {"end": {"type": "string"}})
n = sum(each is not None for each in found)"""


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        (SORTED, lambda text: "lost" if "lost" in text else "sold"),
        (FILTERED, lambda text: "yes" if "lost" in text else "no"),
        (EXTRACTED, lambda text: {"end": text[-4:]}),
    ],
)
def test_a_count_over_records_of_which_half_were_judged_is_partial_and_says_so(
    sandbox: Sandbox, code: str, rule: Callable[[str], object]
) -> None:
    def asked(calls: int) -> Draft:
        root = ScriptedRoot(in_code(f"{code}\nsubmit(n, computed=True)"))
        both = Both(root, rule)
        both.rules.fault = spent(calls)
        operators = partial(Operators, limits=PackLimits(5, 5_000))
        return drafted(environment(sandbox, both, operators=operators))

    whole = asked(1_000)
    assert whole.status is AnswerStatus.ANSWERED
    half = asked(3)
    assert half.status is AnswerStatus.PARTIAL
    assert any("records have no result: budget exhausted" in reason for reason in half.reasons)
    assert half.coverage is not None
    assert half.coverage.units_failed == 1


def spent(calls: int) -> Callable[[SubCall], SubFailure | None]:
    """A budget that covers so many calls."""
    left = iter(range(calls))
    return lambda _: SubFailure("budget_exhausted", "It is spent.") if next(left, None) is None else None


def test_a_count_by_labels_that_a_classifier_gave_says_so(sandbox: Sandbox) -> None:
    limits = CascadeLimits(read_all=100, sample=200, target=0.9)
    ships = "\n".join(f"Ship {n}: {'lost in a storm' if n % 3 == 0 else 'sold to an owner'}, {n}" for n in range(1_500))
    code = SORTED.replace("'doc-2'", "")
    asked = Asked(
        sandbox,
        in_code(code),
        in_code("submit(n, computed=True)"),
        documents=(ships,),
        rule=lambda text: "lost" if "lost" in text else "sold",
        operators=lambda corpus, calls: Operators(corpus, calls, HashingEmbedder(), cascade_limits=limits),
    )
    said = "of the 1,500 labels behind this result; in its sample,"
    assert "Note: classify: A classifier gave" in asked.shown
    assert any(said in reason for reason in asked.draft.reasons)
    assert asked.draft.status is AnswerStatus.ANSWERED
