"""Metadata on the command line: `year=1815` sets an attribute, and as a filter asks for it."""

import json
from typing import Annotated, Any

import typer

Assigned = Annotated[
    list[str] | None,
    typer.Option("--metadata", help='An attribute, such as year=1815 or tags=\'["a", "b"]\'; may be repeated.'),
]
Filters = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        help='Only documents with this metadata: year=1815, or year=\'{"gte": 1800, "lt": 1900}\'; may be repeated.',
    ),
]


def parse_attributes(given: list[str] | None) -> dict[str, Any]:
    """Return attributes by name; a value is read as JSON, and is a text if it is none."""
    found: dict[str, Any] = {}
    for each in given or ():
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{each!r} is not NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
