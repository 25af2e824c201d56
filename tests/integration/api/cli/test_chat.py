"""A conversation in the terminal, a line at a time, with a real server behind it."""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from api.cli import conversations
from api.cli.chat import Chat
from api.cli.console import Console
from api.cli.conversations import _fetch_conversation
from api.client import Client
from ingest.storage.answers.records import NEW_CONVERSATION
from rlm.errors import LanguageModelUnavailableError
from rlm.events import Completed
from tests.fakes.scripted_answers import SENTENCE, answer
from tests.support.asking import AskedApi, asked_api, listening


@pytest.fixture
def api(tmp_path: Path) -> Iterator[AskedApi]:
    with asked_api(tmp_path) as api:
        yield api


class Talk:
    """A chat, and what it printed of each line."""

    def __init__(self, client: Client) -> None:
        self._file = io.StringIO()
        console = Console(file=self._file, width=100, color_system=None)
        self._chat = Chat(client, console, {"strategy": "direct"}, NEW_CONVERSATION)

    def take(self, line: str) -> str:
        before = self._file.tell()
        assert self._chat.handle_line(line)
        return self._file.getvalue()[before:]

    def ends_with(self, line: str) -> bool:
        return not self._chat.handle_line(line)


@pytest.fixture
def client(api: AskedApi) -> Iterator[Client]:
    with listening(api) as http:
        yield Client(http=http)


def test_questions_go_on_with_one_conversation_until_another_begins(api: AskedApi, client: Client) -> None:
    talk = Talk(client)
    for line in ("Which colour?", "", "And its size?", "/new", "Who?"):
        talk.take(line)
    assert [len(request.history) for request in api.answers.requests] == [0, 2, 0]
    listed = client.get("/v1/conversations")["conversations"]
    assert [(each["title"], each["answered"]) for each in listed] == [("Who?", 1), ("Which colour?", 2)]
    assert [turn["question"] for turn in _fetch_conversation(client, listed[1]["id"])["turns"]] == [
        "Which colour?",
        "And its size?",
    ]


def test_sources_are_shown_when_they_are_asked_for(client: Client) -> None:
    talk = Talk(client)
    assert "No question has been answered" in talk.take("/sources")
    said = talk.take("Which colour?")
    assert SENTENCE in said
    assert "white whale was" not in said
    assert "[1] The Whale, page 2 (Chapter 1): “white whale was”" in talk.take("/sources")


def test_a_note_is_said_once_in_a_chat(api: AskedApi, client: Client) -> None:
    talk = Talk(client)
    api.answers.scripts = [[Completed(answer(notes=("The model is small.",)))] for _ in range(2)]
    assert "The model is small." in talk.take("Which colour?")
    assert "The model is small." not in talk.take("And its size?")


def test_a_question_that_fails_does_not_end_the_chat(api: AskedApi, client: Client) -> None:
    talk = Talk(Client(http=client.http, tries=1))
    api.answers.scripts = [LanguageModelUnavailableError("It is still loading.", hint="Ask again.")]
    assert "It is still loading. Ask again." in talk.take("Which colour?")
    assert SENTENCE in talk.take("Which colour?")


def test_giving_up_an_answer_does_not_end_the_chat(api: AskedApi, client: Client) -> None:
    def press(*_: object) -> None:
        raise KeyboardInterrupt

    talk = Talk(client)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "events", press)
        assert "Answer cancelled." in talk.take("Which colour?")
    assert SENTENCE in talk.take("Which colour?")


def test_a_service_that_is_away_does_not_end_the_chat() -> None:
    with httpx.Client(base_url="http://127.0.0.1:9") as http:
        assert "did not respond" in Talk(Client(http=http)).take("Which colour?")


def test_commands_end_the_chat_or_are_unknown(client: Client) -> None:
    talk = Talk(client)
    assert "Unknown command /nonsense." in talk.take("/nonsense now")
    assert talk.ends_with("/exit")


def test_saved_conversations_are_found_renamed_and_exported(
    client: Client, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    @contextmanager
    def connect(_: object) -> Iterator[Client]:
        yield client

    monkeypatch.setattr(conversations, "open_client", connect)
    monkeypatch.setattr(conversations, "read_settings", lambda: None)

    def run(*words: str) -> str:
        result = CliRunner(env={"COLUMNS": "160"}).invoke(conversations.app, list(words), catch_exceptions=False)
        assert result.exit_code == 0, result.output
        printed: str = result.stdout
        # Services log to the same stream; JSON is the last line.
        return printed.rstrip().rpartition("\n")[2] if "--json" in words else printed

    Talk(client).take("Which colour?")
    (listed,) = client.get("/v1/conversations")["conversations"]
    assert listed["id"] in run("search", "COLOUR white")
    assert "No conversations found" in run("search", "black")
    assert "“Whales”" in run("rename", listed["id"], "Whales")
    assert json.loads(run("search", "whales", "--json"))[0]["title"] == "Whales"
    assert f"{SENTENCE} ✓" in run("export", listed["id"])
    run("export", listed["id"], "--form", "json", "-o", str(tmp_path / "talk.json"))
    assert json.loads((tmp_path / "talk.json").read_text())["turns"][0]["question"] == "Which colour?"
