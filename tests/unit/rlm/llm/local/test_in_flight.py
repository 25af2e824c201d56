from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlm.errors import LanguageModelUnavailableError
from rlm.llm.local.engine import InFlightRequest
from rlm.llm.local.protocol import (
    Event,
    FailedEvent,
    FinishedEvent,
    FinishReason,
    GenerationRequest,
    TextDelta,
    TokenUsage,
)

ANY_JSON_OBJECT = '{"type": "object"}'


def in_flight(*, json_schema: str | None = None) -> tuple[InFlightRequest, list[Event]]:
    events: list[Event] = []
    request = GenerationRequest((), json_schema=json_schema)
    return InFlightRequest(request, np.zeros(7, dtype=np.int64), events.append), events


def test_every_token_counts_and_empty_text_is_not_sent() -> None:
    generation, events = in_flight()
    assert generation.add_tokens([b"Hi", b"\xe6\x9d", b"\xb1", b""]) is None
    generation.finish("stop")
    assert events == [TextDelta("Hi"), TextDelta("東"), FinishedEvent("stop", TokenUsage(7, 4))]


@given(st.binary(max_size=40), st.lists(st.integers(0, 40)))
def test_the_pieces_joined_are_the_text_wherever_tokens_part_its_characters(data: bytes, cuts: list[int]) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    generation, events = in_flight()
    generation.add_tokens([data[start:end] for start, end in pairwise(edges)])
    generation.finish("stop")
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == data.decode("utf-8", "replace")


@pytest.mark.parametrize(("json_schema", "ended"), [(ANY_JSON_OBJECT, "length"), (None, None)])
def test_endless_white_space_ends_an_answer_under_a_schema_only(
    json_schema: str | None, ended: FinishReason | None
) -> None:
    generation, _ = in_flight(json_schema=json_schema)
    assert generation.add_tokens([b"{", *[b"        "] * 12]) is None
    assert generation.add_tokens([b"\n     "]) == ended


def test_white_space_between_values_does_not_add_up() -> None:
    generation, _ = in_flight(json_schema=ANY_JSON_OBJECT)
    assert generation.add_tokens([b"        ", b'"a"'] * 50) is None


def test_prefill_is_over_with_the_first_token() -> None:
    generation, _ = in_flight()
    assert not generation.has_started
    generation.add_tokens([b""])
    assert generation.has_started


def test_nothing_is_sent_after_cancelling() -> None:
    generation, events = in_flight()
    generation.cancel()
    generation.add_tokens([b"late"])
    generation.finish("stop")
    generation.fail(LanguageModelUnavailableError("gone"))
    assert events == []


def test_a_failure_is_the_last_event() -> None:
    generation, events = in_flight()
    error = LanguageModelUnavailableError("gone")
    generation.add_tokens([b"a"])
    generation.fail(error)
    assert events == [TextDelta("a"), FailedEvent(error)]
