"""Derives the surface, writes it down, and compares the code with what was written."""

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.surface import product
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
from tests.surface.settings import describe_settings
from tests.surface.telemetry import describe_metrics, describe_spans

RECORDED = Path(__file__).parent / "recorded"
WHAT_TO_DO = "If this change is meant, run `make record-surface` and name it in CHANGELOG.md."


def derive() -> dict[str, list[str]]:
    """Derive each part of the surface from the code, as lines."""
    with product.plain_environment():
        document, sources = product.openapi(), product.sources()
        return {
            "routes": describe_routes(document, product.routes_without_description()),
            "schemas": describe_schemas(document),
            "commands": describe_commands(product.root_command(), product.COMMANDS),
            "settings": describe_settings(product.settings(), product.list_known_variables()),
            "metrics": describe_metrics(product.metrics(), product.metrics_of_the_moment()),
            "spans": describe_spans(sources),
            "events": describe_events(product.ANSWER_EVENTS, [*product.EventType, product.TEST_EVENT], sources),
            "errors": describe_errors(product.errors(), product.get_status, product.problems_without_class()),
            "jobs": describe_jobs(product.JobKind, product.QUEUES, product.tasks(), product.celery_settings(), sources),
            "fingerprints": describe_fingerprints(
                product.parsers(),
                product.FORMATS,
                product.get_chunker_fingerprint(),
                product.encoders(),
                product.sparse_encoder(),
            ),
            **describe_database(product.metadata, product.get_latest_revision()),
            "mcp": [
                *describe_tools(product.TOOLS, product.INSTRUCTIONS),
                *describe_offers(product.KINDS, product.PROMPTS),
            ],
            "assets": sorted(product.assets()),
        }


def read_record(folder: Path = RECORDED) -> dict[str, list[str]]:
    """Return what was recorded; nothing where nothing is."""
    return {path.stem: path.read_text("utf-8").splitlines() for path in sorted(folder.glob("*.txt"))}


def write_record(surface: Mapping[str, Sequence[str]], folder: Path = RECORDED) -> None:
    """Write a file for each part, and remove those of parts that are gone."""
    folder.mkdir(exist_ok=True)
    for path in folder.glob("*.txt"):
        if path.stem not in surface:
            path.unlink()
    for name, lines in surface.items():
        (folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), "utf-8")


def find_changes(recorded: Mapping[str, Sequence[str]], derived: Mapping[str, Sequence[str]]) -> str:
    """Return the differences as a unified diff for each part; empty if there are none."""
    found: list[str] = []
    for name in sorted({*recorded, *derived}):
        before, after = recorded.get(name, ()), derived.get(name, ())
        found += difflib.unified_diff(before, after, f"{name}: recorded", f"{name}: now", n=1, lineterm="")
    return "\n".join(found)
