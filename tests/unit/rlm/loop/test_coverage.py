"""Judgements that failed in a run's code: what the answer says of them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rlm.loop.spans import OpenedSpans

from retrieval.embedding import HashingEmbedder
from rlm.answers import Answer, AnswerStatus
from rlm.corpus.corpus import Corpus
from rlm.llm.port import SubCall, SubCalls, SubFailure
from rlm.llm.profiles import ModelProfile
from rlm.loop.loop import Workspace
from rlm.loop.strategy import RecursiveStrategy
from rlm.operators.cascade import CascadeLimits
from rlm.operators.judged import JudgedBy
from rlm.operators.operators import Operators
from rlm.operators.packing import PackLimits
from rlm.runs.bodies import state_of
from rlm.sandbox.build import build_sandbox
from rlm.sandbox.forms import SandboxForm
from rlm.sandbox.port import Sandbox
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.fakes.scripted_root import ScriptedRoot, in_code
from tests.support.corpora import corpus_of

PROFILE = ModelProfile("scripted", context_tokens=16_000, max_output_tokens=1_000, max_depth=1, writes_code=True)
SHIPS = "\n".join(f"Ship {n}: built in {1700 + n}, {'lost' if n % 3 == 0 else 'sold'}" for n in range(1, 31))
SORTED = """found = classify(records(), {"lost": "went down", "sold": "has a new owner"})
n = found.count("lost")"""
FILTERED = 'found = filter_records(records(), "Was it lost?")\nn = found.count(True)'
EXTRACTED = """found = extract(records(), "How it ended", {"end": {"type": "string"}})
n = sum(each is not None for each in found)"""
SUBMITTED = "\nprint(found.count(None))\nsubmit(n, computed=True)"


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = build_sandbox(SandboxForm.PLAIN)
    yield made
    made.close()


class Both:
    """The root says what is written for it, and its operators' calls follow a rule."""

    def __init__(self, root: ScriptedRoot, rules: RuleSubCalls) -> None:
        self._root, self._rules = root, rules

    def run(self, calls: Any, **options: Any) -> Any:  # noqa: ANN401
        return (self._root if calls and calls[0].purpose == "root" else self._rules).run(calls, **options)


def operators(corpus: Corpus, subcalls: SubCalls) -> Operators:
    return Operators(corpus, subcalls, limits=PackLimits(5, 5_000))


def spent_after(count: int) -> Callable[[SubCall], SubFailure | None]:
    """A budget that covers so many calls."""
    left = iter(range(count))
    return lambda _: SubFailure("budget_exhausted", "It is spent.") if next(left, None) is None else None


def ended(text: str) -> str:
    return "lost" if "lost" in text else "sold"


def asked(sandbox: Sandbox, code: str, rule: Callable[[str], object], calls: int) -> Answer:
    rules = RuleSubCalls(rule, spent_after(calls))
    space = Workspace(corpus_of(SHIPS), Both(ScriptedRoot(in_code(code)), rules), PROFILE, sandbox, operators)
    return RecursiveStrategy(space).answer("How many ships were lost?")


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        (SORTED, ended),
        (FILTERED, lambda text: "yes" if "lost" in text else "no"),
        (EXTRACTED, lambda text: {"end": ended(text)}),
    ],
)
def test_half_the_judgements_are_a_partial_answer_that_says_so(
    sandbox: Sandbox, code: str, rule: Callable[[str], object]
) -> None:
    whole = asked(sandbox, code + SUBMITTED, rule, 1_000)
    assert whole.status is AnswerStatus.ANSWERED
    assert whole.coverage is not None
    assert whole.coverage.complete
    half = asked(sandbox, code + SUBMITTED, rule, 3)
    assert half.status is AnswerStatus.PARTIAL
    assert not half.claims[0].supported
    assert "records were not judged: budget exhausted" in half.text
    assert any("records were not judged: budget exhausted" in reason for reason in half.reasons)
    assert half.coverage is not None
    assert half.coverage.slices_failed == 1
    assert half.coverage.tokens_read < whole.coverage.tokens_read
    assert state_of(half).value == "partial"


def test_records_that_were_judged_later_are_missed_no_more() -> None:
    corpus = corpus_of(SHIPS)
    (document,) = corpus.documents
    opened, records = OpenedSpans(corpus), [document.handle[:10], document.handle[10:20]]
    opened.judge("classify", [(records[0], JudgedBy.MODEL), (records[1], JudgedBy.NOBODY)], ["budget_exhausted"])
    opened.scan(corpus.documents)
    assert opened.missing == "1 record was not judged: budget exhausted"
    opened.judge("filter", [(records[1], JudgedBy.MODEL)])
    assert opened.missing
    opened.judge("classify", [(records[1], JudgedBy.MODEL)])
    assert not opened.missing


def test_what_a_classifier_judged_is_inferred_and_not_read() -> None:
    corpus = corpus_of(SHIPS)
    (document,) = corpus.documents
    opened = OpenedSpans(corpus)
    opened.judge("classify", [(document.handle[:200], JudgedBy.MODEL), (document.handle[200:], JudgedBy.CLASSIFIER)])
    coverage = opened.coverage()
    assert 0 < coverage.tokens_read < coverage.tokens_in_scope
    assert abs(coverage.tokens_read + coverage.tokens_inferred - coverage.tokens_in_scope) <= 1
    assert not opened.missing


def test_a_count_by_labels_that_a_classifier_gave_says_so(sandbox: Sandbox) -> None:
    def cascading(corpus: Corpus, subcalls: SubCalls) -> Operators:
        limits = CascadeLimits(read_all=100, sample=200, target=0.9)
        return Operators(corpus, subcalls, HashingEmbedder(), cascade_limits=limits)

    ships = "\n".join(f"Ship {n}: {'lost in a storm' if n % 3 == 0 else 'sold to an owner'}, {n}" for n in range(1_500))
    root = ScriptedRoot(in_code(SORTED), in_code("submit(n, computed=True)"))
    space = Workspace(corpus_of(ships), Both(root, RuleSubCalls(ended)), PROFILE, sandbox, cascading)
    answer = RecursiveStrategy(space).answer("How many ships were lost?")
    said = "of the 1,500 labels that this rests on; in its sample,"
    assert answer.text.endswith("(Some of the labels were given by a classifier.)")
    assert "Note: classify: A classifier gave" in root.prompts[1]
    assert said in root.prompts[1]
    assert any(said in reason for reason in answer.reasons)
    assert answer.status is AnswerStatus.ANSWERED
    assert answer.coverage is not None
    assert answer.coverage.tokens_inferred > 0


@pytest.mark.parametrize(
    ("code", "rule"),
    [
        ('found = classify(records(by="document"), {"lost": "went down", "sold": "has a new owner"})', ended),
        ('found = extract(records(by="document"), "The end", {"end": {"type": "string"}})', lambda text: {"end": "x"}),
        ('rs = records(by="document")\nfound = pairs([(rs[0], rs[1])], "Both?")', lambda text: "yes"),
    ],
    ids=["classify", "extract", "pairs"],
)
def test_records_that_were_judged_by_their_beginning_make_an_answer_partial(
    sandbox: Sandbox, code: str, rule: Callable[[str], object]
) -> None:
    def small(corpus: Corpus, subcalls: SubCalls) -> Operators:
        return Operators(corpus, subcalls, limits=PackLimits(5, 300))

    root = ScriptedRoot(in_code(code), in_code("submit(len(found), computed=True)"))
    logs = [f"The log of ship {n}. {'All is well. ' * 400}" for n in range(2)]
    space = Workspace(corpus_of(*logs), Both(root, RuleSubCalls(rule)), PROFILE, sandbox, small)
    answer = RecursiveStrategy(space).answer("How many ships were lost?")
    assert answer.status is AnswerStatus.PARTIAL
    assert "2 records were judged by their beginning" in answer.text
    assert "2 records were judged by their beginning." in answer.reasons
    assert answer.coverage is not None
    assert 0 < answer.coverage.tokens_read < answer.coverage.tokens_in_scope / 2


def test_what_is_no_record_is_told_to_the_model_and_with_the_answer_where_it_is_much(sandbox: Sandbox) -> None:
    def counted(errors: int) -> tuple[Answer, str]:
        lines = [f"ERROR: the pump {n} has stopped" if n < errors else f"INFO: pump {n} runs" for n in range(100)]
        root = ScriptedRoot(in_code("n = len(records())"), in_code("submit(n, computed=True)"))
        space = Workspace(corpus_of("\n".join(lines)), root, PROFILE, sandbox, operators)
        return RecursiveStrategy(space).answer("How many lines are there?"), root.prompts[1]

    answer, shown = counted(35)
    assert "Note: records() left out 35 other pieces of text, which look like no record, such as 'ERROR: the" in shown
    assert answer.result is not None
    assert answer.result.value == 65
    assert answer.text == "65 (Some of the text was taken for no record.)"
    assert "65 records were counted; 35 other pieces of text were taken for none." in answer.reasons
    few, shown = counted(2)
    assert "left out 2 other pieces" in shown
    assert few.text == "98"


def test_what_was_done_better_afterwards_is_not_held_against_an_answer(sandbox: Sandbox) -> None:
    def small(corpus: Corpus, subcalls: SubCalls) -> Operators:
        return Operators(corpus, subcalls, limits=PackLimits(5, 300))

    lines = "\n".join(f"ERROR: pump {n} stopped" if n < 35 else f"INFO: pump {n} runs" for n in range(100))
    log = f"The log of a ship. {'All is well. ' * 400}"
    labels = '{"lost": "went down", "sold": "has a new owner"}'
    root = ScriptedRoot(
        in_code(f"d = outline()\nrecords(d[0])\nclassify([d[1]], {labels})"),
        in_code(
            'lines = records(d[0], by="start", pattern="^[A-Z]+:")\n'
            "parts = [{**d[1], 'start': at, 'end': at + 500} for at in range(0, d[1]['end'], 500)]\n"
            f"classify(parts, {labels})"
        ),
        in_code("submit(len(lines), computed=True)"),
    )
    space = Workspace(corpus_of(lines, log), Both(root, RuleSubCalls(ended)), PROFILE, sandbox, small)
    answer = RecursiveStrategy(space).answer("How many lines are there?")
    assert "1 record was judged by its beginning. Cut them smaller" in root.prompts[1]
    assert (answer.text, answer.status) == ("100", AnswerStatus.ANSWERED)


def test_a_long_line_counts_as_read_where_it_was_shown(sandbox: Sandbox) -> None:
    root = ScriptedRoot(in_code("grep('whale')\nsubmit(None)"))
    space = Workspace(corpus_of("x " * 50_000 + "whale" + " y" * 50_000), root, PROFILE, sandbox, operators)
    coverage = RecursiveStrategy(space).answer("Which?").coverage
    assert coverage is not None
    assert 0 < coverage.tokens_read < coverage.tokens_in_scope / 50
