import queue
import threading
from collections.abc import Callable

import openvino_genai
import pytest

from rlm.errors import LanguageModelRefusedError, LanguageModelUnavailableError
from rlm.llm.local.engine import OpenVINOEngine
from rlm.llm.local.protocol import (
    ChatMessage,
    EngineLimits,
    Event,
    FailedEvent,
    FinishedEvent,
    GenerationRequest,
    TextDelta,
    Ticket,
    TokenUsage,
)
from tests.fakes.scripted_pipeline import BAD_SCHEMA, ScriptedPipeline

ANY_JSON_OBJECT = '{"type": "object"}'
LIMITS = EngineLimits(max_running=2, max_waiting=3, pause_seconds=0)


class Asked:
    """A request and its events, as they come."""

    def __init__(self, engine: OpenVINOEngine, request: GenerationRequest) -> None:
        self._events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.ticket: Ticket = engine.submit(request, self._events.put)

    def next(self) -> Event:
        return self._events.get(timeout=120)

    def answer(self) -> tuple[str, Event]:
        """All text and the last event."""
        text = ""
        while isinstance(event := self.next(), TextDelta):
            text += event.text
        return text, event

    @property
    def silent(self) -> bool:
        return self._events.empty()


def engine_on(pipeline: ScriptedPipeline, *, on_broken: Callable[[], None] = lambda: None) -> OpenVINOEngine:
    return OpenVINOEngine(pipeline, LIMITS, on_broken=on_broken)


def request(content: str = "Hi", *, json_schema: str | None = None) -> GenerationRequest:
    return GenerationRequest((ChatMessage("user", content),), json_schema=json_schema)


def test_an_answer_is_its_text_and_its_usage() -> None:
    answer = Asked(engine_on(ScriptedPipeline()), request("Hi")).answer()
    assert answer == ("abc", FinishedEvent("stop", TokenUsage(prompt_tokens=len("user: Hi\n"), completion_tokens=3)))


def test_more_requests_than_places_wait_and_are_answered() -> None:
    pipeline = ScriptedPipeline()
    engine = engine_on(pipeline)
    asked = [Asked(engine, request()) for _ in range(3)]
    assert [each.answer()[0] for each in asked] == ["abc"] * 3
    assert pipeline.most_at_once <= 2


def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    gate = threading.Semaphore(0)
    engine = engine_on(ScriptedPipeline(gate=gate))
    asked: list[Asked] = []
    with pytest.raises(LanguageModelUnavailableError) as caught:
        asked.extend(Asked(engine, request()) for _ in range(20))
    assert caught.value.retry_after_seconds
    gate.release(100)


def test_a_request_cancelled_in_its_prefill_stays_until_its_first_token() -> None:
    gate = threading.Semaphore(0)
    pipeline = ScriptedPipeline(prefill_steps=5, answers={"give up": b"z" * 1000}, gate=gate)
    engine = engine_on(pipeline)
    given_up = Asked(engine, request("give up"))
    gate.release()
    assert pipeline.stepped.acquire(timeout=120)
    given_up.ticket.cancel()
    gate.release(1000)
    assert Asked(engine, request()).answer()[0] == "abc"
    assert pipeline.handles[0].status == openvino_genai.GenerationStatus.CANCEL
    assert not pipeline.handles[0].left_in_prefill
    assert given_up.silent


def test_a_request_cancelled_while_it_waits_is_never_begun() -> None:
    gate = threading.Semaphore(0)
    pipeline = ScriptedPipeline(gate=gate)
    engine = engine_on(pipeline)
    first = [Asked(engine, request()) for _ in range(2)]
    waiting = Asked(engine, request("never mind"))
    waiting.ticket.cancel()
    gate.release(100)
    assert [each.answer()[0] for each in first] == ["abc"] * 2
    assert Asked(engine, request()).answer()[0] == "abc"
    assert len(pipeline.handles) == 3
    assert waiting.silent


def test_a_schema_that_cannot_be_compiled_fails_alone() -> None:
    pipeline = ScriptedPipeline()
    engine = engine_on(pipeline)
    before, bad, after = (Asked(engine, request(json_schema=schema)) for schema in (None, BAD_SCHEMA, None))
    _, refused = bad.answer()
    assert isinstance(refused, FailedEvent)
    assert isinstance(refused.error, LanguageModelRefusedError)
    assert refused.error.detail == 'The JSON schema cannot be used: Unsupported type "banana"'
    assert before.answer()[0] == after.answer()[0] == "abc"
    assert not pipeline.broken


def test_a_schema_that_was_compiled_once_runs_beside_others() -> None:
    gate = threading.Semaphore(100)
    pipeline = ScriptedPipeline(gate=gate)
    engine = engine_on(pipeline)
    assert Asked(engine, request(json_schema=ANY_JSON_OBJECT)).answer()[0] == "abc"
    while gate.acquire(blocking=False):
        pass
    asked = [Asked(engine, request()), Asked(engine, request(json_schema=ANY_JSON_OBJECT))]
    gate.release(100)
    assert [each.answer()[0] for each in asked] == ["abc"] * 2
    assert pipeline.most_at_once == 2


def test_a_broken_pipeline_fails_everybody_and_says_so_once() -> None:
    gate, broken = threading.Semaphore(0), threading.Event()
    pipeline = ScriptedPipeline(gate=gate)
    engine = engine_on(pipeline, on_broken=broken.set)
    asked = [Asked(engine, request()) for _ in range(3)]
    pipeline.broken = True
    gate.release(10)
    assert broken.wait(120)
    for each in asked:
        _, failed = each.answer()
        assert isinstance(failed, FailedEvent)
        assert isinstance(failed.error, LanguageModelUnavailableError)
    with pytest.raises(LanguageModelUnavailableError):
        engine.submit(request(), lambda _event: None)


def test_an_engine_whose_first_inference_fails_is_not_made() -> None:
    with pytest.raises(LanguageModelUnavailableError):
        engine_on(ScriptedPipeline(broken=True))
