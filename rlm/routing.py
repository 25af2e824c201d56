"""Which strategy answers a question, and why; and whether the caller has to be asked first.

A question goes to the exhaustive strategy only where its shape is plain and the documents in scope are records of the
kind that it asks about; everything else is read for directly, which costs least. A caller may force either.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from rlm.budgets import Limits
from rlm.chains.links import PROPERTY, descriptions
from rlm.corpus.corpus import Corpus
from rlm.corpus.records import SplitBy
from rlm.errors import NotExhaustiveError, RunTooLargeError
from rlm.estimates import Estimate
from rlm.negation import negated
from rlm.plan.executor import require_few_pairs
from rlm.plan.judging import noun_judged
from rlm.plan.layout import Layout, look
from rlm.plan.plan import Filter, JudgePairs, Plan, RecordPairs
from rlm.plan.rules import plan_by_rules
from rlm.plan.shapes import RECORDS
from rlm.plan.wording import take_apart
from rlm.strategies import never
from rlm.strategy_names import StrategyName


@dataclass(frozen=True)
class Wanted:
    """How a caller wants an answer made. `confirm` says that the cost is accepted, `budget` the most it may be;
    `every_record` has the model read all records of a large body, where else a classifier labels what it is sure of."""

    strategy: StrategyName = StrategyName.AUTO
    confirm: bool = False
    budget: Limits | None = None
    every_record: bool = False

    @property
    def limits(self) -> Limits | None:
        """The budget; None where it limits nothing, which says nothing."""
        return None if self.budget == Limits() else self.budget


ANYHOW = Wanted()


@dataclass(frozen=True)
class Route:
    """The strategy and why it was chosen; what was found out on the way is kept for it."""

    strategy: StrategyName
    reason: str
    corpus: Corpus | None = None
    layout: Layout | None = None
    plan: Plan | None = None


# Questions that look as if they asked about many records; the rest is not worth looking at the documents for.
_ABOUT_MANY = re.compile(
    r"\bhow many\b|\b(?:most|least)[ -](?:common|frequent|often)\b|\b(?:which|what) [\w ]{2,30} (?:has|have|had) the\b"
    r"|\b(?:more|less) (?:common|frequent) than\b|\bare there (?:more|fewer)\b|\bpairs of\b"
    r"|\b(?:list|find|name|count) (?:all|every|each)\b"
    r"|\bfirst month\b|\bless common\b|\b(?:is|was|are|were) the (?:total|sum|average|mean)\b",
    re.IGNORECASE,
)
# Questions that no few passages answer, and for which a model that programs well may look around on its own.
_OPEN_ENDED = re.compile(
    r"\b(?:compare|contrast|summari[sz]e|trace|reconstruct|timeline|chronology)\b|\bacross (?:all|the|these)\b"
    r"|\b(?:over|through) (?:time|the years)\b",
    re.IGNORECASE,
)
# A thing that is only described, on which another fact hangs ("the designer of the crossing that is guarded by lions"):
# no passage says both. Of 1,190 XQuAD questions, which one paragraph answers, five look so, and eight have two
# descriptions, one in the other.
_CHAIN = re.compile(
    r"(?<=\w )(?:of|by|under|(?:that|who|which|whom) \w+) the (?:[\w-]+ ){1,4}?"
    r"(?:that|who|whose|(?:\w+ )?wh(?:ich|om|ere))\b",
    re.IGNORECASE,
)
_ASKS_A_PROPERTY = re.compile(rf"\b{PROPERTY} $", re.IGNORECASE)
# Questions about everything, whatever the documents look like; those about records may ask for the most common, too,
# which of prose may be one fact ("the most common cause of scurvy").
_ABOUT_ALL = re.compile(
    r"\b(?:list|find|name|count) (?:all|every|each)\b|\bhow many (?:different|distinct)\b|\bpairs of\b", re.IGNORECASE
)
# "Which of the letters that …" is about letters, and asks for nothing that hangs on one.
_AMONG = re.compile(
    r"\b(?:all|any|both|each|every|few|half|how many|many|most|none|one|pairs|several|some|which|who|\d+) $",
    re.IGNORECASE,
)
# Below this, passages are much of it anyway.
_WORTH_A_RUN_TOKENS = 20_000


def route(
    question: str,
    wanted: Wanted,
    open_corpus: Callable[[], Corpus],
    *,
    can_judge: bool,
    can_program: bool = False,
    can_weigh: bool = False,
    cancelled: Callable[[], bool] = never,
) -> Route:
    """`can_judge` is whether there is a language model, `can_program` whether it writes code well, `can_weigh` whether
    its yes or no of a record is weighed. A forced strategy is taken as it is."""
    if wanted.strategy is not StrategyName.AUTO:
        return _forced(question, wanted.strategy, open_corpus, cancelled)
    if can_program and (shape := _shape(question)):
        corpus = open_corpus()
        if corpus.size.tokens >= _WORTH_A_RUN_TOKENS:
            reason = f"Recursive: {shape} {corpus.size.tokens:,} tokens, and the model programs."
            return Route(StrategyName.RECURSIVE, reason, corpus)
    if can_judge and _asks_for_a_chain(question):
        return Route(StrategyName.CHAIN, "Chain: the question asks for facts that hang on one another.")
    if not _ABOUT_MANY.search(take_apart(question).asked):
        return Route(StrategyName.DIRECT, "Direct: a few passages can answer the question.")
    corpus = open_corpus()
    layout = look(corpus, cancelled=cancelled)
    plan = plan_by_rules(question, layout)
    if plan is None or not layout.records.handles:
        return _unplanned(question, corpus, layout, "no plan over records has the shape of the question", can_program)
    if plan.steps and not can_judge:
        return Route(StrategyName.DIRECT, "Direct: judging records takes a language model, and there is none.")
    if _guessed(question, plan, layout, can_program, can_weigh):
        return _unplanned(
            question, corpus, layout, "the documents are no list of what the question counts", can_program
        )
    try:
        require_few_pairs(plan, corpus, layout.records, cancelled)
    except NotExhaustiveError as error:
        return _unplanned(question, corpus, layout, error.detail.rstrip("."), can_program)
    number = len(layout.records)
    reason = f"Exhaustive: the question is about all of {number:,} records, and its answer is computed from them."
    return Route(StrategyName.EXHAUSTIVE, reason, corpus, layout, plan)


def _unplanned(question: str, corpus: Corpus, layout: Layout, why: str, can_program: bool) -> Route:
    """Where no rule leads to a plan: a model that programs finds its own way through much text."""
    tokens = corpus.size.tokens
    about_all = _ABOUT_ALL if layout.records.splitting.by is SplitBy.CHUNK else _ABOUT_MANY
    if can_program and tokens >= _WORTH_A_RUN_TOKENS and about_all.search(take_apart(question).asked):
        reason = f"Recursive: the question is about all of {tokens:,} tokens, {why}, and the model programs."
        return Route(StrategyName.RECURSIVE, reason, corpus)
    return Route(StrategyName.DIRECT, f"Direct: {why}.")


def _forced(
    question: str, strategy: StrategyName, open_corpus: Callable[[], Corpus], cancelled: Callable[[], bool]
) -> Route:
    reason = f"{strategy.capitalize()}, as asked."
    if strategy is StrategyName.EXHAUSTIVE:
        corpus = open_corpus()
        layout = look(corpus, cancelled=cancelled)
        return Route(strategy, reason, corpus, layout, plan_by_rules(question, layout))
    return Route(strategy, reason, open_corpus() if strategy is StrategyName.RECURSIVE else None)


def require_confirmation(estimate: Estimate, wanted: Wanted) -> None:
    """Raises `RunTooLargeError` with the estimate where a run is large and the caller has said nothing about it."""
    if estimate.large and not wanted.confirm and wanted.limits is None:
        raise RunTooLargeError(estimate.sentence())


def _shape(question: str) -> str:
    """In words, what of a question asks for more than a few passages; empty for one that does not."""
    if _OPEN_ENDED.search(question):
        return "the question is about"
    return "the question asks for a chain of facts in" if _asks_for_a_chain(question) else ""


def _asks_for_a_chain(question: str) -> bool:
    before = [question[: match.start()] for match in _CHAIN.finditer(question)]
    linked = [each for each in before if not (_ASKS_A_PROPERTY.search(each) or _AMONG.search(each))]
    return bool(linked) or len(descriptions(take_apart(question).asked)) > 1


def _guessed(question: str, plan: Plan, layout: Layout, can_program: bool, can_weigh: bool) -> bool:
    """Whether a yes/no question would be asked about records that nobody spoke of: "How many ships are in the bay?".

    A small model says no to nearly all of them: where its likelihoods are not weighed, it is asked only of records that
    are called by a word for such. Of pairs, and of what something is not, they do not tell.
    """
    if not any(isinstance(step, Filter | JudgePairs) for step in plan.steps):
        return False
    noun = noun_judged(take_apart(question).asked)
    called = not can_program and re.fullmatch(RECORDS, noun, re.IGNORECASE) is not None
    meant = called or ((can_program or can_weigh) and layout.counts(noun))
    beyond = isinstance(plan.answer, RecordPairs) or (can_weigh and negated(take_apart(question).asked))
    return plan.splitting.by is SplitBy.CHUNK or not meant or (beyond and not can_program)
