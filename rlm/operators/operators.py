"""The operators bound to a run: its corpus, its sub-calls, its encoder. Usable from Python, a plan and the loop.

Each is a generator that yields `Progress` and returns its result; `finish` runs one to its end.
"""

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from copy import copy
from itertools import islice
from typing import TypeVar

import numpy as np

from retrieval.embedding import Embedder
from rlm.cancelling import not_cancelled, require_wanted, unless_cancelled
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.llm.kept import AreKept, KeptSubCalls
from rlm.llm.port import SubCalls
from rlm.negation import negated
from rlm.operators.cascade import Cascaded, CascadeLimits, Reader, cascade
from rlm.operators.classifier import Matrix
from rlm.operators.extracting import ExtractingTask
from rlm.operators.inference import Inferences
from rlm.operators.judged import (
    Classification,
    Extraction,
    JudgedBy,
    PairJudgement,
    covered,
    first_failure,
    reasons_refused,
)
from rlm.operators.labels import LabelSet, label_set
from rlm.operators.packing import PackedTask, PackLimits, Progress, Text, ask_packed
from rlm.operators.reading import YES, YES_OR_NO, JudgingTask, LabelReader, SortingTask, Vectors
from rlm.operators.subjects import Projection, Subjects, whole
from rlm.operators.verdicts import VerdictReader, are_measured

# Of the longest texts that it reads, the bi-encoder on two cores takes a second for as many; vectors are the same.
_EMBEDDED_AT_ONCE = 128
# Records that the model reads itself though a classifier's labels for them are kept.
_SOON_READ = 100

Result = TypeVar("Result")
Working = Generator[Progress, None, Result]


def finish(working: Working[Result], told: Callable[[Progress], None] = lambda _: None) -> Result:
    """The result of an operator; `told` hears of its progress."""
    while True:
        try:
            told(next(working))
        except StopIteration as ended:
            result: Result = ended.value
            return result


class Operators:
    """Judge the records of one corpus. Records with the same text are judged once."""

    def __init__(
        self,
        corpus: Corpus,
        subcalls: SubCalls,
        embedder: Embedder | None = None,
        *,
        limits: PackLimits | None = None,
        cascade_limits: CascadeLimits | None = None,
        inferences: Inferences | None = None,
        weigh: bool = False,
        are_kept: AreKept | None = None,
        cancelled: Callable[[], bool] = not_cancelled,
    ) -> None:
        """`weigh` where the model's server tells how likely an answer is: see `ModelProfile.log_likelihoods`.

        `are_kept` knows whether replies are kept, for `of_kept`.
        """
        self._are_kept = are_kept
        self._corpus = corpus
        self._subcalls = subcalls
        self._embedder = embedder
        self._limits = limits or PackLimits()
        self._cascade_limits = cascade_limits or CascadeLimits()
        self._inferences = inferences or Inferences()
        self._weigh = weigh
        self._cancelled = cancelled

    def of_kept(self, records: int, part: int) -> "Operators | None":
        """The same, whose work raises `NotKeptError` where a reply is not kept; None where none ever is.

        Also None where a classifier would judge some of so many `records`, and the `part` of them that is asked about
        is soon read: the model is right more often.
        """
        covers = self._cascade_limits.covers
        if self._are_kept is None or (not covers(records) and covers(part) and part <= _SOON_READ):
            return None
        kept = copy(self)
        kept._subcalls = KeptSubCalls(self._subcalls, self._are_kept)
        return kept

    def classify(
        self,
        records: Sequence[Handle],
        labels: Mapping[str, str] | Sequence[str] | LabelSet,
        *,
        of: Projection = whole,
    ) -> Working[Classification]:
        """Sort each record into one of `labels`, names or names with definitions; `of` is the part that counts.

        Raises `ValueError` for fewer than two labels or a name that is there twice.
        """
        chosen = label_set(labels)
        return (yield from self._sort(records, chosen, SortingTask, of))

    def filter(
        self, records: Sequence[Handle], criterion: str, *, subject: str = "", of: Projection = whole
    ) -> Working[Classification]:
        """Answer a yes/no question about each record; the labels are "yes" and "no".

        `subject` says in a few words what is asked for, "a leak", where embeddings are compared with that.
        """
        embedder = self._embedder
        if self._weigh and embedder is not None and are_measured(embedder) and not negated(criterion):
            near = embedder.documents([subject or criterion]).vectors[0]

            def weighing(subjects: Subjects, vectors: Vectors | None) -> Reader:
                assert vectors is not None, "there is an encoder"
                return VerdictReader(
                    self._subcalls,
                    criterion,
                    near,
                    subjects.texts,
                    vectors,
                    limits=self._limits,
                    cancelled=self._cancelled,
                )

            return (yield from self._judge(records, YES_OR_NO, weighing, of))

        def task(labels: LabelSet) -> PackedTask:
            return JudgingTask(criterion, labels)

        return (yield from self._sort(records, YES_OR_NO, task, of))

    def pairs(
        self, candidates: Sequence[tuple[Handle, Handle]], criterion: str, *, of: Projection = whole
    ) -> Working[PairJudgement]:
        """Answer a yes/no question about each pair of records, such as "Do both report the same fault?".

        Candidates come from code (`aggregate.join`, `aggregate.pairs_that`): all pairs of n records are n²/2 questions.
        """
        records = sorted({each for pair in candidates for each in pair}, key=lambda each: (each.version_id, each.start))
        text_of = dict(zip(records, map(of, self._read(records)), strict=True))

        def texts(numbers: Sequence[int]) -> Iterator[Text]:
            pairs = (candidates[number] for number in numbers)
            return ((f"first: {text_of[one]}", f"second: {text_of[other]}") for one, other in pairs)

        asked = yield from ask_packed(
            self._subcalls,
            JudgingTask(criterion, YES_OR_NO, "pairs"),
            range(len(candidates)),
            texts,
            limits=self._limits,
            cancelled=self._cancelled,
        )
        verdicts = [asked.results.get(number) for number in range(len(candidates))]
        held = [None if verdict is None else verdict == YES for verdict in verdicts]
        refused = Counter(why.code for why in asked.refused.values())
        return PairJudgement(candidates, held, asked.usage, dict(refused), asked.cut, first_failure(asked.refused))

    def extract(
        self,
        records: Sequence[Handle],
        instruction: str,
        properties: Mapping[str, Mapping[str, object]],
        *,
        of: Projection = whole,
    ) -> Working[Extraction]:
        """Take values out of each record; `properties` are JSON schemas by name. Raises as `ExtractingTask`."""
        task = ExtractingTask(instruction, properties)
        subjects = Subjects(self._corpus, records, of, cancelled=self._cancelled)
        asked = yield from ask_packed(
            self._subcalls,
            task,
            range(len(subjects)),
            subjects.texts,
            limits=self._limits,
            lengthy=True,
            cancelled=self._cancelled,
        )
        found = [asked.results.get(number) for number in subjects.number_of]
        values = [each if isinstance(each, dict) else None for each in found]
        judged_by = [JudgedBy.NOBODY if each is None else JudgedBy.MODEL for each in values]
        refused = reasons_refused(asked.refused, Counter(subjects.number_of))
        cut = subjects.by_record(asked.cut)
        coverage = covered(self._corpus, records, judged_by, _failed(refused), cut)
        return Extraction(records, values, coverage, asked.usage, refused, cut, first_failure(asked.refused))

    def _sort(
        self,
        records: Sequence[Handle],
        labels: LabelSet,
        task: Callable[[LabelSet], PackedTask],
        of: Projection,
    ) -> Working[Classification]:
        def reading(subjects: Subjects, vectors: Vectors | None) -> Reader:
            return LabelReader(
                self._subcalls,
                task,
                labels,
                subjects.texts,
                vectors,
                self._label_vectors(labels),
                limits=self._limits,
                weigh=self._weigh,
                cancelled=self._cancelled,
            )

        return (yield from self._judge(records, labels, reading, of))

    def _judge(
        self,
        records: Sequence[Handle],
        labels: LabelSet,
        reader: Callable[[Subjects, Vectors | None], Reader],
        of: Projection,
    ) -> Working[Classification]:
        subjects = Subjects(self._corpus, records, of, cancelled=self._cancelled)

        def embed(numbers: Sequence[int]) -> Matrix:
            return self._embedded(subjects.texts(numbers))

        vectors = embed if self._embedder is not None else None
        copies = Counter(subjects.number_of)
        found = yield from cascade(
            reader(subjects, vectors),
            labels,
            copies,
            vectors,
            self._cascade_limits,
            digests=subjects.digests,
            inferences=self._inferences,
            cancelled=self._cancelled,
        )
        return self._classified(subjects, found, copies)

    def _read(self, handles: Iterable[Handle]) -> Iterator[str]:
        return unless_cancelled(self._corpus.read_all(handles), self._cancelled)

    def _embedded(self, texts: Iterator[str]) -> Matrix:
        """A row for each text; a run that is cancelled waits for no more than a portion of them."""
        assert self._embedder is not None
        portions: list[Matrix] = []
        while portion := list(islice(texts, _EMBEDDED_AT_ONCE)):
            require_wanted(self._cancelled)
            portions.append(self._embedder.documents(portion).vectors)
        return np.concatenate(portions) if portions else np.zeros((0, self._embedder.dimension), np.float32)

    def _label_vectors(self, labels: LabelSet) -> Matrix | None:
        """Of each label the mean of its name, its definition and both; None where they say nothing, as yes and no."""
        if self._embedder is None or labels == YES_OR_NO:
            return None
        ways = ([label.line for label in labels.labels], [label.name for label in labels.labels])
        vectors = [self._embedder.documents(texts).vectors for texts in ways]
        defined = [label.definition or label.name for label in labels.labels]
        total = sum(vectors, self._embedder.documents(defined).vectors)
        mean: Matrix = total / np.linalg.norm(total, axis=1, keepdims=True)
        return mean

    def _classified(self, subjects: Subjects, found: Cascaded, copies: Counter[int]) -> Classification:
        read = found.read
        labels = [read.labels.get(number) or found.inferred.get(number) for number in subjects.number_of]
        judged_by = [_judge_of(number, found) for number in subjects.number_of]
        refused = reasons_refused(read.refused, copies)
        cut = subjects.by_record(read.cut)
        coverage = covered(self._corpus, subjects.records, judged_by, _failed(refused), cut)
        failure = first_failure(read.refused)
        return Classification(
            subjects.records, labels, judged_by, coverage, found.doubt, read.usage, refused, cut, failure
        )


def _judge_of(number: int, found: Cascaded) -> JudgedBy:
    if number in found.read.labels:
        return JudgedBy.MODEL
    return JudgedBy.CLASSIFIER if number in found.inferred else JudgedBy.NOBODY


def _failed(refused: Mapping[str, int]) -> int:
    """Records whose calls failed; those that the budget left out were not tried."""
    return sum(count for code, count in refused.items() if code != "budget_exhausted")
