"""A run whose time ends in the middle of a cell."""

import time
from collections.abc import Iterator, Sequence

import pytest

from rlm.answers import AnswerStatus, Draft
from rlm.llm.budgets import Budget, Limits
from rlm.llm.port import SubCall, SubFailure, SubReply
from rlm.sandbox.build import build_sandbox
from rlm.sandbox.port import Sandbox, SandboxIsolation, SandboxLimits
from tests.fakes.scripted_root import ScriptedRoot, in_code
from tests.support.recursive_runs import SIGNED as SAID
from tests.support.recursive_runs import drafted, environment

DRAFT = f'draft("{SAID}", ["{SAID}"])'


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    made = build_sandbox(SandboxIsolation.PLAIN, SandboxLimits(cell_seconds=3_600.0, grace_seconds=0.3))
    yield made
    made.close()


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


class StartedClock(Clock):
    """A clock that stands still until it is started."""

    _begun: float | None = None

    def start(self) -> None:
        self._begun = time.monotonic()

    def __call__(self) -> float:
        return 0.0 if self._begun is None else time.monotonic() - self._begun


class Setting(ScriptedRoot):
    """Sub-models that take some time to answer, by the clock of the budget."""

    def __init__(self, clock: Clock, seconds: float, *script: str) -> None:
        super().__init__(*script)
        self._clock, self._seconds = clock, seconds

    def run(self, calls: Sequence[SubCall], **options: object) -> Sequence[SubReply | SubFailure]:
        if calls[0].purpose != "root":
            self._clock.now += self._seconds
        return super().run(calls)


def answer(
    sandbox: Sandbox, *cells: str, takes: float, seconds: float = 10.0, documents: Sequence[str] = (SAID,)
) -> Draft:
    clock = Clock()
    root = Setting(clock, takes, *map(in_code, cells))
    budget = Budget(Limits(seconds=seconds), clock=clock)
    return drafted(environment(sandbox, root, *documents, budget=budget))


@pytest.mark.parametrize(
    "call",
    ["grep('a')", "count('a')", "records()", "read('doc-1')", "outline()", "llm_query('b')", "records(by='document')"],
)
def test_after_the_time_no_tool_is_called_and_the_draft_is_the_answer(sandbox: Sandbox, call: str) -> None:
    code = f"{DRAFT}\nllm_query('a')\nwhile True:\n    try:\n        {call}\n    except BaseException:\n        pass"
    found = answer(sandbox, code, takes=11)
    assert found.status is AnswerStatus.PARTIAL
    assert found.text == f"{SAID} [1]"
    assert found.reasons[0] == "The run's time is over."


def test_what_was_found_in_time_can_still_be_handed_in(sandbox: Sandbox) -> None:
    found = answer(sandbox, f'llm_query("a")\nsubmit("{SAID}", ["{SAID}"])', takes=11)
    assert found.status is AnswerStatus.ANSWERED


def test_what_was_handed_in_before_the_time_ended_the_cell_is_a_whole_answer(sandbox: Sandbox) -> None:
    found = answer(sandbox, f'submit("{SAID}", ["{SAID}"])\nllm_query("a")\ncount("a")', takes=11)
    assert found.status is AnswerStatus.ANSWERED
    assert not any("time is over" in reason for reason in found.reasons)


def test_long_after_the_time_nothing_can_be_handed_in(sandbox: Sandbox) -> None:
    found = answer(sandbox, f'llm_query("a")\nsubmit("{SAID}", ["{SAID}"])', takes=100)
    assert found.status is AnswerStatus.PARTIAL
    assert found.evidence == {}


@pytest.mark.parametrize(
    "code", ["while True: pass", "count(r'(a|aa)+$')", "grep(r'(a|aa)+$')", "records(by='start', pattern=r'(a|aa)+$')"]
)
def test_what_takes_long_is_stopped_by_the_clock(sandbox: Sandbox, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "while" in code:
        monkeypatch.setattr("rlm.loop.environment._SUBMIT_GRACE_SECONDS", 0.2)
    clock = StartedClock()

    def start(prompt: str) -> str:
        clock.start()
        return prompt

    root = ScriptedRoot(in_code(f"{DRAFT}\nllm_query('a')\n{code}"), sub=start)
    documents = (SAID, *["a" * 5_000 + "!"] * 3)
    given = environment(sandbox, root, *documents, budget=Budget(Limits(seconds=1.0), clock=clock))
    found = drafted(given)
    assert found.status is AnswerStatus.PARTIAL
    assert found.reasons[0] == "The run's time is over."
