"""The operators, bound to a run's corpus, sub-calls and encoder. Used in Python, by plans and by the loop.

Each operator is a generator that yields `OperatorProgress` and returns its result; `run_operator` runs one to its end.
"""

import hashlib
from array import array
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any, TypeVar

import numpy as np

from retrieval.encoders.port import Embedder
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.errors import iter_unless_cancelled, not_cancelled, require_not_cancelled
from rlm.llm.budgets import Usage
from rlm.llm.port import BatchedSubCalls
from rlm.llm.profiles import ModelProfile
from rlm.operators.cascade import EVERY_RECORD, CascadeLimits, CascadeResult, Matrix, run_cascade
from rlm.operators.judged import (
    Classification,
    CountUncertainty,
    Extraction,
    JudgementSource,
    PairJudgement,
    compute_coverage,
)
from rlm.operators.packing import OperatorProgress, PackLimits, RecordReader, RecordResults, Texts
from rlm.operators.tasks import (
    YES,
    YES_OR_NO,
    ClassifyTask,
    ExtractTask,
    FilterTask,
    JointTask,
    QuotedResult,
    build_label_set,
    wrap_task,
)
from rlm.requests import AnswerOptions

# Maximum number of texts that are embedded before the run checks for cancellation. Embedding them takes about a second
# on two cores.
_EMBED_BATCH = 128
Result = TypeVar("Result")
Working = Generator[OperatorProgress, None, Result]
RecordTask = ClassifyTask | FilterTask | ExtractTask


class DistinctTexts:
    """The distinct texts of some records, numbered from 0 in order of appearance.

    Texts are loaded on demand.

    Creating the object reads every record, and raises `RunCancelledError` if the run was cancelled. `number_of[i]` is
    the number of the text of record `i`.
    """

    def __init__(self, count: int, texts: Texts, *, cancelled: Callable[[], bool] = not_cancelled) -> None:
        self._texts = texts
        self._first = array("L")
        self.number_of = array("L")
        numbers: dict[bytes, int] = {}
        for place, text in iter_unless_cancelled(enumerate(texts(range(count))), cancelled):
            digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            number = numbers.setdefault(digest, len(numbers))
            if number == len(self._first):
                self._first.append(place)
            self.number_of.append(number)

    def __len__(self) -> int:
        return len(self._first)

    @property
    def copies(self) -> Counter[int]:
        return Counter(self.number_of)

    def iter_texts(self, numbers: Sequence[int]) -> Iterator[str]:
        return self._texts([self._first[number] for number in numbers])


def run_operator(
    generator: Working[Result], on_progress: Callable[[OperatorProgress], None] = lambda _: None
) -> Result:
    """Run an operator to its end and return its result. `on_progress` is called with each progress report."""
    while True:
        try:
            on_progress(next(generator))
        except StopIteration as ended:
            result: Result = ended.value
            return result


class Operators:
    """Judges the records of one corpus.

    Records with the same text are judged only once. Long records are read completely, in parts.

    If a method accepts `texts`, they replace the text of the records, for example with a table row and its column
    names. With `quoting`, the model is also asked for the words that support each result. With `partial`, the texts are
    passages of the records: the label can then also be `NOT_FOUND`, and the model itself judges every record.
    """

    def __init__(
        self,
        corpus: Corpus,
        subcalls: BatchedSubCalls,
        embedder: Embedder | None = None,
        *,
        limits: PackLimits | None = None,
        cascade_limits: CascadeLimits | None = None,
        cancelled: Callable[[], bool] = not_cancelled,
    ) -> None:
        self._corpus = corpus
        self._embedder = embedder
        self.limits = limits or PackLimits()
        self.cascade_limits = cascade_limits or (EVERY_RECORD if embedder is None else CascadeLimits())
        self._asker = RecordReader(subcalls, self.limits, cancelled)
        self._cancelled = cancelled

    @classmethod
    def from_request(
        cls,
        corpus: Corpus,
        calls: BatchedSubCalls,
        profile: ModelProfile,
        embedder: Embedder | None,
        options: AnswerOptions,
        *,
        cancelled: Callable[[], bool],
    ) -> "Operators":
        """Return the operators for a request. If the caller asked for it, the model reads every record."""
        limits, cascade_limits = PackLimits.from_profile(profile), EVERY_RECORD if options.every_record else None
        return cls(corpus, calls, embedder, limits=limits, cascade_limits=cascade_limits, cancelled=cancelled)

    def classify(
        self,
        records: Sequence[Handle],
        labels: Mapping[str, str] | Sequence[str],
        *,
        instruction: str = "",
        texts: Texts | None = None,
        with_quotes: bool = False,
        partial: bool = False,
    ) -> Working[Classification]:
        """Assign each record to one of `labels` according to `instruction`.

        `labels` are names, or names with definitions. Raises `ValueError` for fewer than two labels or a duplicate
        name.
        """
        task = ClassifyTask(build_label_set(labels), instruction)
        return (yield from self._classify_texts(records, task, texts, with_quotes=with_quotes, partial=partial))

    def filter(
        self,
        records: Sequence[Handle],
        criterion: str,
        *,
        texts: Texts | None = None,
        with_quotes: bool = False,
        partial: bool = False,
    ) -> Working[Classification]:
        """Answer a yes/no question about each record. The labels are "yes" and "no"."""
        task = FilterTask(criterion)
        return (yield from self._classify_texts(records, task, texts, with_quotes=with_quotes, partial=partial))

    def extract(
        self,
        records: Sequence[Handle],
        instruction: str,
        properties: Mapping[str, Mapping[str, object]],
        *,
        texts: Texts | None = None,
        with_quotes: bool = False,
        partial: bool = False,
    ) -> Working[Extraction]:
        """Extract values from each record. `properties` are JSON schemas keyed by name.

        Raises the same errors as `ExtractTask`.
        """
        task = ExtractTask(instruction, properties)
        return (yield from self._extract_values(records, task, texts, with_quotes=with_quotes, partial=partial))

    def judge(
        self,
        records: Sequence[Handle],
        task: RecordTask,
        *,
        texts: Texts | None = None,
        with_quotes: bool = False,
        partial: bool = False,
    ) -> Working[Classification | Extraction]:
        """Do a task for each record, as `classify`, `filter` and `extract` do."""
        if isinstance(task, ExtractTask):
            return (yield from self._extract_values(records, task, texts, with_quotes=with_quotes, partial=partial))
        return (yield from self._classify_texts(records, task, texts, with_quotes=with_quotes, partial=partial))

    def judge_together(
        self,
        records: Sequence[Handle],
        tasks: Mapping[str, RecordTask],
        *,
        texts: Texts | None = None,
        with_quotes: bool = False,
        partial: bool = False,
    ) -> Working[dict[str, Classification | Extraction]]:
        """Do several tasks for each record in the same calls: the model reads each record once.

        Returns the report of each task. The first report has the usage of all. No classifier is used.
        """
        task = JointTask(tasks, partial=partial, quoting=with_quotes)
        distinct = self._build_distinct_texts(records, texts)
        fitting = max(1, self.limits.output_tokens // task.result_tokens)
        limits = replace(self.limits, records=min(self.limits.records, fitting))
        reader = replace(self._asker, limits=limits)
        asked = yield from reader.ask_about_records(task, range(len(distinct)), distinct.iter_texts)
        reports: dict[str, Classification | Extraction] = {}
        for name, each in tasks.items():
            own = RecordResults(refused=asked.refused, usage=Usage() if reports else asked.usage)
            own.results = {at: found[name] for at, found in asked.results.items() if isinstance(found, dict)}
            words = _extract_supporting_words(own)
            quoted = words if with_quotes else None
            if isinstance(each, ExtractTask):
                reports[name] = self._build_extraction(records, own, quoted, distinct)
            else:
                found = CascadeResult(own, {}, CountUncertainty())
                reports[name] = self._build_classification(records, found, quoted, distinct)
        return reports

    def judge_pairs(self, candidates: Sequence[tuple[Handle, Handle]], criterion: str) -> Working[PairJudgement]:
        """Answer a yes/no question about each pair of records, such as "Do both report the same fault?".

        The calling code supplies the candidate pairs, because comparing all pairs of n records would take about n²/2
        questions. A record that is too long to be shown next to another is first read completely, and is replaced by
        the notes on it.
        """
        task = FilterTask(criterion, "pairs")
        records = sorted({each for pair in candidates for each in pair})
        own = self._build_record_texts(records)
        half = self._asker.limits.record_chars // 2
        notes = yield from self._asker.shorten_texts(task, range(len(records)), own, half)
        place = {record: number for number, record in enumerate(records)}
        lost = {
            number: notes.refused[place[each]]
            for number, pair in enumerate(candidates)
            for each in pair
            if place[each] in notes.refused
        }

        def show_record(record: Handle) -> str:
            return str(notes.results.get(place[record]) or self._corpus.load_text(record))

        def iter_pair_texts(numbers: Sequence[int]) -> Iterator[str]:
            pairs = (candidates[number] for number in numbers)
            return (f"first: {show_record(one)} second: {show_record(other)}" for one, other in pairs)

        left = [number for number in range(len(candidates)) if number not in lost]
        asked = RecordResults(refused=lost, usage=notes.usage)
        asked.add_results((yield from self._asker.ask_about_records(task, left, iter_pair_texts)))
        said = [asked.results.get(number) for number in range(len(candidates))]
        return PairJudgement(
            pairs=candidates,
            held=[None if each is None else each == YES for each in said],
            usage=asked.usage,
            refused=Counter(why.code for why in asked.refused.values()),
            failure=asked.failure,
        )

    def _extract_values(
        self,
        records: Sequence[Handle],
        task: ExtractTask,
        texts: Texts | None,
        *,
        with_quotes: bool,
        partial: bool,
    ) -> Working[Extraction]:
        wrapped = wrap_task(task, quoting=with_quotes, partial=partial)
        distinct = self._build_distinct_texts(records, texts)
        asked = yield from self._asker.ask_about_records(wrapped, range(len(distinct)), distinct.iter_texts)
        words = _extract_supporting_words(asked)
        return self._build_extraction(records, asked, words if with_quotes else None, distinct)

    def _classify_texts(
        self,
        records: Sequence[Handle],
        task: ClassifyTask | FilterTask,
        texts: Texts | None,
        *,
        with_quotes: bool,
        partial: bool,
    ) -> Working[Classification]:
        distinct = self._build_distinct_texts(records, texts)
        wrapped = wrap_task(task, quoting=with_quotes, partial=partial)
        words: dict[int, str] = {}

        def read(numbers: Sequence[int]) -> Working[RecordResults]:
            asked = yield from self._asker.ask_about_records(wrapped, numbers, distinct.iter_texts)
            words.update(_extract_supporting_words(asked))
            return asked

        def embed(numbers: Sequence[int]) -> Matrix:
            return self._embed_texts(distinct.iter_texts(numbers))

        found = yield from run_cascade(
            read,
            list(YES_OR_NO if isinstance(task, FilterTask) else task.labels),
            distinct.copies,
            embed if self._embedder is not None else None,
            EVERY_RECORD if partial else self.cascade_limits,
            cancelled=self._cancelled,
        )
        return self._build_classification(records, found, words if with_quotes else None, distinct)

    def _build_classification(
        self,
        records: Sequence[Handle],
        cascade_result: CascadeResult,
        words: Mapping[int, str] | None,
        distinct_texts: DistinctTexts,
    ) -> Classification:
        """Return the report on labels. `words` support the labels of texts, or are None if they were not requested."""
        found, numbers = cascade_result, distinct_texts.number_of
        said = {number: str(label) for number, label in found.asked.results.items()}
        authors = dict.fromkeys(found.inferred, JudgementSource.CLASSIFIER) | dict.fromkeys(said, JudgementSource.MODEL)
        judged_by = [authors.get(number, JudgementSource.NOBODY) for number in numbers]
        by_number = found.inferred | said
        given = [by_number.get(number) for number in numbers]
        report = self._build_report_fields(records, judged_by, found.asked, distinct_texts)
        return Classification(labels=given, doubt=found.doubt, quotes=_list_quotes(words, numbers), **report)

    def _build_extraction(
        self,
        records: Sequence[Handle],
        record_results: RecordResults,
        words: Mapping[int, str] | None,
        distinct_texts: DistinctTexts,
    ) -> Extraction:
        """Return the report on values. `words` are as in `_build_classification`."""
        numbers = distinct_texts.number_of
        found = [record_results.results.get(number) for number in numbers]
        values = [each if isinstance(each, dict) else None for each in found]
        judged_by = [JudgementSource.NOBODY if each is None else JudgementSource.MODEL for each in values]
        report = self._build_report_fields(records, judged_by, record_results, distinct_texts)
        return Extraction(values=values, quotes=_list_quotes(words, numbers), **report)

    def _build_report_fields(
        self,
        records: Sequence[Handle],
        judged_by: Sequence[JudgementSource],
        record_results: RecordResults,
        distinct_texts: DistinctTexts,
    ) -> dict[str, Any]:
        """Return the fields that reports on records have in common.

        Records without a result are counted by reason code.
        """
        refused, copies = Counter[str](), distinct_texts.copies
        for number, why in record_results.refused.items():
            refused[why.code] += copies[number]
        return {
            "records": records,
            "judged_by": judged_by,
            "coverage": compute_coverage(self._corpus, records, judged_by, refused),
            "usage": record_results.usage,
            "refused": dict(refused),
            "failure": record_results.failure,
        }

    def _build_distinct_texts(self, records: Sequence[Handle], texts: Texts | None) -> DistinctTexts:
        return DistinctTexts(len(records), texts or self._build_record_texts(records), cancelled=self._cancelled)

    def _build_record_texts(self, records: Sequence[Handle]) -> Texts:
        def read(numbers: Sequence[int]) -> Iterator[str]:
            texts = self._corpus.iter_texts(records[number] for number in numbers)
            return iter_unless_cancelled(texts, self._cancelled)

        return read

    def _embed_texts(self, texts: Iterator[str]) -> Matrix:
        """Return one row per text. A cancelled run waits for at most one batch to be embedded."""
        assert self._embedder is not None, "embedding requires an encoder"
        portions: list[Matrix] = []
        while portion := list(islice(texts, _EMBED_BATCH)):
            require_not_cancelled(self._cancelled)
            portions.append(self._embedder.embed_documents(portion).vectors)
        return np.concatenate(portions) if portions else np.zeros((0, self._embedder.dimension), np.float32)


def _list_quotes(words: Mapping[int, str] | None, numbers: Sequence[int]) -> Sequence[str]:
    return () if words is None else [words.get(number, "") for number in numbers]


def _extract_supporting_words(record_results: RecordResults) -> dict[int, str]:
    """Remove the supporting words from the results and return the words, keyed by record number."""
    quoted = {number: each for number, each in record_results.results.items() if isinstance(each, QuotedResult)}
    record_results.results |= {number: each.result for number, each in quoted.items()}
    return {number: each.words for number, each in quoted.items() if each.words}
