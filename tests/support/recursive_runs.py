"""Runs of the loop with a scripted root model."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ingest.storage.tables.places import Location
from ingest.storage.tables.store import RecordTables
from rlm.answers import Draft
from rlm.checking.checker import locate_citations
from rlm.corpus.corpus import Corpus
from rlm.events import Drafted, Turn
from rlm.llm.budgets import Budget, Limits
from rlm.llm.port import SubCalls, SubFailure
from rlm.llm.profiles import ModelProfile
from rlm.loop.environment import Environment
from rlm.loop.strategy import RecursiveStrategy
from rlm.operators.operators import Operators
from rlm.requests import DEFAULT_OPTIONS, AnswerScope
from rlm.sandbox.port import Sandbox
from rlm.strategy import Context
from tests.fakes.rule_subcalls import RuleSubCalls
from tests.fakes.scripted_root import ScriptedRoot
from tests.support.contexts import TODAY
from tests.support.corpora import corpus_of

PROFILE = ModelProfile("scripted", context_tokens=16_000, max_output_tokens=1_000, max_depth=1, writes_code=True)
QUESTION = "When was the treaty signed?"
TREATY = "# The treaty\n\nThe treaty of Ryswick was signed in 1697. It ended the Nine Years' War.\n"
SIGNED = "The treaty of Ryswick was signed in 1697."
SHIPS = "\n".join(f"Ship {n}: built in {1700 + n}, {'lost' if n % 3 == 0 else 'sold'}" for n in range(1, 31))
SUBMIT = f'submit("{SIGNED} [1]", ["{SIGNED}"])'


def environment(
    sandbox: Sandbox,
    calls: SubCalls,
    *documents: str,
    tables: RecordTables | None = None,
    **more: Any,  # noqa: ANN401
) -> Environment:
    made = Environment(
        corpus=corpus_of(*(documents or (TREATY, SHIPS)), tables=tables),
        calls=calls,
        profile=PROFILE,
        sandbox=sandbox,
        operators=Operators,
        today=TODAY,
    )
    return replace(made, **more)


def context(given: Environment, question: str = QUESTION) -> Context:
    def nothing(query: str, top_k: int) -> list[Any]:
        return []

    return Context(
        question=question,
        queries=(),
        scope=AnswerScope("ann"),
        wanted=DEFAULT_OPTIONS,
        profile=given.profile,
        calls=given.calls,
        search=nothing,
        corpus=lambda: given.corpus,
        nonce=lambda: "0" * 16,
        today=TODAY,
        cancelled=given.cancelled,
    )


def drafted(given: Environment, question: str = QUESTION) -> Draft:
    """The draft that the strategy ends with."""
    *_, last = RecursiveStrategy(given).stream(context(given, question))
    assert isinstance(last, Drafted)
    return last.draft


def quotes(draft: Draft) -> list[str]:
    """What the draft's citations quote, by number."""
    return [each.quote for each in locate_citations(draft, lambda *_: Location())[1]]


class Both:
    """The root says what is written for it, and its operators' calls follow a rule."""

    def __init__(self, root: ScriptedRoot, rule: Callable[[str], object]) -> None:
        self.root, self.rules = root, RuleSubCalls(rule)

    def run(self, calls: Any, **options: Any) -> Any:  # noqa: ANN401
        return (self.root if calls and calls[0].purpose == "root" else self.rules).run(calls, **options)

    def stream(self, call: Any, **options: Any) -> Any:  # noqa: ANN401
        raise NotImplementedError


class Asked:
    """A draft and how it came about."""

    def __init__(
        self,
        sandbox: Sandbox,
        *script: str | SubFailure,
        documents: tuple[str, ...] = (),
        budget: Budget | None = None,
        rule: Callable[[str], object] | None = None,
        question: str = QUESTION,
        **more: Any,  # noqa: ANN401
    ) -> None:
        self.root = ScriptedRoot(*script)
        self.turns: list[Turn] = []
        calls: SubCalls = self.root if rule is None else Both(self.root, rule)
        given = environment(
            sandbox, calls, *documents, budget=budget or Budget(Limits()), told=self.turns.append, **more
        )
        self.corpus: Corpus = given.corpus
        self.draft = drafted(given, question)

    @property
    def shown(self) -> str:
        """What the root model saw last."""
        return self.root.prompts[-1]

    @property
    def calls(self) -> int:
        """Cells, and sub-calls of cells."""
        return len(self.root.prompts) + sum(turn.subcalls for turn in self.turns)
