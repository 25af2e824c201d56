"""What operators give back: a judgement for each record, who made it, and how much was covered."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from rlm.answers import Coverage, Interval
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.llm.port import SubFailure
from rlm.usage import Usage


class JudgedBy(StrEnum):
    """Who gave a record its label or value."""

    MODEL = "model"
    CLASSIFIER = "classifier"
    NOBODY = "nobody"  # the call failed, or the budget did not cover it


@dataclass(frozen=True)
class Doubt:
    """How far counts by label may be off what the model would have said of every record, with a 95 % interval.

    `shift` is what to add to a label's count, `half_width` half of its interval's width. `agreement` is how often the
    labels of the classifier that were taken agree with the model's in its sample.
    """

    agreement: float = 1.0
    shift: Mapping[str, float] = field(default_factory=dict)
    half_width: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Judged:
    """What every operator reports. `refused` counts the records without a result by the reason's code, and `failure`
    is of the first call that failed."""

    usage: Usage = field(default_factory=Usage)
    refused: Mapping[str, int] = field(default_factory=dict)
    failure: SubFailure | None = None


@dataclass(frozen=True, kw_only=True)
class Classification(Judged):
    """`labels[i]` is the label of `records[i]`, None where it has none, and `judged_by[i]` who gave it."""

    records: Sequence[Handle]
    labels: Sequence[str | None]
    judged_by: Sequence[JudgedBy]
    coverage: Coverage
    doubt: Doubt = Doubt()

    @cached_property
    def counts(self) -> Counter[str]:
        return Counter(label for label in self.labels if label is not None)

    @property
    def rests_on(self) -> str:
        """For people: how much of this a classifier said; empty where the model gave every label."""
        inferred = self.coverage.units_inferred
        if not inferred:
            return ""
        return (
            f"A classifier gave {inferred:,} of the {len(self.records):,} labels that this rests on; in its "
            f"sample, {1 - self.doubt.agreement:.1%} of such labels were not the model's."
        )

    def interval(self, places: Sequence[int], *, missing: int = 0) -> Interval | None:
        """The range of a count of the records at some places, counted because of their labels; None for an exact one.

        Of the classifier's mistakes with a label they have the share that they have of the records it gave that label.
        The half-widths of several labels add up: how their mistakes hang together is not known, and no sum is wider.
        `missing` records without a label may belong to the count as well.
        """
        here = Counter(self.labels[at] for at in places if self.judged_by[at] is JudgedBy.CLASSIFIER)
        if not here and not missing:
            return None
        pairs = zip(self.labels, self.judged_by, strict=True)
        everywhere = Counter(label for label, by in pairs if by is JudgedBy.CLASSIFIER)
        shift = half = 0.0
        for label, count in here.items():
            share = count / everywhere[label]
            shift += self.doubt.shift.get(label or "", 0.0) * share
            half += self.doubt.half_width.get(label or "", 0.0) * share**0.5
        low, high = len(places) + shift - half, len(places) + shift + half + missing
        return Interval(round(max(0.0, min(low, len(places))), 1), round(max(high, len(places)), 1))


@dataclass(frozen=True, kw_only=True)
class Extraction(Judged):
    """`values[i]` is what was taken out of `records[i]`, None where that failed."""

    records: Sequence[Handle]
    values: Sequence[Mapping[str, object] | None]
    judged_by: Sequence[JudgedBy]
    coverage: Coverage


@dataclass(frozen=True, kw_only=True)
class PairJudgement(Judged):
    """`held[i]` is whether the criterion holds of `pairs[i]`, None where nobody could say."""

    pairs: Sequence[tuple[Handle, Handle]]
    held: Sequence[bool | None]


def covered(
    corpus: Corpus, records: Sequence[Handle], judged_by: Sequence[JudgedBy], refused: Mapping[str, int]
) -> Coverage:
    """Sum up records that were judged one by one; those that a budget left out were not tried and did not fail."""
    tokens: Counter[JudgedBy] = Counter()
    counted: Counter[JudgedBy] = Counter(judged_by)
    for record, by in zip(records, judged_by, strict=True):
        tokens[by] += max(1, corpus.tokens(record))
    failed = sum(count for code, count in refused.items() if code != "budget_exhausted")
    return Coverage(
        tokens_in_scope=tokens.total(),
        tokens_read=tokens[JudgedBy.MODEL],
        tokens_searched=tokens[JudgedBy.CLASSIFIER],
        units=len(records),
        units_read=counted[JudgedBy.MODEL],
        units_inferred=counted[JudgedBy.CLASSIFIER],
        units_failed=min(failed, counted[JudgedBy.NOBODY]),
        unit="record",
    )
