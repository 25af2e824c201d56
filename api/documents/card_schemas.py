"""Wire models for document cards: what tells a document apart from similar documents."""

from typing import Any, Self

from pydantic import Field

from api.http.wire import Wire
from ingest.storage.documents.cards.records import CardField, CardLayer, DocumentCard, FacetCount


class CardFieldsOut(Wire):
    """The fields of a card. A field that is not known is null.

    `subjects` are the names of organizations, people, products and places that the document is about. `periods` are
    years (`2023`), halves (`2023-H1`), quarters (`2023-Q2`) and months (`2023-04`). `language` is an ISO 639 code.
    `outline` has the first headings.
    """

    title: str | None
    kind: str | None
    subjects: list[str] | None
    periods: list[str] | None
    dates: list[str] | None
    version: str | None
    language: str | None
    outline: list[str] | None


class CardOut(Wire):
    """The card of a document. `origins` has the origin of each known field.

    A field that a `person` set takes precedence over the one that a `model` wrote. The others were found by `rules` in
    the text, or in the name and properties of the file (`source`).
    """

    fields: CardFieldsOut
    origins: dict[CardField, CardLayer]

    @classmethod
    def from_card(cls, card: DocumentCard) -> Self:
        return cls.from_records(card)


class CardChangeIn(Wire):
    """Changes to the fields of a card. Omitted fields do not change; null removes the value that a person set."""

    title: str | None = None
    kind: str | None = Field(None, examples=["contract"])
    subjects: list[str] | None = None
    periods: list[str] | None = Field(None, examples=[["2023-Q2"]])
    dates: list[str] | None = Field(None, examples=[["2023-04-01"]])
    version: str | None = None
    language: str | None = None
    outline: list[str] | None = None

    def to_change(self) -> dict[str, Any]:
        """Return the fields that the request contains, as a JSON merge patch."""
        return self.model_dump(exclude_unset=True)


class FacetCountOut(Wire):
    """A value of a field, and the number of listed documents that have it."""

    value: str
    documents: int


class FacetsOut(Wire):
    """The values of each requested field, the most frequent ones first."""

    facets: dict[CardField, list[FacetCountOut]]

    @classmethod
    def from_counts(cls, counts: dict[CardField, list[FacetCount]]) -> Self:
        return cls(
            facets={name: [FacetCountOut.from_records(each) for each in found] for name, found in counts.items()}
        )
