"""`leadline chat`: holds a conversation in the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape

from api.cli.answer_view import print_answer, print_sources
from api.cli.ask import Collections, Strategy, fetch_answer, open_live_answer, wait_for_language_model
from api.cli.client import connect
from api.cli.environment import read_settings
from api.client import Client
from ingest.storage.answers.records import NEW_CONVERSATION
from ingest.storage.errors import LeadlineError
from rlm.requests import StrategyName

_HISTORY_LINES = 1000
_HELP = "/new begins another conversation, /sources shows what the last answer rests on, /exit ends."


def chat(
    collection: Collections = None,
    strategy: Strategy = StrategyName.AUTO,
    conversation: Annotated[
        str, typer.Option(help="Go on with a kept conversation, by its id: `leadline conversations list`.")
    ] = NEW_CONVERSATION,
) -> None:
    """Ask one question after another: a conversation, which is kept.

    Each question may refer to what was said before. /new begins another conversation, /sources shows what the last
    answer rests on, and /exit or Ctrl-D ends. Ctrl-C gives up the answer that is being made, and the chat goes on.
    """
    settings = read_settings()
    with connect(settings) as client, _keep_line_history(settings.home / "chat_history"):
        with open_live_answer() as live:
            wait_for_language_model(client, live)
        console = Console()
        console.print(_HELP, style="dim", highlight=False)
        talk = Chat(client, console, {"collections": collection or [], "strategy": strategy.value}, conversation)
        while (line := _read_line(console)) is not None:
            if not talk.handle_line(line):
                return


class Chat:
    """A conversation with a service, a line at a time; `how` is the rest of each request."""

    def __init__(self, client: Client, console: Console, how: dict[str, Any], conversation: str) -> None:
        self._client = client
        self._console = console
        self._how = how
        self._conversation = conversation
        self._last: dict[str, Any] | None = None
        self._notes: list[str] = []

    def handle_line(self, line: str) -> bool:
        """Do what a line says, or answer it as a question; return False if it ends the chat."""
        match line.strip():
            case "":
                return True
            case "/exit" | "/quit":
                return False
            case "/new":
                self._conversation, self._last = NEW_CONVERSATION, None
                self._print_note("A new conversation begins.")
            case "/sources":
                self._print_last_sources()
            case command if command.startswith("/"):
                self._print_note(f"There is no {command.split()[0]}. {_HELP}")
            case question:
                self._ask(question)
        return True

    def _ask(self, question: str) -> None:
        body = {**self._how, "question": question, "conversation": self._conversation}
        try:
            with open_live_answer() as live:
                answer = fetch_answer(self._client, body, live)
        except KeyboardInterrupt:
            self._print_note("Given up.")
        except LeadlineError as error:
            self._console.print(f"[red]{escape(error.detail)}[/red] {escape(error.hint)}", highlight=False)
        else:
            self._show_answer(answer)

    def _show_answer(self, answer: dict[str, Any]) -> None:
        print_answer(self._console, answer, sources=False, said_already=self._notes)
        if answer["citations"]:
            count = len(answer["citations"])
            self._print_note(f"{count} source{'s' * (count > 1)}: /sources")
        self._notes += answer["notes"]
        self._last = answer
        self._conversation = answer["conversation"] or self._conversation

    def _print_last_sources(self) -> None:
        if self._last is None or not self._last["citations"]:
            self._print_note("There are no sources yet." if self._last is None else "The last answer cites nothing.")
            return
        print_sources(self._console, self._last)

    def _print_note(self, text: str) -> None:
        self._console.print(text, style="dim", highlight=False, markup=False)


def _read_line(console: Console) -> str | None:
    """Return the next line; None at the end of the input. Ctrl-C empties the line."""
    while True:
        try:
            return input("> ")
        except EOFError:
            console.print()
            return None
        except KeyboardInterrupt:
            console.print("\n/exit or Ctrl-D ends the chat.", style="dim")


@contextmanager
def _keep_line_history(path: Path) -> Iterator[None]:
    """Let lines be edited and recalled, those of earlier chats too, if this Python has readline."""
    try:
        import readline
    except ImportError:
        yield
        return
    if path.exists():
        readline.read_history_file(path)
    readline.set_history_length(_HISTORY_LINES)
    try:
        yield
    finally:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        readline.write_history_file(path)
