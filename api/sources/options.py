"""Validates the options of sources, and separates credentials from what people may see."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from api.http.problems import format_invalid_fields, list_invalid_fields
from api.sources.schemas import list_credentials
from ingest.sources.errors import SourceOptionsError
from ingest.sources.port import SourceKind


@dataclass(frozen=True)
class SplitOptions:
    """The options of a source: `shown` may be seen, and `credentials` are sealed. `parsed` has both."""

    parsed: BaseModel
    shown: Mapping[str, Any]
    credentials: Mapping[str, str]


def find_kind(kinds: Mapping[str, SourceKind], name: str) -> SourceKind:
    """Return the kind of source with the name. Raises `SourceOptionsError` if there is none."""
    found = kinds.get(name)
    if found is None:
        raise SourceOptionsError(
            f"There is no kind of source {name[:100]!r}.", hint=f"The kinds are {', '.join(sorted(kinds))}."
        )
    return found


def merge_options(known: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return options with changes: an omitted option stays, and null resets an option to its default."""
    return {name: value for name, value in {**known, **changes}.items() if value is not None}


def parse_options(kind: SourceKind, options: Mapping[str, Any]) -> SplitOptions:
    """Validate the options of a source. Raises `SourceOptionsError` with the names of invalid options."""
    unknown = sorted(set(options) - set(kind.options.model_fields))
    if unknown:
        raise SourceOptionsError(
            f"A source of the kind {kind.name} has no option {unknown[0][:100]!r}.",
            hint=f"Its options are {', '.join(kind.options.model_fields)}.",
        )
    try:
        parsed = kind.options.model_validate(options)
    except ValidationError as error:
        invalid = list_invalid_fields(error.errors(include_input=False, include_url=False))
        raise SourceOptionsError(format_invalid_fields(invalid)) from None
    secret = set(list_credentials(kind.options.model_json_schema()))
    # guard: source-credentials-not-shown
    shown = {name: value for name, value in options.items() if name not in secret}
    return SplitOptions(parsed, shown, {name: str(options[name]) for name in secret & options.keys()})
