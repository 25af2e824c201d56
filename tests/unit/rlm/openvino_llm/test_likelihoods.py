"""Log-likelihoods through the engine, on a pipeline whose probabilities are known."""

import json
from collections.abc import Sequence

import pytest

from rlm.errors import ContextTooLongError
from rlm.openvino_llm.generation import ChatMessage, Context, Failed, Finished, LikelihoodRequest, Usage
from tests.fakes.scripted_pipeline import END_OF_TURN, ScriptedPipeline
from tests.unit.rlm.openvino_llm.test_engine import Asked, engine_on, request

PROMPT = "Sort it. "


def asking(*contexts: Context) -> LikelihoodRequest:
    return LikelihoodRequest((ChatMessage("user", PROMPT),), contexts)


def told(asked: Asked) -> list[list[float]]:
    text, ended = asked.answer()
    assert isinstance(ended, Finished)
    return list(json.loads(text).values())


def expected(continuations: Sequence[str]) -> list[float]:
    return [-(sum(continuation.encode()) + END_OF_TURN) / 100 for continuation in continuations]


def test_each_continuation_has_the_sum_of_its_tokens_and_its_end() -> None:
    contexts = (Context("Text: rain", ("wet", "dry")), Context("Text: sun", ("wet", "dry", "very dry")))
    found = told(Asked(engine_on(ScriptedPipeline()), asking(*contexts)))
    assert found == [pytest.approx(expected(context.continuations)) for context in contexts]


def test_tokens_count_as_they_were_sent() -> None:
    contexts = (Context("one", ("a", "bc")), Context("three", ("a", "bc")))
    _, ended = Asked(engine_on(ScriptedPipeline()), asking(*contexts)).answer()
    shared, texts, answers = len(f"user: {PROMPT}"), len("one\n") + len("three\n"), 2 * (2 + 3)
    assert ended == Finished("stop", Usage(shared + texts + answers, 4))


def test_what_was_read_before_is_read_again_where_the_cache_hides_it() -> None:
    engine = engine_on(ScriptedPipeline())
    context = Context("Text: rain", ("a long answer, of more than a block", "a long answer, of more than two blocks"))
    first = told(Asked(engine, asking(context)))
    assert told(Asked(engine, asking(context))) == first == [pytest.approx(expected(context.continuations))]


def test_the_same_can_be_asked_any_number_of_times() -> None:
    engine = engine_on(ScriptedPipeline())
    context = Context("Text: rain", ("a long answer, of more than a block", "a long answer, of more than two blocks"))
    answers = [told(Asked(engine, asking(context))) for _ in range(20)]
    assert answers == [[pytest.approx(expected(context.continuations))]] * 20


def test_how_all_answers_begin_does_not_count() -> None:
    context = Context("Text: rain", (" wet", " dry"), "Class:")
    assert told(Asked(engine_on(ScriptedPipeline()), asking(context))) == [pytest.approx(expected([" wet", " dry"]))]


def test_a_pipeline_that_tells_nothing_is_an_error_and_not_a_loop() -> None:
    class Mute(ScriptedPipeline):
        def _cached(self, tokens: bytes) -> int:
            return len(tokens)

    text, ended = Asked(engine_on(Mute()), asking(Context("x", ("a", "b")))).answer()
    assert not text
    assert isinstance(ended, Failed)
    assert "does not tell" in ended.error.detail


def test_the_same_context_asked_by_two_at_once_spoils_nothing() -> None:
    engine = engine_on(ScriptedPipeline(prefill_steps=3))
    orders = (("wet", "dry", "cold"), ("cold", "wet", "dry"))
    both = [Asked(engine, asking(*(Context(f"Text: {word}", order) for word in ("rain", "sun")))) for order in orders]
    for asked, order in zip(both, orders, strict=True):
        assert told(asked) == [pytest.approx(expected(order))] * 2


def test_others_have_their_turn_between_two_sequences() -> None:
    engine = engine_on(ScriptedPipeline(prefill_steps=3))
    many = Asked(engine, asking(*(Context(f"text {number}", ("a", "b", "c")) for number in range(20))))
    answer = Asked(engine, request("Hi")).answer()
    assert answer[0] == "abc"
    assert many.silent
    assert len(told(many)) == 20


def test_given_up_it_leaves_its_places() -> None:
    pipeline = ScriptedPipeline()
    engine = engine_on(pipeline)
    given_up = Asked(engine, asking(*(Context(f"text {number}", ("a", "b")) for number in range(30))))
    given_up.ticket.cancel()
    assert Asked(engine, request("Hi")).answer()[0] == "abc"
    assert given_up.silent
    assert len(pipeline.handles) < 30


def test_a_context_that_does_not_fit_is_refused_at_once() -> None:
    with pytest.raises(ContextTooLongError):
        engine_on(ScriptedPipeline()).submit(asking(Context("x" * 9_000, ("a",))), lambda _: None)


def test_control_tokens_in_an_answer_are_letters() -> None:
    context = Context("Text: rain", ("wet<|end|>",))
    assert told(Asked(engine_on(ScriptedPipeline()), asking(context)))[0][0] < expected(["wet"])[0]
