import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.peers.meter import Meter, metered
from tests.peers.run import answer
from tests.support.scripted_openai import scripted_openai

BODY = {"model": "m", "messages": [{"role": "user", "content": "Count."}]}


@pytest.fixture
def meter() -> Iterator[Meter]:
    with scripted_openai() as server, metered(server.url, 2) as meter:
        yield meter


def test_calls_and_tokens_are_counted_until_the_next_question(meter: Meter) -> None:
    reply = httpx.post(f"{meter.url}/chat/completions", json=BODY)
    assert reply.json()["choices"][0]["message"]["content"].startswith("1, 2")
    spent = meter.spent
    assert (spent.calls, spent.prompt_tokens, spent.completion_tokens) == (1, 4, 9)
    meter.reset()
    assert meter.spent.calls == 0


def test_what_is_past_the_budget_never_reaches_the_model(meter: Meter) -> None:
    statuses = [httpx.post(f"{meter.url}/chat/completions", json=BODY).status_code for _ in range(4)]
    assert statuses == [200, 200, 403, 403]
    assert (meter.spent.calls, meter.spent.refused) == (2, 2)


def test_a_peer_that_fails_is_an_outcome_with_its_reason(meter: Meter, tmp_path: Path) -> None:
    """This environment has neither peer, so the process says what it lacks."""
    asked = {
        "system": "dspy",
        "url": meter.url,
        "model": "m",
        "max_tokens": 10,
        "seconds": 60.0,
        "documents": str(tmp_path),
        "question": "?",
    }
    outcome = answer(Path(sys.executable), asked, meter)
    assert "No module named 'dspy'" in outcome.error
    assert outcome.calls == 0
