import json
import re
from collections.abc import Callable, Iterator, Sequence

import pytest

from ingest.runs import RunState
from retrieval.passages import Passage
from rlm.answers import Answer, AnswerStatus, Searched, Usage
from rlm.chains.prompts import read_lookup
from rlm.chains.strategy import ChainStrategy
from rlm.errors import LanguageModelUnavailableError
from rlm.questions import QuestionError
from rlm.runs.bodies import state_of
from rlm.strategies import Completed, Delta, Event, Planned, Reading, Strategy, never
from rlm.subcalls.port import SubCall, SubFailure
from tests.fakes.chain_reader import ANSWERS, BRIDGE, DEATH, DESIGN, OTHER_BRIDGE, QUESTION, WORLD, Reader
from tests.fakes.passages import passage


def chain(
    reader: Reader, passages: Sequence[Passage] = tuple(WORLD), *, otherwise: Strategy | None = None
) -> ChainStrategy:
    def near(questions: Sequence[str], texts: Sequence[str]) -> list[float]:
        return [0.5] * len(texts)

    return ChainStrategy(lambda question: passages, near, reader, "m", otherwise=otherwise)


def answer(reader: Reader, passages: Sequence[Passage] = tuple(WORLD)) -> Answer:
    return chain(reader, passages).answer(QUESTION)


def test_a_chain_is_followed_and_every_link_cited() -> None:
    found = answer(Reader(ANSWERS))
    assert found.status is AnswerStatus.ANSWERED
    assert found.text == (
        "1852 [1][2][3]\n"
        "The crossing that is guarded by a swan: stone bridge Mason's Crossing. [1]\n"
        "The designer of stone bridge Mason's Crossing: surgeon Sabina Jellicoe. [2]"
    )
    assert [citation.quote for citation in found.citations] == [BRIDGE, DESIGN, DEATH]
    assert found.claims[0].citations == (1, 2, 3)
    assert (found.strategy, found.usage.calls) == ("chain", 7)


def test_the_answer_has_the_form_that_was_asked_for() -> None:
    found = chain(Reader(ANSWERS)).answer(f"{QUESTION} Give the final answer as 'Answer: <answer>'.")
    assert found.text.startswith("Answer: 1852 [1][2][3]\nThe crossing that is guarded by a swan: stone bridge")
    assert found.claims[0].text == "Answer: 1852"


def test_the_plan_is_told_before_the_first_call_and_each_reading_with_its_passages() -> None:
    reader = Reader(ANSWERS)
    events = chain(reader).stream(QUESTION)
    planned = next(events)
    assert isinstance(planned, Planned)
    assert planned.steps[0] == "Look up the crossing that is guarded by a swan."
    assert reader.calls == []
    readings = [event for event in events if isinstance(event, Reading)]
    assert [event.call for event in readings] == [2, 4, 6]
    assert all(event.passages for event in readings)


def test_a_link_that_stands_nowhere_ends_the_chain_and_what_was_found_is_said() -> None:
    found = answer(Reader({key: value for key, value in ANSWERS.items() if "designer" not in key}))
    assert found.status is AnswerStatus.NOT_FOUND
    assert found.text.startswith("These documents do not answer the question. Not found: the designer of stone bridge")
    assert "The crossing that is guarded by a swan: stone bridge Mason's Crossing. [1]" in found.text
    assert len(found.citations) == 1


def test_what_is_no_chain_after_all_is_read_for_directly() -> None:
    class Direct:
        name = "direct"

        def __init__(self, status: AnswerStatus) -> None:
            self.status = status

        def stream(self, question: str, *, cancelled: Callable[[], bool] = never) -> Iterator[Event]:
            assert question == QUESTION
            yield Delta("1852 [1]")
            searched = Searched(0, 0, ())
            yield Completed(Answer(self.status, "1852 [1]", (), (), "direct", "m", searched, usage=Usage(2, 50, 5)))

    for status, told in ((AnswerStatus.ANSWERED, "1852 [1]"), (AnswerStatus.NOT_FOUND, "These documents do not")):
        strategy = chain(Reader({}), otherwise=Direct(status))
        *events, last = strategy.stream(QUESTION)
        assert isinstance(last, Completed)
        assert last.answer.status is status
        assert last.answer.usage.calls == 4
        text = "".join(event.text for event in events if isinstance(event, Delta))
        assert text == last.answer.text
        assert text.startswith(told)


def test_an_answer_that_a_second_look_finds_wrong_is_not_given() -> None:
    found = answer(Reader(ANSWERS, wrong=["1852"]))
    assert found.status is AnswerStatus.NOT_FOUND
    assert "1852" not in found.text


def test_a_name_that_a_second_look_finds_wrong_is_not_followed() -> None:
    reader = Reader(ANSWERS, wrong=["Sabina Jellicoe"])
    found = answer(reader)
    assert found.status is AnswerStatus.NOT_FOUND
    assert "Jellicoe" not in found.text
    assert not any("1852" in call.prompt.rsplit("Question: ", 1)[-1] for call in reader.calls)


def test_a_namesakes_sentence_answers_nothing() -> None:
    other = "The surgeon Sabina Rowntree died in 1900."
    reader = Reader({**ANSWERS, "What was the year of death": (other, "1900")})
    found = answer(reader, [*WORLD[:2], passage(other, document="namesake")])
    assert found.status is AnswerStatus.NOT_FOUND
    assert "1900" not in found.text


def test_a_budget_that_ends_leaves_a_partial_answer_with_the_reason() -> None:
    reader = Reader(ANSWERS)
    reader.failure = SubFailure("budget_exhausted", "Of 3 calls 3 are taken.")
    found = answer(reader)
    assert found.status is AnswerStatus.PARTIAL
    assert "Of 3 calls 3 are taken." in found.text
    assert state_of(found) is RunState.PARTIAL


def test_a_model_that_is_away_is_an_error_and_a_spent_budget_is_none() -> None:
    class Away:
        name = "direct"

        def stream(self, question: str, *, cancelled: Callable[[], bool] = never) -> Iterator[Event]:
            raise LanguageModelUnavailableError("Away.")

    reader = Reader(ANSWERS)
    reader.failure = SubFailure("language_model_unavailable", "Away.")
    with pytest.raises(LanguageModelUnavailableError):
        chain(reader, otherwise=Away()).answer(QUESTION)
    reader.failure = SubFailure("budget_exhausted", "Spent.")
    assert chain(reader, otherwise=Away()).answer(QUESTION).status is AnswerStatus.PARTIAL


def test_nothing_found_is_no_error() -> None:
    reader = Reader(ANSWERS)
    assert answer(reader, []).status is AnswerStatus.NOT_FOUND
    assert reader.calls == []


def test_a_cancelled_chain_ends_without_an_answer() -> None:
    asked: list[int] = []

    def cancelled() -> bool:
        asked.append(1)
        return len(asked) > 2

    events = list(chain(Reader(ANSWERS)).stream(QUESTION, cancelled=cancelled))
    assert not any(isinstance(event, Completed) for event in events)


def test_an_empty_question_is_refused() -> None:
    with pytest.raises(QuestionError):
        next(chain(Reader({})).stream(" ? "))


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ('{"quote": "Ann sings.", "answer": "Ann"}', (0, "Ann")),
        ('{"quote": "2. Bob sings.", "answer": "Bob"}', (1, "Bob")),
        ('{"quote": "Somebody else sings.", "answer": "Bob"}', (1, "Bob")),
        ('{"quote": "Ann sings.", "answer": "Bob"}', None),
        ('{"quote": "Eve sings.", "answer": "Eve"}', None),
        ('{"quote": "Ann sings."}', None),
        ("Ann", None),
        ("[]", None),
        ('{"quote": "Ann sings.", "answer": ""}', None),
    ],
)
def test_a_reply_counts_where_its_words_stand(reply: str, expected: tuple[int, str] | None) -> None:
    assert read_lookup(reply, ["Ann sings.", "Bob sings."]) == expected


OLD_DESIGN = (
    "The guide book of 1890 says that the stone bridge Mason's Crossing was drawn up by the printer Ada Thorne."
)
NEW_DESIGN = (
    "The almanac of 1950 says that the stone bridge Mason's Crossing was drawn up by the surgeon Sabina Jellicoe."
)
ROAD = "The almanac of 1980 says that the stone bridge Mason's Crossing leads to Marlbury."


class Misled(Reader):
    """Takes another bridge for the one that is asked for, as long as it is shown one."""

    def _reply(self, call: SubCall) -> str:
        shown, _, asked = call.prompt.rpartition("Question: ")
        if call.purpose == "lookup" and asked.startswith("What is the name of the crossing") and OTHER_BRIDGE in shown:
            return json.dumps({"quote": OTHER_BRIDGE, "answer": "Old Arch"})
        return super()._reply(call)


def test_a_link_that_leads_nowhere_is_taken_back() -> None:
    found = answer(Misled(ANSWERS), [passage(OTHER_BRIDGE, document="others", rank=5), *WORLD])
    assert found.text.startswith("1852 [1][2][3]")
    assert "Old Arch" not in found.text


def test_nothing_is_asked_of_a_name_that_stands_nowhere() -> None:
    reader = Misled({})

    def retrieve(question: str) -> Sequence[Passage]:
        return WORLD if "Old Arch" in question else [passage(OTHER_BRIDGE)]

    found = ChainStrategy(retrieve, lambda _, texts: [0.5] * len(texts), reader, "m").answer(QUESTION)
    assert found.text.startswith("These documents do not answer the question. Not found: the designer of toll bridge")
    assert not any("designer of toll bridge" in call.prompt.rsplit("Question: ", 1)[-1] for call in reader.calls)


def test_only_sentences_with_the_name_are_read() -> None:
    reader = Reader(ANSWERS)
    answer(reader)
    second = next(call.prompt for call in reader.calls if "designer of stone bridge" in call.prompt)
    assert DESIGN in second
    assert "It rained for days." not in second
    assert DEATH not in second


@pytest.mark.parametrize(
    ("note", "designer"), [("Where sources disagree, the later is right.", "Sabina Jellicoe"), ("", "Ada Thorne")]
)
def test_of_two_sources_the_later_is_right_where_the_question_says_so(note: str, designer: str) -> None:
    class Dated(Reader):
        def _reply(self, call: SubCall) -> str:
            shown = call.prompt.rsplit("Question: ", 1)[0]
            if call.purpose == "lookup" and "What is the name of the designer" in call.prompt:
                old = OLD_DESIGN in shown
                quote, name = (OLD_DESIGN, "Ada Thorne") if old else (NEW_DESIGN, "Sabina Jellicoe")
                return json.dumps({"quote": quote, "answer": name})
            return super()._reply(call)

    texts = (BRIDGE, OLD_DESIGN, ROAD, NEW_DESIGN)
    shown = [passage(text, document=f"d{at}", rank=at + 1) for at, text in enumerate(texts)]
    reader = Dated(ANSWERS)
    found = chain(reader, shown).answer(QUESTION.replace(" The later is right.", f" {note}"))
    assert found.text.splitlines()[-1].endswith(f"{designer}. [2]")


@pytest.mark.parametrize(("kind", "found"), [("fair", "fair Gooseweek"), ("event", "song contest Plumfeast")])
def test_a_later_source_on_a_thing_of_another_kind_says_nothing_else(kind: str, found: str) -> None:
    """Both are held there; an "event" may be either, and a "fair" is no song contest."""
    fair = "The almanac of 1931 says that the fair Gooseweek is held every year in Rye."
    contest = "The almanac of 1950 says that the song contest Plumfeast is held every year in Rye."
    bridge = "Over Rye stands a stone swan."

    class Held(Reader):
        def _reply(self, call: SubCall) -> str:
            if call.purpose == "lookup" and f"the {kind} held in" in call.prompt:
                only = fair not in call.prompt
                return json.dumps({"quote": contest if only else fair, "answer": "Plumfeast" if only else "Gooseweek"})
            return super()._reply(call)

    reader = Held({"What is the name of the crossing": (bridge, "Rye")})
    shown = [passage(text, document=f"d{at}", rank=at + 1) for at, text in enumerate((bridge, fair, contest))]
    asked = f"Who won the {kind} held in the crossing that is guarded by a swan? The later is right."
    assert f"held in Rye: {found}." in chain(reader, shown).answer(asked).text


def test_looking_up_ends_however_many_links_lead_nowhere() -> None:
    class Everything(Reader):
        """Finds one of two names in the first sentence that is shown."""

        def _reply(self, call: SubCall) -> str:
            if call.purpose == "check":
                return json.dumps({"verdict": "right"})
            first = re.search(r"1\. (.*)", call.prompt)
            assert first is not None
            answer = "Bob" if "of Ann" in call.prompt.rsplit("Question: ", 1)[1] else "Ann"
            return json.dumps({"quote": first[1], "answer": answer})

    looked_up: list[str] = []

    def retrieve(question: str) -> Sequence[Passage]:
        looked_up.append(question)
        if question.startswith("Who is") and len(looked_up) > 8:
            return []
        return [passage(" ".join(f"Ann and Bob have {number} hats." for number in range(9)))]

    question = f"Who is {'the friend of ' * 7}the woman that sings?"
    strategy = ChainStrategy(retrieve, lambda _, texts: [0.5] * len(texts), Everything({}), "m")
    assert strategy.answer(question).status is AnswerStatus.ANSWERED
    assert len(looked_up) == 8
    assert strategy.answer(question).status is AnswerStatus.NOT_FOUND
    assert len(looked_up) == 8 + 24
