"""The port of sub-calls: prompts in, replies or typed failures out, in order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from rlm.answers import Usage
from rlm.errors import AnswerError
from rlm.strategies import never


@dataclass(frozen=True)
class Context:
    """A text that a prompt goes on with, how answers begin (`lead`), and their rests, whose likelihood is asked for."""

    text: str
    continuations: tuple[str, ...]
    lead: str = ""


@dataclass(frozen=True)
class SubCall:
    """One request. `system` and the beginning of `prompt` are the same over a batch, so that prefix caching works.

    `schema` is the JSON schema that the reply must follow, or None for free text. `purpose` names the operator or tool
    that asks (`classify`, `llm_query`, …): it is shown in trajectories and is no part of what is cached.

    With `contexts` nothing is written: see `rlm.subcalls.likelihoods`.
    """

    system: str
    prompt: str
    max_tokens: int
    schema: Mapping[str, object] | None = None
    purpose: str = "llm_query"
    contexts: tuple[Context, ...] = ()

    @property
    def content(self) -> tuple[object, ...]:
        """Everything that decides what is answered, as JSON values."""
        contexts = [[each.text, each.lead, list(each.continuations)] for each in self.contexts]
        return (self.system, self.prompt, self.max_tokens, self.schema, *([contexts] if contexts else ()))


@dataclass(frozen=True)
class SubReply:
    """What the model answered. `cached` replies cost nothing; their `usage` is that of the call that paid."""

    text: str
    usage: Usage
    cached: bool = False


@dataclass(frozen=True)
class SubFailure:
    """A call that has no reply: `code` is that of a `LeadlineError`, `detail` a sentence without internals.

    `error` is what was raised, with its hint and when to come again; None where it came out of a log.
    """

    code: str
    detail: str
    usage: Usage = field(default_factory=Usage)
    error: AnswerError | None = field(default=None, compare=False, repr=False)


Finished = Callable[[int, SubReply | SubFailure], None]


def ignore(position: int, result: SubReply | SubFailure) -> None:
    """Nobody waits for single results."""


class SubCalls(Protocol):
    """Bound to one run: its tenant, model, budget and cache."""

    def run(
        self, calls: Sequence[SubCall], *, cancelled: Callable[[], bool] = never, finished: Finished = ignore
    ) -> Sequence[SubReply | SubFailure]:
        """One result for each call, in the order of `calls`; a call that fails never takes another with it.

        `finished` is told each call's position and result as soon as there is one, in any thread and before `run`
        returns, so that a long batch is logged call by call. What it raises ends the batch and is raised here.

        What the budget does not cover is not sent and comes back as `SubFailure("budget_exhausted")`. Raises
        `RunCancelledError` soon after `cancelled` says so; requests in flight are given up.
        """
