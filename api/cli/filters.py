"""Command-line options for metadata.

`year=1815` sets an attribute or, in a filter, matches documents with that value.
"""

import json
from typing import Annotated, Any

import typer

MetadataOption = Annotated[
    list[str] | None,
    typer.Option("--metadata", help='Set an attribute, such as year=1815 or tags=\'["a", "b"]\'; may be repeated.'),
]
FilterOption = Annotated[
    list[str] | None,
    typer.Option(
        "--filter",
        help="Only documents with this metadata, such as year=1815 or year='{\"gte\": 1800}', or this card, such as"
        ' \'$card={"kind": "contract"}\'; may be repeated.',
    ),
]


def parse_attributes(assignments: list[str] | None) -> dict[str, Any]:
    """Parse `NAME=VALUE` attributes. Values that are not valid JSON are used as strings.

    Raises `typer.BadParameter` if an attribute has no name or no equals sign.
    """
    found: dict[str, Any] = {}
    for each in assignments or ():
        name, equals, value = each.partition("=")
        if not name or not equals:
            raise typer.BadParameter(f"{each!r} is not in the format NAME=VALUE")
        try:
            found[name] = json.loads(value)
        except ValueError:
            found[name] = value
    return found
