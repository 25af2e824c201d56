"""A folder of judged questions, whichever format it is in."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

from retrieval.evaluation.beir import BeirFolder, CorpusEntry
from retrieval.evaluation.squad import SquadFolder


class JudgedFolder(Protocol):
    """Texts, questions, and which texts answer which question.

    `corpus_file` is the file that the texts are in. `queries` maps every id to its text; `qrels` maps the ids of
    judged queries to grades by corpus id.
    """

    @property
    def folder(self) -> Path: ...

    @property
    def corpus_file(self) -> Path: ...

    @property
    def queries(self) -> Mapping[str, str]: ...

    @property
    def qrels(self) -> Mapping[str, Mapping[str, int]]: ...

    def corpus(self) -> Iterator[CorpusEntry]: ...


def open_judged(folder: Path) -> JudgedFolder:
    """SQuAD's format where there is a JSON file and no `corpus.jsonl`, else BEIR's. Raises `EvaluationDataError`."""
    if any(folder.glob("*.json")) and not (folder / "corpus.jsonl").exists():
        return SquadFolder(folder)
    return BeirFolder(folder)
