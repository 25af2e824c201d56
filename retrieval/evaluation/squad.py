"""Questions about paragraphs in the format of SQuAD (Rajpurkar et al., EMNLP 2016).

The folder's one `*.json` file has `data`, a list of articles with `paragraphs`, each with its `context` and `qas`, each
with an `id` and a `question`. The paragraph under which a question stands answers it; those marked `is_impossible` are
answered by none, so they are left out. Other members are ignored.
"""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from retrieval.errors import EvaluationDataError
from retrieval.evaluation.beir import CorpusEntry

_HINT = "SQuAD's format is one JSON file of articles, paragraphs and questions; see retrieval/evaluation/squad.py."


class SquadFolder:
    """A folder with one file of SQuAD-format data, read at once.

    Paragraphs have their number as id, from 1. `queries` and `qrels` are as in `BeirFolder`. Raises
    `EvaluationDataError` for a file that is missing or has another format.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.corpus_file = _only_file(folder)
        self._paragraphs: dict[str, CorpusEntry] = {}
        queries: dict[str, str] = {}
        qrels: dict[str, Mapping[str, int]] = {}
        for title, context, questions in _paragraphs(self.corpus_file):
            identifier = str(len(self._paragraphs) + 1)
            self._paragraphs[identifier] = CorpusEntry(identifier, title, context)
            for question, text in questions.items():
                queries[question], qrels[question] = text, MappingProxyType({identifier: 1})
        if not qrels:
            raise EvaluationDataError(f"{self.corpus_file} holds no question.", hint=_HINT)
        self.queries: Mapping[str, str] = MappingProxyType(queries)
        self.qrels: Mapping[str, Mapping[str, int]] = MappingProxyType(qrels)

    def corpus(self) -> Iterator[CorpusEntry]:
        """Every paragraph, in the file's order."""
        yield from self._paragraphs.values()


def _only_file(folder: Path) -> Path:
    files = sorted(folder.glob("*.json"))
    if len(files) != 1:
        raise EvaluationDataError(f"{folder} has {len(files)} JSON files, and SQuAD's format is one.", hint=_HINT)
    return files[0]


def _paragraphs(path: Path) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Title, text and questions by id of each paragraph."""
    try:
        content: Any = json.loads(path.read_text(encoding="utf-8-sig"))
        for article in content["data"]:
            for paragraph in article["paragraphs"]:
                asked = (each for each in paragraph["qas"] if not each.get("is_impossible"))
                questions = {str(each["id"]): str(each["question"]).strip() for each in asked}
                yield str(article.get("title") or "").replace("_", " "), str(paragraph["context"]), questions
    except OSError as error:
        raise EvaluationDataError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EvaluationDataError(f"{path} is not SQuAD's format ({error!r}).", hint=_HINT) from error
