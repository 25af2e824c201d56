"""Sub-calls given up at the local model's own server, over its socket: the engine gets every place back."""

import socket
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from rlm.errors import RunCancelledError
from rlm.llm.budgets import Budget, Limits
from rlm.llm.budgets import Usage as Spent
from rlm.llm.chat_models import OpenAIChatModel, build_local_chat_model
from rlm.llm.local.protocol import Event, FinishedEvent, TextDelta, TokenUsage
from rlm.llm.port import SubCall, SubFailure, SubReply
from rlm.llm.profiles import LOCAL_QWEN
from rlm.llm.scheduler import SubCallScheduler
from tests.fakes.scripted_engine import ScriptedEngine
from tests.support.engine_server import engine_server

PROFILE = replace(LOCAL_QWEN, name="m")
CALLS = [SubCall("Be brief.", f"q{number}", 20) for number in range(12)]


@pytest.fixture
def listener(tmp_path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.bind(str(tmp_path / "llm"))
    made.listen()
    return made


def serve(
    engine: ScriptedEngine, listener: socket.socket, use: Callable[[SubCallScheduler, OpenAIChatModel], None]
) -> None:
    scheduler = SubCallScheduler()
    chat = build_local_chat_model(Path(listener.getsockname()), PROFILE)
    try:
        with listener, engine_server(engine, listener):
            use(scheduler, chat)
            scheduler.close()
    finally:
        scheduler.close()


def test_replies_of_the_local_server_are_counted_by_itself(listener: socket.socket) -> None:
    engine = ScriptedEngine([TextDelta("It "), TextDelta("is."), FinishedEvent("stop", TokenUsage(31, 2))])

    def use(scheduler: SubCallScheduler, chat: OpenAIChatModel) -> None:
        bound = scheduler.bind_sub_calls(chat, PROFILE, tenant_id="ann", budget=Budget(Limits()))
        assert bound.run(CALLS) == [SubReply("It is.", Spent(1, 31, 2))] * 12

    serve(engine, listener, use)


@pytest.mark.parametrize("events", [(), (TextDelta("It "),)], ids=["while it reads", "while it writes"])
def test_cancelling_frees_every_place_of_the_engine(listener: socket.socket, events: tuple[Event, ...]) -> None:
    engine, cancelled = ScriptedEngine(events), threading.Event()

    def use(scheduler: SubCallScheduler, chat: OpenAIChatModel) -> None:
        bound = scheduler.bind_sub_calls(chat, PROFILE, tenant_id="ann", budget=Budget(Limits()))

        def cancel() -> None:
            while len(engine.tickets) < 4:
                engine.asked.wait(0.01)
            cancelled.set()

        threading.Thread(target=cancel).start()
        with pytest.raises(RunCancelledError):
            bound.run(CALLS, cancelled=cancelled.is_set)
        assert all(ticket.cancelled.wait(120) for ticket in engine.tickets)
        assert len(engine.tickets) == 4

    serve(engine, listener, use)


def test_when_time_is_over_every_place_of_the_engine_is_free(listener: socket.socket) -> None:
    engine = ScriptedEngine()

    def use(scheduler: SubCallScheduler, chat: OpenAIChatModel) -> None:
        bound = scheduler.bind_sub_calls(chat, PROFILE, tenant_id="ann", budget=Budget(Limits(seconds=0.5)))
        results = bound.run(CALLS)
        assert {each.code for each in results if isinstance(each, SubFailure)} == {"budget_exhausted"}
        assert all(ticket.cancelled.wait(120) for ticket in engine.tickets)

    serve(engine, listener, use)
