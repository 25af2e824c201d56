"""Runs of the loop with a scripted root model."""

from typing import Any

from rlm.answers import Answer
from rlm.llm.budgets import Budget
from rlm.llm.port import SubFailure
from rlm.llm.profiles import ModelProfile
from rlm.loop.loop import Workspace
from rlm.loop.strategy import RecursiveStrategy
from rlm.loop.trajectory import Turn
from rlm.operators.operators import Operators
from rlm.sandbox.port import Sandbox
from tests.fakes.scripted_root import ScriptedRoot
from tests.support.corpora import corpus_of

PROFILE = ModelProfile("scripted", context_tokens=16_000, max_output_tokens=1_000, max_depth=1, writes_code=True)
TREATY = "# The treaty\n\nThe treaty of Ryswick was signed in 1697. It ended the Nine Years' War.\n"
SHIPS = "\n".join(f"Ship {n}: built in {1700 + n}, {'lost' if n % 3 == 0 else 'sold'}" for n in range(1, 31))
SUBMIT = 'submit("The treaty of Ryswick was signed in 1697.", ["The treaty of Ryswick was signed in 1697."])'


def workspace(sandbox: Sandbox, root: ScriptedRoot, *documents: str, **more: Any) -> Workspace:  # noqa: ANN401
    return Workspace(
        corpus=corpus_of(*(documents or (TREATY, SHIPS))),
        subcalls=root,
        profile=PROFILE,
        sandbox=sandbox,
        operators=Operators,
        **more,
    )


class Asked:
    """An answer and how it came about."""

    def __init__(
        self,
        sandbox: Sandbox,
        *script: str | SubFailure,
        documents: tuple[str, ...] = (),
        budget: Budget | None = None,
    ) -> None:
        self.root = ScriptedRoot(*script)
        self.turns: list[Turn] = []
        space = workspace(sandbox, self.root, *documents, budget=budget)
        self.answer: Answer = RecursiveStrategy(space, told=self.turns.append).answer("When was the treaty signed?")

    @property
    def shown(self) -> str:
        """What the root model saw last."""
        return self.root.prompts[-1]
