"""`leadline chat`: have a conversation in the terminal."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from api.cli.answer_view import print_answer, print_sources
from api.cli.ask import Collections, Strategy, fetch_answer, open_live_answer, wait_for_language_model
from api.cli.client import open_client
from api.cli.console import Console
from api.cli.environment import read_settings
from api.client import Client
from ingest.storage.answers.records import NEW_CONVERSATION
from ingest.storage.errors import LeadlineError
from rlm.requests import StrategyName

_HISTORY_LINES = 1000
_HELP = "Commands: /new starts another conversation, /sources shows the sources of the last answer, /exit quits."


def chat(
    collection: Collections = None,
    strategy: Strategy = StrategyName.AUTO,
    conversation: Annotated[
        str, typer.Option(help="Continue a saved conversation; `leadline conversations list` shows ids.")
    ] = NEW_CONVERSATION,
) -> None:
    """Have a conversation in the terminal.

    The conversation is saved, and questions can refer to earlier ones. /new starts another conversation, /sources shows
    the sources of the last answer, and /exit or Ctrl-D quits. Ctrl-C cancels the current answer but does not end the
    chat.
    """
    settings = read_settings()
    with open_client(settings) as client, _keep_line_history(settings.home / "chat_history"):
        with open_live_answer() as live:
            wait_for_language_model(client, live)
        console = Console()
        console.print(_HELP, style="dim", highlight=False)
        session = Chat(client, console, {"collections": collection or [], "strategy": strategy.value}, conversation)
        while (line := _read_line(console)) is not None:
            if not session.handle_line(line):
                return


class Chat:
    """A conversation that processes the user's input line by line.

    Every request contains the fields in `how`, in addition to the question.
    """

    def __init__(self, client: Client, console: Console, request_fields: dict[str, Any], conversation: str) -> None:
        self._client = client
        self._console = console
        self._how = request_fields
        self._conversation = conversation
        self._last: dict[str, Any] | None = None
        self._notes: list[str] = []

    def handle_line(self, line: str) -> bool:
        """Run a command or answer a question. Returns False if the command ends the chat."""
        match line.strip():
            case "":
                return True
            case "/exit" | "/quit":
                return False
            case "/new":
                self._conversation, self._last = NEW_CONVERSATION, None
                self._print_note("Started a new conversation.")
            case "/sources":
                self._print_last_sources()
            case command if command.startswith("/"):
                self._print_note(f"Unknown command {command.split()[0]}. {_HELP}")
            case question:
                self._ask_question(question)
        return True

    def _ask_question(self, question: str) -> None:
        body = {**self._how, "question": question, "conversation": self._conversation}
        try:
            with open_live_answer() as live:
                answer = fetch_answer(self._client, body, live)
        except KeyboardInterrupt:
            self._print_note("Answer cancelled.")
        except LeadlineError as error:
            self._console.print(f"[red]{escape(error.detail)}[/red] {escape(error.hint)}", highlight=False)
        else:
            self._show_answer(answer)

    def _show_answer(self, answer: dict[str, Any]) -> None:
        print_answer(self._console, answer, sources=False, printed_notes=self._notes)
        if answer["citations"]:
            count = len(answer["citations"])
            self._print_note(f"{count} source{'s' * (count > 1)}: /sources")
        self._notes += answer["notes"]
        self._last = answer
        self._conversation = answer["conversation"] or self._conversation

    def _print_last_sources(self) -> None:
        if self._last is None or not self._last["citations"]:
            self._print_note(
                "No question has been answered yet." if self._last is None else "The last answer cites no sources."
            )
            return
        print_sources(self._console, self._last)

    def _print_note(self, text: str) -> None:
        self._console.print(text, style="dim", highlight=False, markup=False)


def _read_line(console: Console) -> str | None:
    """Read the next line, or return None at the end of the input. Ctrl-C clears the line."""
    while True:
        try:
            return input("> ")
        except EOFError:
            console.print()
            return None
        except KeyboardInterrupt:
            console.print("\nUse /exit or Ctrl-D to quit.", style="dim")


@contextmanager
def _keep_line_history(path: Path) -> Iterator[None]:
    """Enable line editing and a shared history, if Python's `readline` module is available."""
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
