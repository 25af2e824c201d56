"""The folder of a task: the documents, the questions with their gold, and for records the label of each.

    documents/*.txt     what is uploaded, or read by whatever is measured
    questions.jsonl     one `Question` a line
    records.jsonl       one record a line, for tasks over records: document, start, end, label
    task.json           which task, size and seed made it

Texts are ASCII or NFC with nothing that `ingest.storage.texts.normalize` would change, so a span counts the same code
points in the file and in the service.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, TextIO

# English prose has 4.5 characters a token in tokenizers of 50,000 to 150,000 entries; records with their digits 3.4.
PROSE_CHARS_PER_TOKEN = 4.5
RECORD_CHARS_PER_TOKEN = 3.4


class Form(StrEnum):
    """How an answer is compared with its gold."""

    TEXT = "text"
    LABEL = "label"
    USER = "user"
    NUMBER = "number"
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

    `gold` holds the wordings of one answer (`TEXT`), all pairs as `low,high` (`PAIRS`), or one value. It is empty
    where the documents do not say: then declining is right. `choices` are the values an answer of the form could name;
    naming several is no answer. `evidence` are the spans that an answer must rest on; it is empty where the answer
    rests on every record.
    """

    id: str
    kind: str
    text: str
    form: Form
    gold: tuple[str, ...]
    choices: tuple[str, ...] = ()
    evidence: tuple[GoldSpan, ...] = ()

    @property
    def answerable(self) -> bool:
        return bool(self.gold)


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


@dataclass(frozen=True)
class TaskFolder:
    """Reads and writes the files of one folder; nothing is kept in memory."""

    path: Path

    @property
    def documents(self) -> Path:
        return self.path / "documents"

    @property
    def records(self) -> Path:
        return self.path / "records.jsonl"

    @contextmanager
    def create(self, name: str) -> Iterator[DocumentWriter]:
        """A new document; `name` is its file name."""
        self.documents.mkdir(parents=True, exist_ok=True)
        with (self.documents / name).open("w", encoding="utf-8", newline="\n") as file:
            yield DocumentWriter(name, file)

    def save(self, questions: list[Question], about: Mapping[str, Any]) -> None:
        """Writes the questions and what made them; the folder is complete afterwards."""
        lines = (json.dumps(asdict(question), ensure_ascii=False) for question in questions)
        (self.path / "questions.jsonl").write_text("".join(f"{line}\n" for line in lines), "utf-8")
        (self.path / "task.json").write_text(json.dumps(about, indent=1) + "\n", "utf-8")

    def questions(self) -> list[Question]:
        """Raises `FileNotFoundError` where there is no finished task."""
        with (self.path / "questions.jsonl").open(encoding="utf-8") as file:
            return [_question(json.loads(line)) for line in file]

    def about(self) -> dict[str, Any]:
        """Which task, size and seed made the folder."""
        about: dict[str, Any] = json.loads((self.path / "task.json").read_text("utf-8"))
        return about

    def read_records(self) -> Iterator[dict[str, Any]]:
        """The records with their hidden labels, in the order of the documents."""
        with self.records.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    def texts(self) -> dict[str, str]:
        """The text of each document by its name, which is all of them in memory."""
        return {path.name: path.read_text("utf-8") for path in sorted(self.documents.iterdir())}


def _question(raw: Mapping[str, Any]) -> Question:
    listed = {name: tuple(raw[name]) for name in ("gold", "choices")}
    evidence = tuple(GoldSpan(**span) for span in raw["evidence"])
    return Question(**{**raw, **listed, "form": Form(raw["form"]), "evidence": evidence})
