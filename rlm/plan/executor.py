"""Runs a plan over a corpus: cut, keep, judge, compute. Only judging asks a model; the rest is exact."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from rlm.answers import Coverage, Usage
from rlm.corpus.cancelling import unless_cancelled
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.corpus.lines import fields
from rlm.corpus.records import Records, split
from rlm.errors import BudgetExhaustedError, NotExhaustiveError
from rlm.operators.judged import Classification, Extraction, JudgedBy, PairJudgement, covered
from rlm.operators.operators import Operators, Working, finish
from rlm.operators.packing import Progress
from rlm.operators.subjects import Projection, whole
from rlm.operators.table import Row, keep
from rlm.plan.plan import Classify, Extract, Filter, JudgePairs, Plan, Step, columns_named
from rlm.plan.record_pairs import MOST_PAIRS, number_of_pairs, pairs_of
from rlm.strategies import never
from rlm.subcalls.kept import NotKeptError
from rlm.subcalls.port import SubFailure

# All records are looked at for what is kept of them where they are few, or not many times those asked about.
_FEW, _TIMES_A_PART = 1_000, 50

_OfRecords = Classify | Filter | Extract


@dataclass(frozen=True)
class Executed:
    """The rows that a plan's answer is computed from, and how they came about.

    `classifications` are keyed by their column; `pairs` are the places of rows of which a criterion holds together.
    `dropped` records did not meet the plan's conditions on written fields and were not judged; `left_out` pieces of the
    corpus are no records; `cut` records were judged by their beginning. `refused` has how many records, or pairs, went
    without a result, by the reason's code; `failure` is of the first call that failed. `verdicts` were given on records
    or pairs in all.
    """

    rows: Sequence[Row]
    coverage: Coverage
    dropped: int
    left_out: int
    usage: Usage = field(default_factory=Usage)
    classifications: Mapping[str, Classification] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    cut: int = 0
    failure: SubFailure | None = None
    pairs: Sequence[tuple[int, int]] = ()
    verdicts: int = 0


@dataclass
class _Judged:
    """What has become of each row so far: who judged it, None for one that no step was about."""

    by: list[JudgedBy | None]
    usage: Usage = field(default_factory=Usage)
    classifications: dict[str, Classification] = field(default_factory=dict)
    refused: Counter[str] = field(default_factory=Counter)
    cut: dict[int, float] = field(default_factory=dict)
    failure: SubFailure | None = None
    pairs: list[tuple[int, int]] = field(default_factory=list)
    verdicts: int = 0

    def spend(self, result: Classification | Extraction | PairJudgement) -> None:
        self.usage += result.usage
        self.refused.update(result.refused)
        self.failure = self.failure or result.failure

    def take(self, rows: Sequence[Row], result: Classification | Extraction, step: Step) -> None:
        """Puts what was found into the rows; a record counts as read when every step had a result for it."""
        self.spend(result)
        self._shown(result.cut)
        if isinstance(result, Classification):
            self.classifications[_column(step)] = result
        for at, row in enumerate(rows):
            if isinstance(result, Classification):
                label, by = result.labels[at], result.judged_by[at]
                row.values.update({} if label is None else {_column(step): label})
            else:
                values = result.values[at]
                by = JudgedBy.NOBODY if values is None else JudgedBy.MODEL
                row.values.update({} if values is None else _written(values))
            self._note(at, by)

    def take_pairs(self, places: Sequence[tuple[int, int]], result: PairJudgement) -> None:
        """A record counts as read when all its pairs were judged."""
        self.spend(result)
        for number, share in result.cut.items():
            lengths = [len(record) for record in result.pairs[number]]
            self._shown(dict(zip(places[number], _shares(lengths, share), strict=True)))
        for pair, held in zip(places, result.held, strict=True):
            for at in pair:
                self._note(at, JudgedBy.NOBODY if held is None else JudgedBy.MODEL)
            if held:
                self.pairs.append(pair)

    def _note(self, at: int, by: JudgedBy) -> None:
        self.verdicts += by is not JudgedBy.NOBODY
        if self.by[at] is None or (by is not JudgedBy.MODEL and self.by[at] is not JudgedBy.NOBODY):
            self.by[at] = by

    def _shown(self, shares: Mapping[int, float]) -> None:
        self.cut |= {at: min(share, self.cut.get(at, share)) for at, share in shares.items() if share < 1}

    def coverage(self, corpus: Corpus, handles: Sequence[Handle]) -> Coverage:
        """Of the records that a step was about."""
        failed = sum(n for code, n in self.refused.items() if code != BudgetExhaustedError.code)
        about = {at: by for at, by in enumerate(self.by) if by is not None}
        cut = {place: self.cut[at] for place, at in enumerate(about) if at in self.cut}
        return covered(corpus, [handles[at] for at in about], list(about.values()), failed, cut)


def execute(
    plan: Plan,
    corpus: Corpus,
    operators: Operators | None,
    *,
    records: Records | None = None,
    cancelled: Callable[[], bool] = never,
) -> Working[Executed]:
    """Yields `Progress`. `records` are those of the corpus, where somebody cut it as the plan says already.

    Raises what splitting raises, `NotExhaustiveError` for too many pairs, and `RunCancelledError`; failures of single
    calls are in the result.
    """
    if records is None or records.splitting != plan.splitting:
        records = split(corpus, plan.splitting, cancelled=cancelled)
    yield Progress("split", len(records), len(records))
    chosen = list(rows_kept(plan, corpus, records, cancelled=cancelled))
    handles = [row.handle for row in chosen]
    project = projection(plan, records)
    judged = _Judged([None if plan.steps else JudgedBy.NOBODY] * len(chosen))
    for step in plan.steps:
        if operators is None:
            raise NotExhaustiveError("Judging records takes a language model, and there is none.")
        if isinstance(step, JudgePairs):
            places = pairs_of(chosen, step.key)
            candidates = [(handles[one], handles[other]) for one, other in places]
            judged.take_pairs(places, (yield from operators.pairs(candidates, step.criterion, of=project)))
        else:
            result = yield from _judge(step, operators, handles, records.handles, corpus, project)
            judged.take(chosen, result, step)
    return Executed(
        rows=chosen,
        coverage=judged.coverage(corpus, handles),
        dropped=len(records) - len(chosen),
        left_out=records.left_out_count,
        usage=judged.usage,
        classifications=judged.classifications,
        refused=judged.refused,
        cut=len(judged.cut),
        failure=judged.failure,
        pairs=judged.pairs,
        verdicts=judged.verdicts,
    )


def _shares(lengths: Sequence[int], share: float) -> list[float]:
    """Of each of two records, the share that was shown, where it is known of both together; the shorter is cut last."""
    shown = share * sum(lengths)
    shorter = min(*lengths, shown / 2)
    return [min(1.0, (shown - shorter if length == max(lengths) else shorter) / max(1, length)) for length in lengths]


def _judge(
    step: _OfRecords,
    operators: Operators,
    handles: Sequence[Handle],
    all_handles: Sequence[Handle],
    corpus: Corpus,
    project: Projection,
) -> Working[Classification | Extraction]:
    """Of a part of the records what was found of all, where that is kept: it costs nothing, and adds up with it."""
    few = len(all_handles) <= max(_FEW, _TIMES_A_PART * len(handles))
    kept = operators.of_kept(len(all_handles), len(handles)) if few and 0 < len(handles) < len(all_handles) else None
    if kept is not None:
        with suppress(NotKeptError):
            whole = finish(_run(step, kept, all_handles, project))  # it waits for no model
            if not whole.refused:
                place_of = {handle: place for place, handle in enumerate(all_handles)}
                return whole.part(corpus, [place_of[handle] for handle in handles])
    return (yield from _run(step, operators, handles, project))


def _run(
    step: _OfRecords, operators: Operators, handles: Sequence[Handle], project: Projection
) -> Working[Classification | Extraction]:
    match step:
        case Classify(labels):
            return (yield from operators.classify(handles, labels, of=project))
        case Filter(criterion, subject=subject):
            return (yield from operators.filter(handles, criterion, subject=subject, of=project))
        case Extract(instruction, properties):
            return (yield from operators.extract(handles, instruction, properties, of=project))


def _column(step: Step) -> str:
    return step.column if isinstance(step, Classify | Filter) else ""


def _written(values: Mapping[str, object]) -> dict[str, str]:
    return {name: str(value) for name, value in values.items() if value is not None}


def rows_kept(plan: Plan, corpus: Corpus, records: Records, *, cancelled: Callable[[], bool] = never) -> Iterator[Row]:
    """The records that meet a plan's conditions on written fields. Raises `RunCancelledError`."""
    return keep(_rows(corpus, records, plan, cancelled), plan.where)


def _rows(corpus: Corpus, records: Records, plan: Plan, cancelled: Callable[[], bool]) -> Iterator[Row]:
    """Rows with the fields that the plan names; of the others, such as a long text that is judged, nothing is kept."""
    named = columns_named(plan)
    read = zip(records.handles, corpus.read_all(records.handles), strict=True)
    for handle, text in unless_cancelled(read, cancelled):
        written = fields(text, records.columns) if named else {}
        yield Row(handle, {name: value for name, value in written.items() if name in named})


def require_few_pairs(
    plan: Plan, corpus: Corpus, records: Records, cancelled: Callable[[], bool] = never, *, most: int = MOST_PAIRS
) -> None:
    """Of a plan that judges pairs. Raises `NotExhaustiveError` where they are more than `most`."""
    for step in plan.steps:
        if isinstance(step, JudgePairs):
            rows = list(rows_kept(plan, corpus, records, cancelled=cancelled))
            number_of_pairs(rows, step.key, most=most)


def _named(text: str, *, columns: Sequence[str]) -> str:
    """A table's row as nobody can misread it: what `c2` is stands far above it."""
    return "; ".join(f"{name}: {value}" for name, value in fields(text, columns).items()) or text


def projection(plan: Plan, records: Records) -> Projection:
    """The part of a record that a plan judges; all of one that lacks it, with the names of its cells if it is a row."""
    column = plan.text_column
    if column is None:
        return partial(_named, columns=records.columns) if records.columns else whole
    return lambda text: fields(text, records.columns).get(column) or text
