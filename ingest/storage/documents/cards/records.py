"""The records of document cards: the fields that tell a document apart, by the layer that they come from."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import date
from enum import StrEnum
from typing import Any, Self

from ingest.storage.errors import MetadataError
from ingest.storage.inbound import check_value

# Change this number when the rules in `ingest.describing` change. Cards are then made again in the background.
RULES_RELEASE = 2
# The longest string in a field, and the longest list. Together with the field names, a layer has at most 4 KB.
MAX_FIELD_CHARS = 200
MAX_FIELD_VALUES = 12
MAX_LAYER_BYTES = 4_000
_PERIOD = re.compile(r"(\d{4})(?:-(?:Q([1-4])|H([12])|(0[1-9]|1[0-2])))?", re.ASCII)


class CardField(StrEnum):
    """The fields of a card.

    `kind` is the kind of document, in lower case. `subjects` are the names of organizations, people, products and
    places that the document is about. `periods` are years (`2023`), halves (`2023-H1`), quarters (`2023-Q2`) and months
    (`2023-04`). `dates` are ISO dates. `language` is an ISO 639 code. `outline` has the first headings.
    """

    TITLE = "title"
    KIND = "kind"
    SUBJECTS = "subjects"
    PERIODS = "periods"
    DATES = "dates"
    VERSION = "version"
    LANGUAGE = "language"
    OUTLINE = "outline"


class CardLayer(StrEnum):
    """The layers of a card, with the most trusted first.

    `source` is found in the name and the properties of the file, `rules` in the beginning of its text as well.
    """

    PERSON = "person"
    MODEL = "model"
    RULES = "rules"
    SOURCE = "source"


# The fields whose values are in the table `card_values`, for facets and filters.
FACETED_FIELDS = (
    CardField.KIND,
    CardField.SUBJECTS,
    CardField.PERIODS,
    CardField.DATES,
    CardField.VERSION,
    CardField.LANGUAGE,
)


@dataclass(frozen=True)
class CardFields:
    """The fields of one layer, or of a whole card.

    None means that the layer does not know the field. An empty string or list means that the document has none.
    """

    title: str | None = None
    kind: str | None = None
    subjects: tuple[str, ...] | None = None
    periods: tuple[str, ...] | None = None
    dates: tuple[str, ...] | None = None
    version: str | None = None
    language: str | None = None
    outline: tuple[str, ...] | None = None

    @classmethod
    def from_json(cls, value: Mapping[str, Any] | None) -> Self:
        """Build the fields from stored JSON. Fields that this release does not know are ignored."""
        known = {each.name for each in fields(cls)}
        found: dict[str, Any] = {
            name: tuple(member) if isinstance(member, list) else member
            for name, member in (value or {}).items()
            if name in known
        }
        return cls(**found)

    def to_json(self) -> dict[str, str | list[str]]:
        """Convert the fields to JSON values, without unknown fields."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }

    def get_values(self, name: CardField) -> tuple[str, ...]:
        """Return the values of a field, of which a string has one. An unknown or empty field has none."""
        value: str | tuple[str, ...] | None = getattr(self, name)
        return tuple(filter(None, (value,) if isinstance(value, str) else value or ()))


@dataclass(frozen=True)
class CardDraft:
    """A card for a version, before it is stored.

    `maker` identifies the rules that made the card. `language` is the language of the terms. `terms` are the terms on
    the first page, packed by `retrieval.search.cards`; the catalog stores them without interpreting them. `source` and
    `rules` are the fields found in the file.
    """

    maker: str
    language: str
    terms: bytes
    source: CardFields = CardFields()
    rules: CardFields = CardFields()


@dataclass(frozen=True)
class StoredCard:
    """A stored card: the language, the packed terms, and the words that people and models wrote on it."""

    language: str
    terms: bytes
    written: str = ""


@dataclass(frozen=True)
class LackingVersion:
    """A searchable version without a card by the current rules, with its tenant, its document and its file."""

    version_id: str
    tenant_id: str
    document_id: str
    name: str = ""
    media_type: str = ""


class DescribeMode(StrEnum):
    """The documents that a model may describe, in collections that ask for it.

    `open` are those that the whole tenant may read: without an access list, in a collection without grants.
    """

    OFF = "off"
    OPEN = "open"
    ALL = "all"


@dataclass(frozen=True)
class UndescribedVersion:
    """An active version whose card has no fields by a model, with the fields of the layers below the model's.

    `failures` counts the attempts that failed.
    """

    version_id: str
    tenant_id: str
    document_id: str
    name: str
    fields: CardFields
    failures: int = 0


@dataclass(frozen=True)
class DocumentCard:
    """The card of a document, of its active version or else of its latest one.

    `fields` are the effective fields, and `origins` has the layer of each known field. `layers` has the fields of every
    layer, so that an edit can be compared with the values that it replaced. `revision` and `tag` are the document's.
    """

    document_id: str
    version_id: str
    fields: CardFields
    origins: Mapping[CardField, CardLayer]
    layers: Mapping[CardLayer, CardFields] = field(default_factory=dict)
    revision: int = 0
    tag: str = ""


@dataclass(frozen=True)
class FacetCount:
    """A value of a field, and the number of documents that have it."""

    value: str
    documents: int


def merge_layers(layers: Mapping[CardLayer, CardFields]) -> tuple[CardFields, dict[CardField, CardLayer]]:
    """Merge layers field by field: a person's value, else the model's, else the one found by rules, else the source's.

    Returns the effective fields and the layer of each known field.
    """
    found: dict[str, Any] = {}
    origins: dict[CardField, CardLayer] = {}
    for name in CardField:
        for layer in CardLayer:
            value = getattr(layers.get(layer), name, None)
            if value is not None:
                found[name], origins[name] = value, layer
                break
    return CardFields(**found), origins


def join_written_values(person: Mapping[str, Any] | None, model: Mapping[str, Any] | None, *, title: str | None) -> str:
    """Return the values that a person or a model wrote on a card, one on each line, for searches.

    A person's value of a field replaces the model's. `title` is the one that a person gave the document, which searches
    know already. The language and the outline do not tell documents apart.
    """
    layers = {CardLayer.PERSON: CardFields.from_json(person), CardLayer.MODEL: CardFields.from_json(model)}
    fields, _ = merge_layers(layers)
    left_out = {CardField.LANGUAGE, CardField.OUTLINE} | ({CardField.TITLE} if title else set())
    told = (name for name in CardField if name not in left_out)
    return "\n".join(value for name in told for value in fields.get_values(name))


def merge_change(edited: CardFields, change: Mapping[str, Any]) -> CardFields:
    """Return a person's fields after a JSON merge patch (RFC 7396), in which None removes the person's value.

    Raises `InputError` or `MetadataError` if a value is not valid.
    """
    check_value(change, "card")
    known = {each.value for each in CardField}
    for name in change:
        if name not in known:
            raise MetadataError(f"A card has no field {name[:100]!r}.", hint=f"Fields: {', '.join(sorted(known))}.")
    values: dict[str, Any] = {
        name: None if value is None else _validate_value(CardField(name), value) for name, value in change.items()
    }
    return replace(edited, **values)


def parse_period_start(period: str) -> date | None:
    """Return the first day of a period such as `2023`, `2023-H1`, `2023-Q2` or `2023-04`, or None for other strings."""
    found = _PERIOD.fullmatch(period)
    if found is None or found[1] == "0000":
        return None
    quarter, half, month = (int(each) if each else None for each in found.group(2, 3, 4))
    first = 3 * quarter - 2 if quarter else 6 * half - 5 if half else month or 1
    return date(int(found[1]), first, 1)


def parse_date(value: str) -> date | None:
    """Return a date such as `2023-04-01`, or None for other strings."""
    try:
        day = date.fromisoformat(value)
    except ValueError:
        return None
    return day if day.isoformat() == value else None  # it also reads other forms, such as weeks


_LISTS = frozenset({CardField.SUBJECTS, CardField.PERIODS, CardField.DATES, CardField.OUTLINE})
_EXAMPLES = {
    CardField.PERIODS: '["2023", "2023-H1", "2023-Q2", "2023-04"]',
    CardField.DATES: '["2023-04-01"]',
}


def _validate_value(name: CardField, value: object) -> str | tuple[str, ...]:
    if name not in _LISTS:
        if not isinstance(value, str) or len(value) > MAX_FIELD_CHARS or (name is CardField.TITLE and not value):
            raise MetadataError(
                f"The {name} of a card must be a string of at most {MAX_FIELD_CHARS} characters.",
                hint="Send null to use the value that was found in the document.",
            )
        # Rules write kinds in lower case, and facets would otherwise count "Contract" apart.
        return value.lower() if name in (CardField.KIND, CardField.LANGUAGE) else value
    if not isinstance(value, list | tuple) or len(value) > MAX_FIELD_VALUES or not all(map(_is_member, value)):
        raise MetadataError(
            f"The {name} of a card must be a list of at most {MAX_FIELD_VALUES} strings, each of 1 to"
            f" {MAX_FIELD_CHARS} characters.",
            hint="Send null to use the values that were found in the document.",
        )
    parse = {CardField.PERIODS: parse_period_start, CardField.DATES: parse_date}.get(name)
    wrong = [each for each in value if parse is not None and parse(each) is None]
    if wrong:
        raise MetadataError(f"{wrong[0]!r} is not valid in {name}.", hint=f"Write {name} as {_EXAMPLES[name]}.")
    return tuple(dict.fromkeys(value))


def _is_member(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= MAX_FIELD_CHARS


@dataclass(frozen=True)
class CardValue:
    """A value of a field in the form that facets and filters compare.

    `number` is the year of a period or date, and `instant` the time of its first day, in seconds since the epoch.
    """

    name: CardField
    value: str
    number: float | None = None
    instant: date | None = None


def iter_card_values(card_fields: CardFields) -> Iterator[CardValue]:
    """Yield the distinct values of the fields in `FACETED_FIELDS`."""
    for name in FACETED_FIELDS:
        for value in dict.fromkeys(card_fields.get_values(name)):
            first = {CardField.PERIODS: parse_period_start, CardField.DATES: parse_date}.get(name)
            day = first(value) if first else None
            yield CardValue(name, value, None if day is None else float(day.year), day)
