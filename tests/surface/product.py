"""Opens what the surface is derived from. A module of the product that moves is named here and nowhere else."""

import asyncio
import inspect
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, TypeVar
from unittest.mock import MagicMock, patch

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from prometheus_client.metrics import MetricWrapperBase
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import REGISTRY, Collector
from pydantic_settings import BaseSettings
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from typer.main import get_command

from api.answers.event_schemas import ANSWER_EVENTS
from api.cli.environment import list_known_variables
from api.cli.main import COMMANDS
from api.cli.main import app as typer_app
from api.http.problems import build_internal_problem, get_status
from api.main import create_app
from api.mcp.prompts import PROMPTS
from api.mcp.tools import INSTRUCTIONS, TOOLS
from api.mcp.uris import KINDS
from api.settings.settings import Settings
from ingest.chunking import get_chunker_fingerprint
from ingest.parsing.registry import FORMATS
from ingest.storage.db.database import get_latest_revision
from ingest.storage.db.schema import metadata
from ingest.storage.errors import LeadlineError
from ingest.storage.queue.records import JobKind
from ingest.storage.webhooks.records import TEST_EVENT, EventType
from retrieval import build
from retrieval.index.bm25 import Bm25Encoder
from retrieval.models.store import ModelStore
from tests.surface.source import Source, read_sources
from workers import main as worker
from workers.enqueue.celery_app import QUEUES, create_celery_app

__all__ = [
    "ANSWER_EVENTS",
    "COMMANDS",
    "FORMATS",
    "INSTRUCTIONS",
    "KINDS",
    "PROMPTS",
    "QUEUES",
    "TEST_EVENT",
    "TOOLS",
    "EventType",
    "JobKind",
    "get_chunker_fingerprint",
    "get_latest_revision",
    "get_status",
    "list_known_variables",
    "metadata",
]

ROOT = Path(__file__).parents[2]
PACKAGES = ("ingest", "retrieval", "rlm", "api", "workers")
HOME = "/home/user"

_Kind = TypeVar("_Kind")


@contextmanager
def plain_environment() -> Iterator[None]:
    """Hide this machine's settings and folders: defaults are those of a user who has set nothing."""
    ours = ("LEADLINE_", "XDG_", "PROMETHEUS_", "OTEL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    with patch.dict(os.environ, {**kept, "HOME": HOME}, clear=True):
        yield


@cache
def sources() -> list[Source]:
    """Return every module of the product."""
    return read_sources(ROOT, PACKAGES)


def load_modules(pattern: str) -> list[ModuleType]:
    """Import each module of the product in which the pattern matches, wherever the module is."""
    found = re.compile(pattern, re.MULTILINE)
    return [import_module(source.module) for source in sources() if found.search(source.text)]


def subclasses(kind: type[_Kind]) -> list[type[_Kind]]:
    """Return the product's own classes below a class, without those that tests make."""
    found: dict[type[_Kind], None] = {}
    for each in kind.__subclasses__():
        if each.__module__.split(".")[0] in PACKAGES:
            found[each] = None
        found |= dict.fromkeys(subclasses(each))
    return list(found)


def root_command() -> Any:  # noqa: ANN401 - a command of the click that Typer brings along
    return get_command(typer_app)


def settings() -> list[type[BaseSettings]]:
    load_modules("BaseSettings")
    return subclasses(BaseSettings)


def errors() -> list[type[LeadlineError]]:
    load_modules(r"^class \w+\(.*Error\b")
    return [LeadlineError, *subclasses(LeadlineError)]


def metrics() -> list[MetricWrapperBase]:
    """Return the product's metrics that each process counts."""
    load_modules("prometheus_client")
    return [
        each
        for each in REGISTRY._collector_to_names
        if isinstance(each, MetricWrapperBase) and each._name.startswith("leadline_")
    ]


def metrics_of_the_moment() -> list[Metric]:
    """Return the metrics that are read from the catalog when Prometheus asks, as of one without jobs."""
    load_modules("prometheus_client")
    nothing = SimpleNamespace(
        count_unfinished_jobs=dict,
        find_oldest_unfinished_time=lambda _: None,
        find_oldest_claimable_time=lambda _: None,
    )
    served = MagicMock(jobs=nothing, settings=SimpleNamespace(home=ROOT, slack_is_set=True, min_free_bytes=0))
    served.health.index_copies.return_value = ()
    served.slack.store.count_open_questions.return_value = 0
    collectors: Iterable[Any] = subclasses(Collector)
    return [metric for kind in collectors for metric in kind(served).collect()]


@cache
def application() -> FastAPI:
    """Return the application with everything set up that adds routes."""
    given = {
        "public_url": "https://leadline.example.org",
        "oidc_issuer": "https://id.example.org",
        "oidc_audience": "leadline",
        "slack_client_id": "1.1",
        "slack_client_secret": "secret",
        "slack_signing_secret": "secret",
        "slack_token_keys": "0" * 43 + "=",
    }
    with plain_environment():
        return create_app(MagicMock(settings=Settings.model_validate(given)))


@cache
def openapi() -> Mapping[str, Any]:
    """Return the description of the service as it is without settings."""
    with plain_environment():
        return create_app(MagicMock(settings=Settings())).openapi()


def openapi_json() -> str:
    return json.dumps(openapi(), sort_keys=True)


def routes_without_description() -> list[tuple[str, str]]:
    """Return the methods and paths that OpenAPI does not list: pages, assets, other protocols' endpoints."""
    found = []
    for route in _flat(application().routes):
        if isinstance(route, Mount):
            found.append(("MOUNT", route.path))
        elif isinstance(route, Route) and not (isinstance(route, APIRoute) and route.include_in_schema):
            found += [(method, route.path) for method in route.methods or ()]
    return found


def _flat(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    for route in routes:
        router = getattr(route, "original_router", None)  # of one that was included
        if router is None:
            yield route
        else:
            yield from _flat(router.routes)


def assets() -> list[str]:
    """Return the paths under which files of the service's pages are served."""
    found = []
    for route in application().routes:
        files = getattr(route.app, "app", route.app) if isinstance(route, Mount) else None  # without its compression
        if isinstance(route, Mount) and isinstance(files, StaticFiles):
            for folder in map(Path, files.all_directories):
                if any(ROOT / package in folder.parents for package in PACKAGES):
                    found += [
                        f"{route.path}/{file.relative_to(folder)}" for file in folder.rglob("*") if file.is_file()
                    ]
    return found


def problems_without_class() -> list[tuple[int, str, str]]:
    """Return status, code and hint of the errors that FastAPI finds, and of a defect, as clients get them."""
    app = application()
    scope = {"type": "http", "method": "GET", "path": "/x", "headers": [], "query_string": b"", "server": ("host", 80)}
    request = Request({**scope, "app": app})
    bodies: list[Mapping[str, Any]] = [build_internal_problem("…")]
    raised: list[Exception] = [HTTPException(404), HTTPException(405), HTTPException(418), RequestValidationError([])]
    for error in raised:
        handle: Any = app.exception_handlers[type(error)]
        bodies.append(json.loads(asyncio.run(handle(request, error)).body))
    return [(body["status"], body["code"], body["hint"]) for body in bodies]


def celery_settings() -> Mapping[str, Any]:
    """Return Celery's settings, without connecting to anything."""
    found: Mapping[str, Any] = create_celery_app("memory://").conf
    return found


def tasks() -> dict[str, str]:
    """Return the tasks of a worker by name, each with what it takes."""
    noted = _NotedTasks()
    add_tasks: Any = worker._register_tasks  # a worker adds them when it starts
    add_tasks(noted, object.__new__(worker._Worker))
    return noted.found


class _NotedTasks:
    """Stands for a Celery application, whose tasks would be those of every other one in this process."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def task(self, function: Callable[..., None], *, name: str) -> None:
        self.found[name] = str(inspect.signature(function)).removesuffix(" -> None")


def encoders() -> list[tuple[str, str, int]]:
    """Return name, fingerprint and dimension of each encoder that an installation without settings can open."""
    with plain_environment():
        made = Settings()
        return [
            (each.name, each.fingerprint, each.dimension)
            for each in build.build_encoders(ModelStore(made.models), made).choices
        ]


def sparse_encoder() -> str:
    return Bm25Encoder().fingerprint


def parsers() -> dict[str, str]:
    """Return every fingerprint that is a constant of its parser's module."""
    modules = load_modules(r"^[A-Z_]+_PARSER = ")
    return {name: value for each in modules for name, value in vars(each).items() if name.endswith("_PARSER")}
