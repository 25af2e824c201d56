"""What users and their programs depend on is as it was recorded, and no kind of change goes unnoticed."""

import copy
import http.client
from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
import typer
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics import MetricWrapperBase
from pydantic import BaseModel, Field
from pydantic_settings import BaseSettings, SettingsConfigDict
from sqlalchemy import Column, Index, Integer, MetaData, Table, Text
from typer.main import get_command

from api.mcp.prompts import PROMPTS
from api.mcp.uris import KINDS
from tests.surface.commands import describe_commands
from tests.surface.database import describe_database
from tests.surface.names import (
    describe_errors,
    describe_events,
    describe_fingerprints,
    describe_jobs,
    describe_offers,
    describe_tools,
)
from tests.surface.openapi import describe_routes, describe_schemas
from tests.surface.record import WHAT_TO_DO, derive, find_changes, read_record, write_record
from tests.surface.settings import describe_settings
from tests.surface.source import Source
from tests.surface.telemetry import describe_metrics, describe_spans


def test_the_surface_is_as_it_is_recorded() -> None:
    changes = find_changes(read_record(), derive())
    if changes:
        pytest.fail(f"{changes}\n\n{WHAT_TO_DO}", pytrace=False)


def test_no_two_schemas_of_one_name_meet() -> None:
    """The framework would name them by their modules, so that moving a file would change what clients see."""
    assert [line for line in read_record()["schemas"] if "__" in line] == []


DOCUMENT: dict[str, Any] = {
    "openapi": "3.1.0",
    "info": {"title": "Books", "version": "1"},
    "tags": [{"name": "books"}],
    "paths": {
        "/v1/books/{id}": {
            "summary": "Books",
            "get": {
                "operationId": "book",
                "description": "Return a book.",
                "parameters": [
                    {"in": "path", "name": "id", "required": True, "schema": {"type": "string"}},
                    {"in": "query", "name": "limit", "schema": {"type": "integer", "maximum": 9, "default": 5}},
                ],
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Book"}}}},
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Book"}}}},
                    "404": {"description": "Not Found", "content": {"text/plain": {"schema": {"type": "string"}}}},
                },
            },
        }
    },
    "components": {
        "schemas": {
            "Book": {
                "type": "object",
                "description": "A book.",
                "required": ["title"],
                "properties": {
                    "title": {"type": "string", "maxLength": 10},
                    "year": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
                    "tags": {"type": "array", "items": {"enum": ["new", "old"]}},
                },
            }
        },
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
    },
}


def _leaves(value: Any, steps: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:  # noqa: ANN401 - JSON
    """Yield the way to each value that holds no others."""
    if isinstance(value, dict | list):
        for step, below in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _leaves(below, (*steps, step))
    else:
        yield steps


def _lines(document: dict[str, Any]) -> list[str]:
    return [*describe_routes(document), *describe_schemas(document)]


@pytest.mark.parametrize("leaf", list(_leaves(DOCUMENT)), ids=lambda leaf: ".".join(map(str, leaf)))
def test_whatever_changes_in_the_description_of_the_service_is_noticed(leaf: tuple[Any, ...]) -> None:
    changed = copy.deepcopy(DOCUMENT)
    holder: Any = changed
    for step in leaf[:-1]:
        holder = holder[step]
    holder[leaf[-1]] = "something else"
    assert _lines(changed) != _lines(DOCUMENT)


def test_a_renamed_route_shows_both_names_and_a_changed_member_shows_its_type() -> None:
    renamed = copy.deepcopy(DOCUMENT)
    renamed["paths"]["/v1/volumes/{id}"] = renamed["paths"].pop("/v1/books/{id}")
    changes = find_changes({"routes": describe_routes(DOCUMENT)}, {"routes": describe_routes(renamed)})
    assert "-/v1/books/{id} GET" in changes
    assert "+/v1/volumes/{id} GET" in changes
    changed = copy.deepcopy(DOCUMENT)
    changed["components"]["schemas"]["Book"]["properties"]["title"]["maxLength"] = 20
    changes = find_changes({"schemas": describe_schemas(DOCUMENT)}, {"schemas": describe_schemas(changed)})
    assert '-    title: string {"maxLength": 10}' in changes
    assert '+    title: string {"maxLength": 20}' in changes


def test_a_page_without_description_is_noticed() -> None:
    assert "/ask GET (not in OpenAPI)" in describe_routes(DOCUMENT, [("GET", "/ask")])


def test_standard_phrases_of_statuses_do_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.13 calls 422 `Unprocessable Content`."""
    before = copy.deepcopy(DOCUMENT)
    before["paths"]["/v1/books/{id}"]["get"]["responses"]["422"] = {"description": "Old words"}
    after = copy.deepcopy(before)
    after["paths"]["/v1/books/{id}"]["get"]["responses"]["422"] = {"description": "New words"}
    assert describe_routes(before) != describe_routes(after)
    monkeypatch.setitem(http.client.responses, 422, "Old words")
    described = describe_routes(before)
    monkeypatch.setitem(http.client.responses, 422, "New words")
    assert described == describe_routes(after)


def _tree(option: str, *, default: int = 3, meaning: str = "How many.") -> list[str]:
    app, below = typer.Typer(), typer.Typer()

    @app.command()
    def ask(question: str, many: Annotated[int, typer.Option(option, min=1, help=meaning)] = default) -> None:
        """Ask a question."""

    @below.command("list")
    def list_() -> None:
        """List them."""

    app.add_typer(below, name="keys")
    return describe_commands(get_command(app))


def test_an_option_that_changes_is_noticed() -> None:
    known = _tree("--many")
    assert {"leadline ask", "    QUESTION str required", "    --many int[1..] = 3", "leadline keys list"} <= set(known)
    assert _tree("--number") != known
    assert _tree("--many", default=4) != known
    assert _tree("--many", meaning="How often.") != known


class Letter(BaseSettings):
    """Has two settings."""

    model_config = SettingsConfigDict(env_prefix="LEADLINE_")

    font: str = Field("serif", pattern="^[a-z]+$")
    size: int = Field(10, ge=1)


class LargerLetter(Letter):
    """Adds one."""

    margin: float | None = None


def test_a_setting_that_is_new_or_changes_is_noticed() -> None:
    known = describe_settings([Letter])
    assert known == [
        "Letter",
        "    LEADLINE_FONT: str pattern='^[a-z]+$' = 'serif'",
        "    LEADLINE_SIZE: int Ge(ge=1) = 10",
    ]
    assert describe_settings([Letter, LargerLetter]) == [
        "LargerLetter: Letter",
        "    LEADLINE_MARGIN: float | None",
        *known,
    ]
    besides = describe_settings([Letter], ["LEADLINE_SIZE", "LEADLINE_FONT_FILE", "LEADLINE_URL"])
    assert besides == [*known, "Read besides", "    LEADLINE_URL", "Files of secrets", "    LEADLINE_FONT_FILE"]


def test_a_label_and_a_bucket_that_change_are_noticed() -> None:
    def metrics(label: str, bucket: float) -> list[MetricWrapperBase]:
        registry = CollectorRegistry()
        pages = Counter("leadline_pages", "Pages.", [label], registry=registry)
        return [pages, Histogram("leadline_page_seconds", "Seconds.", buckets=(1, bucket), registry=registry)]

    known = describe_metrics(metrics("kind", 5))
    assert known == [
        "leadline_page_seconds histogram {}",
        "    Seconds.",
        "    buckets 1 5 inf",
        "leadline_pages counter {kind}",
        "    Pages.",
    ]
    assert describe_metrics(metrics("type", 5)) != known
    assert describe_metrics(metrics("kind", 6)) != known
    read = GaugeMetricFamily("leadline_queue", "Jobs.", labels=["kind"])
    read.add_metric(["ingest"], 1)
    assert describe_metrics([], [read]) == ["leadline_queue gauge {kind}", "    Jobs."]


CODE = '''
def work(sent):
    """Not an event: `leadline:changes:no`."""
    with record_span(f"chat {sent}", {"leadline.hits": 3}):
        cell.span("inside")
        yield sse.format_event("error", {}, 1)
        yield state.format_event("snapshot" if sent else "progress")
        log(RunLogEntry(f"key:{sent}", "planned", {}))
        write("response.output_text.delta")
        redis.xadd(f"leadline:changes:{sent}", {})
        limits = RedisStorage(url, key_prefix="leadline-requests")


def build_call_entry(key, *, kind="call"):
    return build_call_entry(key, kind="lost")
'''


def test_a_span_or_an_attribute_that_is_renamed_is_noticed() -> None:
    known = describe_spans([Source("rlm.a", CODE)])
    assert known == ["Spans", "    chat {}", "Attributes", "    leadline.hits"]
    assert describe_spans([Source("rlm.a", CODE.replace("chat ", "talk "))]) != known
    assert describe_spans([Source("rlm.a", CODE.replace("leadline.hits", "leadline.found"))]) != known


class Planned(BaseModel):
    """An event."""

    steps: list[str]


def test_an_event_that_is_renamed_or_changes_is_noticed() -> None:
    heard = 'bolt.event("tokens_revoked")(gone)'
    known = describe_events({"planned": Planned}, ["run.failed"], [Source("api.a", CODE), Source("api.slack.b", heard)])
    assert [line.strip() for line in known[2:]] == [
        *("steps: [string]", "Followed documents and batches, and what ends any stream"),
        *("error", "progress", "snapshot", "Runs", "call", "lost", "planned", "Responses"),
        *(
            "response.output_text.delta",
            "Slack's, which the bot listens to",
            "tokens_revoked",
            "Webhooks",
            "run.failed",
        ),
    ]
    for old, new in (("error", "failed"), ("progress", "step"), ("planned", "plan"), ("lost", "gone"), ("call", "ask")):
        changed = [Source("api.a", CODE.replace(f'"{old}"', f'"{new}"')), Source("api.slack.b", heard)]
        assert describe_events({"planned": Planned}, ["run.failed"], changed) != known


def test_a_code_a_status_or_a_hint_that_changes_is_noticed() -> None:
    class Lost(Exception):
        code, default_hint = "lost", "Look again."

    known = describe_errors([Lost], lambda _: 404, [(500, "internal_error", "")])
    assert known == ["internal_error 500 (no class)", "lost 404 Lost", "    Look again."]
    assert describe_errors([Lost], lambda _: 410, [(500, "internal_error", "")]) != known


def test_a_kind_of_job_a_task_or_a_key_that_changes_is_noticed() -> None:
    class Kind(StrEnum):
        INGEST = "ingest"
        TIDY = "tidy"

    celery = {"task_queues": [SimpleNamespace(name="ingest")], "task_routes": {"sweep": {"queue": "upkeep"}}}
    known = describe_jobs(Kind, {Kind.INGEST: "ingest"}, {"look": "(kind: str)"}, celery, [Source("ingest.a", CODE)])
    assert [line.strip() for line in known] == [
        *("Kinds of jobs", "ingest in ingest", "tidy in no queue", "Queues", "ingest", "Tasks", "look(kind: str)"),
        *("Routes", "sweep to upkeep", "Keys in Redis", "leadline-requests", "leadline:changes:{}"),
    ]


def test_a_fingerprint_that_changes_is_noticed() -> None:
    formats = {"text/plain": SimpleNamespace(fingerprint="text-5")}
    known = describe_fingerprints({"TEXT_PARSER": "text-5"}, formats, "structure-3", [("minilm", "m/1", 384)], "bm25/1")
    assert [line.strip() for line in known] == [
        *("Parsers", "TEXT_PARSER text-5", "Media types", "text/plain text-5", "Chunker", "structure-3"),
        *("Encoders", "minilm m/1 384", "Sparse encoder", "bm25/1"),
    ]


def test_a_column_an_index_and_a_migration_that_are_new_are_noticed() -> None:
    def described(*more: Any) -> dict[str, list[str]]:  # noqa: ANN401 - columns and indexes
        metadata = MetaData()
        Table("books", metadata, Column("id", Integer, primary_key=True), Column("title", Text), *more)
        return describe_database(metadata, "0001_books")

    known = described()
    assert known["migrations"] == ["newest 0001_books"]
    for name in ("database_postgresql", "database_sqlite"):
        assert "    title TEXT, " in known[name] or "    title TEXT," in known[name]
        assert described(Column("year", Integer))[name] != known[name]
        assert "CREATE INDEX by_title ON books (title)" in described(Index("by_title", "title"))[name]


def test_a_tool_whose_text_or_argument_changes_is_noticed() -> None:
    def tool(description: str, argument: str) -> Any:  # noqa: ANN401 - the part of a tool that is read
        schema = {"title": "Arguments", "type": "object", "properties": {argument: {"type": "string"}}}
        hints = SimpleNamespace(model_dump_json=lambda exclude_none: "{}")
        told = SimpleNamespace(
            title="Read", description=description, input_schema=schema, output_schema=schema, annotations=hints
        )
        return SimpleNamespace(name="read", scope=SimpleNamespace(value="read"), definition=told)

    known = describe_tools([tool("Read a text.", "page")], "Use them.")
    assert describe_tools([tool("Read one text.", "page")], "Use them.") != known
    assert describe_tools([tool("Read a text.", "section")], "Use them.") != known
    assert describe_tools([tool("Read a text.", "page")], "Do use them.") != known


def test_a_resource_or_prompt_that_changes_is_noticed() -> None:
    known = describe_offers(KINDS, PROMPTS)
    moved = replace(KINDS[0], template="leadline://files/{document}")
    assert describe_offers([moved, *KINDS[1:]], PROMPTS) != known
    assert describe_offers(KINDS, [replace(PROMPTS[0], description="Ask."), *PROMPTS[1:]]) != known
    assert describe_offers(KINDS, [replace(PROMPTS[0], takes=PROMPTS[1].takes), *PROMPTS[1:]]) != known


def test_parts_that_are_new_or_gone_are_shown_and_a_record_reads_as_it_was_written(tmp_path: Path) -> None:
    write_record({"old": ["a"], "kept": ["b", "", "c"]}, tmp_path)
    assert "--- old: recorded" in find_changes(read_record(tmp_path), {"kept": ["b", "", "c"]})
    write_record({"kept": ["b", "", "c"], "new": ["d"]}, tmp_path)
    assert read_record(tmp_path) == {"kept": ["b", "", "c"], "new": ["d"]}
    assert find_changes(read_record(tmp_path), read_record(tmp_path)) == ""
