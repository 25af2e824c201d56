import json
import re
from collections.abc import Sequence

import pytest

from retrieval.passages import Passage
from rlm.answers import Answer, AnswerStatus
from rlm.chains.strategy import ChainStrategy
from rlm.subcalls.port import SubCall
from tests.fakes.chain_reader import ANSWERS, BRIDGE, DEATH, DESIGN, OTHER_BRIDGE, QUESTION, WORLD, Reader
from tests.fakes.passages import passage


class WeighedReader(Reader):
    """Finds the sentence that answers likelier than others, but for `misled` questions: there it comes second."""

    misled: Sequence[str] = ()
    of_wrong = -2.0

    def _reply(self, call: SubCall) -> str:
        if not call.contexts:
            return super()._reply(call)
        if call.purpose == "check":
            right = json.loads(super()._reply(call))["verdict"] == "right"
            return json.dumps({"1": [-1.0, -3.0] if right else [self.of_wrong, 0.0]})
        told = {}
        for number, context in enumerate(call.contexts, start=1):
            asked = call.prompt + context.continuations[0]
            quote = next((each for question, (each, _) in self.answers.items() if question in asked), "nothing")
            misled = any(each in asked for each in self.misled) and BRIDGE in context.text
            told[str(number)] = [-5.0 if misled else -10.0 if quote in context.text else -30.0]
        return json.dumps(told)


class Among(Reader):
    """Takes the first of the names that it is given; `among` are those."""

    def __init__(self, answers: dict[str, tuple[str, str]]) -> None:
        super().__init__(answers)
        self.among: list[list[str]] = []

    def _reply(self, call: SubCall) -> str:
        said = super()._reply(call)
        among = re.search(r'"enum": (\[.*?\])', json.dumps(call.schema)) if call.purpose == "lookup" else None
        if among is None:
            return said
        self.among.append(json.loads(among[1]))
        return json.dumps({**json.loads(said), "answer": self.among[-1][0]})


def near(questions: Sequence[str], texts: Sequence[str]) -> list[float]:
    return [0.5] * len(texts)


def weighed(reader: Reader) -> Answer:
    return ChainStrategy(lambda question: WORLD, near, reader, "m", weigh=True).answer(QUESTION)


def test_a_model_that_tells_likelihoods_reads_the_likeliest_sentence_alone() -> None:
    reader = WeighedReader(ANSWERS)
    found = weighed(reader)
    assert found.text.startswith("1852 [1][2][3]")
    assert found.usage.calls == len(reader.calls) == (2 + 2) + 2 * 3
    read = [call.prompt for call in reader.calls if call.purpose == "lookup"]
    assert [sum(each in prompt for each in (BRIDGE, DESIGN, DEATH)) for prompt in read] == [1, 1, 1]


def test_where_the_likeliest_sentence_does_not_answer_the_next_is_read() -> None:
    reader = WeighedReader(ANSWERS)
    reader.misled = ["designer"]
    assert weighed(reader).text.startswith("1852")
    assert len([call for call in reader.calls if call.purpose == "lookup"]) == 4


@pytest.mark.parametrize(("wrong", "status"), [(-0.3, AnswerStatus.ANSWERED), (-0.5, AnswerStatus.NOT_FOUND)])
def test_a_second_look_is_weighed_because_a_small_model_says_wrong_too_readily(
    wrong: float, status: AnswerStatus
) -> None:
    reader = WeighedReader(ANSWERS, wrong=["Sabina Jellicoe"])
    reader.of_wrong = wrong
    assert weighed(reader).status is status


def test_a_second_look_that_is_not_told_is_asked_for() -> None:
    for wrong, status in ([], AnswerStatus.ANSWERED), (["1852"], AnswerStatus.NOT_FOUND):
        reader = WeighedReader(ANSWERS, wrong)
        reader.fails = lambda call: call.purpose == "check" and bool(call.contexts)
        assert weighed(reader).status is status


def test_no_more_sentences_are_read_than_four_for_a_link() -> None:
    reader = WeighedReader({})
    assert weighed(reader).status is AnswerStatus.NOT_FOUND
    assert len([call for call in reader.calls if call.purpose == "lookup"]) == 4


def test_sentences_on_a_thing_of_the_kind_that_is_asked_for_are_read_first() -> None:
    fair, contest = "The fair Gooseweek is held in Rye.", "The song contest Plumfeast is held in Rye."
    swan = "Over Rye stands a stone swan."

    class Held(WeighedReader):
        """Finds the contest likelier."""

        def _reply(self, call: SubCall) -> str:
            if call.purpose == "lookup" and fair in call.prompt:
                return json.dumps({"quote": fair, "answer": "Gooseweek"})
            return super()._reply(call)

    reader = Held({"What is the name of the crossing": (swan, "Rye"), "the fair held in Rye": (contest, "Plumfeast")})
    world = [passage(text, document=f"d{at}", rank=at + 1) for at, text in enumerate((swan, contest, fair))]
    asked = "Who won the fair held in the crossing that is guarded by a swan?"
    found = ChainStrategy(lambda question: world, near, reader, "m", weigh=True).answer(asked)
    read = [
        next(text for text in (swan, contest, fair) if text in call.prompt)
        for call in reader.calls
        if call.purpose == "lookup"
    ]
    assert read[:2] == [swan, fair]
    assert "The fair held in Rye: fair Gooseweek." in found.text


BOTH = "On the stone bridge Mason's Crossing stand a stone goose and a stone swan."
RAIN = [passage(f"It rained {number} times.", document=f"r{number}") for number in range(20)]


LIKELIHOODS = {"a stone goose with a long neck": -5.0, BOTH: -10.0, "A swan flew": -15.0}


class Halves(WeighedReader):
    """Finds the sentence about a goose alone likelier, but each bird only where there is one."""

    def _reply(self, call: SubCall) -> str:
        if call.purpose == "compare" and call.contexts[0].lead:
            rests = [(context.text, context.continuations[0]) for context in call.contexts]
            values = [
                -sum(4.0 if bird in text else 20.0 for bird in ("goose", "swan") if bird in rest)
                for text, rest in rests
            ]
            return json.dumps({str(number): [value] for number, value in enumerate(values, start=1)})
        if call.contexts and "crossing" in call.contexts[0].continuations[0]:
            values = [
                next((value for said, value in LIKELIHOODS.items() if said in context.text), -20.0)
                for context in call.contexts
            ]
            return json.dumps({str(number): [value] for number, value in enumerate(values, start=1)})
        return super()._reply(call)


def of_goose_and_swan(
    world: Sequence[Passage], wrong: Sequence[str] = (), answers: dict[str, tuple[str, str]] | None = None
) -> tuple[Answer, list[str]]:
    """The answer, and what was shown to be read."""
    right = {"What is the name of the crossing": (BOTH, "Mason's Crossing"), **dict(list(ANSWERS.items())[1:])}
    reader = Halves(right if answers is None else answers, wrong)
    found = ChainStrategy(lambda question: world, near, reader, "m", weigh=True).answer(
        QUESTION.replace("by a swan", "by a goose and a swan")
    )
    return found, [call.prompt for call in reader.calls if call.purpose == "lookup"]


def test_a_sentence_that_says_only_part_of_a_description_is_not_read() -> None:
    world = [passage(OTHER_BRIDGE, document="other"), passage(BOTH, document="both"), *WORLD[1:], *RAIN]
    found, read = of_goose_and_swan(world)
    assert found.text.startswith("1852 [1][2][3]")
    assert not any(OTHER_BRIDGE in prompt for prompt in read)


def test_what_was_chosen_for_all_that_it_says_needs_no_second_look_and_what_was_not_does() -> None:
    world = [passage(OTHER_BRIDGE, document="other"), passage(BOTH, document="both"), *WORLD[1:], *RAIN]
    assert of_goose_and_swan(world, wrong=["Mason's Crossing"])[0].text.startswith("1852 [1][2][3]")
    few = WeighedReader(ANSWERS, wrong=["Mason's Crossing"])
    assert weighed(few).status is AnswerStatus.NOT_FOUND, "too few others to tell halves by"


SWANS = [passage(f"A swan flew {number} miles.", document=f"s{number}") for number in range(2)]
OLD_ARCH = ("What is the name of the crossing", (OTHER_BRIDGE, "Old Arch"))


def test_where_no_sentence_says_all_others_are_read_after_the_likeliest() -> None:
    found, read = of_goose_and_swan([passage(OTHER_BRIDGE, document="other"), *SWANS, *RAIN])
    assert found.status is AnswerStatus.NOT_FOUND
    assert [OTHER_BRIDGE in prompt for prompt in read] == [True, False, False, False]
    assert sum("A swan flew" in prompt for prompt in read) == 2


@pytest.mark.parametrize(("bridges", "followed"), [(1, True), (2, False)])
def test_where_no_sentence_says_all_only_one_that_is_ahead_needs_no_second_look(bridges: int, followed: bool) -> None:
    others = [passage(OTHER_BRIDGE.replace("Old", name), document=name) for name in ("Old", "New")[:bridges]]
    world = [*others, *SWANS, *RAIN]
    answers = {OLD_ARCH[0]: OLD_ARCH[1]}
    found, _ = of_goose_and_swan(world, wrong=["Old Arch"], answers=answers)
    assert ("toll bridge Old Arch" in found.text) is followed


def test_an_answer_that_is_no_name_gives_way_to_the_names_of_its_sentence() -> None:
    reader = Reader({**ANSWERS, "What is the name of the crossing": (BRIDGE, "swan")})
    found = ChainStrategy(lambda question: WORLD, near, reader, "m").answer(QUESTION)
    assert found.text.startswith(
        "1852 [1][2][3]\nThe crossing that is guarded by a swan: stone bridge Mason's Crossing."
    )
    assert len(reader.calls) == 7, "of one name nothing is asked"


def test_of_several_names_one_is_asked_for() -> None:
    bridge = "On the stone bridge Mason's Crossing in Rye stands a stone swan."
    reader = Among({**ANSWERS, "What is the name of the crossing": (bridge, "swan")})
    world = [passage(bridge, document="bridges"), *WORLD[1:]]
    found = ChainStrategy(lambda question: world, near, reader, "m").answer(QUESTION)
    assert found.text.startswith("1852")
    assert reader.among == [["Mason's Crossing", "Rye"]]


def test_what_is_asked_about_is_no_name_for_it() -> None:
    reader = Reader({"What is the name of the bird that sits on Mason's Crossing": (BRIDGE, "swan")})
    asked = "What eats the bird that sits on Mason's Crossing?"
    found = ChainStrategy(lambda question: WORLD, near, reader, "m").answer(asked)
    assert "The bird that sits on Mason's Crossing: stone swan." in found.text


def test_what_hangs_on_a_name_that_was_found_has_a_name_too() -> None:
    designer = "What is the name of the designer of stone bridge Mason's Crossing?"
    found = ChainStrategy(lambda question: WORLD, near, Reader({**ANSWERS, designer: (BRIDGE, "swan")}), "m").answer(
        QUESTION
    )
    assert found.text.startswith("These documents do not answer the question. Not found: the designer of stone bridge")


def test_a_description_is_searched_for_in_guessed_words_too() -> None:
    reader = Reader(ANSWERS)
    reader.guesses = {"a swan": "Answers: a cygnet, a bird"}
    searched: list[str] = []

    def retrieve(question: str) -> Sequence[Passage]:
        searched.append(question)
        return [*WORLD[1:], passage(BRIDGE, document="bridges")] if "cygnet" in question else WORLD[1:]

    def near(questions: Sequence[str], texts: Sequence[str]) -> list[float]:
        return [1.0 if "guarded by cygnet" in " ".join(questions) and text == BRIDGE else 0.0 for text in texts]

    found = ChainStrategy(retrieve, near, reader, "m").answer(QUESTION)
    assert searched[:2] == ["the crossing that is guarded by a swan", "the crossing that is guarded by cygnet"]
    assert found.text.startswith("1852 [1][2][3]")
    assert found.usage.calls == 1 + 2 * 3
    first = next(call.prompt for call in reader.calls if call.purpose == "lookup")
    assert first.index(BRIDGE) < first.index(DESIGN)


def test_a_guess_that_fails_is_no_loss() -> None:
    reader = Reader(ANSWERS)
    reader.fails = lambda call: call.purpose == "guess"
    found = ChainStrategy(lambda _: WORLD, lambda _, texts: [0.5] * len(texts), reader, "m").answer(QUESTION)
    assert found.text.startswith("1852 [1][2][3]")
    assert found.usage.calls == 1 + 2 * 3
