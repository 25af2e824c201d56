"""What may be submitted as computed, and when it was computed over all of the documents."""

from collections.abc import Iterator

import pytest

from rlm.answers import Answer, AnswerStatus
from rlm.operators.operators import Operators
from rlm.profiles import ModelProfile
from rlm.recursive.computed import ComputedValues
from rlm.recursive.loop import Workspace
from rlm.recursive.spans import OpenedSpans
from rlm.recursive.strategy import RecursiveStrategy
from rlm.recursive.trajectory import Turn
from rlm.sandbox.build import build_sandbox
from rlm.sandbox.forms import SandboxForm
from rlm.sandbox.port import Sandbox
from tests.fakes.scripted_root import ScriptedRoot, in_code
from tests.support.corpora import corpus_of

PROFILE = ModelProfile("scripted", context_tokens=16_000, max_output_tokens=1_000, max_depth=1, writes_code=True)
TREATY = "# The treaty\n\nThe treaty of Ryswick was signed in 1697. It ended the Nine Years' War.\n"
SHIPS = "\n".join(f"Ship {n}: built in {1700 + n}, {'lost' if n % 3 == 0 else 'sold'}" for n in range(1, 31))
QUESTION = "Is lost more common than sold, or is 'dry wit', and how many ships were lost?"
CORPUS = corpus_of(TREATY, SHIPS)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = build_sandbox(SandboxForm.PLAIN)
    yield made
    made.close()


def values(*labels: str, scanned: bool = True) -> ComputedValues:
    opened = OpenedSpans(CORPUS)
    if scanned:
        opened.scan(CORPUS.documents)
    made = ComputedValues(QUESTION, CORPUS, opened)
    made.know(labels)
    return made


@pytest.mark.parametrize(
    "answer",
    [
        *(12, 2.5, True, "12", "1,024.5", "12 %", "12 ships", "30km", "2021-03-04", "12 March 1702", "yes", "B"),
        *(
            "Ship 3",
            "ship 3",
            "Ryswick",
            "Label: lost",
            "Answer: 7",
            "the Nine Years' War",
            "Ship 3: built in 1703, lost",
        ),
        *(
            "lost is more common than sold",
            "Answer: 'lost' is more common than 'sold'",
            "lost",
            "more common than",
            "ships",
        ),
        *("dry wit is more common than lost", "dry wit"),
        *("plant", "plant (12), animal (7)", "plant: 12\nanimal: 7", "plant is more common than animal"),
        *(["Ship 3", "Ship 6"], {"plant": 12, "before 1710": 3}, {"Ship 3": ["lost", 1703]}, {"Ship 3", "Ship 6"}),
        *([("Ship 3", 1703)], "Ship 3, Ship 6, Ship 9", [], {}, [None, 3], "Ship 3 - 1703"),
    ],
)
def test_values_that_code_computes(answer: object) -> None:
    assert values("plant", "animal").stranger(answer) is None


@pytest.mark.parametrize(
    "answer",
    [
        *(
            "It was signed in 1702 by Peter.",
            "The treaty of Ryswick was signed in 1702.",
            "12 ships were lost",
            "Peter",
        ),
        *("Ship 31", ["Ship 3", "Peter the Great"], {"It was signed by Peter in": 1702}, {"signer": "Peter"}),
        *("Signer: Peter", "lost is more common than sold, says Peter", "many ships were lost and sold"),
    ],
)
def test_what_asserts_something_or_stands_nowhere_is_nothing_that_code_computes(answer: object) -> None:
    assert values("plant").stranger(answer) is not None


def test_text_of_documents_that_nothing_went_through_is_not_known() -> None:
    assert values(scanned=False).stranger("Ryswick") == "Ryswick"


def asked(sandbox: Sandbox, *cells: str) -> tuple[Answer, list[Turn]]:
    turns: list[Turn] = []
    space = Workspace(CORPUS, ScriptedRoot(*map(in_code, cells), sub=lambda _: "vessel"), PROFILE, sandbox, Operators)
    return RecursiveStrategy(space, told=turns.append).answer(QUESTION), turns


def test_prose_said_to_be_computed_is_refused_with_what_to_do_and_then_marked(sandbox: Sandbox) -> None:
    code = 'grep("zzz")\nsubmit("It was signed in 1702 by Peter.", computed=True)'
    answer, turns = asked(sandbox, code, code)
    assert "Submit the value alone" in (turns[0].error or "")
    assert "give evidence" in (turns[0].error or "")
    assert answer.status is AnswerStatus.PARTIAL
    assert not answer.claims[0].supported
    assert "not confirmed" in answer.text


def test_prose_with_evidence_is_judged_by_it_even_if_it_is_said_to_be_computed(sandbox: Sandbox) -> None:
    said = "The treaty of Ryswick was signed in 1697, it ended the war."
    answer, _ = asked(sandbox, f'submit("{said}", ["The treaty of Ryswick was signed in 1697."], computed=True)')
    assert answer.citations


@pytest.mark.parametrize(
    ("through", "whole"),
    [
        ("grep('zzz')", True),
        (
            "c = None\nfor _ in range(9):\n    c = grep('lost', limit=3, cursor=c)['next_cursor']\n    if not c: break",
            True,
        ),
        ("grep('lost', limit=3)", False),
        ("p = grep('lost', limit=3)\ngrep('lost', limit=1000, cursor='1:800')", False),
        ("p = grep('lost', limit=3)\ngrep('sold', limit=1000, cursor=p['next_cursor'])", False),
        ("count('lost')", True),
        ("records()", True),
        ("records('doc-2')", False),
        ("for d in outline(): records(d)", True),
        ("for d in outline(): records({**d, 'end': d['end'] // 2})", False),
        ("for d in outline(): read(d)", True),
        ("read('doc-2')", False),
        ("search", False),
    ],
)
def test_what_was_gone_through_decides_whether_a_count_is_whole(sandbox: Sandbox, through: str, whole: bool) -> None:
    code = f"{through}\nsubmit(10, computed=True)"
    answer, _ = asked(sandbox, code, code)
    assert answer.status is (AnswerStatus.ANSWERED if whole else AnswerStatus.PARTIAL)


def test_prose_that_sub_models_gave_is_nothing_that_code_computes() -> None:
    made = values()
    made.know_said(["a tall ship", None, 3, "It was signed in 1702 by Peter."])
    assert made.stranger("a tall ship") is None
    assert made.stranger("It was signed in 1702 by Peter.") is not None


def test_labels_that_sub_models_gave_are_known(sandbox: Sandbox) -> None:
    code = """from collections import Counter
counted = Counter(llm_query_batched([read(r) for r in records()]))
submit(counted.most_common(1)[0][0], computed=True)"""
    answer, _ = asked(sandbox, code)
    assert (answer.status, answer.text.strip()) == (AnswerStatus.ANSWERED, "vessel")
