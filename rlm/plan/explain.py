"""A plan in words, before it runs, and what became of it, after: the same plan gives the same sentences."""

from collections.abc import Iterator, Sequence

from rlm.corpus.records import SplitBy, Splitting
from rlm.operators.judged import Classification, judged_by_beginning
from rlm.operators.table import Condition
from rlm.plan.executor import Executed
from rlm.plan.plan import (
    Aggregation,
    Classify,
    Compare,
    Count,
    CountGroups,
    Extract,
    Filter,
    JudgePairs,
    Key,
    Listing,
    Measure,
    Pairs,
    Plan,
    Rank,
    RecordPairs,
    Step,
    Unit,
)

_CUTS = {
    SplitBy.LINE: "Take each line that looks like a record",
    SplitBy.START: "Take what begins at each match of {pattern} as a record",
    SplitBy.SEPARATOR: "Take what stands between matches of {pattern} as a record",
    SplitBy.CHUNK: "Take each passage as a record",
    SplitBy.DOCUMENT: "Take each document as a record",
}


def explain(plan: Plan) -> tuple[str, ...]:
    """One sentence a step, in order."""
    return tuple(_sentences(plan))


def account(plan: Plan, done: Executed) -> tuple[str, ...]:
    """What was done, with numbers; how far labels can be trusted, where a model or a classifier gave them."""
    return tuple(_done(plan, done))


def _sentences(plan: Plan) -> Iterator[str]:
    yield f"{_cut(plan.splitting)}."
    if plan.where:
        yield f"Keep those with {_conditions(plan.where)}."
    for step in plan.steps:
        yield _step(step, plan.text_column)
    yield f"{_aggregation(plan.answer)}, in code."


def _cut(splitting: Splitting) -> str:
    return _CUTS[splitting.by].format(pattern=splitting.pattern)


def _step(step: Step, text_column: str | None) -> str:
    of = f" by its {text_column}" if text_column else ""
    match step:
        case Classify(labels):
            return f"Sort each{of} into one of {len(labels.names)} labels: {', '.join(labels.names)}."
        case Filter(criterion):
            return f"Ask of each{of}: {criterion}"
        case Extract(instruction, properties):
            return f"Take {', '.join(properties)} out of each{of}: {instruction}"
        case JudgePairs(criterion, key):
            return f"Ask of each pair{f' with the same {_key(key)}' if key else ''}{of}: {criterion}"


def _aggregation(answer: Aggregation) -> str:
    where = f" with {_conditions(answer.where)}" if answer.where else ""
    match answer:
        case Count():
            return f"Count the records{where}"
        case Rank(key, _, rank, least):
            order = f"number {rank} by " if rank > 1 else ""
            return f"Find the {_key(key)} that is {order}{'fewest' if least else 'most'} in records{where}"
        case Compare(one, other):
            return f"Compare the number of records with {_conditions(one)} and with {_conditions(other)}"
        case CountGroups(key, _, _, first):
            return f"{'Find the first' if first else 'Count each'} {_key(key)} whose records{where} are as asked"
        case Pairs(key):
            return f"List pairs by {_key(key)} whose records{where} are as asked"
        case RecordPairs():
            return f"List the pairs of records{where}"
        case Listing(_, column):
            return f"List the {f'values of {column} in ' if column else ''}records{where}"
        case Measure(column, what):
            return f"Compute the {what} of {column} over records{where}"


def _done(plan: Plan, done: Executed) -> Iterator[str]:
    total = len(done.rows) + done.dropped
    left = f"; {done.left_out:,} other pieces of text are none" if done.left_out else ""
    yield f"{_cut(plan.splitting)}: {total:,} records{left}."
    if plan.where:
        yield f"{len(done.rows):,} of them have {_conditions(plan.where)}."
    for step in plan.steps:
        yield _step(step, plan.text_column)
    for found in done.classifications.values():
        yield from _trust(found)
    if done.cut:
        yield f"{judged_by_beginning(done.cut)}: no more of one fits a call."
    judged = "pairs of records" if isinstance(plan.answer, RecordPairs) else "records"
    for code, count in done.refused.items():
        yield f"{count:,} {judged} have no result: {code.replace('_', ' ')}."
    yield f"{_aggregation(plan.answer)}, in code."
    yield from plan.notes


def _trust(found: Classification) -> Iterator[str]:
    inferred = found.coverage.slices_inferred
    if inferred:
        yield (
            f"The model read {found.coverage.slices_read:,} records; a classifier that learned from them labelled "
            f"{inferred:,} others, and agreed with the model on {found.doubt.agreement:.1%} of its sample where it was "
            "as sure."
        )
    if found.doubt.steadiness is not None:
        yield (
            f"Of the records that were in doubt and read again, {found.doubt.steadiness:.0%} got the same label. "
            "The model's own mistakes are in no interval."
        )


def _conditions(conditions: Sequence[Condition]) -> str:
    return " and ".join(map(str, conditions)) or "anything"


def _key(key: Key) -> str:
    return key.column if key.unit is Unit.VALUE else f"{key.unit.value} of {key.column}"
