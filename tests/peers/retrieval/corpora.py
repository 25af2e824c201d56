"""The texts and questions that every system gets, and how the passages that it finds are judged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.storage.texts.normalize import normalize
from retrieval.evaluation.judged import JudgedFolder, open_judged_folder
from retrieval.evaluation.passages import (
    DocumentSpan,
    LocatedQuestions,
    has_located_questions,
    judge_passages,
    open_located_questions,
)
from retrieval.evaluation.runs import EvaluationRun, judge_rankings


@dataclass(frozen=True)
class Asked:
    """Judged questions: `texts` and `queries` by id; `places` are the answers' spans where spans are judged."""

    data: JudgedFolder | LocatedQuestions
    texts: Mapping[str, str]
    queries: Mapping[str, str]
    places: Mapping[str, Sequence[DocumentSpan]]

    def judge(self, found: Mapping[str, Sequence[DocumentSpan]]) -> EvaluationRun:
        """Compute the figures of a search's passages, best first. A text judged as a whole ranks by its best one."""
        if isinstance(self.data, LocatedQuestions):
            return judge_passages(found, self.places)
        texts = {query: list(dict.fromkeys(place.document for place in places)) for query, places in found.items()}
        return judge_rankings(texts, self.data.qrels)


def open_asked(source: Path, documents: Path | None) -> Asked:
    """Read a folder of BEIR's, SQuAD's or Chroma's format, or JSON lines about a folder of text files.

    A corpus's title and text are one text. Raises `EvaluationDataError`.
    """
    if has_located_questions(source):
        placed = open_located_questions(source, documents)
        texts = {name: normalize(path.read_text("utf-8")) for name, path in placed.documents.items()}
        return Asked(placed, texts, {each.id: each.text for each in placed.questions}, placed.locate_answers(texts))
    judged = open_judged_folder(source)
    entries = {
        entry.id: f"{entry.title}\n\n{entry.text}" if entry.title else entry.text for entry in judged.iter_corpus()
    }
    return Asked(judged, entries, {query: judged.queries[query] for query in judged.qrels}, {})
