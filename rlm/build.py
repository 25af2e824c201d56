"""What exhaustive answers are made of in a deployment: the documents of a scope, and an encoder for their records."""

from collections.abc import Callable, Sequence

from ingest.texts import Texts
from retrieval.embedding import Embedder
from rlm.cancelling import not_cancelled
from rlm.chains.strategy import ChainStrategy
from rlm.contrasts import Contrasts
from rlm.corpus.corpus import ActiveDocuments, Corpus, open_corpus
from rlm.errors import NotExhaustiveError, SandboxUnavailableError
from rlm.estimates import Estimate, estimate
from rlm.exhaustive import ExhaustiveStrategy
from rlm.llm.budgets import Budget
from rlm.llm.cache import ReplyCache
from rlm.llm.kept import kept_by
from rlm.llm.port import SubCalls
from rlm.llm.profiles import ModelProfile
from rlm.loop.loop import Workspace
from rlm.loop.strategy import RecursiveStrategy
from rlm.loop.toolbox import Search
from rlm.loop.trajectory import Told, untold
from rlm.nearest import LOOKED_AT, cosines, nearest_first
from rlm.operators.cascade import EVERY_RECORD, CascadeLimits
from rlm.operators.inference import Inferences
from rlm.operators.operators import Operators
from rlm.operators.packing import PackLimits
from rlm.operators.verdicts import are_measured
from rlm.plan.plan import Count, Filter, Plan
from rlm.requests import AnswerScope
from rlm.retrieving import PASSAGES
from rlm.routing import Route
from rlm.runs.port import ONCE, Durability
from rlm.sandbox.port import Sandbox
from rlm.strategy import Retriever, Strategy


class Library:
    """Opens corpora, and makes the strategy that reads one of them from end to end."""

    def __init__(
        self,
        catalog: ActiveDocuments,
        texts: Texts,
        embedder: Embedder | None = None,
        sandbox: Sandbox | None = None,
        replies: ReplyCache | None = None,
    ) -> None:
        self._catalog = catalog
        self._texts = texts
        self._embedder = embedder
        self._sandbox = sandbox
        self._replies = replies

    def corpus(self, scope: AnswerScope, durability: Durability = ONCE) -> Corpus:
        """The documents of a scope as they are now, or as they were when a run began."""
        return open_corpus(durability.documents(self._catalog), self._texts, scope)

    def operators(
        self,
        corpus: Corpus,
        calls: SubCalls,
        profile: ModelProfile,
        cancelled: Callable[[], bool],
        *,
        every_record: bool = False,
    ) -> Operators:
        """The operators over a corpus, bound to a run's calls; with `every_record`, no classifier judges any."""
        encoder = self._embedder.fingerprint if self._embedder else ""
        return Operators(
            corpus,
            calls,
            self._embedder,
            limits=pack_limits(profile),
            cascade_limits=_limits(every_record),
            inferences=Inferences(self._replies, corpus.tenant_id, encoder),
            weigh=profile.log_likelihoods,
            are_kept=kept_by(self._replies, corpus.tenant_id, profile) if self._replies else None,
            cancelled=cancelled,
        )

    def nearest(self, retrieve: Callable[[int], Retriever]) -> Retriever:
        """A search whose passages come by their nearest sentence; `retrieve` makes one that finds so many."""
        if self._embedder is None:
            return retrieve(PASSAGES)
        return nearest_first(retrieve(LOOKED_AT), self._embedder, top_k=PASSAGES)

    def chain(self, retrieve: Retriever, calls: SubCalls, profile: ModelProfile, otherwise: Strategy) -> ChainStrategy:
        """A strategy over what `retrieve` finds; without an encoder, sentences are compared by their words alone."""

        return ChainStrategy(
            retrieve, self._near, calls, profile.name, weigh=profile.log_likelihoods, otherwise=otherwise
        )

    def contrasts(self, calls: SubCalls, profile: ModelProfile, cancelled: Callable[[], bool]) -> Contrasts | None:
        """Comparisons of sentences by the model's likelihoods; None where its server does not tell them."""
        if self._embedder is None or not profile.log_likelihoods:
            return None
        return Contrasts(calls, self._near, cancelled=cancelled)

    def _near(self, questions: Sequence[str], texts: Sequence[str]) -> Sequence[float]:
        if self._embedder is None:
            return [0.0] * len(texts)
        return [float(each) for each in cosines(questions, texts, self._embedder)]

    def estimate(
        self,
        route: Route,
        profile: ModelProfile,
        *,
        every_record: bool = False,
        cancelled: Callable[[], bool] = not_cancelled,
    ) -> Estimate:
        """Of a plan that the model is still to fill in, what one question about every record would cost."""
        if route.layout is None or route.corpus is None:
            return Estimate()
        return estimate(
            route.plan or Plan(route.layout.records.splitting, Count(), (Filter("whether it is meant"),)),
            route.layout,
            route.corpus,
            profile,
            pack=pack_limits(profile),
            cascade=_limits(every_record or self._embedder is None),
            weigh=self.weighs(profile),
            cancelled=cancelled,
        )

    def weighs(self, profile: ModelProfile) -> bool:
        """Whether labels are weighed by likelihoods and embeddings, and not asked for."""
        return profile.log_likelihoods and self._embedder is not None

    def weighs_verdicts(self, profile: ModelProfile) -> bool:
        """The same of yes and no, which takes the encoder that this was measured with."""
        return profile.log_likelihoods and self._embedder is not None and are_measured(self._embedder)

    def exhaustive(
        self,
        route: Route,
        calls: SubCalls | None,
        profile: ModelProfile | None,
        cancelled: Callable[[], bool],
        *,
        every_record: bool = False,
    ) -> ExhaustiveStrategy:
        """The strategy of a route. Raises `NotExhaustiveError` where it takes a language model and there is none."""
        assert route.corpus is not None
        if calls is None or profile is None:
            if route.plan is None or route.plan.steps:
                raise NotExhaustiveError(
                    "Judging records takes a language model, and there is none.",
                    hint="Set LEADLINE_LLM, or ask about what the records have written.",
                )
            return ExhaustiveStrategy(route.corpus, None, None, "none", layout=route.layout)
        operators = self.operators(route.corpus, calls, profile, cancelled, every_record=every_record)
        return ExhaustiveStrategy(route.corpus, operators, calls, profile.name, layout=route.layout)

    def recursive(
        self,
        corpus: Corpus,
        search: Callable[[Corpus], Search],
        bind: Callable[[Budget], SubCalls],
        budget: Budget,
        profile: ModelProfile,
        cancelled: Callable[[], bool],
        *,
        every_record: bool = False,
        told: Told = untold,
        tells_time: bool = False,
    ) -> RecursiveStrategy:
        """A run over a corpus; `bind` makes the sub-calls of it and of its parts. Raises `SandboxUnavailableError`."""
        if self._sandbox is None:
            raise SandboxUnavailableError("This process has no sandbox.")
        workspace = Workspace(
            corpus=corpus,
            subcalls=bind(budget),
            profile=profile,
            sandbox=self._sandbox,
            operators=lambda part, calls: self.operators(part, calls, profile, cancelled, every_record=every_record),
            search=search,
            budget=budget,
            bind=bind,
            tells_time=tells_time,
        )
        return RecursiveStrategy(workspace, told=told)


def _limits(every_record: bool) -> CascadeLimits:
    return EVERY_RECORD if every_record else CascadeLimits()


def pack_limits(profile: ModelProfile) -> PackLimits:
    """As many records a call as the model's profile says, and a slice of their text."""
    return PackLimits(profile.batch_items, max(500, profile.slice_tokens), profile.max_output_tokens)
