import threading

import pytest

from rlm.errors import LanguageModelUnavailableError
from rlm.llm.local.generation import Engine
from rlm.llm.local.host import EngineHost
from tests.fakes.scripted_engine import ScriptedEngine


def settled(host: EngineHost) -> str:
    """The state once it is no longer loading; the suite's time limit bounds the wait."""
    pause = threading.Event()
    while host.health()["status"] == "loading":
        pause.wait(0.01)
    return str(host.health()["status"])


def test_a_host_answers_while_its_engine_loads() -> None:
    loaded = threading.Event()

    def load() -> Engine:
        loaded.wait()
        return ScriptedEngine()

    host = EngineHost(load)
    host.start()
    assert host.health()["status"] == "loading"
    with pytest.raises(LanguageModelUnavailableError) as caught:
        host.engine()
    assert caught.value.retry_after_seconds
    loaded.set()
    assert settled(host) == "ready"
    assert isinstance(host.engine(), ScriptedEngine)


@pytest.mark.parametrize(
    ("error", "reason", "hint"),
    [
        (LanguageModelUnavailableError("The file is broken.", hint="Fetch it."), "The file is broken.", "Fetch it."),
        (MemoryError("no room"), "no room", "log"),
    ],
)
def test_an_engine_that_cannot_be_loaded_says_why(error: Exception, reason: str, hint: str) -> None:
    def load() -> Engine:
        raise error

    host = EngineHost(load)
    host.start()
    assert settled(host) == "failed"
    assert reason in host.health()["reason"]
    assert hint in host.health()["hint"]
    with pytest.raises(LanguageModelUnavailableError, match=reason):
        host.engine()
