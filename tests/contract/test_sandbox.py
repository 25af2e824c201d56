"""What every form of the sandbox does."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from ingest.storage.errors import CatalogUnavailableError
from rlm.errors import RunCancelledError, SandboxLostError
from rlm.sandbox.build import build_sandbox
from rlm.sandbox.port import Sandbox, SandboxIsolation, SandboxLimits, Session, Tool, ToolError
from tests.support.requirements import SANDBOX_FORMS

LIMITS = SandboxLimits(
    memory_bytes=64 * 1024**2, cell_seconds=120.0, grace_seconds=0.3, calls=500, output_chars=1_000, error_chars=1_000
)
# For cells that are to run out of time; on a busy machine a short one needs some, too.
HASTY = replace(LIMITS, cell_seconds=2.0)


@pytest.fixture(params=SANDBOX_FORMS)
def form(request: pytest.FixtureRequest) -> SandboxIsolation:
    return SandboxIsolation(request.param)


@pytest.fixture
def limits() -> SandboxLimits:
    return LIMITS


@pytest.fixture
def sandbox(form: SandboxIsolation, limits: SandboxLimits) -> Iterator[Sandbox]:
    made = build_sandbox(form, limits)
    yield made
    made.close()


@pytest.fixture
def opened(sandbox: Sandbox) -> Iterator[Callable[..., Session]]:
    sessions: list[Session] = []

    def open_with(**tools: Tool) -> Session:
        sessions.append(sandbox.open(tools))
        return sessions[-1]

    yield open_with
    for session in sessions:
        session.close()


def _workers() -> set[int]:
    """The processes below this one."""
    return {each.pid for each in psutil.Process().children(recursive=True) if _lives(each)}


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_variables_live_from_cell_to_cell(opened: Callable[..., Session]) -> None:
    session = opened()
    session.run("x = 40\ndef f(y):\n    return x + y")
    assert session.run("f(2)").output == "42\n"


def test_sessions_share_nothing(opened: Callable[..., Session]) -> None:
    first, second = opened(), opened()
    first.run("secret = 1")
    error = second.run("secret").error
    assert error is not None
    assert "name 'secret' is not defined" in error


def test_the_last_expression_is_shown_and_none_is_not(opened: Callable[..., Session]) -> None:
    session = opened()
    assert session.run("print('a')\n'b', 1").output == "a\n('b', 1)\n"
    assert session.run("None").output == ""
    assert session.run("x = 5").output == ""


def test_an_error_is_told_with_its_line_and_what_was_printed_before_it_is_kept(opened: Callable[..., Session]) -> None:
    cell = opened().run("print('before')\n# a comment\nx = 1 / 0\n3")
    assert cell.output == "before\n"
    assert cell.error is not None
    assert "line 3" in cell.error
    assert cell.error.endswith("ZeroDivisionError: division by zero")
    assert "_ll_" not in cell.error


def test_syntax_errors_are_told_as_python_tells_them(opened: Callable[..., Session]) -> None:
    error = opened().run("def f(:\n    pass").error
    assert error is not None
    assert "line 1" in error
    assert "^" in error


def test_output_is_kept_to_its_head_and_tail(opened: Callable[..., Session]) -> None:
    cell = opened().run("print('head' + 'x' * 50_000 + 'tail')")
    assert cell.characters == 50_009
    assert len(cell.output) < LIMITS.output_chars + 100
    assert cell.output.startswith("head")
    assert cell.output.endswith("tail\n")
    assert "49,009 of 50,009 characters left out" in cell.output


def test_tools_get_and_return_plain_values(opened: Callable[..., Session]) -> None:
    got: list[object] = []

    def tool(a: object, *, b: object = None) -> dict[str, object]:
        got.append((a, b))
        return {"list": [1, 2.5, None, True], "text": "é", "tuple": (1,)}

    cell = opened(tool=tool).run("r = tool([1, {'k': 'v'}], b=(1, 2))\nr['list'], r['text'], r['tuple']")
    assert cell.output == "([1, 2.5, None, True], 'é', (1,))\n"
    assert got == [([1, {"k": "v"}], (1, 2))]


def test_tools_can_be_passed_on_like_functions(opened: Callable[..., Session]) -> None:
    cell = opened(double=lambda x: 2 * x).run("f = double\nlist(map(double, [1, 2])), [f(x) for x in (3,)]")
    assert cell.output == "([2, 4], [6])\n"


def test_a_tool_called_wrongly_says_how_it_is_called(opened: Callable[..., Session]) -> None:
    def read(name: str, start: int = 0) -> str:
        return name[start:]

    error = opened(read=read).run("read(begin=3)").error
    assert error is not None
    assert "TypeError: read()" in error
    assert "name" in error


def test_what_a_tool_says_reaches_the_code(opened: Callable[..., Session]) -> None:
    def read() -> str:
        raise ToolError("no document of that name")

    session = opened(read=read)
    assert (
        session.run("try:\n    read()\nexcept Exception as e:\n    print(e)").output
        == "read: no document of that name\n"
    )


@pytest.mark.parametrize("result", [object(), {"x": object()}, Path("/srv/secret")])
def test_exceptions_and_objects_of_the_host_do_not_leak(opened: Callable[..., Session], result: object) -> None:
    def breaks() -> None:
        raise RuntimeError("/srv/secret")

    session = opened(breaks=breaks, returns=lambda: result)
    for call in ("breaks()", "returns()"):
        cell = session.run(f"try:\n    {call}\nexcept BaseException as e:\n    print(repr(e), e.args)\n{call}")
        assert "secret" not in f"{cell.output}{cell.error}"
        assert f"{call[:-2]} failed" in cell.output


def test_a_run_is_cancelled_by_a_tool(opened: Callable[..., Session]) -> None:
    def ask() -> None:
        raise RunCancelledError("The run was cancelled.")

    session = opened(ask=ask)
    with pytest.raises(RunCancelledError):
        session.run("while True:\n    try:\n        ask()\n    except BaseException:\n        pass")


def test_an_error_of_the_product_in_a_tool_ends_the_cell_as_what_it_is(opened: Callable[..., Session]) -> None:
    def ask() -> None:
        raise CatalogUnavailableError("The catalog does not answer.")

    session = opened(ask=ask)
    with pytest.raises(CatalogUnavailableError):
        session.run("while True:\n    try:\n        ask()\n    except BaseException:\n        pass")
    with pytest.raises(SandboxLostError):
        session.run("1")


def test_cancelling_stops_code_that_asks_for_nothing_and_its_process(form: SandboxIsolation) -> None:
    sandbox = build_sandbox(form, LIMITS)
    before = _workers()
    session = sandbox.open({})
    running = threading.Event()
    cancelled = threading.Event()

    def is_cancelled() -> bool:
        running.set()
        return cancelled.is_set()

    with ThreadPoolExecutor(1) as pool:
        cell = pool.submit(session.run, "while True: pass", cancelled=is_cancelled)
        running.wait()
        cancelled.set()
        with pytest.raises(RunCancelledError):
            cell.result()
    session.close()
    assert _gone(_workers() - before)
    sandbox.close()


def _gone(pids: set[int]) -> bool:
    deadline = time.monotonic() + 120
    while pids & _workers() and time.monotonic() < deadline:
        threading.Event().wait(0.02)
    return not pids & _workers()


@pytest.mark.parametrize("limits", [HASTY], ids=["hasty"])
@pytest.mark.parametrize(
    "code",
    [
        "while True: pass",
        "while True:\n    try:\n        while True: pass\n    except BaseException: pass",
        "x = 3\nwhile True: x = x * x",
        "x = []\nwhile True: x.append('y' * 1_000_000)",
    ],
)
def test_a_session_that_is_out_of_time_or_memory_is_lost_and_others_go_on(
    sandbox: Sandbox, opened: Callable[..., Session], code: str
) -> None:
    session, other = opened(), opened()
    other.run("x = 1")
    with pytest.raises(SandboxLostError):
        session.run(code)
    with pytest.raises(SandboxLostError):
        session.run("1")
    assert other.run("x").output == "1\n"
    assert opened().run("2").output == "2\n"


@pytest.mark.parametrize("limits", [HASTY], ids=["hasty"])
def test_time_in_tools_is_not_time_of_the_code(opened: Callable[..., Session], limits: SandboxLimits) -> None:
    longer = limits.cell_seconds + 2 * limits.grace_seconds + 0.2
    session = opened(wait=lambda: time.sleep(longer))
    assert session.run("wait()\n'went on'").output == "'went on'\n"


def test_calls_of_a_session_are_limited(opened: Callable[..., Session]) -> None:
    calls: list[None] = []
    session = opened(ask=lambda: calls.append(None))
    with pytest.raises(SandboxLostError, match=r"500 calls .* take lists"):
        session.run("while True:\n    try:\n        ask()\n    except BaseException:\n        pass")
    assert len(calls) <= LIMITS.calls


def test_a_closed_session_is_lost_and_closing_twice_is_no_error(sandbox: Sandbox) -> None:
    session = sandbox.open({})
    session.close()
    session.close()
    with pytest.raises(SandboxLostError):
        session.run("1")


def test_closing_ends_the_processes(form: SandboxIsolation) -> None:
    before = _workers()
    sandbox = build_sandbox(form, LIMITS)
    sessions = [sandbox.open({}) for _ in range(3)]
    assert len(_workers() - before) >= 3
    started = _workers() - before
    for session in sessions:
        session.close()
    sandbox.close()
    assert _gone(started)


def test_sessions_of_several_threads_do_not_mix(sandbox: Sandbox) -> None:
    def work(n: int) -> list[str]:
        session = sandbox.open({"who": lambda: n})
        outputs = [session.run(f"x = {n}\nprint(x, who())\nx").output for _ in range(20)]
        session.close()
        return outputs

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(work, range(8)))
    assert results == [[f"{n} {n}\n{n}\n"] * 20 for n in range(8)]


def test_chance_and_time_repeat_themselves_where_runs_are_replayed(sandbox: Sandbox) -> None:
    draws = []
    for _ in range(2):
        session = sandbox.open({})
        draws.append(session.run("import random\nrandom.random(), random.sample(range(100), 5)").output)
        session.close()
    assert draws[0] == draws[1]


def test_the_environment_of_the_worker_is_empty(
    opened: Callable[..., Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEADLINE_CANARY", "7f3a91")
    before = _workers()
    opened()
    started = _workers() - before
    assert started
    for pid in started:
        assert b"7f3a91" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert os.environ["LEADLINE_CANARY"] == "7f3a91"


@pytest.mark.needs_program("bwrap")
def test_the_kernel_limits_the_processes_of_the_isolated_worker() -> None:
    sandbox, before = build_sandbox(SandboxIsolation.BUBBLEWRAP, LIMITS), _workers()
    session = sandbox.open({})
    started = _workers() - before
    limits = [_limits(pid) for pid in started]
    session.close()
    sandbox.close()
    assert limits
    for each in limits:
        assert LIMITS.memory_bytes < each["Max address space"] < 2 * 1024**3
        assert 0 < each["Max cpu time"] <= 24 * 3_600
        assert each["Max core file size"] == 0
        assert each["Max file size"] == 0


def _limits(pid: int) -> dict[str, float]:
    """What the process may take at most and cannot raise, by the kernel's names."""
    lines = Path(f"/proc/{pid}/limits").read_text().splitlines()[1:]
    hard = {line[:26].strip(): line[47:68].strip() for line in lines}
    return {name: float("inf") if value == "unlimited" else float(value) for name, value in hard.items()}


def test_half_a_character_from_a_tool_is_one_that_cannot_be_read(opened: Callable[..., Session]) -> None:
    session = opened(ask=lambda: [{"a \ud83d": ("b \udc00", "é")}])
    assert session.run("r = ask()\nr").output == "[{'a ?': ('b ?', 'é')}]\n"
    assert session.run("r[0]['a ?'][1]").output == "'é'\n"
