"""An answer: claims that cite spans of documents, what was searched for them, and what it cost."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from retrieval.passages import Passage


class AnswerStatus(StrEnum):
    """How far the documents answer the question."""

    ANSWERED = "answered"
    PARTIAL = "partial"
    NOT_FOUND = "not_found"
    EXTRACTIVE = "extractive"


@dataclass(frozen=True)
class Citation:
    """A span of one version's normalized text that a claim rests on; `number` counts from 1 within an answer.

    `start` and `end` are code points of the version's text, and `quote` is that span as the document has it, never as
    a model wrote it. `verified` says that code found the quotation there.
    """

    number: int
    document_id: str
    version_id: str
    title: str
    heading_path: tuple[str, ...]
    page: int | None
    start: int
    end: int
    quote: str
    verified: bool


@dataclass(frozen=True)
class Claim:
    """A statement of the answer and the numbers of its citations; `reason` says in words why it is not supported."""

    text: str
    citations: tuple[int, ...]
    supported: bool
    reason: str = ""


@dataclass(frozen=True)
class SearchedDocument:
    """A document among whose passages, or records, an answer was looked for.

    `read` of its `passages` went to the model in direct answers and chains; in others it is all of them.
    """

    document_id: str
    title: str
    passages: int
    read: int


@dataclass(frozen=True)
class Searched:
    """How many passages were found, how many of them a language model read, and their documents, best first.

    Of an exhaustive answer, they are the records that conditions in code left and those that the model judged; of a
    recursive one, both are the spans that its code was given or had judged.
    """

    passages: int
    read: int
    documents: tuple[SearchedDocument, ...]


@dataclass(frozen=True)
class Coverage:
    """How much of what was in scope was read; every token counts once, however often it was read.

    The scope was cut into `slices`, each called a `unit`. A language model read `slices_read` of them; for
    `slices_inferred` a classifier that was trained on the model's own labels spoke; `slices_failed` have no result.
    Tokens are estimates.

    Of an exhaustive answer the slices are the records that a step was about: what a condition in code left out is not
    in scope, and the rest was left out for want of budget. Of a recursive one they are the documents, each read when
    any span of it was given to code or judged; the rest was not opened.
    """

    tokens_in_scope: int
    tokens_read: int
    slices: int
    slices_read: int
    slices_inferred: int = 0
    tokens_inferred: int = 0
    slices_failed: int = 0
    tokens_failed: int = 0
    unit: str = "slice"

    @property
    def complete(self) -> bool:
        """Whether every slice was read or inferred."""
        return self.slices_read + self.slices_inferred == self.slices

    def sentence(self) -> str:
        """For people: "10.9 of 11.0 million tokens in scope read, 3 slices failed"."""
        said = f"{_of_tokens(self.tokens_read, self.tokens_in_scope)} tokens in scope read"
        if self.slices_inferred:
            said += f", {_counted(self.slices_inferred, self.unit)} labelled by a classifier trained on what was read"
        if self.slices_failed:
            said += f", {_counted(self.slices_failed, self.unit)} failed"
        return said


@dataclass(frozen=True)
class Interval:
    """A range that holds the true value with probability `confidence`."""

    low: float
    high: float
    confidence: float = 0.95


@dataclass(frozen=True)
class Result:
    """What an answer computed, for programs: a number, a label, names, pairs, or groups with their counts.

    `interval` is the range of a count that rests on labels which may be wrong; of a ranking, that of what was found. It
    is None for exact ones, and where no range can be stated: then the answer's text says what it rests on.
    """

    kind: str
    value: object
    interval: Interval | None = None
    table: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Usage:
    """What the language model was asked to do, in tokens of its own counting; 0 where it does not count."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(
            self.calls + other.calls,
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True)
class Answer:
    """What the caller gets. `text` carries the markers `[1]` of `citations`; `reasons` say how the status was decided.

    `model` is None where no language model took part. `timings_ms` is keyed by stage and ends with `total`. `coverage`
    and `result` are there where slices were read one after another and something was computed from them. Not
    `finished` is what was found before a budget or another limit ended the search for more. `dollars` is the price of
    `usage`, or None where the model's is not known.
    """

    status: AnswerStatus
    text: str
    claims: tuple[Claim, ...]
    citations: tuple[Citation, ...]
    strategy: str
    model: str | None
    searched: Searched
    reasons: tuple[str, ...] = ()
    usage: Usage = Usage()
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    coverage: Coverage | None = None
    result: Result | None = None
    finished: bool = True
    dollars: float | None = None


class CitationList:
    """Gives each cited span its number, once: the same span asked for again keeps the one it has."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[str, int, int], int] = {}
        self._citations: list[Citation] = []

    def cite(self, passage: Passage, start: int, end: int) -> int:
        """The number of the verified quotation `passage.text[start:end]`."""
        key = (passage.version_id, passage.start + start, passage.start + end)
        if key not in self._numbers:
            number = self._numbers[key] = len(self._citations) + 1
            self._citations.append(
                Citation(
                    number=number,
                    document_id=passage.document_id,
                    version_id=passage.version_id,
                    title=passage.title,
                    heading_path=passage.heading_path,
                    page=passage.page,
                    start=key[1],
                    end=key[2],
                    quote=passage.text[start:end],
                    verified=True,
                )
            )
        return self._numbers[key]

    @property
    def citations(self) -> tuple[Citation, ...]:
        """Every citation so far, by number."""
        return tuple(self._citations)


def searched(passages: Sequence[Passage], read: Sequence[Passage] = ()) -> Searched:
    """Sums up what was found and what of it was read; the documents stand in the order of their best passage."""
    titles = {passage.document_id: passage.title for passage in passages}
    documents = tuple(
        SearchedDocument(
            document_id,
            title,
            sum(passage.document_id == document_id for passage in passages),
            sum(passage.document_id == document_id for passage in read),
        )
        for document_id, title in titles.items()
    )
    return Searched(len(passages), len(read), documents)


def answer_json(answer: Answer) -> dict[str, Any]:
    """An answer as JSON, in the members of `Answer`, whatever its result holds."""
    body: dict[str, Any] = as_json(asdict(answer))
    return body


def as_json(value: object) -> Any:  # noqa: ANN401 - any JSON
    """A value as JSON that every reader and database takes.

    A set is a sorted list, a key of a table the text that a reader sees, a number that JSON has no word for null, and
    half a surrogate pair a question mark.
    """
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Mapping():
            return {_key(key): as_json(each) for key, each in value.items()}
        case list() | tuple():
            return [as_json(each) for each in value]
        case set() | frozenset():
            return sorted(map(as_json, value), key=json.dumps)
        case _:
            return _encodable(str(value))


def _key(key: object) -> str:
    if isinstance(key, tuple):
        return f"({', '.join(map(_key, key))})"
    return _encodable(str(key))


def _encodable(text: str) -> str:
    """Half a surrogate pair, which a model's code may make, is no character."""
    return text.encode("utf-8", "replace").decode()


def _of_tokens(part: int, whole: int) -> str:
    for size, name in ((1_000_000, " million"), (1_000, " thousand")):
        if whole >= size:
            return f"{part / size:.1f} of {whole / size:.1f}{name}"
    return f"{part} of {whole}"


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
