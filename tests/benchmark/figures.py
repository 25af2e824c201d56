"""What the benchmarks share: queries out of the documents, and figures as a table or as JSON."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from api.admission.services import DEFAULT_TENANT
from ingest.storage.documents.catalog import Catalog
from ingest.storage.documents.listing import DocumentFilter
from ingest.storage.documents.records import VersionState
from ingest.storage.texts.texts import Texts
from retrieval.errors import QueryError

AsJson = Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")]

_QUERY_WORDS = 9
_MOST_DOCUMENTS = 500


def query_texts(catalog: Catalog, texts: Texts, count: int, seed: int, *, home: Path) -> list[str]:
    """Runs of words out of ready documents, each from another place. Raises `QueryError` where there are none."""
    documents = catalog.list_documents(
        DEFAULT_TENANT, DocumentFilter(states=[VersionState.READY]), limit=_MOST_DOCUMENTS
    )
    if not documents:
        raise QueryError(f"There is no ready document in {home}.", hint="Run `leadline ingest FOLDER` first.")
    random = np.random.default_rng(seed)
    found: list[str] = []
    while len(found) < count:
        document = documents[random.integers(len(documents))]
        characters = document.version.characters or 0
        start = int(random.integers(max(1, characters - 400)))
        words = texts.read(document.version.id, start, start + 400).split()[1:-1]
        if len(words) >= _QUERY_WORDS:
            found.append(" ".join(words[:_QUERY_WORDS]))
    return found


def print_figures(figures: Mapping[str, Any], as_json: bool) -> None:
    """A line for each figure, or one JSON object."""
    if as_json:
        print(json.dumps(figures))
        return
    table = Table("figure", "value")
    for name, value in figures.items():
        table.add_row(name, _shown(value))
    Console().print(table)


def print_rows(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """A column for each of several measurements, or one JSON object a line."""
    if as_json:
        for row in rows:
            print(json.dumps(row))
        return
    names = dict.fromkeys(name for row in rows for name in row)
    table = Table("figure", *("" for _ in rows))
    for name in names:
        table.add_row(name, *(_shown(row.get(name, "")) for row in rows))
    Console().print(table)


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else str(value)
