"""A benchmark folder: the documents, the questions with their gold, and for records the label of each.

    documents/*.txt     what is uploaded, or read by whatever is measured
    questions.jsonl     one `Question` a line
    records.jsonl       one record a line, for tasks over records: document, start, end, label, user, day
    benchmark.json      which task, size and seed made it

Texts are ASCII or NFC with nothing that `ingest.normalize` would change, so a span counts the same code points in the
file and in the service.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TextIO

# English prose has 4.5 characters a token in tokenizers of 50,000 to 150,000 entries; records with their digits 3.4.
PROSE_CHARS_PER_TOKEN = 4.5
RECORD_CHARS_PER_TOKEN = 3.4

GENERATOR_VERSION = 1


class Form(StrEnum):
    """How an answer is compared with its gold."""

    TEXT = "text"
    LIST = "list"
    LABEL = "label"
    USER = "user"
    NUMBER = "number"
    DATE = "date"
    MONTH = "month"
    COMPARISON = "comparison"
    PAIRS = "pairs"


@dataclass(frozen=True)
class GoldSpan:
    """Half-open code points of a document, by the document's name."""

    document: str
    start: int
    end: int


@dataclass(frozen=True)
class Question:
    """A question with what is known about its answer.

    `gold` holds the wordings of one answer (`TEXT`), all members (`LIST`), all pairs as `low,high` (`PAIRS`), or one
    value. It is empty where the documents do not say: then declining is right. `choices` are the values an answer of
    the form could name; naming several is no answer. `evidence` are the spans that an answer must rest on; it is
    empty where the answer rests on every record.
    """

    id: str
    task: str
    kind: str
    text: str
    form: Form
    gold: tuple[str, ...]
    choices: tuple[str, ...] = ()
    evidence: tuple[GoldSpan, ...] = ()

    @property
    def answerable(self) -> bool:
        return bool(self.gold)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Self:
        return cls(
            id=raw["id"],
            task=raw["task"],
            kind=raw["kind"],
            text=raw["text"],
            form=Form(raw["form"]),
            gold=tuple(raw["gold"]),
            choices=tuple(raw["choices"]),
            evidence=tuple(GoldSpan(**span) for span in raw["evidence"]),
        )


class DocumentWriter:
    """Writes one document piece by piece and knows its length so far, in code points."""

    def __init__(self, name: str, file: TextIO) -> None:
        self.name = name
        self.position = 0
        self._file = file

    def write(self, text: str) -> GoldSpan:
        """The span that `text` takes up."""
        start, self.position = self.position, self.position + len(text)
        self._file.write(text)
        return GoldSpan(self.name, start, self.position)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()


@dataclass
class BenchmarkFolder:
    """Reads and writes the files of one folder; nothing is kept in memory."""

    path: Path
    document_names: list[str] = field(default_factory=list)

    @property
    def documents(self) -> Path:
        return self.path / "documents"

    @property
    def records(self) -> Path:
        return self.path / "records.jsonl"

    def create(self, name: str) -> DocumentWriter:
        """A new document; `name` is its file name."""
        self.documents.mkdir(parents=True, exist_ok=True)
        self.document_names.append(name)
        return DocumentWriter(name, (self.documents / name).open("w", encoding="utf-8", newline="\n"))

    def document_paths(self) -> list[Path]:
        return sorted(self.documents.iterdir())

    def save_questions(self, questions: list[Question], about: Mapping[str, Any]) -> None:
        """Writes the questions and what made them; the folder is complete afterwards."""
        lines = (json.dumps(question.to_json(), ensure_ascii=False) for question in questions)
        (self.path / "questions.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
        (self.path / "benchmark.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")

    def questions(self) -> list[Question]:
        """Raises `FileNotFoundError` where there is no finished benchmark, and `ValueError` for a line that is none."""
        with (self.path / "questions.jsonl").open(encoding="utf-8") as file:
            return [Question.from_json(json.loads(line)) for line in file]

    def about(self) -> dict[str, Any]:
        """Which task, size and seed made the folder."""
        about: dict[str, Any] = json.loads((self.path / "benchmark.json").read_text("utf-8"))
        return about

    def read_records(self) -> Iterator[dict[str, Any]]:
        """The records with their hidden labels, in the order of the documents."""
        with self.records.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)
