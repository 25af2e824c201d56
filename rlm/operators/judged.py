"""The results of operators: a judgement for each record, the source of each judgement, and the coverage."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from ingest.storage.remarks import Remark
from rlm.answers import Coverage, Interval
from rlm.corpus.corpus import Corpus
from rlm.corpus.handles import Handle
from rlm.llm.budgets import Usage
from rlm.llm.port import SubFailure


class JudgementSource(StrEnum):
    """The source of a record's label or value."""

    MODEL = "model"
    CLASSIFIER = "classifier"
    NOBODY = "nobody"  # The call for this record failed, or the budget did not cover it.


@dataclass(frozen=True)
class CountUncertainty:
    """The uncertainty of counts by label, compared to counts if the model had judged every record.

    `shift` is the correction to a label's count, and `half_width` is half the width of the count's 95 % confidence
    interval. `agreement` is how often the classifier's accepted labels agree with the model's labels in the sample.
    """

    agreement: float = 1.0
    shift: Mapping[str, float] = field(default_factory=dict)
    half_width: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class JudgementReport:
    """The fields that the reports of all operators have in common.

    `refused` counts records without a result, by reason code. `failure` is the failure of the first call that failed.
    `quotes[i]` contains the words that, according to the model, support its result for record i, or is empty.
    """

    usage: Usage = field(default_factory=Usage)
    refused: Mapping[str, int] = field(default_factory=dict)
    failure: SubFailure | None = None
    quotes: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class Classification(JudgementReport):
    """Labels of records.

    `labels[i]` is the label of `records[i]`, or None, and `judged_by[i]` is the label's source.
    """

    records: Sequence[Handle]
    labels: Sequence[str | None]
    judged_by: Sequence[JudgementSource]
    coverage: Coverage
    doubt: CountUncertainty = CountUncertainty()

    @cached_property
    def counts(self) -> Counter[str]:
        return Counter(label for label in self.labels if label is not None)

    @property
    def classifier_note(self) -> Remark | None:
        """A note for users on the fraction of labels that a classifier gave. None if the model gave every label."""
        inferred = self.coverage.units_inferred
        if not inferred:
            return None
        differing = round(100 * (1 - self.doubt.agreement), 1)
        return Remark("classifier_labels", inferred=inferred, labels=len(self.records), differing=differing)

    def compute_interval(self, positions: Sequence[int], *, missing_count: int = 0) -> Interval | None:
        """Return the confidence interval of a count of the records at `positions`, or None for an exact count. The
        classifier's errors are assumed to be spread evenly over the records with the same label. The half-widths of
        several labels are added, because the correlation of their errors is unknown and this is the worst case.
        `missing_count` is the number of records without a label that may also belong to the count.
        """
        here = Counter(self.labels[at] for at in positions if self.judged_by[at] is JudgementSource.CLASSIFIER)
        if not here and not missing_count:
            return None
        pairs = zip(self.labels, self.judged_by, strict=True)
        everywhere = Counter(label for label, by in pairs if by is JudgementSource.CLASSIFIER)
        shift = half = 0.0
        for label, count in here.items():
            share = count / everywhere[label]
            shift += self.doubt.shift.get(label or "", 0.0) * share
            half += self.doubt.half_width.get(label or "", 0.0) * share**0.5
        low, high = len(positions) + shift - half, len(positions) + shift + half + missing_count
        return Interval(round(max(0.0, min(low, len(positions))), 1), round(max(high, len(positions)), 1))


@dataclass(frozen=True, kw_only=True)
class Extraction(JudgementReport):
    """Values extracted from records. `values[i]` belongs to `records[i]`, and is None if the extraction failed."""

    records: Sequence[Handle]
    values: Sequence[Mapping[str, object] | None]
    judged_by: Sequence[JudgementSource]
    coverage: Coverage


@dataclass(frozen=True, kw_only=True)
class PairJudgement(JudgementReport):
    """Judgements of pairs. `held[i]` is true if the criterion holds for `pairs[i]`, and None if this is unknown."""

    pairs: Sequence[tuple[Handle, Handle]]
    held: Sequence[bool | None]


def compute_coverage(
    corpus: Corpus, records: Sequence[Handle], judged_by: Sequence[JudgementSource], refusal_counts: Mapping[str, int]
) -> Coverage:
    """Return the coverage of records that were judged one by one.

    Records that were skipped because of the budget were not tried, so they do not count as failed.
    """
    tokens: Counter[JudgementSource] = Counter()
    counted: Counter[JudgementSource] = Counter(judged_by)
    for record, by in zip(records, judged_by, strict=True):
        tokens[by] += max(1, corpus.estimate_tokens(record))
    failed = sum(count for code, count in refusal_counts.items() if code != "budget_exhausted")
    return Coverage(
        tokens_in_scope=tokens.total(),
        tokens_read=tokens[JudgementSource.MODEL],
        tokens_searched=tokens[JudgementSource.CLASSIFIER],
        units=len(records),
        units_read=counted[JudgementSource.MODEL],
        units_inferred=counted[JudgementSource.CLASSIFIER],
        units_failed=min(failed, counted[JudgementSource.NOBODY]),
        unit="record",
    )
