"""A passage that shares few words with the question: compared with others where the model tells likelihoods, and read
a second time."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from retrieval.passages import Passage
from rlm.answers import AnswerStatus, Usage
from rlm.contrasts import Contrasts
from rlm.direct import DirectStrategy
from rlm.errors import LanguageModelOutputError
from rlm.profiles import LOCAL_QWEN
from rlm.strategies import Completed, Reading
from rlm.subcalls.port import SubCall
from tests.fakes.passages import passage
from tests.fakes.scripted_chat import ScriptedChat, reply
from tests.fakes.weighed_subcalls import WeighedSubCalls
from tests.unit.rlm.test_direct import ASKED, FOUND, GOOD, QUESTION, READ, REFUNDS, strategy


class TestOtherWords:
    """A passage that shares few words with the question is believed only when a second reading confirms it."""

    def test_a_confirmed_answer_is_given(self) -> None:
        chat = ScriptedChat(script=[READ, '{"verdict": "right"}'])
        events = list(strategy(chat, [REFUNDS]).stream(ASKED))
        assert "Proposed answer: within 14 days" in chat.prompt_text(1)
        assert [event for event in events if isinstance(event, Reading)] == [
            Reading(1, (REFUNDS,)),
            Reading(2, (REFUNDS,)),
        ]
        assert isinstance(events[-1], Completed)
        assert events[-1].answer.status is AnswerStatus.ANSWERED
        assert events[-1].answer.usage == Usage(2, 200, 20)

    def test_an_answer_found_wrong_is_not_given(self) -> None:
        chat = ScriptedChat(script=[READ, '{"verdict": "wrong"}'])
        answer = strategy(chat, [REFUNDS]).answer(ASKED)
        assert answer.status is AnswerStatus.NOT_FOUND
        assert "found the answer wrong" in answer.reasons[-1]

    def test_an_unreadable_verdict_confirms_nothing(self) -> None:
        chat = ScriptedChat(script=[READ, LanguageModelOutputError("Cut off.")])
        assert strategy(chat, [REFUNDS]).answer(ASKED).status is AnswerStatus.NOT_FOUND

    def test_an_unsupported_answer_is_not_even_checked(self) -> None:
        chat = ScriptedChat(script=[reply("Refunds are issued within 14 days", answer="never"), "!!", "!!"])
        assert strategy(chat, [REFUNDS]).answer(ASKED).status is AnswerStatus.NOT_FOUND
        assert not any("Proposed answer" in chat.prompt_text(call) for call in range(len(chat.prompts)))

    def test_nothing_is_read_that_could_not_be_confirmed_any_more(self) -> None:
        chat = ScriptedChat(script=[READ])
        assert strategy(chat, [REFUNDS], max_calls=1).answer(ASKED).status is AnswerStatus.NOT_FOUND
        assert not chat.prompts

    def test_the_last_call_reads_several_passages_where_each_was_read_alone(self) -> None:
        others = [passage(f"Fees are due on day {n}.", document=f"d{n}", rank=n + 1, cosine=0.4) for n in range(1, 7)]
        last = reply("Refunds are issued within 14 days of the return.", answer="within 14 days")
        chat = ScriptedChat(script=[READ, '{"verdict": "wrong"}', last, '{"verdict": "right"}'])
        events = list(strategy(chat, [REFUNDS, *others], max_calls=4).stream(ASKED))
        read = [len(event.passages) for event in events if isinstance(event, Reading)]
        assert read[:3] == [1, 1, 5]

    def test_checks_count_as_calls(self) -> None:
        chat = ScriptedChat(script=[READ, '{"verdict": "wrong"}', READ, READ])
        answer = strategy(chat, [REFUNDS] * 5).answer(ASKED)
        assert answer.usage.calls == len(chat.prompts) <= 3

    def test_a_sentence_that_stands_out_by_far_needs_no_second_reading(self) -> None:
        chat = ScriptedChat(script=[READ])
        answer = self.contrasted(chat, lead=14.0).answer(ASKED)
        assert answer.status is AnswerStatus.ANSWERED
        assert "a comparison with the other sentences confirmed the answer" in answer.reasons[-1]
        assert answer.usage == Usage(3, 200, 20)

    @pytest.mark.parametrize(("right", "status"), [(0.1, AnswerStatus.ANSWERED), (-0.1, AnswerStatus.NOT_FOUND)])
    def test_a_sentence_that_hardly_stands_out_is_looked_at_a_second_time(
        self, right: float, status: AnswerStatus
    ) -> None:
        chat = ScriptedChat(script=[READ, "!!", "!!"])
        answer = self.contrasted(chat, lead=3.0, right=right).answer(ASKED)
        assert answer.status is status
        assert (answer.usage == Usage(4, 250, 25)) is (status is AnswerStatus.ANSWERED)

    def test_a_second_look_that_is_not_told_is_a_second_reading(self) -> None:
        chat = ScriptedChat(script=[READ, '{"verdict": "wrong"}', "!!", "!!"])
        made = self.contrasted(chat, lead=3.0, fails=lambda call: call.purpose == "check")
        assert made.answer(ASKED).status is AnswerStatus.NOT_FOUND
        assert "Proposed answer: within 14 days" in chat.prompt_text(1)

    def test_nothing_is_read_where_what_is_asked_is_said_of_others_only(self) -> None:
        chat = ScriptedChat(script=[READ])
        ada, hugo = "For once Ada Lind agreed.", "Hugo Moss can be heard practising scales on the tuba."
        searched: list[str] = []

        def found(question: str) -> list[Passage]:
            searched.append(question)
            named = "Ada Lind" in question
            return [passage(ada if named else hugo, document="ada" if named else "hugo", cosine=0.3)]

        calls = WeighedSubCalls(lambda call, text, continuation: -10.0 - 20.0 * ("agreed" in text))
        contrasts = Contrasts(calls, lambda question, texts: [0.5] * len(texts))
        answer = DirectStrategy(found, chat, LOCAL_QWEN, contrasts=contrasts).answer("What does Ada Lind play?")
        assert (answer.status, chat.prompts) == (AnswerStatus.NOT_FOUND, [])
        assert answer.reasons[-1] == "What is asked is said here of others only."
        assert searched == ["What does Ada Lind play?", "What does play?"]

    def test_a_question_that_is_a_name_alone_is_compared_with_nothing_more(self) -> None:
        searched = []

        def found(question: str) -> list[Passage]:
            searched.append(question)
            return [passage("Hugo Lind agreed to play the tuba.", cosine=0.3)]

        calls = WeighedSubCalls(lambda call, text, continuation: -10.0)
        contrasts = Contrasts(calls, lambda question, texts: [0.5] * len(texts))
        answer = DirectStrategy(found, ScriptedChat(script=["!!"] * 3), LOCAL_QWEN, contrasts=contrasts).answer(
            "Ada Lind"
        )
        assert answer.status is AnswerStatus.NOT_FOUND
        assert searched == ["Ada Lind"]

    @pytest.mark.parametrize(
        ("right", "others", "status"),
        [
            (-0.1, True, AnswerStatus.ANSWERED),
            (-0.3, True, AnswerStatus.NOT_FOUND),
            (-0.1, False, AnswerStatus.NOT_FOUND),
        ],
    )
    def test_the_likeliest_sentence_needs_less_of_a_second_look_where_it_was_compared_with_others(
        self, right: float, others: bool, status: AnswerStatus
    ) -> None:
        ada, hugo = "Ada Lind brought an oboe.", "Hugo Moss brought a tuba." if others else "The tuba was late."
        chat = ScriptedChat(script=[reply(ada, answer="an oboe"), *["!!"] * 3])
        verdicts = {"yes": -1.0, "no": -1.0, "right": right, "wrong": 0.0}
        calls = WeighedSubCalls(lambda call, text, continuation: verdicts.get(continuation, -20.0))
        contrasts = Contrasts(calls, lambda question, texts: [0.5] * len(texts))
        found = [passage(each, document=each, cosine=0.3) for each in (ada, hugo)]
        made = DirectStrategy(lambda question: found, chat, LOCAL_QWEN, contrasts=contrasts)
        assert made.answer("What does Ada Lind play in the evenings of every summer?").status is status

    def test_the_passage_with_the_likeliest_sentence_is_read_first(self) -> None:
        chat = ScriptedChat(script=[READ])
        nearer = replace(REFUNDS, document_id="near", text="Fees are due on day 9.", cosine=0.6, rank=1)
        self.contrasted(chat, lead=14.0, others=[nearer]).answer(ASKED)
        assert REFUNDS.text in chat.prompt_text()
        assert nearer.text not in chat.prompt_text()

    def test_the_likeliest_sentence_is_read_alone_and_then_the_passages(self) -> None:
        chat = ScriptedChat(script=["!!", READ, '{"verdict": "right"}'])
        wordy = replace(REFUNDS, text=f"Fees are due on day 9. {REFUNDS.text}")
        self.contrasted(chat, lead=1.0, refunds=wordy).answer(ASKED)
        assert "Fees are due" not in chat.prompt_text(0)
        assert REFUNDS.text in chat.prompt_text(0)
        assert "Fees are due" in chat.prompt_text(1)

    def test_a_likely_sentence_of_a_passage_not_worth_reading_keeps_no_other_from_being_read(self) -> None:
        chat = ScriptedChat(script=[READ, '{"verdict": "right"}'])
        unlike = passage("The moon is 14 days old.", document="moon", rank=2, cosine=0.0)
        contrasts = Contrasts(
            WeighedSubCalls(lambda call, text, continuation: -20.0 + 9.0 * ("moon" in text)),
            lambda question, texts: [0.5] * len(texts),
        )
        found = [REFUNDS, unlike]
        made = DirectStrategy(lambda question: found, chat, LOCAL_QWEN, contrasts=contrasts)
        assert made.answer(ASKED).status is AnswerStatus.ANSWERED
        assert REFUNDS.text in chat.prompt_text()

    @pytest.mark.parametrize("lead", [14.0, -14.0])
    def test_a_sentence_without_a_word_of_the_question_is_believed_where_it_is_the_likeliest(self, lead: float) -> None:
        chat = ScriptedChat(script=[READ, "!!", "!!", "!!"])
        question = "How is the money paid back that fees are due on?"
        both = replace(REFUNDS, text=f"Fees are due on money that is paid back. {REFUNDS.text}", cosine=0.9)
        answer = self.contrasted(chat, lead=lead, refunds=both, right=1.0).answer(question)
        assert (answer.status is AnswerStatus.ANSWERED) == (lead > 0)
        assert "nothing of the question" in answer.reasons[-1]

    def test_a_question_whose_words_a_passage_has_is_compared_with_nothing(self) -> None:
        chat = ScriptedChat(script=[GOOD])
        calls = WeighedSubCalls(lambda call, text, continuation: -1.0)
        contrasts = Contrasts(calls, lambda question, texts: [0.5] * len(texts))
        DirectStrategy(lambda question: FOUND, chat, LOCAL_QWEN, contrasts=contrasts).answer(QUESTION)
        assert not calls.calls

    def test_given_up_while_sentences_are_compared_it_ends_without_an_answer(self) -> None:
        contrasts = Contrasts(
            WeighedSubCalls(lambda *_: -1.0), lambda _, texts: [0.5] * len(texts), cancelled=lambda: True
        )
        chat = ScriptedChat(script=[READ])
        made = DirectStrategy(lambda question: [REFUNDS], chat, LOCAL_QWEN, contrasts=contrasts)
        assert not any(isinstance(event, Completed) for event in made.stream(ASKED))

    def contrasted(
        self,
        chat: ScriptedChat,
        *,
        lead: float,
        refunds: Passage = REFUNDS,
        others: Sequence[Passage] = (),
        right: float = 0.0,
        fails: Callable[[SubCall], bool] = lambda _: False,
    ) -> DirectStrategy:
        def told(call: SubCall, text: str, continuation: str) -> float:
            verdicts = {"yes": -1.0, "no": -1.0, "right": right, "wrong": 0.0}
            return verdicts.get(continuation, -20.0 + lead * ("14 days" in text))

        found = [refunds, *(others or [passage("Fees are due.", document="fees", rank=2, cosine=0.3)])]
        contrasts = Contrasts(WeighedSubCalls(told, fails=fails), lambda question, texts: [0.5] * len(texts))
        return DirectStrategy(lambda question: found, chat, LOCAL_QWEN, max_calls=4, contrasts=contrasts)
