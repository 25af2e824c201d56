"""`leadline up`: the embedded service on one machine."""

import logging
import signal
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated

import typer
import uvicorn
from pydantic import ValidationError
from rich.console import Console

from api.cli.client import announce, retract
from api.cli.fetching import fetch_needed
from api.embedded import open_embedded
from api.main import create_app
from api.services import DEFAULT_TENANT, Services
from api.settings import Settings
from ingest.errors import DataFolderBusyError, LeadlineError

_DRAIN_SECONDS = 20


def up(
    host: Annotated[str | None, typer.Option(help="Listen on this address instead of LEADLINE_HOST.")] = None,
    port: Annotated[int | None, typer.Option(help="Listen on this port instead of LEADLINE_PORT.")] = None,
) -> None:
    """Start the service: API, workers, index and language model in one process. Ctrl-C drains and stops it."""
    from api.cli.main import configure_logging

    settings = read_settings(host=host, port=port)
    configure_logging(logging.INFO, as_json=settings.log_format == "json")
    console = Console()
    fetch_needed(settings)
    with ExitStack() as stack:
        console.print(f"Opening {settings.home} …", highlight=False)
        services = stack.enter_context(open_embedded(settings))
        stack.callback(retract, settings.home)
        server = _Server(services, console)
        server.run()
        console.print("Stopping: unfinished documents go on at the next start.")
    if not server.started:
        raise DataFolderBusyError(
            f"Cannot listen on {settings.host}:{settings.port}.",
            hint="Another program has the port: stop it, or start with `--port 8001`.",
        )


def read_settings(**changes: object) -> Settings:
    """Settings from the environment, with the options that were given on top. Raises `SettingsError`."""
    try:
        return Settings(**{name: value for name, value in changes.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        wrong = "; ".join(f"LEADLINE_{e['loc'][0]}".upper() + f": {e['msg']}" for e in error.errors())
        raise SettingsError(wrong) from error


class SettingsError(LeadlineError):
    """An environment variable has a value that cannot be used."""

    code = "settings_invalid"
    default_hint = "Correct it in the environment and start again."


class _Server(uvicorn.Server):
    """Says where to find the service once it listens."""

    def __init__(self, services: Services, console: Console) -> None:
        settings = services.settings
        super().__init__(
            uvicorn.Config(
                create_app(services),
                host=settings.host,
                port=settings.port,
                log_level="warning",
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=_DRAIN_SECONDS,
            )
        )
        self._services = services
        self._console = console

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """SIGINT and SIGTERM end the server and nothing more: the caller then closes everything in order.

        The base class raises the signal again afterwards, which would end the process before that.
        """
        handlers = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            port = self.servers[0].sockets[0].getsockname()[1]
            _greet(self._services, f"http://{self._services.settings.host}:{port}", self._console)

    async def shutdown(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        self._services.accepting = False
        await super().shutdown(sockets)  # type: ignore[arg-type]


def _greet(services: Services, url: str, console: Console) -> None:
    announce(services.settings.home, url)
    key = "$LEADLINE_API_KEY"
    console.print(
        f"\nLeadline listens on [bold]{url}[/bold]; its API is described at {url}/docs", highlight=False, soft_wrap=True
    )
    if not services.keys.keys(DEFAULT_TENANT):
        _, key = services.keys.issue(DEFAULT_TENANT, "first key")
        console.print("\nYour API key, shown this once (make more with `leadline keys create`):", highlight=False)
        console.print(f"  export LEADLINE_API_KEY={key}", highlight=False, soft_wrap=True)
    console.print("\nTry it:", highlight=False)
    header = f'-H "Authorization: Bearer {key}"'
    for line in (
        f"  curl {header} -F file=@README.md {url}/v1/documents",
        f'  curl {header} --json \'{{"question": "What is Leadline?"}}\' {url}/v1/answers',
        "  leadline ingest FOLDER        leadline ask 'a question'",
    ):
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    console.print(f"\n{_language_model(services)} Ctrl-C stops it.\n", highlight=False)


def _language_model(services: Services) -> str:
    state = services.answering.state()
    if state["state"] == "loading":
        return "The language model loads in the background: GET /health/ready says when it is ready."
    return f"Language model: {state['model']}."
