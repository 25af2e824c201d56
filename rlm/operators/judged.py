"""What operators give back: a judgement for each record, who made it, and how much was covered."""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from types import MappingProxyType

from rlm.answers import Coverage, Interval
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.llm.port import SubFailure
from rlm.operators.packing import Refused
from rlm.usage import Usage

NOTHING_CUT: Mapping[int, float] = MappingProxyType({})


class JudgedBy(StrEnum):
    """Who said it."""

    MODEL = "model"
    CLASSIFIER = "classifier"
    NOBODY = "nobody"  # the call failed, or the budget did not cover it


@dataclass(frozen=True)
class Doubt:
    """How far counts by label may be off what the model would have said of every record, with a 95 % interval.

    `shift` is what to add to a label's count, `half_width` half of its interval's width. `agreement` is how often
    the classifier's labels that were taken agree with the model's, in its sample; `steadiness` how often the model
    agreed with itself when it read a record again with the labels in another order, or None if it read none again.
    """

    agreement: float = 1.0
    steadiness: float | None = None
    shift: Mapping[str, float] = field(default_factory=dict)
    half_width: Mapping[str, float] = field(default_factory=dict)

    def of_part(self, share: float) -> "Doubt":
        """Of a share of what the classifier labelled: single mistakes scatter, and fewer of them do so the more."""
        return replace(
            self,
            shift={label: each * share for label, each in self.shift.items()},
            half_width={label: each * share**0.5 for label, each in self.half_width.items()},
        )


@dataclass(frozen=True)
class Classification:
    """`labels[i]` is the label of `records[i]`, None where it has none, and `judged_by[i]` who gave it.

    `cut[i]` is the share of `records[i]` that the model was shown, its beginning, where that was not all of it.
    `refused` has how many went without a label, by the reason's code; `failure` is of the first call that failed.
    """

    records: Sequence[Handle]
    labels: Sequence[str | None]
    judged_by: Sequence[JudgedBy]
    coverage: Coverage
    doubt: Doubt = Doubt()
    usage: Usage = field(default_factory=Usage)
    refused: Mapping[str, int] = field(default_factory=dict)
    cut: Mapping[int, float] = field(default_factory=dict)
    failure: SubFailure | None = None

    def part(self, corpus: Corpus, places: Sequence[int]) -> "Classification":
        """Of the records at some places, where all have labels; what they cost is as of the whole.

        Of the classifier's mistakes they have their share.
        """
        chosen, cut = _chosen(self.records, self.cut, places)
        judged_by = [self.judged_by[place] for place in places]
        inferred = sum(by is JudgedBy.CLASSIFIER for by in self.judged_by)
        share = sum(by is JudgedBy.CLASSIFIER for by in judged_by) / inferred if inferred else 0.0
        labels = [self.labels[place] for place in places]
        return replace(
            self,
            records=chosen,
            labels=labels,
            judged_by=judged_by,
            coverage=covered(corpus, chosen, judged_by, 0, cut),
            doubt=self.doubt.of_part(share),
            cut=cut,
        )

    def counts(self) -> Counter[str]:
        """Records by label."""
        return self._counts.copy()

    @cached_property
    def _counts(self) -> Counter[str]:
        return Counter(label for label in self.labels if label is not None)

    @property
    def rests_on(self) -> str:
        """What is not certain of what is counted by these labels; empty where the model gave them all."""
        inferred, wrong = self.coverage.slices_inferred, 1 - self.doubt.agreement
        if not inferred:
            return ""
        return (
            f"A classifier gave {inferred:,} of the {len(self.records):,} labels that this rests on; in its "
            f"sample, {wrong:.1%} of such labels were not the model's."
        )

    def labelled(self, label: str) -> Iterator[Handle]:
        """The records with a label, in reading order."""
        return (record for record, given in zip(self.records, self.labels, strict=True) if given == label)

    def counted(self, labels: Collection[str], *, negated: bool = False) -> int:
        """How many records have one of some labels or, `negated`, another label than these."""
        among = sum(self._counts[label] for label in set(labels))
        return self._counts.total() - among if negated else among

    def estimate(self, *labels: str, negated: bool = False) -> tuple[int, Interval | None]:
        """What `counted` says, corrected for the classifier's mistakes, and its interval; exact ones have none.

        The half-widths of several labels add up: how their mistakes hang together is not kept, and no sum is wider.
        """
        counted = self.counted(labels, negated=negated)
        half = sum(self.doubt.half_width.get(label, 0.0) for label in set(labels))
        shift = sum(self.doubt.shift.get(label, 0.0) for label in set(labels))
        corrected = max(0.0, counted - shift if negated else counted + shift)
        missing = sum(given is None for given in self.labels)
        if not half and not missing:
            return counted, None
        low, high = max(0.0, corrected - half), min(len(self.records), corrected + half + missing)
        return round(corrected), Interval(round(low, 1), round(high, 1))


@dataclass(frozen=True)
class Extraction:
    """`values[i]` is what was taken out of `records[i]`, None where that failed; the rest as of a `Classification`."""

    records: Sequence[Handle]
    values: Sequence[Mapping[str, object] | None]
    coverage: Coverage
    usage: Usage = field(default_factory=Usage)
    refused: Mapping[str, int] = field(default_factory=dict)
    cut: Mapping[int, float] = field(default_factory=dict)
    failure: SubFailure | None = None

    def part(self, corpus: Corpus, places: Sequence[int]) -> "Extraction":
        """Of the records at some places, where all have values; what they cost is as of the whole."""
        chosen, cut = _chosen(self.records, self.cut, places)
        coverage = covered(corpus, chosen, [JudgedBy.MODEL] * len(chosen), 0, cut)
        return replace(
            self, records=chosen, values=[self.values[place] for place in places], coverage=coverage, cut=cut
        )


@dataclass(frozen=True)
class PairJudgement:
    """`held[i]` is whether the criterion holds of `pairs[i]`, None where nobody could say.

    `cut[i]` is the share of `pairs[i]` that the model was shown, where that was not all of both records; `refused` and
    `failure` as of a `Classification`.
    """

    pairs: Sequence[tuple[Handle, Handle]]
    held: Sequence[bool | None]
    usage: Usage = field(default_factory=Usage)
    refused: Mapping[str, int] = field(default_factory=dict)
    cut: Mapping[int, float] = field(default_factory=dict)
    failure: SubFailure | None = None


def _chosen(
    records: Sequence[Handle], cut: Mapping[int, float], places: Sequence[int]
) -> tuple[Sequence[Handle], Mapping[int, float]]:
    """The records at some places, and what is cut of these by their new places."""
    return [records[place] for place in places], {at: cut[place] for at, place in enumerate(places) if place in cut}


def covered(
    corpus: Corpus,
    records: Sequence[Handle],
    judged_by: Sequence[JudgedBy],
    refused: int,
    cut: Mapping[int, float] = NOTHING_CUT,
) -> Coverage:
    """Coverage of records that were judged one by one; `refused` of those that nobody judged had failed.

    Of a record that the model was shown a share of, as `cut` has it by the record's place, as much was read.
    """
    tokens: Counter[JudgedBy] = Counter()
    counted: Counter[JudgedBy] = Counter()
    read = 0
    for place, (record, by) in enumerate(zip(records, judged_by, strict=True)):
        size = max(1, corpus.tokens(record))
        tokens[by] += size
        counted[by] += 1
        if by is JudgedBy.MODEL:
            read += max(1, int(size * cut[place])) if place in cut else size
    return Coverage(
        tokens_in_scope=tokens.total(),
        tokens_read=read,
        slices=len(records),
        slices_read=counted[JudgedBy.MODEL],
        slices_inferred=counted[JudgedBy.CLASSIFIER],
        tokens_inferred=tokens[JudgedBy.CLASSIFIER],
        slices_failed=min(refused, counted[JudgedBy.NOBODY]),
        tokens_failed=tokens[JudgedBy.NOBODY] if refused else 0,
        unit="record",
    )


def judged_by_beginning(records: int) -> str:
    """How many records were shown to the model in part, in words."""
    return (
        "1 record was judged by its beginning"
        if records == 1
        else f"{records:,} records were judged by their beginning"
    )


def first_failure(refused: Mapping[int, Refused]) -> SubFailure | None:
    """Of the first record whose whole call failed."""
    return next((why.failure for why in refused.values() if why.failure is not None), None)


def reasons_refused(refused: Mapping[int, Refused], records_of: Counter[int]) -> dict[str, int]:
    """How many records went without a result, by the reason's code."""
    reasons: Counter[str] = Counter()
    for number, why in refused.items():
        reasons[why.code] += records_of[number]
    return dict(reasons)
